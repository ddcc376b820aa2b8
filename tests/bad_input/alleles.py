"""Alleles beyond one REF and one ALT in capitals."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import (
    DELETION,
    TWO_ALTS,
    Make,
    added,
    every,
    panel,
    target,
    with_record,
)

PREPARE = "prepare p.vcf"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
CALLS = ["0|1"] * 20
NEW = 9_500
"""A position where the panel has nothing."""


def site(place: int, ref: str, alt: str, calls: list[str] | None = None) -> Make:
    """One more record in the panel."""
    return panel(added(("20", place, ref, alt, calls or CALLS)))


def typed(place: int, ref: str, alt: str, *calls: str) -> Make:
    """One more record in the target."""
    return target(added(("20", place, ref, alt, list(calls or ("0|1", "0|0")))))


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("alleles", name, make, command, exit_code, message)


CASES = [
    case("two ALT", site(NEW, "A", "G,T", ["1|2"] * 20), PREPARE, 0, "records read 41",
         "sites kept 43"),
    case("two ALT", typed(TWO_ALTS, "A", "C,G", "0|1", "2|0"), IMPUTE, 0,
         '"multiallelic_records": 1', '"typed_sites": 29'),
    case("an ALT the panel lacks", typed(TWO_ALTS, "A", "G,T", "0|2", "1|0"), IMPUTE, 0,
         '"other_alleles": 1', "genotype has an allele that the panel lacks"),
    case("*", site(NEW, "A", "G,*", ["1|2"] * 20), PREPARE, 0,
         "sites kept 43", "other 1"),
    case("* alone", site(NEW, "A", "*"), PREPARE, 0, "sites kept 42", "other 1"),
    case("*", target(with_record(9, alt="G,*", calls=["1|2", "0|0"])), IMPUTE, 0,
         '"typed_sites": 27', '"other_alleles": 1'),
    case("<NON_REF>", site(NEW, "A", "G,<NON_REF>"), PREPARE, 0,
         '"no ALT allele": 1', "sites kept 42"),
    case("<NON_REF> alone", site(NEW, "A", "<NON_REF>"), PREPARE, 0, '"no ALT allele": 1',
         "sites kept 41"),
    case("<NON_REF>", target(with_record(9, alt="G,<NON_REF>")), IMPUTE, 0, '"typed_sites": 27'),
    case("<NON_REF> alone", target(every(alt="<NON_REF>")), IMPUTE, 1, "t.vcf", "27 records"),
    case("<DEL>", site(NEW, "A", "<DEL>"), PREPARE, 0, "sites kept 42", "other 1"),
    case("<DEL>", typed(10_000, "A", "<DEL>"), IMPUTE, 0, '"only_in_target": 1'),
    case("breakend", site(NEW, "A", "A[20:5["), PREPARE, 0, "sites kept 42", "other 1"),
    case("ALT .", site(NEW, "A", ".", ["0|0"] * 20), PREPARE, 0, '"no ALT allele": 1',
         "sites kept 41"),
    case("ALT .", target(with_record(9, alt=".", calls=["0|0", "0|0"])), IMPUTE, 0,
         '"monomorphic_records": 1', '"typed_sites": 27'),
    case("ALT . where the panel has two sites", typed(TWO_ALTS, "A", ".", "0|0", "0|0"), IMPUTE, 0,
         "no ALT, and the panel has several sites here", '"typed_sites": 27'),
    case("ALT is REF", site(NEW, "A", "A"), PREPARE, 0, '"no ALT allele": 1', "sites kept 41"),
    case("REF .", site(NEW, ".", "G"), PREPARE, 0, "sites kept 42", "other 1"),
    case("insertion", site(NEW, "A", "ACC"), PREPARE, 0, "insertion 1"),
    case("deletion", typed(DELETION, "AT", "A"), IMPUTE, 0, '"typed_sites": 28'),
    case("deletion read backwards", typed(DELETION, "A", "AT"), IMPUTE, 0,
         "indel with swapped alleles", '"typed_sites": 27'),
    case("same position and alleles", site(1_000, "A", "G"), PREPARE, 0,
         '"duplicate position, alleles and ID": 1', "sites kept 41"),
    case("same position and alleles", target(added(("20", 9_999, "A", "G", ["0|1", "0|0"]),
         ("20", 10_000, "A", "G", ["1|1", "1|1"]))), IMPUTE, 0,
         '"repeats an earlier site": 1', '"typed_sites": 27'),
    case("same position, other alleles", site(1_000, "A", "C"), PREPARE, 0, "sites kept 42"),
    case("same position, other alleles", typed(1_000, "A", "C"), IMPUTE, 0,
         '"other alleles than the panel at this position": 1', '"typed_sites": 27'),
    case("split by bcftools norm -m-", target(added(("20", TWO_ALTS, "A", "C", ["0|1", "0|0"]),
         ("20", TWO_ALTS, "A", "G", ["1|0", "0|0"]))), IMPUTE, 0, '"typed_sites": 29'),
    case("REF N", site(NEW, "N", "G"), PREPARE, 0, "sites kept 42"),
    case("REF N", target(with_record(9, ref="N")), IMPUTE, 0,
         '"other alleles than the panel at this position": 1', '"typed_sites": 26'),
    case("REF N everywhere", target(every(ref="N")), IMPUTE, 1,
         "27 of 27 records at positions of the panel have other alleles", "bcftools norm"),
    case("small letters", site(1_000, "a", "g"), PREPARE, 0,
         '"duplicate position, alleles and ID": 1', "sites kept 41"),
    case("small letters", target(every(ref="a", alt="g")), IMPUTE, 0, '"typed_sites": 27'),
]  # fmt: skip
