"""Conversion of VCF records to biallelic sites, by the policy in docs/policy.md.

N samples, H = 2 N haplotypes; a block holds consecutive records.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import allele_codes
from vcfbert.errors import InputError

MISSING_CALL, NO_CALL = -1, -2
"""In `RecordBlock.calls`: an allele that was not observed; a column beyond the sample's ploidy."""

PLOIDY = "not diploid"
MISSING = "missing genotypes"
UNPHASED = "unphased heterozygotes"
NO_ALT = "no ALT allele"
CODED = "alleles are codes, not bases"
SYMBOLIC = "ALT symbolic, * or breakend"
DUPLICATE = "duplicate position, REF and ALT"
REASONS = (PLOIDY, MISSING, UNPHASED, CODED, NO_ALT, SYMBOLIC, DUPLICATE)
"""Reasons to drop a record or a site, in the order of the checks."""

MissingPolicy = Literal["drop", "error", "major"]
UnphasedPolicy = Literal["error", "drop"]


@dataclass(frozen=True, slots=True)
class Record:
    """The fixed columns of one VCF line."""

    contig: str
    position: int
    identifier: str
    ref: str
    alts: list[str]

    def place(self) -> str:
        """Contig and position, for messages."""
        return f"{self.contig}:{self.position}"


@dataclass(frozen=True)
class RecordBlock:
    """Consecutive records and their genotypes.

    calls       (n, N, 3) allele numbers of both haplotypes, then 1 if the genotype is phased
    is_diploid  (n,) False if no sample has two alleles; samples that are not diploid have NO_CALL
    """

    records: list[Record]
    calls: NDArray[np.int16]
    is_diploid: NDArray[np.bool_]


@dataclass(frozen=True)
class SiteBlock:
    """Biallelic sites in the order of their records.

    records           n, each site's record; a record that was split is repeated
    alt               n, the site's one ALT allele
    alleles           (n, H) 0 REF, 1 ALT
    dropped           records or alleles that were dropped, by reason
    filled_genotypes  genotypes filled in by the policy `major`
    """

    records: list[Record]
    alt: list[str]
    alleles: NDArray[np.uint8]
    dropped: Counter[str]
    filled_genotypes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GenotypePolicy:
    """What to do with genotypes that are missing or not phased."""

    missing: MissingPolicy = "drop"
    """`drop` the record, stop with an `error`, or fill in the `major` allele."""

    unphased: UnphasedPolicy = "error"
    """Stop with an `error` at an unphased heterozygote, or `drop` the record."""


class SiteSplitter:
    """Converts the blocks of one file, in order, to biallelic sites.

    Remembers the alleles at the last position, to find duplicates across blocks.
    """

    def __init__(self, source: str, names: list[str], policy: GenotypePolicy) -> None:
        """`source` and `names` (one a sample) are named in errors."""
        self._source = source
        self._names = names
        self._policy = policy
        self._place: tuple[str, int] = ("", 0)
        self._seen: set[tuple[str, str]] = set()

    def split(self, block: RecordBlock) -> SiteBlock:
        """The sites of the next block. Raises InputError if the policy says so."""
        calls = block.calls
        count, samples = calls.shape[:2]
        # Allele numbers are 0 and 1 in all but a few records, and no other number has only the
        # lowest bit, so one pass over the block finds the records to look at in detail.
        is_plain = np.bitwise_or.reduce(calls.reshape(count, -1), axis=1) >> 1 == 0
        is_plain &= block.is_diploid & calls[:, :, 2].all(axis=1)
        dropped: Counter[str] = Counter()
        filled = 0
        records: list[Record] = []
        alts: list[str] = []
        plain_rows: list[int] = []
        plain_places: list[int] = []
        odd_rows: dict[int, NDArray[np.uint8]] = {}
        for row, record in enumerate(block.records):
            usable = self._usable_alts(record, dropped)
            if not usable:
                continue
            if is_plain[row] and len(record.alts) == 1:
                if self._is_new(record, record.alts[0], dropped):
                    plain_rows.append(row)
                    plain_places.append(len(records))
                    records.append(record)
                    alts.append(record.alts[0])
                continue
            if self._refused(record, calls[row], bool(block.is_diploid[row]), dropped):
                continue
            pairs = calls[row, :, :2]
            filled += int((pairs == MISSING_CALL).any(axis=1).sum())
            for number in usable:
                if self._is_new(record, record.alts[number - 1], dropped):
                    odd_rows[len(records)] = _biallelic(pairs, number)
                    records.append(record)
                    alts.append(record.alts[number - 1])
        alleles = np.empty((len(records), samples, 2), dtype=np.uint8)
        if odd_rows or len(plain_rows) < count:
            alleles[plain_places] = calls[plain_rows, :, :2]
        else:
            alleles[:] = calls[:, :, :2]
        for place, row_alleles in odd_rows.items():
            alleles[place] = row_alleles
        return SiteBlock(records, alts, alleles.reshape(-1, 2 * samples), dropped, filled)

    def _usable_alts(self, record: Record, dropped: Counter[str]) -> list[int]:
        """Numbers of the ALT alleles that are spelled out and differ from REF."""
        if allele_codes.is_coded(record.ref, record.alts):
            dropped[CODED] += max(1, len(record.alts))
            return []
        if not record.alts:
            dropped[NO_ALT] += 1
            return []
        spelled = [
            number
            for number, alt in enumerate(record.alts, start=1)
            if alt.isalpha() and record.ref.isalpha()
        ]
        if len(spelled) < len(record.alts):
            dropped[SYMBOLIC] += len(record.alts) - len(spelled)
        usable = [number for number in spelled if record.alts[number - 1] != record.ref]
        if len(usable) < len(spelled):
            dropped[NO_ALT] += len(spelled) - len(usable)
        return usable

    def _is_new(self, record: Record, alt: str, dropped: Counter[str]) -> bool:
        place = (record.contig, record.position)
        if place != self._place:
            self._place = place
            self._seen.clear()
        elif (record.ref, alt) in self._seen:
            dropped[DUPLICATE] += 1
            return False
        self._seen.add((record.ref, alt))
        return True

    def _refused(
        self, record: Record, calls: NDArray[np.int16], is_diploid: bool, dropped: Counter[str]
    ) -> bool:
        """True if the record is dropped, and counted. Raises InputError if the policy says so."""
        first, second, phased = calls.T
        if not is_diploid or (first == NO_CALL).any() or (second == NO_CALL).any():
            dropped[PLOIDY] += 1
            return True
        highest = highest_alleles(calls)
        if highest.max() > len(record.alts):
            sample = int(np.argmax(highest))
            raise InputError(
                f"{self._source}, {record.place()}, sample {self._names[sample]}: the genotype "
                f"has allele {highest[sample]}, but the record has {len(record.alts)} "
                "ALT. Correct the record or leave it out: bcftools view -e."
            )
        is_missing = (first == MISSING_CALL) | (second == MISSING_CALL)
        if is_missing.any() and self._policy.missing != "major":
            if self._policy.missing == "error":
                raise InputError(
                    f"{self._source}, {record.place()}, sample "
                    f"{self._names[int(np.argmax(is_missing))]}: the genotype is missing. Impute "
                    "it first, or pass --missing drop or --missing major."
                )
            dropped[MISSING] += 1
            return True
        is_unphased = (phased == 0) & (first != second)
        if is_unphased.any():
            if self._policy.unphased == "error":
                raise InputError(
                    f"{self._source}, {record.place()}, sample "
                    f"{self._names[int(np.argmax(is_unphased))]}: the heterozygous genotype is "
                    "not phased. Phase the panel first (Beagle, SHAPEIT5, Eagle), or pass "
                    "--unphased drop."
                )
            dropped[UNPHASED] += 1
            return True
        return False


def highest_alleles(calls: NDArray[np.int16]) -> NDArray[np.int64]:
    """(N,) each sample's highest allele number; one of 2^15 or more wraps and counts as 2^15.

    calls  (N, 3) as in a RecordBlock

    >>> highest_alleles(np.array([[0, 1, 1], [-25536, 0, 1]], dtype=np.int16))
    array([    1, 32768])
    """
    pairs = calls[:, :2].astype(np.int64)
    return np.where((pairs < NO_CALL).any(axis=1), 1 << 15, pairs.max(axis=1))


def _biallelic(pairs: NDArray[np.int16], number: int) -> NDArray[np.uint8]:
    """(N, 2) 1 if the allele is `number`; missing alleles become the more frequent of the two."""
    is_missing = pairs == MISSING_CALL
    is_alt = pairs == number
    is_alt_major = 2 * int(is_alt.sum()) > int((~is_missing).sum())
    return np.where(is_missing, is_alt_major, is_alt).astype(np.uint8)
