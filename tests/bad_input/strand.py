"""Targets whose alleles are of the other strand or exchanged."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import (
    AMBIGUOUS,
    AMBIGUOUS_TOO,
    Make,
    Room,
    added,
    every,
    target,
    with_record,
)
from tests.panels import Record

IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"


def also(place: int, ref: str, alt: str, *, exchanged: bool = False) -> Make:
    """One more record; all others as they should be, or with REF and ALT exchanged."""

    def change(records: list[Record]) -> list[Record]:
        if exchanged:
            records = every(ref="G", alt="A")(records)
        return added(("20", place, ref, alt, ["0|1", "0|0"]))(records)

    return target(change)


def many(room: Room) -> None:
    """Enough samples that a frequency says something; everyone carries what one in ten should."""
    samples = 60

    def change(records: list[Record]) -> list[Record]:
        wide = [(*record[:4], ["0|1"] * samples) for record in records]
        return added(("20", AMBIGUOUS, "A", "T", ["1|1"] * samples))(wide)

    target(change, [f"t{n}" for n in range(samples)])(room)


def case(name: str, make: Make, exit_code: int, *message: str) -> Case:
    return Case("strand", name, make, IMPUTE, exit_code, message)


CASES = [
    case("all of the other strand", target(every(ref="T", alt="C")), 1,
         "t.vcf: 27 of 27 sites that can tell the strand",
         "20:1000, has T/C where the panel has A/G",
         "bcftools +fixref t.vcf"),
    case("all of the other strand and exchanged", target(every(ref="C", alt="T")), 1,
         "t.vcf: 27 of 27 sites that can tell the strand", "bcftools +fixref"),
    case("one of the other strand", target(with_record(9, ref="T", alt="C")), 0,
         '"alleles of the other strand": 1', '"typed_sites": 26', "other strand; left out"),
    case("one of the other strand and exchanged", target(with_record(9, ref="C", alt="T")), 0,
         '"alleles of the other strand, REF and ALT exchanged": 1', '"typed_sites": 26'),
    case("one exchanged", target(with_record(9, ref="G", alt="A")), 0, '"swapped_sites": 1',
         "exchanged against the panel; repaired"),
    case("all exchanged", target(every(ref="G", alt="A")), 0, '"swapped_sites": 27'),
    case("A/T as in the panel", also(AMBIGUOUS, "A", "T"), 0, '"ambiguous_sites": 1',
         '"typed_sites": 28'),
    case("A/T exchanged, nothing else is", also(AMBIGUOUS, "T", "A"), 0,
         '"A/T or C/G, REF and ALT exchanged or of the other strand": 1', '"typed_sites": 27'),
    case("A/T exchanged, as everything is", also(AMBIGUOUS, "T", "A", exchanged=True), 0,
         '"swapped_sites": 28', '"typed_sites": 28'),
    case("C/G exchanged, nothing else is", also(AMBIGUOUS_TOO, "G", "C"), 0,
         '"A/T or C/G, REF and ALT exchanged or of the other strand": 1'),
    case("A/T with the other strand's frequency", many, 0, '"suspicious_sites": 1',
         "fits the other strand better"),
]  # fmt: skip
