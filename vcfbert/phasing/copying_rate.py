"""Rate of switches between copied haplotypes, fitted to haplotypes of the panel.

The best rate depends on the panel, the map and the density of the typed sites: in a dense set,
shorter segments can be told apart. Some haplotypes of the panel are copied from the others, and the
rate at which they are likeliest is taken.

T typed sites in W words of 64, R reference haplotypes, K candidates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import parameter_sets
from vcfbert.domain import tokens
from vcfbert.phasing import lattice, neighbours, steps

NUM_FITTED = 24
"""Haplotypes to fit to. The fits of two halves of 40 differ by a tenth."""

FEWEST_TYPED = 8
"""With fewer typed sites, the rate is not fitted."""

EFFECTIVE_SIZE = 6e5
"""Ne before the fit: 4 Ne / R switches a Morgan (Li and Stephens 2003)."""

_ALIKE = 20.0  # neighbouring sites of a haplotype that carry the same information


class FitRows(NamedTuple):
    """Haplotypes that the rate is fitted to: rows of the references, and those each must not copy.

    rows  (n,)
    own   n arrays
    """

    rows: NDArray[np.int64]
    own: list[NDArray[np.int64]]


def evenly(num_rows: int) -> NDArray[np.int64]:
    """At most NUM_FITTED of some rows, without the first and the last."""
    return np.unique(np.linspace(0, num_rows - 1, NUM_FITTED + 2).astype(np.int64)[1:-1])


def of_size(effective_size: float, num_references: int) -> float:
    """Switches per cM.

    >>> round(of_size(6e5, 4_508), 3)
    5.324
    """
    return 0.04 * effective_size / num_references


def fit(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    places: NDArray[np.int64],
    hits: int,
    *,
    errors: NDArray[np.floating],
    longest: float,
    threads: int,
    fitted: FitRows | None = None,
) -> float:
    """Switches per cM.

    bits           (R, W) alleles of the references
    cm             (T,) never falling
    places, hits   where candidates are searched, and how many there; see `neighbours.find`
    errors         (T,) see `steps.along`
    longest        see `steps.along`
    fitted         haplotypes to fit to; None is some of a panel whose samples have two rows
    """
    num_rows, num_typed = len(bits), len(cm)
    start = of_size(EFFECTIVE_SIZE, num_rows)
    if num_typed < FEWEST_TYPED:
        return start
    if fitted is None:
        rows = evenly(num_rows)
        # A row, and those next to it: one of them is the other haplotype of its sample.
        fitted = FitRows(rows, [row + np.arange(-1, 2) for row in rows])
    haplotypes = tokens.unpack(np.ascontiguousarray(bits[fitted.rows]).view(np.uint8), num_typed)
    found = neighbours.find(bits, haplotypes, places, hits, fitted.own, threads=threads)
    pairs = np.repeat(haplotypes[:, None], 2, axis=1)
    candidates = [np.unique(some[some >= 0]) for some in found]

    def likelihood(factor: float) -> float:
        total = 0.0
        for pair, some in zip(pairs, candidates, strict=True):
            if len(some):
                words = np.ascontiguousarray(bits[some].T)
                share = np.full(len(some), 1 / len(some), np.float32)
                plan = steps.along(pair, cm, start * factor, errors, longest)
                total += lattice.log_likelihood(words, plan, share)
        return total / _ALIKE

    return start * parameter_sets.best_factor(likelihood)
