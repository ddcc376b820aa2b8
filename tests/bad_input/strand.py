"""Targets with strand flips or swapped alleles."""

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


def also(place: int, ref: str, alt: str, *, swapped: bool = False) -> Make:
    """One more record; all others as in the panel, or with swapped alleles."""

    def change(records: list[Record]) -> list[Record]:
        if swapped:
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


def case(name: str, make: Make, exit_code: int, *message: str, option: str = "") -> Case:
    return Case("strand", name, make, IMPUTE + option, exit_code, message)


CASES = [
    case("all strand flips", target(every(ref="T", alt="C")), 0, '"flips_repaired": 27',
         '"flip_rate": 1.0', '"typed_sites": 27', "strand flips; repaired"),
    case("all strand flips and swapped", target(every(ref="C", alt="T")), 0,
         '"flips_repaired": 27', '"swap_rate": 1.0'),
    case("all strand flips, to be left out", target(every(ref="T", alt="C")), 1,
         "t.vcf: 27 of 27 sites that show the strand",
         "20:1000, has T/C, but the panel has A/G",
         "--strand fix, or put", "bcftools +fixref t.vcf", option=" --strand drop"),
    case("one strand flip", target(with_record(9, ref="T", alt="C")), 0,
         '"flips_repaired": 1', '"typed_sites": 27', "strand flip; repaired"),
    case("one strand flip, to be left out", target(with_record(9, ref="T", alt="C")), 0,
         '"strand flip": 1', '"typed_sites": 26', "strand flip; dropped",
         option=" --strand drop"),
    case("one strand flip as an error", target(with_record(9, ref="T", alt="C")), 1,
         "t.vcf: 1 of 27 sites that show the strand", "has T/C, but the panel has A/G",
         "--strand fix, leave them out with --strand drop", option=" --strand error"),
    case("one strand flip and swapped", target(with_record(9, ref="C", alt="T")), 0,
         '"flips_repaired": 1', '"swapped_sites": 1'),
    case("one strand flip and swapped, to be left out",
         target(with_record(9, ref="C", alt="T")), 0,
         '"strand flip with swapped alleles": 1', '"typed_sites": 26', option=" --strand drop"),
    case("one swapped", target(with_record(9, ref="G", alt="A")), 0, '"swapped_sites": 1',
         "site has swapped alleles"),
    case("all swapped", target(every(ref="G", alt="A")), 0, '"swapped_sites": 27'),
    case("A/T as in the panel", also(AMBIGUOUS, "A", "T"), 0, '"palindromic_sites": 1',
         '"typed_sites": 28'),
    case("A/T swapped, nothing else is", also(AMBIGUOUS, "T", "A"), 0,
         '"palindromic_flips_repaired": 1', '"typed_sites": 28'),
    case("A/T swapped, as everything is", also(AMBIGUOUS, "T", "A", swapped=True), 0,
         '"swapped_sites": 28', '"typed_sites": 28'),
    case("C/G swapped, nothing else is", also(AMBIGUOUS_TOO, "G", "C"), 0,
         '"palindromic_flips_repaired": 1'),
    case("A/T with the other strand's frequency", many, 0, '"suspicious_sites": 1',
         "fits the other strand better"),
]  # fmt: skip
