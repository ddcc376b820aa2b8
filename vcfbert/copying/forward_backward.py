"""Li-Stephens forward and backward steps over candidate haplotypes, compiled for the CPU.

The hidden Markov model of Li and Stephens (2003, Genetics 165:2213): at each typed site a query
copies one of K candidates; between sites it switches with probability rho to any of them; it
differs from the candidate it copies with probability `error`.

Neighbouring typed sites can be merged into *clusters* (`clusters`), as in Beagle (Browning, Zhou
and Browning 2018, Am J Hum Genet 103:338): there are no switches inside a cluster, and its emission
is the product of its sites' emissions. Emissions are relative to the best candidate's, and those
below SMALLEST_EMISSION are raised to it.

K candidates, T typed sites, C clusters, A parameter sets (pairs of switch rate and error
rate). All sums are float32 and each step is normalised, so long chunks neither under- nor overflow.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import count_ones

MIN_STEP_CM = 1e-7
"""Typed sites at the same genetic position are treated as this far apart."""

LONGEST_CLUSTER_CM = 0.005
"""Longest cluster of typed sites, as in Beagle. In a large panel switches are so rare that a limit
in switches alone would merge typed sites over a tenth of a centimorgan."""

SMALLEST_EMISSION = 1e-30
"""So that float32 does not underflow."""

_F = np.float32


@kernel()
def switch_probability(rate: float, distance_cm: float) -> float:
    """1 - exp(-rate * distance); the rate is per cM."""
    return -math.expm1(-rate * max(distance_cm, MIN_STEP_CM))


@kernel()
def switch_table(step_cm, rates):
    """Switch probabilities (C, A) before each cluster; 0 before the first.

    step_cm  (C,) distance from the previous cluster; the first is not read
    """
    table = np.zeros((step_cm.size, rates.size), np.float32)
    for site in range(1, step_cm.size):
        for a in range(rates.size):
            table[site, a] = switch_probability(rates[a], step_cm[site])
    return table


@kernel()
def forward_step(before, after, mismatches, scales, rho, errors):
    """Move one cluster to the right, for every parameter set.

    before      (A, K) sums to 1 after multiplication by `scales`
    after       (A, K) written; must not be `before`, or the loop is not vectorised
    mismatches  (K,) uint8 between candidate and query
    scales      (A,) of `before`, replaced by those of `after`
    rho         (A,) switch probabilities before this cluster
    """
    count = mismatches.size
    fewest, most = _range(mismatches)
    for a in range(scales.size):
        stay, switch = _F((_F(1) - rho[a]) * scales[a]), _F(rho[a] / count)
        one = _F(errors[a] / (_F(1) - errors[a]))
        two = _F(one * one)
        total = _F(0)
        if most > 2:
            table = _emissions(one, fewest, most)
            for k in range(count):
                value = (stay * before[a, k] + switch) * table[mismatches[k]]
                after[a, k] = value
                total += value
            scales[a] = _F(1) / total
            continue
        for k in range(count):
            number = mismatches[k]
            value = stay * before[a, k] + switch
            value *= _F(1) if number == 0 else (one if number == 1 else two)
            after[a, k] = value
            total += value
        scales[a] = _F(1) / total


@kernel()
def backward_step(beta, mismatches, rho, errors):
    """Move one cluster to the left, in place; afterwards `beta` sums to 1 for each parameter set.

    beta        (A, K)
    mismatches  (K,) of the cluster that is left
    rho         (A,) switch probabilities between that cluster and the previous one
    """
    count = mismatches.size
    fewest, most = _range(mismatches)
    for a in range(rho.size):
        one = _F(errors[a] / (_F(1) - errors[a]))
        two = _F(one * one)
        total = _F(0)
        if most > 2:
            table = _emissions(one, fewest, most)
            for k in range(count):
                value = beta[a, k] * table[mismatches[k]]
                beta[a, k] = value
                total += value
        else:  # no table, so that the loop is compiled to vector instructions
            for k in range(count):
                number = mismatches[k]
                value = beta[a, k] * (_F(1) if number == 0 else (one if number == 1 else two))
                beta[a, k] = value
                total += value
        stay, switch = _F((_F(1) - rho[a]) / total), _F(rho[a] / count)
        for k in range(count):
            beta[a, k] = stay * beta[a, k] + switch


@kernel()
def _range(mismatches):
    """The fewest and the most mismatches of a candidate."""
    fewest, most = mismatches[0], mismatches[0]
    for k in range(mismatches.size):
        fewest = min(fewest, mismatches[k])
        most = max(most, mismatches[k])
    return fewest, most


@kernel()
def _emissions(one, fewest, most):
    """Emission of each number of mismatches, relative to that of the fewest.

    one  emission of one mismatch, relative to none
    """
    table = np.ones(most + 1, np.float32)
    for number in range(fewest + 1, most + 1):
        table[number] = max(_F(table[number - 1] * one), _F(SMALLEST_EMISSION))
    return table


@kernel()
def posterior(forward, beta, weights, states):
    """Copying weights of one site, summing to 1 for each parameter set.

    forward, beta  (A, K), each up to a factor
    weights        (A, K) written
    states         (A,) written: effective number of candidates, 1 / sum of squares
    """
    for a in range(states.size):
        total, squares = _F(0), _F(0)
        for k in range(weights.shape[1]):
            value = forward[a, k] * beta[a, k]
            weights[a, k] = value
            total += value
        factor = _F(1) / total
        for k in range(weights.shape[1]):  # squares of normalised weights do not underflow
            value = weights[a, k] * factor
            weights[a, k] = value
            squares += value * value
        states[a] = _F(1) / squares


@kernel()
def read_block(typed_bits, candidates, query, stops, first, block, words, mismatches):
    """Read alleles and mismatches of the clusters of up to 64 typed sites; returns their number.

    typed_bits  (R, ceil(T / 64)) uint64, the first site in the lowest bit
    query       (T,) 0 REF, 1 ALT, more if missing
    stops       (C,) number of typed sites up to the end of each cluster; none crosses a word
    first       number of the block's first cluster
    words       (K,) uint64 written: alleles of the candidates
    mismatches  (64, K) uint8 written
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
            mismatches[number, k] = np.uint8(count_ones((words[k] ^ asked) & inside))
        start, number = stop, number + 1
    return number


def clusters(cm: NDArray[np.floating], longest: float) -> NDArray[np.int64]:
    """Number of typed sites up to the end of each cluster: (C,), the last is T.

    A cluster is at most `longest` cM long and does not cross a multiple of 64 typed sites.

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
