"""Records out of order, and contigs that are missing, named otherwise or of another build."""

from __future__ import annotations

from collections.abc import Callable

from tests import panels
from tests.bad_input.case import Case
from tests.bad_input.room import (
    NAMES,
    PANEL_NAMES,
    Make,
    Room,
    bgzipped,
    every,
    panel,
    panel_records,
    panel_text,
    target,
    target_records,
    target_text,
)

PREPARE = "prepare p.vcf"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"


def without_contigs(text: str) -> str:
    """No line ##contig in the header."""
    return "".join(x for x in text.splitlines(keepends=True) if not x.startswith("##contig"))


def indexed(edit: Callable[[str], str], name: str) -> Make:
    """A compressed and indexed panel (p) or target (t)."""

    def make(room: Room) -> None:
        text = panels.vcf_text(panel_records(), PANEL_NAMES)
        if name == "t":
            room.panel()
            text = panels.vcf_text(target_records(), NAMES)
        bgzipped(edit(text), room.folder / f"{name}.vcf.gz", index=True)

    return make


def unsorted(records: list[panels.Record]) -> list[panels.Record]:
    return [*records[:9], records[20], *records[9:20]]


def back(records: list[panels.Record]) -> list[panels.Record]:
    """The contig returns after another."""
    return [*records[:9], ("21", *records[9][1:]), *records[10:]]


def half_named(records: list[panels.Record]) -> list[panels.Record]:
    """One contig under two names, one after the other."""
    return [*records[:20], *(("chr20", *record[1:]) for record in records[20:])]


def place(text: str) -> Callable[[str], str]:
    """The position of the first record as text."""
    return lambda lines: lines.replace("\n20\t1000\t", f"\n20\t{text}\t")


def other_build(room: Room) -> None:
    """Positions of the panel with alleles drawn by chance."""
    target(lambda r: [(*x[:2], "CT"[n % 2], "AG"[n % 2], x[4]) for n, x in enumerate(r)])(room)


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("order", name, make, command, exit_code, message)


CASES = [
    case("unsorted", panel(unsorted), PREPARE, 1, "p.vcf, 20:10000", "not sorted", "bcftools sort"),
    case("unsorted", target(unsorted), IMPUTE, 1, "t.vcf, 20:17000", "not sorted", "bcftools sort"),
    case("contig revisited", panel(back), PREPARE, 1, "p.vcf, 20:11000",
         "contig 20 returns after 21", "bcftools sort"),
    case("contig revisited", target(back), IMPUTE, 1, "t.vcf, 20:18000",
         "contig 20 returns after 21", "bcftools sort"),
    case("chr before the contig's name", target(every(contig="chr20")), IMPUTE, 0,
         '"chr20": "20"', '"typed_sites": 27'),
    case("one contig under two names", panel(half_named), PREPARE, 1, "p.vcf, chr20:21000",
         "20 and chr20", "bcftools annotate --rename-chrs"),
    case("one contig under two names", target(half_named), IMPUTE, 1, "t.vcf, chr20:",
         "20 and chr20", "bcftools annotate --rename-chrs"),
    case("undefined contig", panel_text(without_contigs), PREPARE, 0, "sites kept 41"),
    case("undefined contig", target_text(without_contigs), IMPUTE, 0, '"typed_sites": 27'),
    case("undefined contig, indexed", indexed(without_contigs, "p"), "prepare p.vcf.gz", 0,
         "records read 40", "sites kept 41"),
    case("undefined contig, region", indexed(without_contigs, "p"),
         "prepare p.vcf.gz --region chr20:1-9000", 0, "records read 9"),
    case("undefined contig, region", indexed(without_contigs, "t"),
         "impute t.vcf.gz -o out.vcf.gz --no-network --region chr20:1-20000", 0, '"typed": 12'),
    case("region of a contig the file lacks", indexed(str, "p"),
         "prepare p.vcf.gz --region 7:1-9000", 1, "p.vcf.gz has no contig 7", "It has 20"),
    case("region of a contig an undefined one is not", indexed(without_contigs, "p"),
         "prepare p.vcf.gz --region 7:1-9000", 1, "p.vcf.gz has no contig 7", "It has 20"),
    case("no contig in common", target(every(contig="7")), IMPUTE, 1,
         "t.vcf and the panel share no contig", "the target has 7", "the panel has 20",
         "--rename-chrs"),
    case("another build: no position in common",
         target(lambda records: [(r[0], r[1] + 7, *r[2:]) for r in records]), IMPUTE, 1,
         "t.vcf: none of 27 records lies at a position", "20:1000-40000", "genome build"),
    case("another build: other alleles at the panel's positions", other_build, IMPUTE, 1,
         "records at positions of the panel have other alleles", "20:1000, has C/A",
         "Lift the target over"),
    case("position 0", panel_text(place("0")), PREPARE, 1, "p.vcf, 20:0",
         "between 1 and 2147483646", "bcftools view -e"),
    case("position that is no number", panel_text(place("x")), PREPARE, 1,
         "p.vcf is damaged after record 0"),
    case("negative position", panel_text(place("-5")), PREPARE, 1, "p.vcf"),
    case("position beyond all genomes", panel_text(place("99999999999")), PREPARE, 1,
         "p.vcf, 20:99999999999", "between 1 and 2147483646"),
    case("position beyond all genomes", target_text(place("4294968296")), IMPUTE, 1,
         "t.vcf, 20:4294968296", "between 1 and 2147483646"),
    case("an empty line", panel_text(lambda t: t.replace("\n20\t3000", "\n\n20\t3000")), PREPARE, 1,
         "p.vcf has an empty line between its records", "sed '/^$/d'"),
    case("a line of a header between records",
         target_text(lambda t: t.replace("\n20\t3000", "\n##x=1\n20\t3000")), IMPUTE, 1,
         "t.vcf: line 3 of the records, '##x=1', is not a record", "bcftools concat"),
]  # fmt: skip
