"""Li-Stephens forward and backward steps over candidate haplotypes, compiled for the CPU.

The hidden Markov model of Li and Stephens (2003, Genetics 165:2213): at each typed site a query
copies one of K candidates; between sites it switches with probability rho to any of them; it
differs from the candidate it copies with probability `error`.

Neighbouring typed sites can be taken together as *clusters* (`clusters`), as Beagle does (Browning,
Zhou and Browning 2018, Am J Hum Genet 103:338): nobody switches inside one, and its emission is the
product of its sites' emissions, two or more mismatches counting as two.

K candidates, T typed sites, C clusters, A heads (pairs of switch rate and error rate). All sums are
float32 and each step is normalised, so nothing under- or overflows however long the chunk.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel

MIN_STEP_CM = 1e-7
"""Two typed sites at one genetic position are taken to be this far apart."""

_F = np.float32


@kernel()
def switch_probability(rate: float, distance_cm: float) -> float:
    """1 - exp(-rate * distance); the rate is per cM."""
    return -math.expm1(-rate * max(distance_cm, MIN_STEP_CM))


@kernel()
def switch_table(step_cm, rates):
    """Switch probabilities (C, A) on the way to each cluster; 0 to the first.

    step_cm  (C,) distance from the cluster before; the first is not read
    """
    table = np.zeros((step_cm.size, rates.size), np.float32)
    for site in range(1, step_cm.size):
        for head in range(rates.size):
            table[site, head] = switch_probability(rates[head], step_cm[site])
    return table


@kernel()
def forward_step(before, after, mismatches, scales, rho, errors):
    """One cluster onward, for every head.

    before      (A, K) sums to 1 once it is multiplied by `scales`
    after       (A, K) written; must not be `before`, or the loop is not vectorised
    mismatches  (K,) uint8 between the candidate and the query, 2 for more
    scales      (A,) of `before`, replaced by those of `after`
    rho         (A,) switch probabilities on the way here
    """
    count = mismatches.size
    for head in range(scales.size):
        stay, switch = _F((_F(1) - rho[head]) * scales[head]), _F(rho[head] / count)
        one = _F(errors[head] / (_F(1) - errors[head]))
        two = _F(one * one)
        total = _F(0)
        for k in range(count):
            number = mismatches[k]
            value = stay * before[head, k] + switch
            value *= _F(1) if number == 0 else (one if number == 1 else two)
            after[head, k] = value
            total += value
        scales[head] = _F(1) / total


@kernel()
def backward_step(beta, mismatches, rho, errors):
    """One cluster back, for every head, in place; afterwards each head of `beta` sums to 1.

    beta        (A, K)
    mismatches  (K,) of the cluster that is left
    rho         (A,) switch probabilities between that cluster and the one before it
    """
    count = mismatches.size
    for head in range(rho.size):
        one = _F(errors[head] / (_F(1) - errors[head]))
        two = _F(one * one)
        total = _F(0)
        for k in range(count):
            number = mismatches[k]
            value = beta[head, k] * (_F(1) if number == 0 else (one if number == 1 else two))
            beta[head, k] = value
            total += value
        stay, switch = _F((_F(1) - rho[head]) / total), _F(rho[head] / count)
        for k in range(count):
            beta[head, k] = stay * beta[head, k] + switch


@kernel()
def posterior(forward, beta, weights, states):
    """Copying weights of one site, each head summing to 1.

    forward, beta  (A, K) up to a factor each
    weights        (A, K) written
    states         (A,) written: the effective number of candidates, 1 / sum of squares
    """
    for head in range(states.size):
        total, squares = _F(0), _F(0)
        for k in range(weights.shape[1]):
            value = forward[head, k] * beta[head, k]
            weights[head, k] = value
            total += value
            squares += value * value
        factor = _F(1) / total
        for k in range(weights.shape[1]):
            weights[head, k] *= factor
        states[head] = total * total / squares


@kernel()
def read_block(typed_bits, candidates, query, stops, first, block, words, mismatches):
    """Alleles and mismatches of the clusters of up to 64 typed sites; returns their number.

    typed_bits  (R, ceil(T / 64)) uint64, the first site in the lowest bit
    query       (T,) 0 REF, 1 ALT, more where nothing was observed
    stops       (C,) typed sites up to the end of each cluster, none of which goes across a word
    first       number of the block's first cluster
    words       (K,) uint64 written: alleles of the candidates
    mismatches  (64, K) uint8 written, 2 for two and more
    """
    begin = 64 * block
    asked, seen = np.uint64(0), np.uint64(0)
    for t in range(min(64, query.size - begin)):
        allele = query[begin + t]
        if allele <= 1:
            asked |= np.uint64(allele) << np.uint64(t)
            seen |= np.uint64(1) << np.uint64(t)
    for k in range(candidates.size):
        words[k] = typed_bits[candidates[k], block]
    start, number = 0, 0
    while first + number < stops.size and stops[first + number] <= begin + 64:
        stop = stops[first + number] - begin
        inside = ~np.uint64(0) if stop == 64 else (np.uint64(1) << np.uint64(stop)) - np.uint64(1)
        inside = ((inside >> np.uint64(start)) << np.uint64(start)) & seen
        for k in range(candidates.size):
            differ = (words[k] ^ asked) & inside
            more = differ & (differ - np.uint64(1))
            mismatches[number, k] = np.uint8(differ != 0) + np.uint8(more != 0)
        start, number = stop, number + 1
    return number


@kernel()
def copying_weights(typed_bits, candidates, query, stops, step_cm, rates, errors):
    """Posterior copying weights of one query, (C, A, K) float32.

    The plain form, which keeps every cluster; `mosaic.impute_haplotype` keeps 64 at a time.

    stops          (C,) see `read_block`
    step_cm        (C,) distance from the cluster before; the first is not read
    rates, errors  (A,) of the heads
    """
    num_clusters, count, heads = stops.size, candidates.size, rates.size
    mismatches = np.empty((num_clusters + 64, count), np.uint8)
    words = np.empty(count, np.uint64)
    done = 0
    for block in range(typed_bits.shape[1]):
        rows = mismatches[done : done + 64]
        done += read_block(typed_bits, candidates, query, stops, done, block, words, rows)
    weights = np.empty((num_clusters, heads, count), np.float32)
    start = np.full((heads, count), _F(1) / _F(count), np.float32)
    rho, scales = switch_table(step_cm, rates), np.ones(heads, np.float32)
    for c in range(num_clusters):
        before = weights[c - 1] if c else start
        forward_step(before, weights[c], mismatches[c], scales, rho[c], errors)
    beta, states = np.ones((heads, count), np.float32), np.empty(heads, np.float32)
    for c in range(num_clusters - 1, -1, -1):
        posterior(weights[c], beta, weights[c], states)
        if c:
            backward_step(beta, mismatches[c], rho[c], errors)
    return weights


def clusters(cm: NDArray[np.floating], longest: float) -> NDArray[np.int64]:
    """Where clusters of typed sites end: (C,) numbers of typed sites, the last is T.

    A cluster is at most `longest` cM long and does not go across a multiple of 64 typed sites.

    cm  (T,) of the typed sites, never falling

    >>> clusters(np.array([0.0, 0.1, 0.15, 0.3]), 0.1).tolist()
    [2, 3, 4]
    """
    stops, start = [], 0
    for site in range(1, len(cm)):
        if cm[site] - cm[start] > longest or site % 64 == 0:
            stops.append(site)
            start = site
    return np.array([*stops, len(cm)], dtype=np.int64)


def reference_weights(
    alleles: NDArray[np.uint8],
    query: NDArray[np.uint8],
    stops: NDArray[np.int64],
    step_cm: NDArray[np.float64],
    rate: float,
    error: float,
) -> NDArray[np.float64]:
    """The same for one head in float64 and plain NumPy: slow, and the oracle of the others.

    alleles  (K, T) 0 REF, 1 ALT
    query    (T,) 0, 1, or more where nothing was observed
    stops    (C,) and step_cm (C,) as in `copying_weights`
    returns  (C, K)
    """
    differ = ((alleles != query) & (query <= 1)).astype(np.int64)
    mismatches = np.add.reduceat(differ, np.append(0, stops[:-1]), axis=1).clip(max=2).T  # (C, K)
    emission = (error / (1.0 - error)) ** mismatches
    rho = -np.expm1(-rate * np.maximum(step_cm, MIN_STEP_CM))
    forward, backward = np.empty_like(emission), np.ones_like(emission)
    num_sites, num_states = emission.shape
    forward[0] = emission[0] / emission[0].sum()
    for t in range(1, num_sites):
        forward[t] = ((1 - rho[t]) * forward[t - 1] + rho[t] / num_states) * emission[t]
        forward[t] /= forward[t].sum()
    for t in range(num_sites - 1, 0, -1):
        onward = emission[t] * backward[t]
        backward[t - 1] = (1 - rho[t]) * onward / onward.sum() + rho[t] / num_states
    weights = forward * backward
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
