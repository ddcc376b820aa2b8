"""Switch and error rates of the copying heads: initial values, and a fit to the panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.forward_backward import log_likelihood

SIZES_AND_ERRORS = ((1e6, 1e-3), (3e5, 3e-3), (3e6, 1e-3))
"""Effective population size and error rate of each head: Beagle's usual pair, one that copies
longer, one that switches sooner. More heads gained less than the spread over seeds
(docs/decisions/mosaic.md)."""

FACTORS = tuple(float(2.0**power) for power in (-3, -2, -1, 0, 1, 2, 3))
"""Factors of the switch rates that the fit tries."""


@dataclass(frozen=True)
class Heads:
    """rates (A,) switches per cM, errors (A,) probabilities that an allele was miscopied."""

    rates: NDArray[np.float32]
    errors: NDArray[np.float32]

    def scaled(self, factor: float) -> Heads:
        """All switch rates times a factor."""
        return Heads((self.rates * factor).astype(np.float32), self.errors)


def initial(num_references: int) -> Heads:
    """Rates of Li and Stephens 2003: 4 Ne / H a Morgan, so 0.04 Ne / H a centimorgan."""
    sizes = np.array([size for size, _ in SIZES_AND_ERRORS])
    errors = np.array([error for _, error in SIZES_AND_ERRORS], dtype=np.float32)
    return Heads((0.04 * sizes / max(num_references, 1)).astype(np.float32), errors)


def fit(
    heads: Heads,
    typed_bits: NDArray[np.uint64],
    step_cm: NDArray[np.float64],
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
) -> Heads:
    """Scale the switch rates so that the first head makes left-out haplotypes likeliest.

    typed_bits  (R, ceil(T / 64))
    step_cm     (T,) distance of each typed site from the one before
    queries     (n, T) typed alleles of some of the references
    candidates  n arrays of rows, none of them of the query's own person
    """
    totals = np.array(
        [
            sum(
                log_likelihood(
                    typed_bits, rows, query, step_cm, factor * heads.rates[0], heads.errors[0]
                )
                for query, rows in zip(queries, candidates, strict=True)
            )
            for factor in FACTORS
        ]
    )
    return heads.scaled(2.0 ** _peak(np.log2(FACTORS), totals))


def _peak(places: NDArray[np.float64], heights: NDArray[np.float64]) -> float:
    """Place of the largest height, by the parabola through it and its neighbours.

    >>> _peak(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 2.0]))
    1.25
    """
    top = int(np.argmax(heights))
    if top in (0, len(heights) - 1):
        return float(places[top])
    before, here, after = heights[top - 1 : top + 2]
    bend = before - 2 * here + after
    shift = 0.0 if bend == 0 else 0.5 * (before - after) / bend
    return float(places[top] + shift * (places[top + 1] - places[top]))
