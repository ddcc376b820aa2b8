"""Report of how a target matches a panel: counts for the summary, lists for the QC files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vcfbert import plurals
from vcfbert.domain import contig_names, matching
from vcfbert.domain.haploid_calls import PloidyDecision
from vcfbert.domain.records import Record

LIST_LIMIT = 100_000
"""Rows that a list keeps; further records are only counted."""

SWAPPED = "swapped alleles; corrected"
SUSPICIOUS = "palindromic, and the frequency fits the other strand better; kept"
REPAIRED = {
    matching.FLIPPED: "strand flip; repaired",
    matching.FLIPPED_SWAPPED: "strand flip with swapped alleles; repaired",
    matching.FLIPPED_PALINDROMIC: "palindromic, strand flip; repaired",
}

_COLUMNS = "#contig\tposition\tid\tref\talt"


@dataclass
class Listing:
    """The first records of a kind, each with a note, and how many there were."""

    rows: list[tuple[Record, str]] = field(default_factory=list)
    total: int = 0

    def add(self, record: Record, note: str = "") -> None:
        """Count a record, and keep it if there is room."""
        self.total += 1
        if len(self.rows) < LIST_LIMIT:
            self.rows.append((record, note))

    def table(self, note: str | None = None) -> str:
        """Tab-separated lines below a header; `note` names the last column, if any."""
        lines = [_COLUMNS if note is None else f"{_COLUMNS}\t{note}"]
        for record, text in self.rows:
            alt = ",".join(record.alts) or "."
            fields = [record.contig, str(record.position), record.identifier, record.ref, alt]
            lines.append("\t".join(fields if note is None else [*fields, text]))
        if self.total > len(self.rows):
            lines.append(
                f"# {plurals.of(self.total - len(self.rows), 'more is', 'more are')} counted and "
                "not listed"
            )
        return "".join(f"{line}\n" for line in lines)


@dataclass
class MatchReport:
    """How a target fits its panel.

    num_records        records read, those on contigs that the panel lacks included
    typed_sites        panel sites with genotypes, T
    palindromic_sites  those of them with A/T or C/G
    swapped_sites      those of them whose REF is the panel's ALT; corrected
    suspicious_sites   palindromic sites in use whose frequency fits the other strand better
    telling_sites      sites whose alleles show the strand, flips that are left out included
    telling_flips      strand flips among them
    telling_swaps      swapped alleles among them, on either strand
    flips_repaired     strand flips in use, palindromic ones not included
    palindromic_flips  palindromic sites decided as strand flips, in use or left out
    by_linkage         palindromic sites that were compared with the panel's haplotypes
    monomorphic        records without ALT that were used
    multiallelic       records with several ALT that were used
    dropped_counts     records at a position of the panel that were not used, by reason
    contigs            the panel's name of each contig of the target that it has
    genotypes          of the typed sites: records used x samples
    missing            genotypes without any allele
    half_missing       genotypes with one allele
    other_alleles      genotypes with an allele that the panel does not have at the site
    unphased           unphased heterozygotes
    unphased_use       what is done with them
    only_in_target     records at positions that the panel lacks, and symbolic ones
    dropped            records at a position of the panel that were not used
    noted              records that were used, but corrected or suspicious
    ploidy             of the samples; None if nothing speaks of haploid samples
    """

    num_records: int = 0
    typed_sites: int = 0
    palindromic_sites: int = 0
    swapped_sites: int = 0
    suspicious_sites: int = 0
    telling_sites: int = 0
    telling_flips: int = 0
    telling_swaps: int = 0
    flips_repaired: int = 0
    palindromic_flips: int = 0
    by_linkage: int = 0
    monomorphic: int = 0
    multiallelic: int = 0
    dropped_counts: Counter[str] = field(default_factory=Counter)
    contigs: dict[str, str] = field(default_factory=dict)
    genotypes: int = 0
    missing: int = 0
    half_missing: int = 0
    other_alleles: int = 0
    unphased: int = 0
    unphased_use: str = "not used"
    only_in_target: Listing = field(default_factory=Listing)
    dropped: Listing = field(default_factory=Listing)
    noted: Listing = field(default_factory=Listing)
    ploidy: PloidyDecision | None = None

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
            "palindromic_sites": self.palindromic_sites,
            "suspicious_sites": self.suspicious_sites,
            "strand": self.strand(),
            "monomorphic_records": self.monomorphic,
            "multiallelic_records": self.multiallelic,
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
            **({} if self.ploidy is None else {"ploidy": self.ploidy.record()}),
        }

    def strand(self) -> dict[str, Any]:
        """What was found out about the strand, as JSON types; a rate is None without sites."""
        sites, dropped = self.telling_sites, self.dropped_counts
        repaired = self.palindromic_flips - dropped[matching.FLIPPED_PALINDROMIC]
        return {
            "telling_sites": sites,
            "flip_rate": round(self.telling_flips / sites, 6) if sites else None,
            "swap_rate": round(self.telling_swaps / sites, 6) if sites else None,
            "flips_repaired": self.flips_repaired,
            "flips_dropped": self.telling_flips - self.flips_repaired,
            "palindromic_as_written": self.palindromic_sites - repaired,
            "palindromic_flips_repaired": repaired,
            "palindromic_flips_dropped": dropped[matching.FLIPPED_PALINDROMIC],
            "palindromic_undecided": dropped[matching.UNCLEAR_STRAND],
            "palindromic_compared_with_panel": self.by_linkage,
        }

    def tables(self) -> dict[str, str]:
        """QC files: name to tab-separated text."""
        return {
            "only_in_target.tsv": self.only_in_target.table(),
            "dropped.tsv": self.dropped.table("reason"),
            "noted.tsv": self.noted.table("note"),
        }

    def notes(self) -> list[str]:
        """Sentences for the user: what was corrected, dropped or is suspicious.

        They do not say on which contig; those of `notes_with_contigs` do.
        """
        strand, dropped = self.strand(), self.dropped_counts
        ambiguous = dropped[matching.AMBIGUOUS]
        others = self.dropped.total - ambiguous
        others -= sum(dropped[reason] for reason in matching.STRAND_REASONS)
        palindrome, palindromes = "palindromic (A/T, C/G) site", "palindromic (A/T, C/G) sites"
        flip, flips = "record is a strand flip;", "records are strand flips;"
        linked = f"{palindrome} is a strand flip", f"{palindromes} are strand flips"
        by_linkage = "by linkage with the panel"
        counted = [
            (self.swapped_sites, "site has", "sites have",
             "swapped alleles (REF is the panel's ALT); corrected"),
            (self.flips_repaired, flip, flips, "repaired"),
            (strand["flips_dropped"], flip, flips, "dropped"),
            (strand["palindromic_flips_repaired"], *linked, f"{by_linkage}; repaired"),
            (strand["palindromic_flips_dropped"], *linked, f"{by_linkage}; dropped"),
            (dropped[matching.UNCLEAR_STRAND], f"{palindrome} is", f"{palindromes} are",
             "left out: the strand follows neither from the rest of the file nor from linkage with "
             "the panel"),
            (others, "other record at a position of the panel repeats a site or has",
             "other records at positions of the panel repeat a site or have",
             "alleles that the panel lacks; dropped"),
            (ambiguous, "record has", "records have",
             "the alleles of several sites of the panel, and no ID decides between them; dropped"),
            (self.suspicious_sites, f"{palindrome} has", f"{palindromes} have",
             "a frequency that fits the other strand better; kept"),
            (self.other_alleles, "genotype has", "genotypes have",
             "an allele that the panel lacks; set to missing"),
            (self.unphased, "heterozygous genotype is", "heterozygous genotypes are",
             f"not phased; {self.unphased_use}"),
        ]  # fmt: skip
        return [
            f"{plurals.of(count, one, many)} {text}." for count, one, many, text in counted if count
        ]

    def notes_with_contigs(self) -> list[str]:
        """Sentences about names of contigs and about ploidy, which name the contig."""
        of_ploidy = [] if self.ploidy is None else self.ploidy.warnings
        return contig_names.notes(self.contigs) + of_ploidy
