"""Files that are damaged, cut, of another format, or whose index is not theirs."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pysam

from tests import panels
from tests.bad_input.case import Case
from tests.bad_input.room import (
    NAMES,
    PANEL_NAMES,
    Make,
    Room,
    bgzipped,
    flipped,
    noise,
    panel_records,
    panel_text,
    target_records,
    target_text,
)

END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
SAMPLES = [f"s{n}" for n in range(100)]
TRUNCATED = (
    "truncated or damaged at byte",
    "last BGZF block is missing",
    "Copy or download it again",
)
DAMAGED = ("is damaged", "again")
AGAIN = "bcftools index -f"

PREPARE = "prepare p.vcf.gz"
REGION = "prepare p.vcf.gz --region 20:1-70000"
IMPUTE = "impute t.vcf.gz -o out.vcf.gz --no-network"
IMPUTE_REGION = f"{IMPUTE} --region 20:1000-70000"


@cache
def big() -> tuple[bytes, bytes]:
    """A file of several blocks, and its index."""
    with TemporaryDirectory() as folder:
        path = panels.write_vcf(Path(folder) / "big.vcf.gz", noise(600, 100), SAMPLES)
        return path.read_bytes(), Path(f"{path}.tbi").read_bytes()


@cache
def blocks() -> list[int]:
    """Where the blocks of `big` begin."""
    content, _ = big()
    places = [0]
    while places[-1] < len(content):
        place = places[-1]
        places.append(place + int.from_bytes(content[place + 16 : place + 18], "little") + 1)
    assert len(places) > 4
    return places[:-1]


@cache
def shorter() -> tuple[bytes, bytes]:
    """The first records of `big` as a file of its own, and its index."""
    with TemporaryDirectory() as folder:
        path = panels.write_vcf(Path(folder) / "a.vcf.gz", noise(600, 100)[:200], SAMPLES)
        return path.read_bytes(), Path(f"{path}.tbi").read_bytes()


def damaged(
    change: Callable[[bytes], bytes], *, index: bool | bytes = True, name: str = "p"
) -> Make:
    """`big` with its bytes changed, beside its own index, none, or another."""

    def make(room: Room) -> None:
        content, own = big()
        if name == "t":
            room.panel()
        room.write(f"{name}.vcf.gz", change(content))
        if index:
            room.write(f"{name}.vcf.gz.tbi", own if index is True else index)

    return make


def cut_between_lines(room: Room) -> None:
    """Whole lines and an end are all that is left: nothing in the file tells."""
    bgzipped(panels.vcf_text(panel_records()[:30], PANEL_NAMES), room.folder / "p.vcf.gz")


def bcf(change: Callable[[bytes], bytes], *, index: bool = False) -> Make:
    """`big` as a BCF with its bytes changed after it was indexed."""

    def make(room: Room) -> None:
        path = room.folder / "p.bcf"
        plain = room.vcf(noise(600, 100), SAMPLES, "p.vcf")
        with (
            pysam.VariantFile(str(plain)) as source,
            pysam.VariantFile(str(path), "wb", header=source.header) as sink,
        ):
            for record in source:
                sink.write(record)
        if index:
            pysam.tabix_index(str(path), preset="bcf")
        path.write_bytes(change(path.read_bytes()))
        plain.unlink()

    return make


def small(name: str, *, index: bool) -> Make:
    """A good compressed file."""

    def make(room: Room) -> None:
        if name == "t":
            room.panel()
        records, names = (
            (target_records(), NAMES) if name == "t" else (panel_records(), PANEL_NAMES)
        )
        room.vcf(records, names, f"{name}.vcf.gz", index=index)

    return make


def nothing(room: Room) -> None:
    """No file."""


def folder(room: Room) -> None:
    """A folder in place of the file."""
    (room.folder / "p.vcf").mkdir()


def twice(room: Room) -> None:
    """Two files joined as they are, so that a header stands in the middle."""
    path = bgzipped(panels.vcf_text(panel_records()[:9], PANEL_NAMES), room.folder / "p.vcf.gz")
    path.write_bytes(2 * path.read_bytes())


def older_index(room: Room) -> None:
    """The index is right but carries an older date than the file, as after a copy."""
    import os

    small("p", index=True)(room)
    os.utime(room.folder / "p.vcf.gz.tbi", (1_000_000_000, 1_000_000_000))


def of_another(room: Room) -> None:
    """The index of a file with fewer records."""
    small("t", index=True)(room)
    path = room.vcf(target_records()[:20], NAMES, "x.vcf.gz", index=True)
    Path(f"{path}.tbi").rename(room.folder / "t.vcf.gz.tbi")
    path.unlink()


def middle(content: bytes) -> int:
    """A place inside the third block."""
    return blocks()[2] + 500


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("files", name, make, command, exit_code, message)


CASES = [
    case("no EOF block", damaged(lambda c: c[:-28]), PREPARE, 1, "p.vcf.gz", *TRUNCATED),
    case("no EOF block, region", damaged(lambda c: c[:-28]), REGION, 1, *TRUNCATED),
    case("no EOF block", damaged(lambda c: c[:-28], name="t"), IMPUTE, 1, "t.vcf.gz", *TRUNCATED),
    case("no EOF block", bcf(lambda c: c[:-28]), "prepare p.bcf", 1, "p.bcf", *TRUNCATED),
    case("cut between two blocks", damaged(lambda c: c[: blocks()[2]]), PREPARE, 1, *TRUNCATED),
    case("cut between two blocks", damaged(lambda c: c[: blocks()[2]], name="t"), IMPUTE, 1,
         *TRUNCATED),
    case("cut between two blocks, EOF block put back",
         damaged(lambda c: c[: blocks()[2]] + END), PREPARE, 1,
         "p.vcf.gz ends in the middle of a line", "Copy or download it again"),
    case("cut between two blocks, EOF block put back, no index",
         damaged(lambda c: c[: blocks()[2]] + END, index=False), PREPARE, 1,
         "p.vcf.gz ends in the middle of a line", "Copy or download it again"),
    case("cut between two blocks, EOF block put back, region",
         damaged(lambda c: c[: blocks()[2]] + END), REGION, 1,
         "p.vcf.gz ends in the middle of a line", "Copy or download it again"),
    case("cut between two blocks, EOF block put back",
         damaged(lambda c: c[: blocks()[2]] + END, name="t"), IMPUTE, 1,
         "t.vcf.gz ends in the middle of a line", "Copy or download it again"),
    case("cut between two lines, no index: nobody can tell", cut_between_lines, PREPARE, 0,
         "sites kept"),
    case("a block taken out of the middle", damaged(lambda c: c[: blocks()[1]] + c[blocks()[2] :]),
         PREPARE, 1, "p.vcf.gz", "again"),
    case("a block taken out of the middle, region",
         damaged(lambda c: c[: blocks()[1]] + c[blocks()[2] :]), REGION, 1, "p.vcf.gz", "again"),
    case("cut inside a block", damaged(lambda c: c[: middle(c)]), PREPARE, 1, *TRUNCATED),
    case("cut inside a block, region", damaged(lambda c: c[: middle(c)]), REGION, 1, *TRUNCATED),
    case("cut inside a block", damaged(lambda c: c[: middle(c)], name="t"), IMPUTE, 1, *TRUNCATED),
    case("cut inside the header", damaged(lambda c: c[:150]), PREPARE, 1, "p.vcf.gz cannot be read",
         "Copy or download it again"),
    case("a flipped byte", damaged(lambda c: flipped(c, middle(c))), PREPARE, 1, "p.vcf.gz",
         *DAMAGED),
    case("a flipped byte, no index", damaged(lambda c: flipped(c, middle(c)), index=False), PREPARE,
         1, "p.vcf.gz", *DAMAGED),
    case("a flipped byte, region", damaged(lambda c: flipped(c, middle(c))), REGION, 1,
         "p.vcf.gz is damaged in 20:1-70000", "again"),
    case("a flipped byte", damaged(lambda c: flipped(c, middle(c)), name="t"), IMPUTE, 1,
         "t.vcf.gz", *DAMAGED),
    case("a flipped byte, region", damaged(lambda c: flipped(c, middle(c)), name="t"),
         IMPUTE_REGION, 1, "t.vcf.gz", *DAMAGED),
    case("a flipped byte", bcf(lambda c: flipped(c, len(c) // 2)), "prepare p.bcf", 1, "p.bcf",
         *DAMAGED),
    case("a flipped byte, region", bcf(lambda c: flipped(c, len(c) // 2), index=True),
         "prepare p.bcf --region 20:1-70000", 1, "p.bcf", *DAMAGED),
    case("a flipped byte in the header", damaged(lambda c: flipped(c, 60)), PREPARE, 1,
         "p.vcf.gz cannot be read", "Copy or download it again"),
    case("bytes behind the end", damaged(lambda c: c + b"\0" * 9), PREPARE, 1, *TRUNCATED),
    case("two files joined as they are", twice, PREPARE, 1, "p.vcf.gz: line 10 of the records",
         "is not a record", "bcftools concat"),
    case("plain gzip", panel_text(lambda t: gzip.compress(t.encode()), "p.vcf.gz"), PREPARE, 1,
         "p.vcf.gz is compressed with gzip", "zcat p.vcf.gz | bgzip"),
    case("plain gzip", target_text(lambda t: gzip.compress(t.encode()), "t.vcf.gz"), IMPUTE, 1,
         "t.vcf.gz is compressed with gzip", "zcat t.vcf.gz | bgzip"),
    case("text under a name of bgzip", panel_text(str, "p.vcf.gz"), PREPARE, 0, "sites kept"),
    case("empty file", panel_text(lambda t: ""), "prepare p.vcf", 1, "p.vcf is empty. Give a"),
    case("empty file", target_text(lambda t: ""), IMPUTE.replace(".gz -o", " -o"), 1,
         "t.vcf is empty. Give a"),
    case("an end and nothing before it", panel_text(lambda t: END, "p.vcf.gz"), PREPARE, 1,
         "p.vcf.gz", "Give a .vcf"),
    case("not a VCF", panel_text(lambda t: "hello\n"), "prepare p.vcf", 1,
         "p.vcf is not a VCF or BCF file"),
    case("not a VCF", target_text(lambda t: "PK\3\4\0\0"), IMPUTE.replace(".gz -o", " -o"), 1,
         "t.vcf is not a VCF or BCF file"),
    case("a VCF without its line of columns", panel_text(lambda t: "##fileformat=VCFv4.2\n"),
         "prepare p.vcf", 1, "#CHROM header line is missing"),
    case("a folder", folder, "prepare p.vcf", 1, "p.vcf is a folder. Give a"),
    case("no such file", nothing, "prepare p.vcf", 1, "p.vcf does not exist"),
    case("no such file", lambda room: room.panel() and None,
         "impute t.vcf -o out.vcf.gz --no-network",
         1, "t.vcf does not exist"),
    case("no such file and no panel", nothing, "impute t.vcf -o out.vcf.gz --no-network", 1,
         "No store at work/panel.zarr", "vcfbert prepare PANEL"),
    case("a last line without its newline", panel_text(lambda t: t[:-1]), "prepare p.vcf", 0,
         "p.vcf does not end with a newline. Its last line is whole", "sites kept 41"),
    case("a last line without its newline", target_text(lambda t: t[:-1]),
         IMPUTE.replace(".gz", "", 1), 0, "t.vcf does not end with a newline", "typed 27"),
    case("a last line without its newline", target_text(lambda t: t[:-1]),
         "phase t.vcf -o o.vcf.gz", 0, "t.vcf does not end with a newline"),
    case("a last line without half of its last genotype", target_text(lambda t: t[:-3]),
         IMPUTE.replace(".gz", "", 1), 1, "t.vcf ends in the middle of a line", "echo >> t.vcf"),
    case("a last line without its end", panel_text(lambda t: t[:-7]), "prepare p.vcf", 1,
         "p.vcf ends in the middle of a line", "Copy or download it again"),
    case("index missing, region", small("p", index=False), "prepare p.vcf.gz --region 20:1-9000", 1,
         "p.vcf.gz has no index, which --region needs", "tabix -p vcf p.vcf.gz"),
    case("index missing, region", small("t", index=False), f"{IMPUTE} --region 20:1000-30000", 0,
         '"region": "20:1000-30000"'),
    case("region of a text file", panel_text(str), "prepare p.vcf --region 20:1-9000", 1,
         "p.vcf is not compressed", "bgzip p.vcf && tabix -p vcf p.vcf.gz"),
    case("stale index", damaged(bytes, index=shorter()[1]), PREPARE, 1,
         "p.vcf.gz.tbi was made from another version of p.vcf.gz", AGAIN),
    case("stale index, region", damaged(bytes, index=shorter()[1]), REGION, 1,
         "p.vcf.gz.tbi was made from another version of p.vcf.gz", AGAIN),
    case("stale index, region", damaged(bytes, index=shorter()[1], name="t"), IMPUTE_REGION, 1,
         "t.vcf.gz.tbi was made from another version of t.vcf.gz", AGAIN),
    case("another file's index", of_another, IMPUTE, 1,
         "27 records were read, but its index counts 20", AGAIN),
    case("cut index", damaged(bytes, index=big()[1][:60]), PREPARE, 1, "p.vcf.gz.tbi is damaged",
         AGAIN),
    case("cut index, region", damaged(bytes, index=big()[1][:60]), REGION, 1,
         "p.vcf.gz.tbi is damaged", AGAIN),
    case("an index that is none", damaged(bytes, index=b"hello"), PREPARE, 1,
         "p.vcf.gz.tbi is damaged", AGAIN),
    case("an index that is none, region", damaged(bytes, index=gzip.compress(b"hello")), REGION, 1,
         "p.vcf.gz.tbi is damaged", AGAIN),
    case("an index with an older date than its file", older_index,
         "prepare p.vcf.gz --region 20:1-9000", 0, "sites kept 9"),
]  # fmt: skip
