"""Typed alleles of a target at the sites of a panel, collected block by block.

S sites in the panel, T typed sites, N samples of the target; a block holds n consecutive records.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import (
    allele_codes,
    haploid_calls,
    identified,
    matching,
    row_blocks,
    strand,
    strand_decisions,
)
from vcfbert.domain.contig_names import find_direct
from vcfbert.domain.match_report import REPAIRED, SUSPICIOUS, SWAPPED, MatchReport
from vcfbert.domain.matching import Decision, Match, SiteFinder, TargetPolicy
from vcfbert.domain.padding import PaddedSites
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.records import Record, RecordBlock
from vcfbert.domain.row_blocks import Zeros
from vcfbert.domain.sites import Region, Sites
from vcfbert.domain.strand_decisions import PanelAlleles, TypedRecords
from vcfbert.domain.typed_calls import CallReader
from vcfbert.domain.typed_only import TypedOnly
from vcfbert.errors import InputError

MOST_FLIPPED = 0.5
"""Above this share of the telling sites, a file is on the other strand and has to be repaired."""

MOST_FOREIGN = 0.25
"""Above this share of records at the panel's positions with other alleles than the panel, the
positions belong to another genome build: by chance it is a half, and with the right build it stays
below a tenth."""

_ENOUGH = 20  # records at positions of the panel below which a share means nothing

LEAST_SWAPPED = 0.01
"""From this share of SNVs with swapped alleles on, reversed indels count as swapped, too."""

_UNCLEAR, _FLIPPED, _CLEAR = 1, 2, 3  # how a site was typed so far


@dataclass(frozen=True)
class TypedAlleles:
    """Alleles of the target, in the panel's orientation.

    site_index   (T,) indexes into the panel's sites, rising
    alleles      (T, N, 2) REF, ALT or MISSING of `tokens`; UNORDERED of `unordered` is added if the
                 haplotype of an allele is unknown
    phase_sets   (T, N) see RecordBlock; None if no record has any
    identifiers  T, the ID of each site's record
    record       (T,) index of each site's record among those that were read
    numbers      (T, 2) that record's numbers of the panel's REF and ALT, or ABSENT of `matching`
    others       records that the panel lacks, if they are kept
    haploid      which samples are haploid at which of the panel's sites; None for none. Their
                 second allele is MISSING
    """

    site_index: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    phase_sets: NDArray[np.int32] | None
    report: MatchReport
    identifiers: list[str]
    record: NDArray[np.int64]
    numbers: NDArray[np.int64]
    others: list[TypedOnly]
    haploid: Ploidy | None = None


class TargetCollector:
    """Collects the records of one file, in order, that type a site of the panel."""

    def __init__(
        self,
        source: str,
        names: list[str],
        sites: Sites,
        policy: TargetPolicy,
        *,
        region: Region | None = None,
        keep_others: bool = False,
        contigs: Collection[str] = (),
        zeros: Zeros = np.zeros,
    ) -> None:
        """`source` and `names` (one a sample) are named in errors.

        region       records outside of it are ignored
        keep_others  keep the genotypes of records that the panel lacks
        contigs      names of all contigs of the file
        """
        self._others: list[TypedOnly] | None = [] if keep_others else None
        self.report = MatchReport()
        self._source = source
        self._names = names
        self._sites = sites
        self._strand = policy.strand
        self._ploidy = policy.ploidy
        self._calls = CallReader(source, names, policy, self.report)
        self._region = region
        self._finder = SiteFinder(sites, contigs)
        self._padded = PaddedSites(sites, self._finder)
        self._contig = ""
        self._is_outside = False
        self._spans: dict[str, list[int]] = {}
        self._taken = np.zeros(len(sites), dtype=np.int8)
        self._first_of: dict[str, Record] = {}  # by reason, in the order of the file
        self._codes: set[str] = set()  # alleles of records whose alleles are not bases
        self._records: list[Record] = []
        self._matches: list[Match] = []
        self._zeros = zeros
        self._alleles: list[NDArray[np.uint8]] = []
        self._phase_sets: list[NDArray[np.int32] | None] = []  # of each block

    def wants(self, record: Record) -> bool:
        """True if the record's genotypes are needed; other records are listed."""
        if record.contig != self._contig:
            self._enter(record)
        if self._is_outside:
            return False
        position = record.position
        if self._region is not None and not self._region.start <= position <= self._region.end:
            return False
        self.report.num_records += 1
        span = self._spans.setdefault(record.contig, [position, position])
        span[1] = position
        found = self._finder.at(record.contig, position)
        if found and (
            matching.is_spelled_out(record)
            or identified.has_symbol(record, found, self._sites)
            or allele_codes.is_coded(record.ref, record.alts)
        ):
            return True
        if self._padded.may_type(record):
            return True
        self.report.only_in_target.add(record)
        if self._others is None or record.contig not in self.report.contigs:
            return False
        return matching.is_spelled_out(record)

    def add(self, block: RecordBlock) -> None:
        """Take records and their genotypes. Raises InputError if a genotype is not diploid."""
        rows: list[int] = []
        matches: list[Match] = []
        for row, record in enumerate(block.records):
            found = self._finder.at(record.contig, record.position)
            decision = matching.decide(record, found, self._sites) if found else Decision()
            decision = self._padded.extended(record, decision)
            if not found and not decision.matches:
                self._keep(block, row)
                continue
            if decision.reason and allele_codes.is_coded(record.ref, record.alts):
                decision = Decision(reason=matching.CODED)
                self._codes.update((record.ref, *record.alts))
            if decision.reason == matching.OTHER_ALLELES:
                self._keep(block, row)
            if decision.reason:
                self.report.drop(record, decision.reason)
                self._first_of.setdefault(decision.reason, record)
            for match in decision.matches:
                if self._is_new(match, record):
                    rows.append(row)
                    matches.append(match)
                    self._records.append(record)
        if matches:
            self._matches += matches
            alleles = self._calls.read(block, np.array(rows), matches)
            self._alleles.append(row_blocks.held(alleles, self._zeros))
            sets = block.phase_sets
            self._phase_sets.append(None if sets is None else sets[rows])

    def _keep(self, block: RecordBlock, row: int) -> None:
        """Keep a record that the panel lacks, if they are wanted."""
        if self._others is not None:
            self._others.append(TypedOnly.of(block, row, self._source))

    def finish(
        self,
        panel_frequency: NDArray[np.floating] | None = None,
        panel_alleles: PanelAlleles | None = None,
    ) -> TypedAlleles:
        """What was collected. Raises InputError if the file does not fit the panel.

        panel_frequency  (S,) ALT frequencies to check the strand of palindromic sites
        panel_alleles    the panel's haplotypes, to decide the strand of palindromic sites
        """
        self._refuse_other_contigs()
        self._refuse_codes()
        self._refuse_other_build()
        self._refuse_other_strand()
        is_kept = self._without_unclear()
        if is_kept.any():
            self._calls.refuse_unphased()
        kept = np.flatnonzero(is_kept)
        site = np.array([match.site for match in self._matches], dtype=np.int64)
        order = kept[np.argsort(site[kept], kind="stable")]
        place = np.full(len(self._matches), -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        phase_sets = row_blocks.joined_sets(self._alleles, self._phase_sets, place, self._zeros)
        shape = len(order), len(self._names), 2
        alleles = row_blocks.joined(self._alleles, place, self._zeros(shape, np.uint8))
        self._take(order)
        self.report.ploidy = haploid_calls.settle_target(
            site[order], alleles, self._sites, self._names, self._ploidy, self._source
        )
        is_used = self._on_one_strand(site[order], alleles, panel_frequency, panel_alleles)
        contigs = {name: number for number, name in enumerate(self._spans)}
        self.report.dropped.rows.sort(key=lambda row: (contigs[row[0].contig], row[0].position))
        if not is_used.any():
            raise self._no_overlap()
        typed = TypedAlleles(
            site[order][is_used],
            row_blocks.rows_of(alleles, is_used, self._zeros),
            None if phase_sets is None else row_blocks.rows_of(phase_sets, is_used, self._zeros),
            self.report,
            [record.identifier for record in self._records],
            np.array([record.number for record in self._records], dtype=np.int64),
            np.array([(m.ref_number, m.alt_number) for m in self._matches], dtype=np.int64),
            self._others or [],
            None if self.report.ploidy is None else self.report.ploidy.of_sites(self._sites),
        )
        self._count(typed, panel_frequency)
        return typed

    def _enter(self, record: Record) -> None:
        """The first record of a contig."""
        self._contig = record.contig
        region = self._region
        name = self._finder.contig(record.contig)
        self._is_outside = region is not None and (
            name is None or find_direct(region.contig, [name]) is None
        )
        if name is not None and not self._is_outside:
            self.report.contigs[record.contig] = name

    def _is_new(self, match: Match, record: Record) -> bool:
        """True if the record types the site: it is the first, or the first whose match is better.

        As written or swapped is better than a strand flip, and that better than an unclear match.
        """
        rank = _rank(match)
        if self._taken[match.site] >= rank:
            self.report.drop(record, matching.DUPLICATE)
            return False
        self._taken[match.site] = rank
        return True

    def _take(self, rows: NDArray[np.int64]) -> None:
        """Keep the matches of these rows, in this order."""
        self._matches = [self._matches[row] for row in rows.tolist()]
        self._records = [self._records[row] for row in rows.tolist()]

    def _refuse_other_contigs(self) -> None:
        if self._spans and not self.report.contigs:
            raise InputError(
                f"{self._source} and the panel share no contig: the target has "
                f"{_some(list(self._spans))}, the panel has {_some(list(self._sites.contigs))}. "
                "Give a target with the panel's contigs, prepare another panel, or rename contigs "
                "with: bcftools annotate --rename-chrs"
            )

    def _refuse_codes(self) -> None:
        coded = self.report.dropped_counts[matching.CODED]
        here = self.report.dropped.total + len(self._matches)
        if coded > MOST_FOREIGN * here and (here >= _ENOUGH or not self._matches):
            raise InputError(
                f"{self._source}: {coded:,} of {plurals.of(here, 'record')} at positions of the "
                f"panel {plurals.word(coded, 'has', 'have')} codes instead of bases; "
                f"{allele_codes.explained(self._codes)}."
            )

    def _refuse_other_build(self) -> None:
        foreign = self.report.dropped_counts[matching.OTHER_ALLELES]
        here = foreign + len(self._matches)
        if here >= _ENOUGH and foreign > MOST_FOREIGN * here:
            first = self._compared(self._first_of[matching.OTHER_ALLELES])
            raise InputError(
                f"{self._source}: {foreign:,} of {plurals.of(here, 'record')} at positions of the "
                f"panel {plurals.word(foreign, 'has', 'have')} other alleles than the panel; the "
                f"first, {first}. The files have different genome builds or one is not normalised. "
                "Lift the target over to the panel's build, or normalise it with: bcftools norm "
                "-f REFERENCE.fasta"
            )

    def _refuse_other_strand(self) -> None:
        """Refuse strand flips, if they must not be repaired."""
        if self._strand == "fix":
            return
        telling = sum(match.certainty == "certain" for match in self._matches)
        flipped = [row for row, match in enumerate(self._matches) if match.is_flipped]
        if not flipped or (self._strand == "drop" and len(flipped) <= MOST_FLIPPED * telling):
            return
        first = self._compared(self._records[flipped[0]])
        other = "" if self._strand == "drop" else ", leave them out with --strand drop"
        raise InputError(
            f"{self._source}: {len(flipped):,} of "
            f"{plurals.of(telling, 'site that shows', 'sites that show')} the strand "
            f"{plurals.word(len(flipped), 'is a strand flip', 'are strand flips')}; the first, "
            f"{first}. Repair them with --strand fix{other}, or put the file on the forward strand "
            f"first: bcftools +fixref {self._source} -Oz -o forward.vcf.gz -- -f REFERENCE.fasta "
            "-m flip"
        )

    def _on_one_strand(
        self,
        site: NDArray[np.int64],
        alleles: NDArray[np.uint8],
        panel_frequency: NDArray[np.floating] | None,
        panel_alleles: PanelAlleles | None,
    ) -> NDArray[np.bool_]:
        """Decide palindromic sites, and repair or leave out strand flips.

        site     (T,) panel sites of the matches
        alleles  (T, N, 2) changed in place
        returns  (T,) True for sites to use; the matches of the others are gone
        """
        report, records = self.report, self._typed_records(site, alleles)
        report.telling_sites = int(records.is_telling.sum())
        report.telling_flips = int(records.is_flipped.sum())
        report.telling_swaps = int((records.is_swapped & records.is_telling).sum())
        frequency = None if panel_frequency is None else panel_frequency[site]
        decided = strand_decisions.decide(records, frequency, panel_alleles)
        report.by_linkage = decided.num_compared
        verdict = decided.verdict
        self._refuse_palindromic_flips(verdict)
        flipped = np.flatnonzero(verdict == strand_decisions.FLIPPED)
        report.palindromic_flips = len(flipped)
        alleles[flipped] = strand.other_strand(alleles[flipped])
        for row in flipped.tolist():
            self._matches[row] = matching.turned(self._matches[row])
        is_used: NDArray[np.bool_] = verdict != strand_decisions.UNDECIDED
        if self._strand == "drop":
            is_used &= ~records.is_flipped & (verdict == strand_decisions.AS_WRITTEN)
        for row in np.flatnonzero(~is_used).tolist():
            is_undecided = verdict[row] == strand_decisions.UNDECIDED
            reason = matching.UNCLEAR_STRAND if is_undecided else self._matches[row].flip_reason
            report.drop(self._records[row], reason)
        self._take(np.flatnonzero(is_used))
        return is_used

    def _typed_records(self, site: NDArray[np.int64], alleles: NDArray[np.uint8]) -> TypedRecords:
        matches = self._matches
        certainty = np.array([match.certainty for match in matches], dtype="U11")
        return TypedRecords(
            site=site,
            contig=self._sites.contig[site],
            alleles=alleles,
            is_telling=certainty == "certain",
            is_palindromic=certainty == "palindromic",
            is_flipped=np.array([match.is_flipped for match in matches], dtype=np.bool_),
            is_swapped=np.array([match.is_swapped for match in matches], dtype=np.bool_),
        )

    def _refuse_palindromic_flips(self, verdict: NDArray[np.int8]) -> None:
        flipped = np.flatnonzero(verdict == strand_decisions.FLIPPED)
        if self._strand != "error" or not len(flipped):
            return
        record = self._records[flipped[0]]
        raise InputError(
            f"{self._source}: {plurals.of(len(flipped), 'palindromic (A/T, C/G) site')} "
            f"{plurals.word(len(flipped), 'fits', 'fit')} the panel's haplotypes on the other "
            f"strand only; the first is {record.place()}, "
            f"{record.ref}/{','.join(record.alts) or '.'}. Repair them with --strand fix, or leave "
            "them out with --strand drop."
        )

    def _without_unclear(self) -> NDArray[np.bool_]:
        """True for matches to keep.

        Drops swapped indels that nothing else in the file supports, and matches that a better one
        of the same site replaces.
        """
        telling = [match for match in self._matches if match.certainty == "certain"]
        swapped = sum(match.is_swapped for match in telling)
        has_swaps = swapped > 0 and swapped >= LEAST_SWAPPED * len(telling)
        is_kept = np.ones(len(self._matches), dtype=np.bool_)
        for row, match in enumerate(self._matches):
            if not (match.is_unclear or match.is_flipped):
                continue
            is_outdone = self._taken[match.site] > _rank(match)
            if is_outdone or (match.certainty == "indel" and not has_swaps):
                is_kept[row] = False
                reason = matching.DUPLICATE if is_outdone else matching.UNCLEAR_INDEL
                self.report.drop(self._records[row], reason)
        return is_kept

    def _no_overlap(self) -> InputError:
        """Why no site is typed, as far as the records show."""
        report, sites = self.report, self._sites
        if report.dropped.total:
            record, reason = report.dropped.rows[0]
            return InputError(
                f"{self._source}: {plurals.of(report.dropped.total, 'record lies', 'records lie')} "
                "at positions of the panel, but none can be used; the first, "
                f"{self._compared(record)} ({reason}). Use the panel's genome build and normalise "
                "alleles with: bcftools norm -f REFERENCE.fasta"
            )
        if not report.num_records:
            return InputError(
                f"{self._source} has no records in {self._region}. Give another file or region."
            )
        spans = ", ".join(
            f"{name}:{span[0]}-{span[1]}"
            for name, span in self._spans.items()
            if name in report.contigs
        )
        return InputError(
            f"{self._source}: none of {plurals.of(report.num_records, 'record')} lies at a "
            f"position of the panel. The target spans {spans}; the panel has "
            f"{plurals.of(len(sites), 'site')} of {_extents(sites)}. Give a target of that region "
            "in the panel's genome build."
        )

    def _compared(self, record: Record) -> str:
        """A record and the panel's alleles at its position."""
        found = self._finder.at(record.contig, record.position)
        here = " and ".join(f"{self._sites.ref[i]}/{self._sites.alt[i]}" for i in found[:3])
        alt = ",".join(record.alts) or "."
        return f"{record.place()}, has {record.ref}/{alt}, but the panel has {here}"

    def _count(self, typed: TypedAlleles, panel_frequency: NDArray[np.floating] | None) -> None:
        """Complete the report."""
        report = self.report
        is_suspicious = _is_suspicious(typed, self._matches, panel_frequency)
        report.typed_sites = len(typed.site_index)
        last: Record | None = None
        for row, (record, match) in enumerate(zip(self._records, self._matches, strict=True)):
            report.palindromic_sites += match.certainty == "palindromic"
            report.monomorphic += match.is_monomorphic
            report.multiallelic += len(record.alts) > 1 and record is not last
            last = record
            report.swapped_sites += match.is_swapped
            if match.is_flipped:
                report.flips_repaired += match.certainty == "certain"
                report.noted.add(record, REPAIRED[match.flip_reason])
            elif match.is_swapped:
                report.noted.add(record, SWAPPED)
            if is_suspicious[row]:
                report.suspicious_sites += 1
                report.noted.add(record, SUSPICIOUS)


def _rank(match: Match) -> int:
    if match.is_unclear:
        return _UNCLEAR
    return _FLIPPED if match.is_flipped else _CLEAR


def _is_suspicious(
    typed: TypedAlleles, matches: list[Match], panel_frequency: NDArray[np.floating] | None
) -> NDArray[np.bool_]:
    """(T,) True for palindromic sites whose frequency is far off and fits the other strand."""
    is_suspicious = np.zeros(len(matches), dtype=np.bool_)
    rows = np.array([row for row, m in enumerate(matches) if m.certainty == "palindromic"])
    if panel_frequency is None or len(rows) == 0:
        return is_suspicious
    expected = panel_frequency[typed.site_index[rows]]
    is_suspicious[rows] = strand_decisions.fits_other_strand(typed.alleles[rows], expected)
    return is_suspicious


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _extents(sites: Sites) -> str:
    """First and last position on each contig of the panel, on five at most."""
    texts = []
    for number in np.unique(sites.contig)[:5].tolist():
        position = sites.position[sites.contig == number]
        texts.append(f"{sites.contigs[number]}:{position[0]}-{position[-1]}")
    return ", ".join(texts)
