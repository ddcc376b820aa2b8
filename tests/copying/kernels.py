"""The compiled kernels, called as the tests like to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.copying import chunks
from tests.copying.chunks import Case
from vcfbert.copying import inputs, mosaic
from vcfbert.copying.compiled import kernel
from vcfbert.copying.forward_backward import (
    backward_step,
    forward_step,
    posterior,
    read_block,
    switch_table,
)

_F = np.float32


@dataclass(frozen=True)
class Found:
    """probabilities (S, A), rows (n, F), sites (n,), places (n,), shares (C, G), left_out (T,)."""

    probabilities: NDArray[np.float32]
    rows: NDArray[np.float32]
    sites: NDArray[np.int64]
    places: NDArray[np.float32]
    shares: NDArray[np.float32]
    left_out: NDArray[np.float32]


def impute(
    case: Case, query: NDArray[np.uint8], candidates: NDArray[np.int64], low: float = -1.0
) -> Found:
    """Run `mosaic.impute_haplotype`; with a negative `low` every untyped site is open."""
    num_sites, num_typed = len(case.chunk.cm), len(case.chunk.typed)
    probabilities = np.full((num_sites, inputs.NUM_SETS), np.nan, np.float32)
    rows = np.full((num_sites, inputs.NUM_INPUTS), np.nan, np.float32)
    sites, places = np.empty(num_sites, np.int64), np.empty(num_sites, np.float32)
    shares = np.full((len(case.chunk.stops), chunks.NUM_GROUPS), np.nan, np.float32)
    left_out = np.full(num_typed, np.nan, np.float32)
    count = mosaic.impute_haplotype(
        case.chunk, query, candidates, np.float32(low),
        probabilities, rows, sites, places, shares, left_out,
    )  # fmt: skip
    return Found(probabilities, rows[:count], sites[:count], places[:count], shares, left_out)


@kernel()
def copying_weights(typed_bits, candidates, query, stops, step_cm, rates, errors):
    """Posterior copying weights of one query, (C, A, K) float32.

    The plain form keeps every cluster; `mosaic.impute_haplotype` keeps 64 at a time.

    stops          (C,) see `read_block`
    step_cm        (C,) distance from the previous cluster; the first is not read
    rates, errors  (A,)
    """
    num_clusters, count, num_sets = stops.size, candidates.size, rates.size
    mismatches = np.empty((num_clusters + 64, count), np.uint8)
    words = np.empty(count, np.uint64)
    done = 0
    for block in range(typed_bits.shape[1]):
        rows = mismatches[done : done + 64]
        done += read_block(typed_bits, candidates, query, stops, done, block, words, rows)
    weights = np.empty((num_clusters, num_sets, count), np.float32)
    start = np.full((num_sets, count), _F(1) / _F(count), np.float32)
    rho, scales = switch_table(step_cm, rates), np.ones(num_sets, np.float32)
    for c in range(num_clusters):
        before = weights[c - 1] if c else start
        forward_step(before, weights[c], mismatches[c], scales, rho[c], errors)
    beta, states = np.ones((num_sets, count), np.float32), np.empty(num_sets, np.float32)
    for c in range(num_clusters - 1, -1, -1):
        posterior(weights[c], beta, weights[c], states)
        if c:
            backward_step(beta, mismatches[c], rho[c], errors)
    return weights
