"""A part: the answers for one chunk and one batch of samples, in memory or on the disk.

n written sites of a chunk, t of them typed, B samples of the batch, P typed sites that the chunk
shares with its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.ploidy import existing
from vcfbert.pipelines.chunks.chunk_imputation import BatchAnswers
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.parts import exact_sums

_SITES_AT_ONCE = 512


@dataclass(frozen=True)
class Wanted:
    """What the parts of an output have besides the probabilities.

    dr2        sums for DR2
    er2        sums for ER2
    left_out   typed sites as if they were not typed
    order      the order of heterozygotes, because a chunk continues the one before
    """

    dr2: bool
    er2: bool
    left_out: bool
    order: bool


@dataclass(frozen=True)
class PartFacts:
    """The numbers of a part, by name, which do not grow with sites times samples.

    dosage       (n, 2) of `exact_sums`, of the dosages
    alt          (n, 2) of the probabilities, and `squares` of their squares; (0, 2) without DR2
    typed        (t, 8) sums for ER2, see `typed_sums`; (0, 8) without it
    pr2          (n,) r2 estimated from the panel
    accuracy     (2, B) expected squared error of each sample, and what the panel's haplotypes
                 explain
    rate_factor  (B,)
    candidates   (4,) number of haplotypes, and sum, minimum and maximum of their candidates
    cells        (2,) haplotypes times sites that are undecided, and those out of range
    order        (P, B) NOT_HET, REF_FIRST or ALT_FIRST; (0, B) if it is not wanted
    is_held      (B,) 1 for samples whose first haplotype is the father's, which are never turned
    """

    dosage: NDArray[np.int64]
    alt: NDArray[np.int64]
    squares: NDArray[np.int64]
    typed: NDArray[np.int64]
    pr2: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    rate_factor: NDArray[np.float64]
    candidates: NDArray[np.int64]
    cells: NDArray[np.float64]
    order: NDArray[np.uint8]
    is_held: NDArray[np.uint8]


NOT_HET, REF_FIRST, ALT_FIRST = 0, 1, 2
"""Order of the alleles of a genotype."""


class Cells(Protocol):
    """The probabilities of a part."""

    def alt(self, rows: slice) -> NDArray[np.float32]:
        """(k, B, 2) at some of the written sites."""

    def left_out(self, rows: slice) -> NDArray[np.float32]:
        """(k, B, 2) at some of the typed written sites, as if they were not typed."""


@dataclass(frozen=True)
class CellsInMemory:
    """Probabilities as they were computed: (n, B, 2) and (t, B, 2)."""

    values: NDArray[np.float32]
    left_out_values: NDArray[np.float32]

    def alt(self, rows: slice) -> NDArray[np.float32]:
        """See `Cells`."""
        return self.values[rows]

    def left_out(self, rows: slice) -> NDArray[np.float32]:
        """See `Cells`."""
        return self.left_out_values[rows]


@dataclass(frozen=True)
class ChunkPart:
    """One part.

    chunk    number of the chunk among those of the whole panel
    samples  range of the target's samples
    """

    chunk: int
    samples: slice
    facts: PartFacts
    cells: Cells


def of_batch(
    batch: BatchAnswers,
    chunk: ChunkPlan,
    is_imputed: NDArray[np.bool_],
    frequency: NDArray[np.float64],
    shared: NDArray[np.int64],
    wanted: Wanted,
) -> ChunkPart:
    """The part of an imputed batch.

    is_imputed  (n,) False at sites that are typed in any sample of the target
    frequency   (n,) ALT frequency in the panel
    shared      (P,) of `shared_sites`
    """
    flat = batch.alt.reshape(len(batch.alt), -1)
    exists = existing(batch.is_haploid)
    alleles = batch.phase.alleles[np.searchsorted(chunk.typed, chunk.written[chunk.is_typed])]
    counts = batch.candidates.ravel()[exists]
    none = np.empty((0, 2), np.int64)
    order = batch.phase.alleles[np.searchsorted(chunk.typed, shared)]
    return ChunkPart(
        chunk.number,
        batch.samples,
        PartFacts(
            dosage=exact_sums.of(batch.alt[:, :, 0] + batch.alt[:, :, 1]),
            alt=exact_sums.of(flat) if wanted.dr2 else none,
            squares=_squares(flat) if wanted.dr2 else none,
            typed=typed_sums(alleles, batch.left_out) if wanted.er2 else np.empty((0, 8), np.int64),
            pr2=batch.pr2,
            accuracy=_accuracy(flat, is_imputed, frequency, exists),
            rate_factor=batch.rate_factor,
            candidates=np.array([len(counts), counts.sum(), counts.min(), counts.max()]),
            cells=np.array([batch.open_cells, batch.cells_out_of_range]),
            order=orders(order if wanted.order else order[:0]),
            is_held=batch.is_held.astype(np.uint8),
        ),
        CellsInMemory(batch.alt, batch.left_out if wanted.left_out else batch.left_out[:0]),
    )


def orders(alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(P, B) of alleles (P, B, 2): NOT_HET, REF_FIRST or ALT_FIRST.

    >>> orders(np.array([[[0, 1], [1, 0], [1, 1], [1, 4]]], np.uint8)).tolist()
    [[1, 2, 0, 0]]
    """
    is_het = tokens.is_heterozygous(alleles.transpose(1, 2, 0)).T
    first = np.where(alleles[:, :, 0] == tokens.ALT, np.uint8(ALT_FIRST), np.uint8(REF_FIRST))
    return np.where(is_het, first, np.uint8(NOT_HET))


def shared_sites(
    chunk: ChunkPlan, before: ChunkPlan | None, after: ChunkPlan | None
) -> NDArray[np.int64]:
    """(P,) typed sites that a chunk shares with its neighbours, rising."""
    near = [one.typed for one in (before, after) if one is not None]
    return np.intersect1d(chunk.typed, np.concatenate([chunk.typed[:0], *near]))


def typed_sums(alleles: NDArray[np.uint8], left_out: NDArray[np.float32]) -> NDArray[np.int64]:
    """(t, 8) sums over the observed alleles of typed sites, for ER2.

    Their number, those that are ALT, and `exact_sums` of the answers, of their squares and of the
    answers at ALT alleles.

    alleles   (t, B, 2) more than 1 if missing
    left_out  (t, B, 2)
    """
    sums = np.empty((len(alleles), 8), np.int64)
    for first in range(0, len(alleles), _SITES_AT_ONCE):
        rows = slice(first, first + _SITES_AT_ONCE)
        here = alleles[rows].reshape(len(alleles[rows]), -1)
        is_alt = here == tokens.ALT
        is_known = here <= tokens.ALT
        answer = np.where(is_known, left_out[rows].reshape(here.shape), 0).astype(np.float64)
        sums[rows, 0], sums[rows, 1] = is_known.sum(axis=1), is_alt.sum(axis=1)
        sums[rows, 2:4] = exact_sums.of(answer)
        sums[rows, 4:6] = exact_sums.of(answer**2)
        sums[rows, 6:8] = exact_sums.of(answer * is_alt)
    return sums


def _squares(flat: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, 2) sums of the squares of (n, 2 B) probabilities."""
    sums = np.empty((len(flat), 2), np.int64)
    for first in range(0, len(flat), _SITES_AT_ONCE):
        rows = slice(first, first + _SITES_AT_ONCE)
        sums[rows] = exact_sums.of(flat[rows].astype(np.float64) ** 2)
    return sums


def _accuracy(
    flat: NDArray[np.float32],
    is_imputed: NDArray[np.bool_],
    frequency: NDArray[np.float64],
    exists: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(2, B) sums over imputed sites for the expected r2 of each sample.

    If probabilities are calibrated, a haplotype with ALT probability p has an expected squared
    error of p (1 - p), against p (1 - p) + (p - f)^2 of the panel's frequency f alone.

    flat    (n, 2 B)
    exists  (2 B,)
    """
    error, explained = np.zeros(flat.shape[1]), np.zeros(flat.shape[1])
    for first in range(0, len(flat), _SITES_AT_ONCE):
        rows = slice(first, first + _SITES_AT_ONCE)
        alt = flat[rows][is_imputed[rows]].astype(np.float64)
        expected = frequency[rows][is_imputed[rows], None]
        error += (alt * (1 - alt)).sum(axis=0)
        explained += ((alt - expected) ** 2).sum(axis=0)
    explained[~exists] = 0
    by_haplotype = np.stack([error, explained]).reshape(2, -1, 2)
    return np.asarray(by_haplotype.sum(axis=2), dtype=np.float64)
