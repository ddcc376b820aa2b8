"""Samples of a target, grouped by the sites that are typed in them.

T typed sites, N samples, n samples of a group, R reference haplotypes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import matching, tokens
from vcfbert.domain.families import Families, FamilyOrder
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.row_blocks import Zeros, blocks, rows_of
from vcfbert.domain.sites import Sites, haplotypes_of
from vcfbert.domain.unordered import UnorderedGenotypes
from vcfbert.errors import InputError
from vcfbert.files.spill import Spill
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.storage.vcf.target import Target
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class TargetSamples:
    """The samples to impute.

    typed      (T,) panel sites with genotypes, rising
    alleles    (T, N, 2) REF, ALT or MISSING of `tokens`, or more if their order is unknown
    is_free    (T, N) True for heterozygotes whose order is found by phasing
    own        2 N arrays: haplotypes of the panel that are excluded as references, because they
               are of the same sample or its relatives
    unordered  typed genotypes that the model takes as missing, and the output keeps
    phase_sets (T, N) sets within which the other heterozygotes are phased, from 1; None if each
               sample has one set a contig
    haploid    which samples are haploid at which sites of the panel; None for none. The second
               allele of a haploid sample is MISSING
    borders    (n,) panel sites at which a chunk begins, because the ploidy may change there
    families   what parents and children say of the order of heterozygotes
    spill      where large arrays are; None if all are in memory
    """

    names: list[str]
    typed: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    is_free: NDArray[np.bool_]
    own: list[NDArray[np.int64]]
    unordered: UnorderedGenotypes = field(default_factory=UnorderedGenotypes)
    phase_sets: NDArray[np.int32] | None = None
    haploid: Ploidy | None = None
    borders: NDArray[np.int64] = field(default_factory=lambda: chunk_plan.NO_BORDERS)
    families: Families = field(default_factory=Families)
    spill: Spill | None = None

    def alleles_at(
        self, typed: NDArray[np.int64], samples: slice = slice(None)
    ) -> NDArray[np.uint8]:
        """(t, n, 2) a copy of the alleles of a range of samples at some of the typed sites."""
        return self.alleles[:, samples][np.searchsorted(self.typed, typed)]

    @property
    def ploidy(self) -> Ploidy:
        """Which samples are haploid at which sites."""
        return Ploidy.diploid(len(self.names)) if self.haploid is None else self.haploid

    @property
    def num_missing(self) -> int:
        """Genotypes at typed sites with an allele that was not observed."""
        count = 0
        for rows in blocks(self.alleles.shape):
            alleles = self.alleles[rows]
            count += int((alleles == tokens.MISSING).any(axis=2).sum())
            if self.haploid is not None:
                is_haploid = self.haploid.of_sites(self.typed[rows])
                count -= int((is_haploid & (alleles[:, :, 0] != tokens.MISSING)).sum())
        return count

    def is_called(self, rows: slice) -> NDArray[np.bool_]:
        """(t, N) True if all alleles that a sample has were observed, at a range of typed sites."""
        alleles = self.alleles[rows]
        second: NDArray[np.bool_] = tokens.is_observed(alleles[:, :, 1])
        if self.haploid is not None:
            second = second | self.haploid.of_sites(self.typed[rows])
        return np.asarray(tokens.is_observed(alleles[:, :, 0]) & second, dtype=np.bool_)

    def queries(
        self, typed: NDArray[np.int64], samples: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """(n, 2, T) REF, ALT or MISSING of all or some samples at some of the typed sites."""
        rows = np.searchsorted(self.typed, typed)
        alleles: NDArray[np.uint8] = _taken(self.alleles, rows, samples)
        found = np.ascontiguousarray(alleles.transpose(1, 2, 0))
        return np.minimum(found, np.uint8(tokens.MISSING), out=found)

    def sets_of(self, typed: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.int32]:
        """(n, t) phase sets of some samples at some of the typed sites; 0 if the order is free."""
        rows = np.searchsorted(self.typed, typed)
        is_free = _taken(self.is_free, rows, samples).T
        if self.phase_sets is None:
            return np.where(is_free, np.int32(0), np.int32(1))
        return np.where(is_free, np.int32(0), _taken(self.phase_sets, rows, samples).T)

    def family_orders(
        self, typed: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> list[FamilyOrder | None]:
        """What the families of some samples say at some of the typed sites."""
        rows = np.searchsorted(self.typed, typed)
        found = [self.families.orders.get(sample) for sample in samples.tolist()]
        return [None if order is None else order.at(rows) for order in found]

    def keep_order(self, *, trusted: bool) -> NDArray[np.bool_]:
        """(N,) True for samples whose genotypes all keep the order of the file.

        trusted  True if the phase of the file is kept
        """
        is_kept = np.zeros(len(self.names), np.bool_)
        if trusted and self.phase_sets is None:
            is_kept[:] = ~self.is_free.any(axis=0)
            for sample, is_turned in self.families.turned.items():
                is_kept[sample] &= not is_turned.any()
        return is_kept

    def is_phased(self, samples: NDArray[np.int64] | None = None) -> bool:
        """True if the order of all heterozygotes of all or some samples is known."""
        if samples is None:
            return self.phase_sets is None and not self._has_free
        return self.phase_sets is None and not self.is_free[:, samples].any()

    @cached_property
    def _has_free(self) -> bool:
        return bool(self.is_free.any())

    def release(self) -> None:
        """Give back the memory of genotypes that are in files."""
        if self.spill is not None:
            self.spill.release()

    def is_typed(self, rows: slice, samples: slice = slice(None)) -> NDArray[np.bool_]:
        """(t, n) True if at least one allele was observed, at a range of the typed sites."""
        return np.asarray(
            tokens.is_observed(self.alleles[rows, samples]).any(axis=2), dtype=np.bool_
        )


def _taken(
    values: NDArray[np.generic], rows: NDArray[np.int64], samples: NDArray[np.int64] | None
) -> NDArray[Any]:
    """Values (T, N, ...) at some rows, of all or some samples; copies no others far from these."""
    if samples is None or len(samples) == 0:
        return values[rows] if samples is None else values[rows][:, samples]
    first = int(samples.min())
    return values[:, first : int(samples.max()) + 1][rows][:, samples - first]


def of_target(
    panel: PanelReader,
    read: Target,
    borders: NDArray[np.int64] = chunk_plan.NO_BORDERS,
    families: Families | None = None,
) -> TargetSamples:
    """The samples of a target, without their own haplotypes and relatives as references.

    Raises InputError if the panel's only sample is also in the target.
    """
    shared = matching.shared_samples(read.names, panel.samples.names)
    if len(panel.samples) == 1 and (shared == 0).any():
        raise InputError(
            f"{panel.path} contains only {panel.samples.names[0]}, which is also in the target and "
            "cannot be imputed from itself. Prepare a panel of other samples."
        )
    none = np.empty(0, dtype=np.int64)
    related = panel.samples.relatives_of
    own = [
        haplotypes_of(np.append(number, related(np.array([number])))) if number >= 0 else none
        for number in np.repeat(shared, 2).tolist()
    ]
    kept = UnorderedGenotypes.among(read.site_index, read.alleles)
    is_typed = np.zeros(len(read.site_index), np.bool_)
    for rows in blocks(read.alleles.shape):
        is_typed[rows] = tokens.is_observed(read.alleles[rows]).any(axis=(1, 2))
    zeros: Zeros = np.zeros if read.spill is None else read.spill.zeros
    taken = partial(rows_of, is_chosen=is_typed, zeros=zeros)
    return TargetSamples(
        read.names, read.site_index[is_typed], taken(read.alleles), taken(read.is_free),
        own, kept, None if read.phase_sets is None else taken(read.phase_sets), read.haploid,
        borders, Families() if families is None else families.at(is_typed), read.spill,
    )  # fmt: skip


@dataclass(frozen=True)
class TypedAlike:
    """Samples with the same typed sites.

    samples  (n,) indexes, rising
    typed    (t,) panel sites that the chunk reads, rising; none if the contig has none
    """

    samples: NDArray[np.int64]
    typed: NDArray[np.int64]


def typed_alike(
    samples: TargetSamples,
    sites: Sites,
    chunk: ChunkPlan,
    min_typed: int,
    batch: slice = slice(None),
) -> list[TypedAlike]:
    """The samples of a batch, grouped by their typed sites in reach of a chunk.

    Which sites these are follows from the sample alone, as if it were the only one: its typed sites
    within the overlap, and the nearest ones of the contig if these are fewer than `min_typed`.
    """
    rows = _rows(samples, chunk.around.start, chunk.around.stop)
    is_typed, start = samples.is_typed(rows, batch), batch.start or 0
    packed = np.ascontiguousarray(np.packbits(is_typed, axis=0).T)
    _, first, group = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    groups: dict[bytes, tuple[NDArray[np.int64], list[int]]] = {}
    typed_of = [samples.typed[rows][is_typed[:, sample]] for sample in first.tolist()]
    for sample, number in enumerate(group.ravel().tolist()):
        typed = typed_of[number]
        if len(typed) < min_typed:
            typed = _widened(samples, sites, chunk, start + sample, min_typed)
        groups.setdefault(typed.tobytes(), (typed, []))[1].append(start + sample)
    return [TypedAlike(np.array(members, np.int64), typed) for typed, members in groups.values()]


def _rows(samples: TargetSamples, start: int, stop: int) -> slice:
    """Typed sites within a range of panel sites."""
    low, high = np.searchsorted(samples.typed, [start, stop]).tolist()
    return slice(low, high)


def _widened(
    samples: TargetSamples, sites: Sites, chunk: ChunkPlan, sample: int, min_typed: int
) -> NDArray[np.int64]:
    """The sites of one sample, from all of the contig."""
    rows = _rows(samples, *chunk_plan.ploidy_range(sites, samples.borders, chunk.core.start))
    typed = samples.typed[rows]
    own = typed[tokens.is_observed(samples.alleles[rows, sample]).any(axis=1)]
    low, high = np.searchsorted(own, [chunk.around.start, chunk.around.stop]).tolist()
    low, high = chunk_plan.widened(sites.cm[own], low, high, sites.cm[chunk.core], min_typed)
    return own[low:high]
