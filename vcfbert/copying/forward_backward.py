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
from numba import njit
from numpy.typing import NDArray

MIN_STEP_CM = 1e-7
"""Two typed sites at one genetic position are taken to be this far apart."""

_F = np.float32


@njit(cache=True, nogil=True, fastmath=True)
def switch_probability(rate: float, distance_cm: float) -> float:
    """1 - exp(-rate * distance); the rate is per cM."""
    return -math.expm1(-rate * max(distance_cm, MIN_STEP_CM))


@njit(cache=True, nogil=True, fastmath=True)
def forward_step(before, after, match, scale, rho, error):
    """One site onward; returns the sum of `after`, which the caller divides by at the next step.

    before  (K,) scaled by `scale` it sums to 1
    after   (K,) written; must not be `before`, or the loop is not vectorised
    match   (K,) uint8, 1 where the candidate carries the query's allele or the query has none
    """
    count = before.size
    stay, switch = _F((_F(1) - rho) * scale), _F(rho / count)
    miss, gain = _F(error), _F(_F(1) - _F(2) * error)
    total = _F(0)
    for k in range(count):
        value = (stay * before[k] + switch) * (miss + gain * match[k])
        after[k] = value
        total += value
    return total


@njit(cache=True, nogil=True, fastmath=True)
def backward_step(beta, match, rho, error):
    """One site back, in place; afterwards `beta` sums to 1.

    match  (K,) of the site that is left
    rho    switch probability between that site and the one before it
    """
    count = beta.size
    miss, gain = _F(error), _F(_F(1) - _F(2) * error)
    total = _F(0)
    for k in range(count):
        value = beta[k] * (miss + gain * match[k])
        beta[k] = value
        total += value
    stay, switch = _F((_F(1) - rho) / total), _F(rho / count)
    for k in range(count):
        beta[k] = stay * beta[k] + switch


@njit(cache=True, nogil=True, fastmath=True)
def posterior(forward, beta, weights):
    """Copying weights of one site, summing to 1; returns the sum of their squares.

    forward, beta  (K,) up to a factor each
    weights        (K,) written
    """
    total = _F(0)
    for k in range(forward.size):
        value = forward[k] * beta[k]
        weights[k] = value
        total += value
    factor, squares = _F(1) / total, _F(0)
    for k in range(forward.size):
        value = weights[k] * factor
        weights[k] = value
        squares += value * value
    return squares


@njit(cache=True, nogil=True, fastmath=True)
def match_block(typed_bits, candidates, query, block, match):
    """Matches at up to 64 typed sites; returns how many sites the block has.

    typed_bits  (R, ceil(T / 64)) uint64, the first site in the lowest bit
    query       (T,) 0 REF, 1 ALT, more where nothing was observed
    match       (64, K) uint8 written
    """
    first = 64 * block
    count = min(64, query.size - first)
    for k in range(candidates.size):
        word = typed_bits[candidates[k], block]
        for t in range(count):
            match[t, k] = ((word >> np.uint64(t)) & np.uint64(1)) == query[first + t]
    for t in range(count):
        if query[first + t] > 1:
            match[t, :] = 1
    return count


@njit(cache=True, nogil=True, fastmath=True)
def log_likelihood(typed_bits, candidates, query, step_cm, rate, error):
    """Log probability of a query's typed alleles under one head, in nats.

    step_cm  (T,) distance from the typed site before; the first is not read
    """
    count = candidates.size
    match = np.empty((64, count), np.uint8)
    before, after = np.full(count, _F(1) / _F(count), np.float32), np.empty(count, np.float32)
    scale, total = _F(1), 0.0
    for block in range(typed_bits.shape[1]):
        for t in range(match_block(typed_bits, candidates, query, block, match)):
            site = 64 * block + t
            rho = switch_probability(rate, step_cm[site]) if site else 0.0
            value = forward_step(before, after, match[t], scale, _F(rho), _F(error))
            total += math.log(value)
            scale = _F(1) / value
            before, after = after, before
    return total


@njit(cache=True, nogil=True, fastmath=True)
def copying_weights(typed_bits, candidates, query, step_cm, rates, errors):
    """Posterior copying weights of one query, (T, A, K) float32.

    The plain form, which keeps every site; `mosaic.impute_haplotype` keeps 64 at a time.

    rates, errors  (A,) of the heads
    """
    sites, count, heads = query.size, candidates.size, rates.size
    match = np.empty((64 * typed_bits.shape[1], count), np.uint8)
    for block in range(typed_bits.shape[1]):
        match_block(typed_bits, candidates, query, block, match[64 * block : 64 * block + 64])
    weights = np.empty((sites, heads, count), np.float32)
    start = np.full(count, _F(1) / _F(count), np.float32)
    for head in range(heads):
        rate, error = rates[head], _F(errors[head])
        scale = _F(1)
        for t in range(sites):
            rho = _F(switch_probability(rate, step_cm[t])) if t else _F(0)
            before = weights[t - 1, head] if t else start
            scale = _F(1) / forward_step(before, weights[t, head], match[t], scale, rho, error)
        beta = np.ones(count, np.float32)
        for t in range(sites - 1, -1, -1):
            posterior(weights[t, head], beta, weights[t, head])
            if t:
                rho = _F(switch_probability(rate, step_cm[t]))
                backward_step(beta, match[t], rho, error)
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
