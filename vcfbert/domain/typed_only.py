"""Records of a target that type no site of the panel, kept to be written as they are.

N samples of the target; a block holds n consecutive records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import records
from vcfbert.domain.contig_names import find_contig
from vcfbert.domain.records import NO_CALL, Record, RecordBlock
from vcfbert.domain.sites import Region
from vcfbert.errors import InputError

_MOST_ALLELES = np.iinfo(np.int8).max


@dataclass(frozen=True)
class TypedOnly:
    """A record and its genotypes.

    calls  (N, 3) as in a RecordBlock, int8 unless an allele number is larger
    """

    record: Record
    calls: NDArray[np.integer]

    @classmethod
    def of(cls, block: RecordBlock, row: int, source: str) -> TypedOnly:
        """A record of a block. Raises InputError if a genotype has more than two alleles."""
        record, calls = block.records[row], block.calls[row]
        if (calls[:, 0] == NO_CALL).any():
            raise InputError(
                f"{source}, {record.place()}: a genotype has more than two alleles, so the record "
                f"cannot be written. Exclude it: bcftools view -t ^{record.place()}"
            )
        highest = int(records.highest_alleles(calls).max(initial=0))
        if highest > len(record.alts):
            raise InputError(
                f"{source}, {record.place()}: a genotype has allele {highest}, but the record has "
                f"{len(record.alts)} ALT. Correct the record or leave it out: bcftools view -e."
            )
        narrow = highest <= _MOST_ALLELES
        return cls(record, calls.astype(np.int8) if narrow else calls.copy())

    def unphased(self, samples: NDArray[np.bool_]) -> TypedOnly:
        """The same with heterozygotes of some samples (N,) unphased."""
        first, second, is_phased = self.calls.T
        is_lost = samples & (is_phased == 1) & (first != second) & (second != NO_CALL)
        if not is_lost.any():
            return self
        calls = self.calls.copy()
        calls[is_lost, 2] = 0
        return TypedOnly(self.record, calls)


def chosen(
    kept: list[TypedOnly], contigs: dict[str, int], region: Region | None
) -> list[TypedOnly]:
    """The records on some contigs and in a region, in the order of the contigs.

    contigs  names of the panel, each with its rank in the output
    """
    ranks: dict[str, int | None] = {}
    found = []
    for one in kept:
        contig, position = one.record.contig, one.record.position
        if contig not in ranks:
            name = find_contig(contig, list(contigs))
            ranks[contig] = None if name is None else contigs[name]
        rank = ranks[contig]
        if rank is not None and (region is None or region.start <= position <= region.end):
            found.append((rank, position, one))
    return [one for _, _, one in sorted(found, key=lambda row: row[:2])]
