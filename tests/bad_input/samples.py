"""Samples who are there twice, not at all, alone, or in the panel already."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests import panels
from tests.bad_input.case import Case
from tests.bad_input.home import samples_text
from tests.bad_input.room import PANEL_NAMES, Make, Room, panel, panel_text, target, target_text
from tests.panels import Record

PREPARE = "prepare p.vcf"
TABLE = f"{PREPARE} --samples s.tsv"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
FEW = "--set model.width=16 --set model.num_layers=1 --set retrieval.num_neighbours=6"


def samples(count: int) -> Make:
    """A panel of the first samples."""
    return panel(lambda records: [(*r[:4], r[4][:count]) for r in records], PANEL_NAMES[:count])


def target_and(more: Callable[[Room], object]) -> Make:
    """A valid target, and another file."""

    def make(room: Room) -> None:
        target()(room)
        more(room)

    return make


def with_table(text: str) -> Make:
    """The panel beside a sample table."""

    def make(room: Room) -> None:
        panel()(room)
        room.write("s.tsv", text)

    return make


def sites_only(text: str) -> str:
    lines = [line.split("\t") for line in text.splitlines()]
    return "".join("\t".join(x[:8] if len(x) > 8 else x) + "\n" for x in lines)


def one_sample(records: list[Record]) -> list[Record]:
    return [(*record[:4], record[4][:1]) for record in records]


def split_without(code: str, name: str = "work") -> Make:
    """A prepared panel that has nobody of a split."""

    def make(room: Room) -> None:
        room.work()
        before = panels.split_of
        panels.split_of = lambda count: np.where(before(count) == _CODES[code], 0, before(count))
        try:
            panels.write_small_panel(
                room.folder / name / "panel.zarr",
                num_samples=20,
                num_sites=41,
                length=16,
                overwrite=True,
            )
        finally:
            panels.split_of = before

    return make


_CODES = {"validation": 1, "test": 2}


def only_oneself(room: Room) -> None:
    """A panel of the one sample who is to be imputed."""
    panels.write_small_panel(room.folder / "work" / "panel.zarr", num_samples=1, num_sites=41)
    records = [("20", 1000 * n, "A", "G", ["0|1"]) for n in range(1, 30)]
    room.vcf(records, ["s0"], "t.vcf")


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("samples", name, make, command, exit_code, message)


CASES = [
    case("a name twice", panel_text(lambda t: t.replace("s1\t", "s0\t")), PREPARE, 1,
         "p.vcf has two samples named s0", "bcftools reheader -s"),
    case("a name twice", target(names=["t0", "t0"]), IMPUTE, 1, "t.vcf has two samples named t0",
         "bcftools reheader -s"),
    case("an empty name", panel_text(lambda t: t.replace("\ts1\t", "\t\t")), PREPARE, 1, "p.vcf",
         "has no name", "bcftools reheader -s"),
    case("nobody", panel_text(sites_only), PREPARE, 1, "p.vcf has no samples",
         "Genotypes (GT) of samples are needed"),
    case("nobody", target_text(sites_only), IMPUTE, 1, "t.vcf has no samples",
         "Genotypes (GT) of samples are needed"),
    case("one sample", target(one_sample, ["t0"]), IMPUTE, 0, '"target": 1', '"typed_sites": 27'),
    case("one sample", samples(1), PREPARE, 0, "samples kept 1", "train 1"),
    case("three samples", samples(3), PREPARE, 0, "samples kept 3"),
    case("a target of samples in the panel", target(names=["s5", "s6"]), IMPUTE, 0,
         '"in_panel": [ "s5", "s6" ]', "are also in the panel and are not imputed from"),
    case("a panel of oneself", only_oneself, IMPUTE, 1, "contains only s0",
         "Prepare a panel of other samples"),
    case("excluded samples of the panel", target(), f"{IMPUTE} --exclude-samples s0,s3", 0,
         '"excluded": { "samples": [ "s0", "s3" ]', '"panel": 18'),
    case("an excluded sample that the panel lacks", target(),
         f"{IMPUTE} --exclude-samples s0,x1,x2", 1,
         "--exclude-samples: work/panel.zarr has no sample x1, x2.", "--force-samples"),
    case("phase, an excluded sample that the panel lacks", target(),
         "phase t.vcf -o out.vcf.gz --exclude-samples x1", 1, "has no sample x1.",
         "--force-samples"),
    case("an excluded sample that the panel lacks, ignored", target(),
         f"{IMPUTE} --exclude-samples s0,x1 --force-samples", 0,
         "1 excluded sample is not in the panel: x1.", '"panel": 19'),
    case("a list of excluded samples that does not exist", target(),
         f"{IMPUTE} --exclude-samples out.txt", 1, "has no sample out.txt.",
         "(or the path, if a file is meant)"),
    case("all samples are excluded", target(),
         f"{IMPUTE} --exclude-samples {','.join(PANEL_NAMES)}", 1,
         "--exclude-samples leaves no sample of work/panel.zarr"),
    case("no sample is excluded", target(), f"{IMPUTE} --exclude-samples ,", 1,
         "names no samples"),
    case("a list of excluded samples that is not text",
         target_and(lambda room: room.write("x.txt", b"\xff\xfe\x00")),
         f"{IMPUTE} --exclude-samples x.txt", 1, "x.txt cannot be read as a list of samples"),
    case("a table of other samples", with_table("sample\nx1\nx2\n"), TABLE, 1,
         "s.tsv names none of the 20 samples of p.vcf", "Give the table of this panel"),
    case("a table of some samples",
         with_table(samples_text().replace("s19\t", "x\t")), TABLE, 0,
         "samples not in the table 1", "1 sample of the table is not in the panel"),
    case("nobody trains", with_table(samples_text().replace("train", "test")), TABLE, 1,
         "No sample of p.vcf is left to train on", "sample table"),
    case("nobody validates", split_without("validation"),
         f"train --preset tiny {FEW} --force --run x", 1, "no validation samples",
         "--validation-fraction above 0"),
    case("nobody is tested", split_without("test", "other"),
         "eval --run tiny --panel other", 1, "has no test samples",
         "--test-fraction above 0"),
    case("an odd number of references", lambda room: room.work() and None,
         "build-index --max-references 7 --force", 1, "even number", "got 7"),
    case("more references than there are", lambda room: room.work() and None,
         "build-index --max-references 800 --force", 1, "even number from 2 to 32",
         "got 800"),
]  # fmt: skip
