"""VCF lines of records that the panel lacks, with the genotypes of the target, and their places.

Genotypes are written as in the target: unphased, missing and haploid ones too. The other FORMAT
fields follow from them, and are `.` if they do not.

n records, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.contig_names import find_contig
from vcfbert.domain.records import MISSING_CALL, NO_CALL
from vcfbert.domain.sites import Sites
from vcfbert.domain.typed_only import TypedOnly

_UNKNOWN = "."


class TypedOnlyLines:
    """The lines, each with the site of the panel that it comes before."""

    def __init__(self, kept: Sequence[TypedOnly], sites: Sites, fields: Sequence[str]) -> None:
        """Find the places.

        kept    (n,) on contigs of the sites, in their order
        sites   those that are written
        fields  FORMAT fields to write
        """
        self._kept = kept
        self._fields = tuple(fields)
        self._names = [
            str(find_contig(one.record.contig, sites.contigs)) for one in kept
        ]  # the panel's
        self.contig = np.array([sites.contigs.index(name) for name in self._names], np.int64)
        self.begin = np.array([one.record.position - 1 for one in kept], np.int64)
        self.end = self.begin + np.array([len(one.record.ref) for one in kept], np.int64)
        place = (sites.contig.astype(np.int64) << 32) + sites.position
        self.before = np.searchsorted(place, (self.contig << 32) + self.begin + 1, side="right")

    def __len__(self) -> int:
        return len(self._kept)

    def among(self, rows: slice) -> slice:
        """The lines that come before these sites, each before one of them."""
        first, stop = np.searchsorted(self.before, [rows.start, rows.stop]).tolist()
        return slice(first, stop)

    def text(self, number: int) -> bytes:
        """A line."""
        one, name = self._kept[number], self._names[number]
        record, calls = one.record, one.calls
        num_alts = len(record.alts)
        # A number for each different genotype, so that a cell is made once.
        keys = (calls[:, 0].astype(np.int64) + 2) << 33 | (calls[:, 1].astype(np.int64) + 2) << 1
        _, first, cell_of = np.unique(
            keys | calls[:, 2].astype(np.int64), return_index=True, return_inverse=True
        )
        cells = [_cell(self._fields, num_alts, *map(int, calls[row])) for row in first.tolist()]
        columns = (
            name, str(record.position), record.identifier, record.ref,
            ",".join(record.alts) or ".", ".", "PASS", _info(calls, num_alts),
            ":".join(self._fields), *(cells[number] for number in cell_of.tolist()),
        )  # fmt: skip
        return ("\t".join(columns) + "\n").encode()


def _info(calls: NDArray[np.integer], num_alts: int) -> str:
    """Counts of the called alleles."""
    called = calls[:, :2][calls[:, :2] >= 0]
    counts = np.bincount(called, minlength=num_alts + 1)[1 : num_alts + 1].tolist()
    parts = [f"AC={','.join(map(str, counts))}"] if counts else []
    parts.append(f"AN={called.size}")
    if counts and called.size:
        parts.append("AF=" + ",".join(f"{count / called.size:.6g}" for count in counts))
    return ";".join([*parts, "TYPED_ONLY"])


@cache
def _cell(fields: tuple[str, ...], num_alts: int, first: int, second: int, phased: int) -> str:
    """A sample's column.

    >>> _cell(("GT", "DS", "HDS", "GP"), 1, 0, 1, 1), _cell(("GT", "DS", "HDS", "GP"), 2, 1, 2, 0)
    ('0|1:1:0,1:0,1,0', '1/2:1,1:.:0,0,0,0,1,0')
    """
    alleles = [first] if second == NO_CALL else [first, second]
    texts = {
        "GT": "/|"[phased].join("." if n == MISSING_CALL else str(n) for n in alleles),
        "DS": _UNKNOWN,
        "HDS": _UNKNOWN,
        "GP": _UNKNOWN,
    }
    if MISSING_CALL not in alleles:
        low, high = min(alleles), max(alleles)
        likeliest = low if len(alleles) == 1 else high * (high + 1) // 2 + low
        size = num_alts + 1 if len(alleles) == 1 else (num_alts + 1) * (num_alts + 2) // 2
        texts["GP"] = ",".join("1" if n == likeliest else "0" for n in range(size))
        if num_alts:
            texts["DS"] = ",".join(str(alleles.count(n)) for n in range(1, num_alts + 1))
        if num_alts == 1 and (phased or low == high):
            texts["HDS"] = ",".join(map(str, alleles))
    return ":".join(texts[field] for field in fields)
