"""Parts and plans of `impute` that are missing, damaged, or do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import Case
from tests.bad_input.room import Make, Room, flipped, target
from vcfbert.files import digests
from vcfbert.pipelines.imputing import impute, separate_parts
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.parts import parts_folder
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
PART = "impute-part --plan plan.json --part"
JOIN = "impute-join --plan plan.json"
NOTHING = Silent()

plain = target(lambda records: records)


def planned(change: Callable[[Room], None] = lambda room: None, *, is_done: bool = False) -> Make:
    """A plan of one part, which may be finished; then something is changed."""

    def make(room: Room) -> None:
        plain(room)
        plan = separate_parts.plan(
            Workspace(room.folder / "work"), room.folder / "t.vcf", room.folder / "out.vcf.gz",
            ImputeOptions(no_network=True, threads=1), room.folder / "plan.json", progress=NOTHING,
        ).plan  # fmt: skip
        if is_done:
            separate_parts.run_part(plan, 1, NOTHING)
        change(room)

    return make


def part_of(room: Room) -> Path:
    """The only part."""
    return parts_folder.entries(room.folder / "out.parts")[0].path


def with_other_part(room: Room) -> None:
    """A part with another seed is in the folder of the output."""
    plain(room)
    options = ImputeOptions(no_network=True, threads=1, seed=5, keep_parts=True)
    out = room.folder / "other.vcf.gz"
    home = Workspace(room.folder / "work")
    impute.impute(home, room.folder / "t.vcf", out, options, progress=NOTHING)
    (room.folder / "other.parts").rename(room.folder / "out.parts")


def other_version(room: Room) -> None:
    """The plan of an earlier vcfbert."""
    path = room.folder / "plan.json"
    record = digests.opened_json(path.read_bytes())
    record["made"]["version"] = "0.0.1"
    path.write_bytes(digests.sealed_json(record))


def other_target(room: Room) -> None:
    """A genotype of the target was changed after the plan."""
    path = room.folder / "t.vcf"
    text = path.read_text()
    path.write_text(text[: text.rindex("0")] + "1" + text[text.rindex("0") + 1 :])


def damaged(room: Room) -> None:
    content = part_of(room).read_bytes()
    part_of(room).write_bytes(flipped(content, len(content) // 2))


def of_another_plan(room: Room) -> None:
    """A part of another plan, renamed to look like one of this plan."""
    path = part_of(room)
    content = path.read_bytes()
    end = int(content[-16:])
    footer = json.loads(content[-16 - end : -16]) | {"key": "0" * 64}
    del footer["sha256"]
    sealed = digests.sealed_json(footer, indent=None)
    path.write_bytes(content[: -16 - end] + sealed + f"{len(sealed):016}".encode())


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("parts", name, make, command, exit_code, message)


CASES = [
    case("memory that is not a size", plain, f"{IMPUTE} --memory much", 1,
         "--memory must be a size such as 4G", "'much'"),
    case("a memory of 0", plain, f"{IMPUTE} --memory 0G", 1, "--memory must be a size such as 4G"),
    case("too little memory", plain, f"{IMPUTE} --memory 1M", 1, "--memory 1 MB is not enough",
         "Give more memory"),
    case("parts in a file", plain, f"{IMPUTE} --parts t.vcf", 1, "Cannot write t.vcf"),
    case("parts of another option", with_other_part, IMPUTE, 0,
         "1 part in out.parts was made from something else (--seed differ) and is not used",
         "vcfbert parts out.parts --clean"),
    case("no folder", plain, "parts out.parts", 1, "There is no folder out.parts"),
    case("no parts in a folder", plain, "parts work", 0, "work has no parts"),
    case("no parts to remove", plain, "parts work --clean", 0,
         "0 parts removed from work"),
    case("no plan", plain, f"{PART} 1", 1, "There is no plan plan.json", "vcfbert impute plan"),
    case("no plan to write", plain, "impute plan t.vcf -o out.vcf.gz", 2),
    case("a file that is not a plan", target(lambda r: r), "impute-part --plan t.vcf --part 1", 1,
         "t.vcf is not a whole plan of vcfbert impute"),
    case("a plan of another version", planned(other_version), f"{PART} 1", 1,
         "plan.json was made by vcfbert 0.0.1, and this is"),
    case("a plan of another target", planned(other_target), f"{PART} 1", 1,
         "made from something else: target changed since"),
    case("a plan without its panel", planned(lambda room: (room.folder / "work").rename(
        room.folder / "away") and None), f"{PART} 1", 1, "Make one with: vcfbert prepare"),
    case("a part that the plan lacks", planned(), f"{PART} 2", 1, "--part must be from 1 to 1"),
    case("no part is finished", planned(), JOIN, 1, "1 of 1 part is not finished",
         "vcfbert impute part --plan plan.json --part 1"),
    case("a damaged part", planned(damaged, is_done=True), JOIN, 1,
         "1 of 1 part is not finished"),
    case("an empty part", planned(lambda room: part_of(room).write_bytes(b"") and None,
                                  is_done=True), JOIN, 1, "1 of 1 part is not finished"),
    case("a part of another plan", planned(of_another_plan, is_done=True), JOIN, 1,
         "1 of 1 part is not finished"),
    case("a finished part", planned(is_done=True), f"{PART} 1", 0, "part 1 was finished before"),
    case("a plan that already exists", planned(), f"{IMPUTE} --plan plan.json", 1,
         "plan.json already exists"),
]  # fmt: skip
