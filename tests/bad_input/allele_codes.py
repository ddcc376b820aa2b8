"""Alleles that are codes instead of bases, as of PLINK and of arrays."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import Make, every, panel, target, with_record
from tests.panels import Record

PREPARE = "prepare p.vcf"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"


def some(ref: str, alt: str, count: int) -> Make:
    """The first records of the target with codes."""

    def change(records: list[Record]) -> list[Record]:
        for number in range(count):
            records = with_record(number, ref=ref, alt=alt)(records)
        return records

    return target(change)


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("allele codes", name, make, command, exit_code, message)


CODES = "records at positions of the panel have codes instead of bases"
CASES = [
    case("1/2", target(every(ref="2", alt="1")), IMPUTE, 1, f"t.vcf: 27 of 27 {CODES}",
         "their alleles are 1, 2: PLINK's 1/2 coding", "plink", "--update-alleles"),
    case("1 to 4", target(every(ref="1", alt="3")), IMPUTE, 1, f"27 of 27 {CODES}",
         "PLINK's codes 1 to 4", "--alleleACGT"),
    case("A/B", target(every(ref="B", alt="A")), IMPUTE, 1, f"27 of 27 {CODES}",
         "Illumina's A/B coding", "forward strand"),
    case("A/B in a third", some("A", "B", 9), IMPUTE, 1, f"9 of 27 {CODES}"),
    case("I/D", target(every(ref="I", alt="D")), IMPUTE, 1, f"27 of 27 {CODES}", "--snps-only"),
    case("0", target(every(alt="0")), IMPUTE, 1, f"27 of 27 {CODES}", "0"),
    case("-", target(every(alt="-")), IMPUTE, 1, f"27 of 27 {CODES}"),
    case("names", target(every(ref="p1", alt="p2")), IMPUTE, 1, "codes instead of bases",
         "p1, p2"),
    case("I/D at some", some("I", "D", 3), IMPUTE, 0, '"alleles are codes, not bases": 3',
         '"typed_sites": 24'),
    case("a 0 among bases", some("A", "0", 1), IMPUTE, 0, '"alleles are codes, not bases": 1'),
    case("1/2", panel(every(ref="1", alt="2,3")), PREPARE, 1,
         "p.vcf: 80 of 80 sites have codes instead of bases", "PLINK's codes 1 to 4"),
    case("A/B", panel(every(ref="A", alt="B,0")), PREPARE, 1, "80 of 80 sites have codes",
         "Illumina's A/B coding"),
    case("I/D at one", panel(with_record(9, ref="D", alt="I")), PREPARE, 0, "sites kept 41"),
    case("absent and present of an HLA panel", panel(every(ref="A", alt="P,T")), PREPARE, 0,
         "sites kept 80"),
]  # fmt: skip
