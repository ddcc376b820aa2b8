"""Li-Stephens forward and backward steps over candidate haplotypes, compiled for the CPU.

The hidden Markov model of Li and Stephens (2003, Genetics 165:2213): at each typed site a query
copies one of K candidates; between sites it switches with probability rho to any of them; it
differs from the candidate it copies with probability `error`.

K candidates, T typed sites, A heads (pairs of switch rate and error rate). All sums are float32 and
each step is normalised, so nothing under- or overflows however long the chunk.
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
    """Switch probabilities (T, A) on the way to each typed site; 0 to the first.

    step_cm  (T,) distance from the typed site before; the first is not read
    """
    table = np.zeros((step_cm.size, rates.size), np.float32)
    for site in range(1, step_cm.size):
        for head in range(rates.size):
            table[site, head] = switch_probability(rates[head], step_cm[site])
    return table


@kernel()
def forward_step(before, after, match, scales, rho, errors):
    """One site onward, for every head.

    before  (A, K) sums to 1 once it is multiplied by `scales`
    after   (A, K) written; must not be `before`, or the loop is not vectorised
    match   (K,) uint8, 1 where the candidate carries the query's allele or the query has none
    scales  (A,) of `before`, replaced by those of `after`
    rho     (A,) switch probabilities on the way here
    """
    count = match.size
    for head in range(scales.size):
        stay, switch = _F((_F(1) - rho[head]) * scales[head]), _F(rho[head] / count)
        miss = _F(errors[head])
        gain = _F(_F(1) - _F(2) * miss)
        total = _F(0)
        for k in range(count):
            value = (stay * before[head, k] + switch) * (miss + gain * match[k])
            after[head, k] = value
            total += value
        scales[head] = _F(1) / total


@kernel()
def backward_step(beta, match, rho, errors):
    """One site back, for every head, in place; afterwards each head of `beta` sums to 1.

    beta   (A, K)
    match  (K,) of the site that is left
    rho    (A,) switch probabilities between that site and the one before it
    """
    count = match.size
    for head in range(rho.size):
        miss = _F(errors[head])
        gain = _F(_F(1) - _F(2) * miss)
        total = _F(0)
        for k in range(count):
            value = beta[head, k] * (miss + gain * match[k])
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
def match_block(typed_bits, candidates, query, block, words, match):
    """Matches at up to 64 typed sites; returns how many sites the block has.

    typed_bits  (R, ceil(T / 64)) uint64, the first site in the lowest bit
    query       (T,) 0 REF, 1 ALT, more where nothing was observed
    words       (K,) uint64, scratch
    match       (64, K) uint8 written
    """
    first = 64 * block
    count = min(64, query.size - first)
    for k in range(candidates.size):
        words[k] = typed_bits[candidates[k], block]
    for t in range(count):
        allele = query[first + t]
        if allele > 1:
            match[t, :] = 1
            continue
        shift, differs = np.uint64(t), np.uint64(allele ^ 1)
        for k in range(candidates.size):
            match[t, k] = ((words[k] >> shift) ^ differs) & np.uint64(1)
    return count


@kernel()
def log_likelihood(typed_bits, candidates, query, step_cm, rate, error):
    """Log probability of a query's typed alleles under one head, in nats.

    step_cm  (T,) distance from the typed site before; the first is not read
    """
    count = candidates.size
    match, words = np.empty((64, count), np.uint8), np.empty(count, np.uint64)
    pair = np.full((2, 1, count), _F(1) / _F(count), np.float32)
    rates, errors = np.full(1, rate, np.float32), np.full(1, error, np.float32)
    rho, scales, total = switch_table(step_cm, rates), np.ones(1, np.float32), 0.0
    for block in range(typed_bits.shape[1]):
        for t in range(match_block(typed_bits, candidates, query, block, words, match)):
            site = 64 * block + t
            before, after = pair[site & 1], pair[1 - (site & 1)]
            forward_step(before, after, match[t], scales, rho[site], errors)
            total -= math.log(scales[0])
    return total


@kernel()
def copying_weights(typed_bits, candidates, query, step_cm, rates, errors):
    """Posterior copying weights of one query, (T, A, K) float32.

    The plain form, which keeps every site; `mosaic.impute_haplotype` keeps 64 at a time.

    rates, errors  (A,) of the heads
    """
    sites, count, heads = query.size, candidates.size, rates.size
    match = np.empty((64 * typed_bits.shape[1], count), np.uint8)
    words = np.empty(count, np.uint64)
    for block in range(typed_bits.shape[1]):
        rows = match[64 * block : 64 * block + 64]
        match_block(typed_bits, candidates, query, block, words, rows)
    weights = np.empty((sites, heads, count), np.float32)
    start = np.full((heads, count), _F(1) / _F(count), np.float32)
    rho, scales = switch_table(step_cm, rates), np.ones(heads, np.float32)
    for t in range(sites):
        before = weights[t - 1] if t else start
        forward_step(before, weights[t], match[t], scales, rho[t], errors)
    beta, states = np.ones((heads, count), np.float32), np.empty(heads, np.float32)
    for t in range(sites - 1, -1, -1):
        posterior(weights[t], beta, weights[t], states)
        if t:
            backward_step(beta, match[t], rho[t], errors)
    return weights


def reference_weights(
    alleles: NDArray[np.uint8],
    query: NDArray[np.uint8],
    step_cm: NDArray[np.float64],
    rate: float,
    error: float,
) -> NDArray[np.float64]:
    """The same for one head in float64 and plain NumPy: slow, and the oracle of the others.

    alleles  (K, T) 0 REF, 1 ALT
    query    (T,) 0, 1, or more where nothing was observed
    returns  (T, K)
    """
    matches = (alleles == query) | (query > 1)
    emission = np.where(matches, 1.0 - error, error).T  # (T, K)
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
