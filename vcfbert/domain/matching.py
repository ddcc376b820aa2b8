"""Matching of a target's records to the sites of a panel, by position and alleles.

S sites in the panel, N samples of the target. Genotypes become alleles in `typed_calls.py`.
"""

from __future__ import annotations

import dataclasses
import itertools
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import identified
from vcfbert.domain.contig_names import find_in_panel
from vcfbert.domain.haploid_calls import PloidyRules
from vcfbert.domain.records import PLACEHOLDERS, Record, capitals
from vcfbert.domain.sites import Sites

ABSENT = -3
"""The number of an allele that the record does not have; no genotype has it."""

CODED = "alleles are codes, not bases"
OTHER_ALLELES = "other alleles than the panel at this position"
FLIPPED = "strand flip"
FLIPPED_SWAPPED = "strand flip with swapped alleles"
SEVERAL = "no ALT, and the panel has several sites here with these alleles"
AMBIGUOUS = "several sites of the panel have these alleles, and no ID decides"
DUPLICATE = "repeats an earlier site"
UNCLEAR_STRAND = "palindromic (A/T, C/G), strand undecided"
FLIPPED_PALINDROMIC = "palindromic (A/T, C/G), strand flip"
UNCLEAR_INDEL = "indel with swapped alleles, or another variant"
REASONS = (
    CODED, OTHER_ALLELES, FLIPPED, FLIPPED_SWAPPED, FLIPPED_PALINDROMIC, UNCLEAR_STRAND, SEVERAL,
    AMBIGUOUS, DUPLICATE, UNCLEAR_INDEL,
)  # fmt: skip
"""Why a record at a position of the panel is not used."""
STRAND_REASONS = (FLIPPED, FLIPPED_SWAPPED, FLIPPED_PALINDROMIC, UNCLEAR_STRAND)

_COMPLEMENT = str.maketrans("ACGT", "TGCA")

UnphasedTarget = Literal["phase", "error", "missing", "as-written"]
Certainty = Literal["certain", "palindromic", "indel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetPolicy:
    """How unphased heterozygotes and strand flips of a target are used."""

    unphased: UnphasedTarget = "phase"
    """Find their order (`phase`), stop with an `error`, impute the order of a few by taking them as
    `missing`, or use the order of the alleles `as-written`."""

    strand: Literal["fix", "drop", "error"] = "fix"
    """Repair strand flips (`fix`), leave them out (`drop`), or stop with an `error`."""

    ploidy: PloidyRules = field(default_factory=PloidyRules)
    """What is known about haploid samples besides their genotypes."""


@dataclass(frozen=True, slots=True)
class Match:
    """A panel site that a record types.

    site        index into the panel's sites
    ref_number  the record's number of the allele that is the panel's REF, or ABSENT
    alt_number  the same for the panel's ALT
    other_refs  numbers of alleles that are ALT at other panel sites here, so REF at this one
    certainty   `certain` if the alleles show the strand and the order
    is_flipped  True if the record has the alleles of the other strand
    """

    site: int
    ref_number: int
    alt_number: int
    other_refs: tuple[int, ...] = ()
    certainty: Certainty = "certain"
    is_flipped: bool = False

    @property
    def is_swapped(self) -> bool:
        """True if the record's REF is the panel's ALT, on either strand."""
        return self.alt_number == 0

    @property
    def is_unclear(self) -> bool:
        """True if the alleles look swapped but may be a strand flip or another variant."""
        return self.is_swapped and self.certainty != "certain"

    @property
    def is_monomorphic(self) -> bool:
        """True if the record has no ALT."""
        return ABSENT in (self.ref_number, self.alt_number)

    @property
    def flip_reason(self) -> str:
        """What the report calls this strand flip."""
        if self.certainty == "palindromic":
            return FLIPPED_PALINDROMIC
        return FLIPPED_SWAPPED if self.is_swapped else FLIPPED


@dataclass(frozen=True, slots=True)
class Decision:
    """The sites that a record types, or the reason why it types none, one of REASONS."""

    matches: tuple[Match, ...] = ()
    reason: str = ""


class SiteFinder:
    """Looks up the panel's sites at a position by bisection."""

    def __init__(self, sites: Sites, of_file: Collection[str] = ()) -> None:
        """Find the contigs.

        sites    in contig and position order, each contig one run
        of_file  names of all contigs of the file, if it has several
        """
        self._of_file = of_file
        self._contigs = sites.contigs
        self._position = np.ascontiguousarray(sites.position, dtype=np.int32).data
        edges = [0, *(np.flatnonzero(np.diff(sites.contig)) + 1).tolist(), len(sites)]
        self._runs = {
            sites.contigs[sites.contig[first]]: (first, last)
            for first, last in itertools.pairwise(edges)
            if first < last
        }
        self._known: dict[str, tuple[int, int] | None] = {}

    def contig(self, name: str) -> str | None:
        """The panel's name of a contig; None if the panel has no sites there."""
        return find_in_panel(name, self._of_file, list(self._runs))

    def at(self, contig: str, position: int) -> range:
        """Indexes of the sites at a 1-based position; `chr20` and `20` are one contig."""
        if contig not in self._known:
            name = self.contig(contig)
            self._known[contig] = None if name is None else self._runs[name]
        run = self._known[contig]
        if run is None:
            return range(0)
        last = run[1]
        first = stop = bisect_left(self._position, position, run[0], last)
        while stop < last and self._position[stop] == position:
            stop += 1
        return range(first, stop)


def decide(record: Record, found: range, sites: Sites) -> Decision:
    """The panel sites that a record types.

    Alleles as written have priority over swapped ones, and both over those of the other strand,
    unless a record with several ALT shows by a further allele that it is on the other strand.
    Swapped alleles are certain only if they have the same length: A>AT is not AT>A with swapped
    alleles but another variant.

    found  indexes of the panel's sites at the record's position, at least one
    """
    site, ref = found[0], record.ref
    if len(found) == 1 and not record.infos and record.alts == [sites.alt[site]]:
        if ref == sites.ref[site]:  # nearly all records
            return Decision((Match(site, 0, 1, (), _certainty(ref, record.alts[0])),))
    here = identified.pairs_at(found, sites)
    decision = _decide(record, identified.narrowed(record, here, sites))
    if decision.reason and identified.is_ambiguous(record, here):
        return Decision(reason=AMBIGUOUS)
    return decision


def _decide(record: Record, pairs: list[tuple[int, str, str]]) -> Decision:
    """`decide` for sites with different alleles."""
    ref = capitals(record.ref)
    if not record.alts:
        return _decide_monomorphic(ref, identified.spelled_out(pairs))
    alleles = [ref, *(capitals(alt) for alt in record.alts)]
    numbers = {name: n for n, name in enumerate(alleles) if name not in PLACEHOLDERS}
    written = _fitting(ref, numbers, pairs)
    if written and (len(numbers) == 2 or not any(is_palindromic(*pair[1:]) for pair in written)):
        return Decision(tuple(_match(pair, pairs, numbers) for pair in written))
    turned = {other_strand(allele): number for allele, number in numbers.items()}
    flipped = [
        pair for pair in _fitting(other_strand(ref), turned, pairs) if len(pair[1]) == len(pair[2])
    ]
    known = {allele for pair in pairs for allele in pair[1:]}
    lead = len(known & numbers.keys()) - len(known & turned.keys())
    if flipped and (not written or lead < 0):
        return Decision(tuple(_flipped(pair, pairs, turned) for pair in flipped))
    matches = tuple(_match(pair, pairs, numbers) for pair in written)
    if lead > 0:
        matches = tuple(_without_doubt(match) for match in matches)
    return Decision(matches, "" if matches else OTHER_ALLELES)


def is_spelled_out(record: Record) -> bool:
    """False if all ALT are symbolic, `*` or breakends; True if there is no ALT.

    >>> is_spelled_out(Record("20", 5, ".", "A", ["<DEL>", "*"]))
    False
    """
    return not record.alts or any(alt.isalpha() for alt in record.alts)


def is_palindromic(ref: str, alt: str) -> bool:
    """True if both strands show the same two alleles.

    >>> is_palindromic("A", "T"), is_palindromic("A", "G")
    (True, False)
    """
    return ref != alt and other_strand(ref) == alt


def turned(match: Match) -> Match:
    """A palindromic match, on the other strand."""
    return dataclasses.replace(
        match, ref_number=match.alt_number, alt_number=match.ref_number, is_flipped=True
    )


def other_strand(allele: str) -> str:
    """The bases of the other strand, in its direction.

    >>> other_strand("A"), other_strand("AC")
    ('T', 'GT')
    """
    return allele.translate(_COMPLEMENT)[::-1]


def shared_samples(target_names: Sequence[str], panel_names: Sequence[str]) -> NDArray[np.int64]:
    """(N,) index of the panel's sample of the same name, -1 if there is none.

    >>> shared_samples(["ann", "bob"], ["bob", "cem"])
    array([-1,  0])
    """
    index = {name: sample for sample, name in enumerate(panel_names)}
    return np.array([index.get(name, -1) for name in target_names], dtype=np.int64)


def _fitting(
    ref: str, numbers: dict[str, int], pairs: list[tuple[int, str, str]]
) -> list[tuple[int, str, str]]:
    """The panel sites that have a record's REF and one of its ALT, as in the panel or swapped."""
    straight = [pair for pair in pairs if pair[1] == ref and pair[2] in numbers]
    return straight or [pair for pair in pairs if pair[2] == ref and pair[1] in numbers]


def _match(
    pair: tuple[int, str, str], pairs: list[tuple[int, str, str]], numbers: dict[str, int]
) -> Match:
    site, ref, alt = pair
    others = (numbers.get(other[2], ABSENT) for other in pairs if other[1] == ref)
    other_refs = tuple(n for n in others if n not in (ABSENT, numbers[ref], numbers[alt]))
    return Match(site, numbers[ref], numbers[alt], other_refs, _certainty(ref, alt))


def _flipped(
    pair: tuple[int, str, str], pairs: list[tuple[int, str, str]], numbers: dict[str, int]
) -> Match:
    """The match of a record on the other strand; `numbers` are of its turned alleles."""
    return dataclasses.replace(_match(pair, pairs, numbers), certainty="certain", is_flipped=True)


def _without_doubt(match: Match) -> Match:
    """A palindromic match whose strand another allele of the record shows."""
    if match.certainty != "palindromic":
        return match
    return dataclasses.replace(match, certainty="certain")


def _certainty(ref: str, alt: str) -> Certainty:
    if len(ref) != len(alt):
        return "indel"
    return "palindromic" if is_palindromic(ref, alt) else "certain"


def _decide_monomorphic(ref: str, pairs: list[tuple[int, str, str]]) -> Decision:
    """A record without ALT: all genotypes are its REF, which must be an allele of one site here."""
    straight = [pair for pair in pairs if pair[1] == ref]
    snvs = [pair for pair in pairs if len(pair[1]) == len(pair[2]) == 1]
    swapped = [pair for pair in snvs if pair[2] == ref]
    if len(straight or swapped) > 1:
        return Decision(reason=SEVERAL)
    if straight:
        site, _, alt = straight[0]
        return Decision((Match(site, 0, ABSENT, (), _certainty(ref, alt)),))
    if swapped:
        site, panel_ref, alt = swapped[0]
        return Decision((Match(site, ABSENT, 0, (), _certainty(panel_ref, alt)),))
    turned = other_strand(ref)
    straight = [pair for pair in snvs if pair[1] == turned]
    flipped = straight or [pair for pair in snvs if pair[2] == turned]
    if len(flipped) > 1:
        return Decision(reason=SEVERAL)
    if flipped:
        numbers = (0, ABSENT) if straight else (ABSENT, 0)
        return Decision((Match(flipped[0][0], *numbers, (), "certain", True),))
    return Decision(reason=OTHER_ALLELES)
