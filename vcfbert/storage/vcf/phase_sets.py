"""Phase sets: heterozygotes whose order of alleles is known relative to one another only.

Read-based phasing (WhatsHap, HiPhase, DRAGEN, GATK, Long Ranger) links heterozygotes that reads or
molecules cover together. Which haplotype comes first is random in each set, so two sets of a sample
cannot be used as one phase. Phasing by a program like Beagle or SHAPEIT has one set a contig and
does not name it.

N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.records import Record
from vcfbert.errors import InputError

TAGS = ("PS", "PSL", "PID")
"""FORMAT fields that name the phase set; the first that a record has counts. PID is GATK's."""

_ABSENT = "."
_MISSING_INTEGERS = (-(2**31), -(2**31) + 1)  # missing, and past the end, of htslib
_LONGEST = 40  # characters of a phase set in a message


def tag_of(keys: Sequence[str]) -> str | None:
    """The field with the phase set among those of a record.

    >>> tag_of(["GT", "AD", "PGT", "PID", "PS"])
    'PS'
    """
    return next((tag for tag in TAGS if tag in keys), None)


class PhaseSets:
    """Numbers of the phase sets of a file.

    Phased heterozygotes without a phase set are together in one of their own (VCF 4.3, 1.6.2).
    """

    def __init__(self) -> None:
        self._numbers = {_ABSENT: 1}

    def numbered(self, values: NDArray[Any] | None, count: int) -> NDArray[np.int32] | None:
        """(N,) number of each sample's set in a record, from 1; None if no record so far has any.

        values  (N,) phase sets, numbers or text; None if the record has none
        count   N
        """
        if values is None:
            return np.ones(count, np.int32) if len(self._numbers) > 1 else None
        texts = [_text(value) for value in values.tolist()]
        known = self._numbers
        return np.array([known.setdefault(text, len(known) + 1) for text in texts], np.int32)


class PhaseSetCheck:
    """Refuses a file if a sample's heterozygotes on a contig are in more than one phase set."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """`names` (one a sample) are those of the calls."""
        self._path = path
        self._names = names
        self._contig = ""
        self._tag = ""
        self._codes: dict[str, int] = {}
        self._first = np.full(len(names), -1, dtype=np.int64)
        self._first_record: list[Record | None] = [None] * len(names)

    def check(
        self, record: Record, calls: NDArray[np.int16], values: NDArray[Any] | None, tag: str
    ) -> None:
        """Take the next record. Raises InputError if a sample enters a second phase set.

        calls   (N, ploidy + 1) allele numbers, then 1 if the genotype is phased
        values  (N,) phase sets, numbers or text; None if the record has none
        tag     the field that they are from
        """
        self._tag = tag or self._tag
        if not self._tag:
            return  # no record so far has phase sets
        if record.contig != self._contig:
            self._contig = record.contig
            self._first[:] = -1
        is_phased = (calls[:, -1] == 1) & (calls[:, 0] != calls[:, 1])
        rows = np.flatnonzero(is_phased & (calls[:, 0] >= 0) & (calls[:, 1] >= 0))
        if len(rows) == 0:
            return
        codes = self._coded(rows, values)
        before = self._first[rows]
        is_new = before < 0
        self._first[rows[is_new]] = codes[is_new]
        for row in rows[is_new].tolist():
            self._first_record[row] = record
        is_other = ~is_new & (before != codes)
        if is_other.any():
            place = int(np.argmax(is_other))
            raise self._refused(record, int(rows[place]), int(codes[place]))

    def _coded(self, rows: NDArray[np.int64], values: NDArray[Any] | None) -> NDArray[np.int64]:
        """A number for each sample's phase set."""
        if values is None:
            texts = [_ABSENT] * len(rows)
        else:
            texts = [_text(value) for value in values[rows].tolist()]
        return np.array([self._codes.setdefault(t, len(self._codes)) for t in texts], np.int64)

    def _refused(self, record: Record, sample: int, code: int) -> InputError:
        names = {number: text for text, number in self._codes.items()}
        first = self._first_record[sample]
        assert first is not None
        before = _shown(names[int(self._first[sample])], first)
        return InputError(
            f"{self._path}, {record.place()}, sample {self._names[sample]}: its heterozygotes are "
            f"in several phase sets (FORMAT/{self._tag}): {before}, then "
            f"{_shown(names[code], record)}. Between phase sets the order of the alleles is "
            "unknown. Phase whole contigs first (Beagle, SHAPEIT5, Eagle). If the file is phased "
            "over whole contigs and the field is only left over, remove it: bcftools annotate -x "
            f"FORMAT/{self._tag} {self._path} -Oz -o phased.vcf.gz"
        )


def _text(value: Any) -> str:
    if isinstance(value, list):  # a row of numbers
        return ",".join(str(one) for one in value if one not in _MISSING_INTEGERS) or _ABSENT
    if isinstance(value, int):
        return _ABSENT if value in _MISSING_INTEGERS else str(value)
    text = str(value)
    return text or _ABSENT


def _shown(text: str, record: Record) -> str:
    name = "none" if text == _ABSENT else text[:_LONGEST]
    return f"{name} at {record.place()}"
