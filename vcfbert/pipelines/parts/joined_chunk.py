"""The parts of a chunk joined: all samples of the target, a few sites at a time.

n written sites, t of them typed, N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.dosage import MIN_VARIANCE
from vcfbert.domain.ploidy import existing
from vcfbert.pipelines.chunks import chunk_imputation
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.parts import exact_sums, part_file
from vcfbert.pipelines.parts.part import NOT_HET, CellsInMemory, ChunkPart, PartFacts


@dataclass(frozen=True)
class SiteRows:
    """Some written sites with the probabilities of all samples.

    rows      indexes among the written sites
    alt       (k, N, 2)
    left_out  (t, N, 2) at the typed ones among them; (0, N, 2) if it is not wanted
    """

    rows: slice
    alt: NDArray[np.float32]
    left_out: NDArray[np.float32]


@dataclass(frozen=True)
class JoinedChunk:
    """The results of all samples over one chunk.

    parts        of all samples, in order
    is_turned    (N,) True for samples whose haplotypes are exchanged to continue the chunk before
    is_typed     (n,) True if a sample is typed
    is_imputed   (n,) False if a sample is typed, also if the order of its alleles is imputed
    is_haploid   (N,) True if the second haplotype is absent
    frequency    (n,) ALT frequency: AF
    dr2, er2     (n,) estimated r2; r2 of typed sites imputed as if not typed, else NaN
    pr2          (n,) r2 of imputed sites estimated from the panel
    accuracy     (2, N) see PartFacts
    """

    parts: Sequence[ChunkPart]
    is_turned: NDArray[np.bool_]
    is_typed: NDArray[np.bool_]
    is_imputed: NDArray[np.bool_]
    is_haploid: NDArray[np.bool_]
    frequency: NDArray[np.float64]
    dr2: NDArray[np.float64] | None
    er2: NDArray[np.float64] | None
    pr2: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def facts(self) -> list[PartFacts]:
        """Of each part."""
        return [part.facts for part in self.parts]

    @property
    def num_haplotypes(self) -> int:
        """Haplotypes that exist."""
        return int(existing(self.is_haploid).sum())

    @property
    def rate_factor(self) -> float:
        """Fitted factor of the switch rates, its mean over the haplotypes."""
        factor = np.concatenate([one.rate_factor for one in self.facts])
        counts = 2 - self.is_haploid
        return float((factor * counts).sum() / counts.sum())

    @property
    def candidates(self) -> tuple[int, int, int, int]:
        """Number of haplotypes, and sum, minimum and maximum of their candidates."""
        each = np.stack([one.candidates for one in self.facts])
        return (
            int(each[:, 0].sum()), int(each[:, 1].sum()), int(each[:, 2].min()),
            int(each[:, 3].max()),
        )  # fmt: skip

    @property
    def cells(self) -> tuple[float, float]:
        """Haplotypes times sites that are undecided, and those out of range."""
        total = np.stack([one.cells for one in self.facts]).sum(axis=0)
        return float(total[0]), float(total[1])

    def blocks(self, *, left_out: bool) -> Iterator[SiteRows]:
        """The written sites in order, with all samples.

        left_out  with the answers at typed sites as if they were not typed, which the parts have
        """
        before = np.append(0, np.cumsum(self.is_typed))
        num_samples = len(self.is_haploid)
        for rows in self._rows():
            typed = slice(int(before[rows.start]), int(before[rows.stop]))
            alt = self._joined([part.cells.alt(rows) for part in self.parts])
            answers = np.empty((0, num_samples, 2), np.float32)
            if left_out and typed.stop > typed.start:
                answers = self._joined([part.cells.left_out(typed) for part in self.parts])
            yield SiteRows(rows, alt, answers)

    def _rows(self) -> Iterator[slice]:
        """All sites at once if they are in memory, because then the writer's threads never wait."""
        num_sites = len(self.is_typed)
        is_in_memory = len(self.parts) == 1 and isinstance(self.parts[0].cells, CellsInMemory)
        if is_in_memory and not self.is_turned.any():
            yield slice(0, num_sites)
        else:
            yield from part_file.blocks(num_sites, len(self.is_haploid))

    def _joined(self, columns: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        values = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        turned = np.flatnonzero(self.is_turned)
        if len(turned) and len(values):
            values = values.copy() if len(columns) == 1 else values
            values[:, turned] = values[:, turned, ::-1]
        return values


def join(
    source: ImputationSource,
    chunk: ChunkPlan,
    parts: Sequence[ChunkPart],
    is_turned: NDArray[np.bool_],
) -> JoinedChunk:
    """Join the parts of all samples, in order."""
    facts = [part.facts for part in parts]
    is_haploid = source.samples.ploidy.at(chunk.core.start)
    count = int(existing(is_haploid).sum())
    is_typed = chunk.is_typed
    alt, squares, typed = (
        np.sum([getattr(one, name) for one in facts], axis=0)
        for name in ("alt", "squares", "typed")
    )
    er2 = None
    if len(typed) == is_typed.sum():
        er2 = np.full(len(is_typed), np.nan)
        er2[is_typed] = exact_sums.empirical_r2(
            typed[:, 0], typed[:, 1], typed[:, 2:4], typed[:, 4:6], typed[:, 6:8], MIN_VARIANCE
        )
    dosage = np.sum([one.dosage for one in facts], axis=0)
    return JoinedChunk(
        parts=parts,
        is_turned=is_turned,
        is_typed=is_typed,
        is_imputed=chunk_imputation.is_imputed(source, chunk),
        is_haploid=is_haploid,
        frequency=exact_sums.as_float(dosage) / count,
        dr2=exact_sums.estimated_r2(alt, squares, count) if len(alt) else None,
        er2=er2,
        pr2=facts[0].pr2,
        accuracy=np.concatenate([one.accuracy for one in facts], axis=1),
    )


class Continuation:
    """Tells which samples of a chunk are the other way round than in the chunk before.

    Most of the heterozygotes that both have decide, as in `chunk_phasing.oriented`; samples whose
    parents decide stay as they are.
    """

    def __init__(self, num_samples: int) -> None:
        """Nothing is joined yet."""
        self._sites = np.empty(0, np.int64)
        self._order = np.empty((0, num_samples), np.uint8)

    def add(self, shared: NDArray[np.int64], parts: Sequence[ChunkPart]) -> NDArray[np.bool_]:
        """(N,) True for samples to turn in the next chunk.

        shared  (P,) panel sites of the parts' `order`
        """
        order = np.concatenate([part.facts.order for part in parts], axis=1)
        is_turned = np.zeros(order.shape[1], np.bool_)
        if len(order) == 0:
            self._sites = self._sites[:0]
            return is_turned
        _, here, there = np.intersect1d(
            shared, self._sites, assume_unique=True, return_indices=True
        )
        now, known = order[here], self._order[there]
        is_shared = (now != NOT_HET) & (known != NOT_HET)
        is_other = is_shared & (now != known)
        is_turned |= 2 * is_other.sum(axis=0) > is_shared.sum(axis=0)
        is_turned &= np.concatenate([part.facts.is_held for part in parts]) == 0
        turned = order[:, is_turned]
        order[:, is_turned] = np.where(turned == NOT_HET, turned, 3 - turned)
        self._sites, self._order = shared, order
        return is_turned
