"""What became of a target's records: counts for the report, lists for the QC files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vcfbert.domain import matching
from vcfbert.domain.records import Record

LIST_LIMIT = 100_000
"""Rows of a list that are kept; the count goes on."""

EXCHANGED = "REF and ALT exchanged; repaired"
SUSPICIOUS = "A/T or C/G, and the frequency fits the other strand better; kept as written"

_COLUMNS = "#contig\tposition\tid\tref\talt"


@dataclass
class Listing:
    """The first records of a kind, each with a note, and how many there were."""

    rows: list[tuple[Record, str]] = field(default_factory=list)
    total: int = 0

    def add(self, record: Record, note: str = "") -> None:
        """Count a record, and keep it while there is room."""
        self.total += 1
        if len(self.rows) < LIST_LIMIT:
            self.rows.append((record, note))

    def table(self, note: str | None = None) -> str:
        """Tab-separated lines below a header; `note` names the last column, None for no such."""
        lines = [_COLUMNS if note is None else f"{_COLUMNS}\t{note}"]
        for record, text in self.rows:
            alt = ",".join(record.alts) or "."
            fields = [record.contig, str(record.position), record.identifier, record.ref, alt]
            lines.append("\t".join(fields if note is None else [*fields, text]))
        if self.total > len(self.rows):
            lines.append(f"# {self.total - len(self.rows)} more are counted and not listed")
        return "".join(f"{line}\n" for line in lines)


@dataclass
class MatchReport:
    """How a target fits its panel.

    num_records      records read, those of other contigs included
    typed_sites      panel sites with genotypes, T
    certain_sites    those of them whose strand and order the alleles tell
    ambiguous_sites  those with A/T or C/G
    monomorphic      records without ALT that were used
    multiallelic     records with several ALT that were used
    passed_over      panel sites that the caller did not want
    dropped_counts   records at a position of the panel that were not used, by reason
    contigs          the panel's name of each contig of the target that it has
    genotypes        of the typed sites: records used x samples
    missing          of these without any allele
    half_missing     of these with one allele
    other_alleles    of these with an allele the panel does not have here
    unphased         of these heterozygous without phase
    only_in_target   records at positions the panel lacks, and symbolic ones
    dropped          records at a position of the panel that were not used
    noted            records that were used, but repaired or suspected
    """

    num_records: int = 0
    typed_sites: int = 0
    certain_sites: int = 0
    ambiguous_sites: int = 0
    swapped_sites: int = 0
    suspicious_sites: int = 0
    monomorphic: int = 0
    multiallelic: int = 0
    passed_over: int = 0
    dropped_counts: Counter[str] = field(default_factory=Counter)
    contigs: dict[str, str] = field(default_factory=dict)
    genotypes: int = 0
    missing: int = 0
    half_missing: int = 0
    other_alleles: int = 0
    unphased: int = 0
    only_in_target: Listing = field(default_factory=Listing)
    dropped: Listing = field(default_factory=Listing)
    noted: Listing = field(default_factory=Listing)

    @property
    def strand_flipped(self) -> int:
        """Records with the alleles of the other strand."""
        return sum(self.dropped_counts[reason] for reason in matching.OTHER_STRAND)

    def drop(self, record: Record, reason: str) -> None:
        """Count and list a record that is not used."""
        self.dropped_counts[reason] += 1
        self.dropped.add(record, reason)

    def counts(self) -> dict[str, Any]:
        """All numbers, as JSON types."""
        return {
            "records": self.num_records,
            "contigs": dict(self.contigs),
            "typed_sites": self.typed_sites,
            "swapped_sites": self.swapped_sites,
            "ambiguous_sites": self.ambiguous_sites,
            "suspicious_sites": self.suspicious_sites,
            "monomorphic_records": self.monomorphic,
            "multiallelic_records": self.multiallelic,
            "passed_over_sites": self.passed_over,
            "only_in_target": self.only_in_target.total,
            "dropped": {
                reason: self.dropped_counts[reason]
                for reason in matching.REASONS
                if self.dropped_counts[reason]
            },
            "genotypes": {
                "read": self.genotypes,
                "missing": self.missing,
                "half_missing": self.half_missing,
                "other_alleles": self.other_alleles,
                "unphased_heterozygous": self.unphased,
            },
        }

    def tables(self) -> dict[str, str]:
        """QC files: name to tab-separated text."""
        return {
            "only_in_target.tsv": self.only_in_target.table(),
            "dropped.tsv": self.dropped.table("reason"),
            "noted.tsv": self.noted.table("note"),
        }

    def notes(self) -> list[str]:
        """Sentences for the user: what was repaired, left out or is suspected."""
        unphased = "heterozygous genotypes without phase"
        counted = [
            (self.swapped_sites, "sites have REF and ALT exchanged against the panel; repaired"),
            (self.strand_flipped, "records have the alleles of the other strand; left out"),
            (self.dropped.total - self.strand_flipped, "other records at positions of the panel "
             "have alleles it does not have, or repeat a site; left out"),
            (self.suspicious_sites, "A/T or C/G sites have a frequency that fits the other strand "
             "better; kept as written"),
            (self.other_alleles, "genotypes have an allele the panel lacks; taken as missing"),
            (self.unphased, f"{unphased}; treated as --unphased says"),
        ]  # fmt: skip
        return [f"{count:,} {text}." for count, text in counted if count]
