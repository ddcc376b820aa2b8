"""Conversion of VCF records to biallelic sites, by the policy in docs/policy.md.

N samples, H = 2 N haplotypes; a block holds consecutive records.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import gaps
from vcfbert.errors import InputError

MISSING_CALL, NO_CALL = -1, -2
"""In `RecordBlock.calls`: an allele that was not observed; a column beyond the sample's ploidy."""

PLOIDY = "not diploid"
MISSING = "missing genotypes"
UNPHASED = "unphased heterozygotes"
NO_ALT = "no ALT allele"
DUPLICATE = "duplicate position, alleles and ID"
REASONS = (PLOIDY, MISSING, UNPHASED, NO_ALT, DUPLICATE)
"""Reasons to drop a record or a site, in the order of the checks."""

PLACEHOLDERS = frozenset(("<*>", "<NON_REF>", "."))
"""ALT that stands for no allele that was observed, as in a gVCF."""

MOST_MISSING = 0.1
"""Share of samples without a genotype above which a record cannot be filled in."""

MissingPolicy = Literal["fill", "drop", "error", "major"]
UnphasedPolicy = Literal["error", "drop", "phase"]


@dataclass(frozen=True, slots=True)
class Record:
    """The fixed columns of one VCF line.

    infos   what INFO says of a structural variant, one text for each ALT; empty if it says nothing
    number  index among the records that are read
    """

    contig: str
    position: int
    identifier: str
    ref: str
    alts: list[str]
    infos: tuple[str, ...] = ()
    number: int = field(default=0, compare=False)

    def info(self, number: int) -> str:
        """The text of an ALT allele, numbered from 1; `.` if there is none."""
        return self.infos[number - 1] if self.infos else "."

    def place(self) -> str:
        """Contig and position, for messages."""
        return f"{self.contig}:{self.position}"


@dataclass(frozen=True)
class RecordBlock:
    """Consecutive records and their genotypes.

    calls       (n, N, 3) allele numbers of both haplotypes, then 1 if the genotype is phased
    is_diploid  (n,) False if no sample has two alleles; samples that are not diploid have NO_CALL
    phase_sets  (n, N) number of the set within which a phased genotype is phased, from 1; None if
                each sample has one set a contig, or if files of several sets are refused
    """

    records: list[Record]
    calls: NDArray[np.int16]
    is_diploid: NDArray[np.bool_]
    phase_sets: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class SiteBlock:
    """Biallelic sites in the order of their records.

    records           n, each site's record; a record that was split is repeated
    alt               n, the site's one ALT allele
    info              n, what INFO says of it; `.` for nothing
    alleles           (n, H) 0 REF, 1 ALT
    dropped           records or alleles that were dropped, by reason
    filled_genotypes  genotypes filled in by the policy
    missing           (N,) missing genotypes of each sample, also of records that are dropped
    is_free           (n, N) True for heterozygotes whose order is not known; none by most policies
    """

    records: list[Record]
    alt: list[str]
    info: list[str]
    alleles: NDArray[np.uint8]
    dropped: Counter[str]
    filled_genotypes: int
    missing: NDArray[np.int64]
    is_free: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenotypePolicy:
    """What to do with genotypes that are missing or not phased."""

    missing: MissingPolicy = "fill"
    """`fill` in the allele of the most similar haplotypes, `drop` the record, stop with an `error`,
    or fill in the `major` allele."""

    unphased: UnphasedPolicy = "error"
    """Unphased heterozygotes: stop with an `error`, `drop` the record, or keep them to `phase`."""


class SiteSplitter:
    """Converts the blocks of one file, in order, to biallelic sites.

    Remembers the sites at the last position, to find duplicates across blocks.
    """

    def __init__(self, source: str, names: list[str], policy: GenotypePolicy) -> None:
        """`source` and `names` (one a sample) are named in errors."""
        self._source = source
        self._names = names
        self._policy = policy
        tenth = int(MOST_MISSING * len(names))
        self._most_missing = {
            "fill": min(max(1, tenth), len(names) - 1),
            "major": len(names),
        }.get(policy.missing, 0)
        self._place: tuple[str, int] = ("", 0)
        self._seen: dict[tuple[str, str, str], set[str]] = {}

    def split(self, block: RecordBlock) -> SiteBlock:
        """The sites of the next block. Raises InputError if the policy says so."""
        calls = block.calls
        count, samples = calls.shape[:2]
        # Allele numbers are 0 and 1 in all but a few records, and no other number has only the
        # lowest bit, so one pass over the block finds the records to look at in detail.
        is_plain = np.bitwise_or.reduce(calls.reshape(count, -1), axis=1) >> 1 == 0
        is_plain &= block.is_diploid & calls[:, :, 2].all(axis=1)
        dropped: Counter[str] = Counter()
        missing = np.zeros(samples, dtype=np.int64)
        filled = 0
        if not is_plain.all():
            calls = _whole_calls(calls, np.flatnonzero(~is_plain))
        records: list[Record] = []
        alts: list[str] = []
        infos: list[str] = []
        plain_rows: list[int] = []
        plain_places: list[int] = []
        odd: list[tuple[int, int, int]] = []  # place, row, allele number
        for row, record in enumerate(block.records):
            usable = self._usable_alts(record, dropped)
            if not usable:
                continue
            if is_plain[row] and len(record.alts) == 1:
                if self._is_new(record, 1, dropped):
                    plain_rows.append(row)
                    plain_places.append(len(records))
                    records.append(record)
                    alts.append(record.alts[0])
                    infos.append(record.info(1))
                continue
            is_missing = (calls[row, :, :2] == MISSING_CALL).any(axis=1)
            missing += is_missing
            if self._refused(record, calls[row], bool(block.is_diploid[row]), is_missing, dropped):
                continue
            filled += int(is_missing.sum())
            for number in usable:
                if self._is_new(record, number, dropped):
                    odd.append((len(records), row, number))
                    records.append(record)
                    alts.append(record.alts[number - 1])
                    infos.append(record.info(number))
        alleles = np.empty((len(records), samples, 2), dtype=np.uint8)
        if odd or len(plain_rows) < count:
            alleles[plain_places] = calls[plain_rows, :, :2]
        else:
            alleles[:] = calls[:, :, :2]
        if self._policy.missing == "fill":
            _fill(calls, sorted({row for _, row, _ in odd}))
        is_free = np.zeros((len(records), samples), dtype=np.bool_)
        for place, row, number in odd:
            pairs = _biallelic(calls[row, :, :2], number)
            alleles[place] = pairs
            is_free[place] = (calls[row, :, 2] == 0) & (pairs[:, 0] != pairs[:, 1])
        flat = alleles.reshape(-1, 2 * samples)
        return SiteBlock(records, alts, infos, flat, dropped, filled, missing, is_free)

    def _usable_alts(self, record: Record, dropped: Counter[str]) -> list[int]:
        """Numbers of the ALT alleles that can be carried and differ from REF."""
        if not record.alts:
            dropped[NO_ALT] += 1
            return []
        usable = [
            number
            for number, alt in enumerate(record.alts, start=1)
            if alt != record.ref and alt not in PLACEHOLDERS
        ]
        if len(usable) < len(record.alts):
            dropped[NO_ALT] += len(record.alts) - len(usable)
        return usable

    def _is_new(self, record: Record, number: int, dropped: Counter[str]) -> bool:
        """False for a duplicate: at the position of a site with the same alleles and ID.

        An ID that is missing may be any; those of databases, such as rs12, are of the place and the
        alleles, so two of them are of one variant. Symbolic alleles are the same if INFO is, too.
        """
        place = (record.contig, record.position)
        alt = record.alts[number - 1]
        key = record.ref, alt, "." if alt.isalpha() else record.info(number)
        if place != self._place:
            self._place = place
            self._seen.clear()
        if key not in self._seen:
            self._seen[key] = {record.identifier}
            return True
        name = _marker(record)
        names = {_marker(replace(record, identifier=before)) for before in self._seen[key]}
        if name == "." or not names.isdisjoint((name, ".")):
            dropped[DUPLICATE] += 1
            if name not in names:  # it was taken for the one without an ID, which now has this one
                self._seen[key] = {*self._seen[key], record.identifier} - {"."}
            return False
        self._seen[key].add(record.identifier)
        return True

    def _refused(
        self,
        record: Record,
        calls: NDArray[np.int16],
        is_diploid: bool,
        is_missing: NDArray[np.bool_],
        dropped: Counter[str],
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
        if is_missing.any() and self._policy.missing == "error":
            raise InputError(
                f"{self._source}, {record.place()}, sample "
                f"{self._names[int(np.argmax(is_missing))]}: the genotype is missing. Impute it "
                "first, or pass --missing fill, drop or major."
            )
        if int(is_missing.sum()) > self._most_missing:
            dropped[MISSING] += 1
            return True
        is_unphased = (phased == 0) & (first != second)
        if is_unphased.any() and self._policy.unphased != "phase":
            if self._policy.unphased == "error":
                raise InputError(
                    f"{self._source}, {record.place()}, sample "
                    f"{self._names[int(np.argmax(is_unphased))]}: the heterozygous genotype is "
                    "not phased. Phase the panel first (Beagle, SHAPEIT5, Eagle), pass "
                    "--phase-panel to phase it by its own samples, or pass --unphased drop."
                )
            dropped[UNPHASED] += 1
            return True
        return False


def _whole_calls(calls: NDArray[np.int16], rows: NDArray[np.int64]) -> NDArray[np.int16]:
    """A copy in which some records have no `.` for a genotype, and no `./1`: both are `./.`.

    The haplotype of the allele of `./1` is not known; that of `.|1` is.
    """
    calls = calls.copy()
    first, second, phased = (calls[rows, :, column] for column in range(3))
    is_point = (first == MISSING_CALL) & (second == NO_CALL)
    is_half = (first == MISSING_CALL) ^ (second == MISSING_CALL)
    row, sample = np.nonzero(is_point | (is_half & (phased == 0)))
    calls[rows[row], sample, :2] = MISSING_CALL
    return calls


def _fill(calls: NDArray[np.int16], rows: list[int]) -> None:
    """Replace the missing alleles of some records by those of the most similar haplotypes."""
    numbers = calls[:, :, :2].reshape(len(calls), -1)
    with_gaps = [row for row in rows if (numbers[row] == MISSING_CALL).any()]
    if with_gaps:
        calls[with_gaps, :, :2] = gaps.fill(numbers, with_gaps).reshape(-1, calls.shape[1], 2)


def _marker(record: Record) -> str:
    """The ID, `.` if it is missing, or one word for all IDs of a variant by place and alleles.

    >>> [_marker(Record("6", 5, name, "A", "T")) for name in (".", "HLA_A*01", "rs7", "6:5:A:T")]
    ['.', 'HLA_A*01', 'variant', 'variant']
    """
    contig = re.escape(record.contig.removeprefix("chr"))
    of_place = rf"[rs]s\d+|(?:chr)?{contig}[:_]{record.position}(?:[:_].*)?"
    return "variant" if re.fullmatch(of_place, record.identifier) else record.identifier


def capitals(allele: str) -> str:
    """Letters in capitals; a symbolic allele or a breakend as written.

    >>> capitals("a"), capitals("<del>")
    ('A', '<del>')
    """
    return allele.upper() if allele.isalpha() else allele


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
