"""Ploidy of the genotypes of a file, counted by region.

Borders of regions are those of the pseudo-autosomal regions (PAR) if these are known; otherwise a
region begins where half of the haploid samples change their ploidy.

n records, N samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import pseudoautosomal
from vcfbert.domain.pseudoautosomal import Kind
from vcfbert.domain.records import MISSING_CALL, NO_CALL

Border = tuple[int, Kind]
"""First position of a part of a contig, and what the part is."""

HAPLOID, HOMOZYGOUS, HETEROZYGOUS = 0, 1, 2
"""Kinds of genotypes, and rows of the counts."""

UNKNOWN = -1
"""Kind of a genotype with a missing allele."""

FEWEST_CHANGED = (20, 100)
"""Genotypes that a border must explain, on X and on other contigs: fewer may be errors."""


@dataclass
class PloidyRegion:
    """A part of a contig, and its genotypes so far.

    start   first position
    counts  (3, N) HAPLOID, HOMOZYGOUS and HETEROZYGOUS genotypes of each sample
    """

    contig: str
    start: int
    kind: Kind
    counts: NDArray[np.int64]
    num_records: int = 0

    def add(self, kinds: NDArray[np.int8]) -> None:
        """Count the genotypes of more records, (n, N)."""
        for kind, count in enumerate(self.counts):
            count += (kinds == kind).sum(axis=0)
        self.num_records += len(kinds)

    def join(self, other: PloidyRegion) -> None:
        """Take in the next region."""
        self.counts += other.counts
        self.num_records += other.num_records

    @property
    def is_mostly_haploid(self) -> NDArray[np.bool_]:
        """(N,) True if most genotypes of a sample are haploid."""
        return np.asarray(self.counts[HAPLOID] > self.counts[HOMOZYGOUS:].sum(axis=0))

    @property
    def num_known(self) -> NDArray[np.int64]:
        """(N,) genotypes without a missing allele."""
        return np.asarray(self.counts.sum(axis=0), dtype=np.int64)


class PloidyScan:
    """Collects the ploidy of genotypes, block by block in the order of the file."""

    def __init__(self, num_samples: int, borders: Mapping[str, Sequence[Border]]) -> None:
        self._num_samples = num_samples
        self._borders = borders
        self._regions: list[PloidyRegion] = []
        self._state = np.full(num_samples, -1, np.int8)  # 1 haploid, 0 diploid, of this region

    def add(
        self, contigs: Sequence[str], position: NDArray[np.integer], calls: NDArray[np.integer]
    ) -> None:
        """Take the next records.

        contigs   n names
        position  (n,)
        calls     (n, N, at least 2) allele numbers, MISSING_CALL and NO_CALL of `records`
        """
        found = kinds(calls)
        first = 0
        for stop in [*(n for n in range(1, len(contigs)) if contigs[n] != contigs[n - 1]),
                     len(contigs)]:  # fmt: skip
            rows = slice(first, stop)
            if stop > first:
                self._add(contigs[first], position[rows], found[rows])
            first = stop

    def regions(self) -> list[PloidyRegion]:
        """The regions so far; small ones without known borders are one with a neighbour."""
        found: list[PloidyRegion] = []
        for region in self._regions:
            before = found[-1] if found else None
            if before is None or before.contig != region.contig or region.kind != "unknown":
                found.append(region)
            elif _num_changed(before, region) < fewest_changed(region.contig):
                before.join(region)
            else:
                found.append(region)
        return found

    def _add(self, contig: str, position: NDArray[np.integer], found: NDArray[np.int8]) -> None:
        """Records of one contig."""
        borders = self._borders.get(contig)
        if borders is not None:
            if not self._regions or self._regions[-1].contig != contig:
                for start, kind in borders:
                    self._begin(contig, start, kind)
            number = np.searchsorted([start for start, _ in borders], position, side="right") - 1
            for part in np.unique(number).tolist():
                self._regions[part - len(borders)].add(found[number == part])
            return
        if not self._regions or self._regions[-1].contig != contig:
            self._begin(contig, int(position[0]), "unknown")
        if self._is_constant(found):
            self._regions[-1].add(found)
            return
        for row in range(len(found)):
            self._add_record(contig, int(position[row]), found[row])

    def _begin(self, contig: str, start: int, kind: Kind) -> None:
        counts = np.zeros((3, self._num_samples), np.int64)
        self._regions.append(PloidyRegion(contig, start, kind, counts))
        self._state[:] = -1

    def _is_constant(self, found: NDArray[np.int8]) -> bool:
        """True if no sample changes its ploidy in these records."""
        haploid, diploid = (found == HAPLOID).any(axis=0), (found > HAPLOID).any(axis=0)
        if (haploid & (diploid | (self._state == 0))).any() or (diploid & (self._state == 1)).any():
            return False
        self._state[haploid], self._state[diploid] = 1, 0
        return True

    def _add_record(self, contig: str, position: int, found: NDArray[np.int8]) -> None:
        haploid, diploid = found == HAPLOID, found > HAPLOID
        changes = (haploid & (self._state == 0)) | (diploid & (self._state == 1))
        involved = haploid | (self._state == 1)
        if changes.any() and 2 * changes.sum() >= involved.sum():
            self._begin(contig, position, "unknown")
        is_new = self._state < 0
        self._state[is_new & haploid], self._state[is_new & diploid] = 1, 0
        self._regions[-1].add(found[None])


def kinds(calls: NDArray[np.integer]) -> NDArray[np.int8]:
    """(n, N) HAPLOID, HOMOZYGOUS, HETEROZYGOUS or UNKNOWN.

    calls  (n, N, at least 2)

    >>> kinds(np.array([[[1, -2], [0, 0], [0, 1], [-1, -2], [1, -1]]])).tolist()
    [[0, 1, 2, -1, -1]]
    """
    first, second = calls[:, :, 0], calls[:, :, 1]
    found = np.where(first == second, HOMOZYGOUS, HETEROZYGOUS).astype(np.int8)
    found[second == NO_CALL] = HAPLOID
    found[(first < 0) | (second == MISSING_CALL)] = UNKNOWN
    return found


def fewest_changed(contig: str) -> int:
    """The FEWEST_CHANGED of a contig."""
    return FEWEST_CHANGED[0 if pseudoautosomal.is_x(contig) else 1]


def _num_changed(one: PloidyRegion, other: PloidyRegion) -> int:
    """Genotypes that would have another ploidy than most of their sample's in one region."""
    changes = one.is_mostly_haploid != other.is_mostly_haploid
    return int(np.minimum(one.num_known, other.num_known)[changes].sum())
