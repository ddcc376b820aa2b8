"""The compiled kernels, called as the tests like to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.copying import chunks
from tests.copying.chunks import Case
from vcfbert.copying import inputs, mosaic


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
    probabilities = np.full((num_sites, inputs.HEADS), np.nan, np.float32)
    rows = np.full((num_sites, inputs.NUM_INPUTS), np.nan, np.float32)
    sites, places = np.empty(num_sites, np.int64), np.empty(num_sites, np.float32)
    shares = np.full((len(case.chunk.stops), chunks.NUM_GROUPS), np.nan, np.float32)
    left_out = np.full(num_typed, np.nan, np.float32)
    count = mosaic.impute_haplotype(
        case.chunk, query, candidates, np.float32(low),
        probabilities, rows, sites, places, shares, left_out,
    )  # fmt: skip
    return Found(probabilities, rows[:count], sites[:count], places[:count], shares, left_out)
