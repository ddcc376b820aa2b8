"""Text in another encoding, with other ends of lines, or without end."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from tests import panels
from tests.bad_input.case import Case
from tests.bad_input.home import samples_text
from tests.bad_input.room import (
    NAMES,
    Make,
    Room,
    bgzipped,
    panel,
    panel_text,
    target,
    target_records,
    target_text,
)

PREPARE = "prepare p.vcf"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
BOM = b"\xef\xbb\xbf"
MAP = "20 . 0 1\n20 . 1 1000000\n"


def latin(text: str) -> bytes:
    """A line of the header in Latin-1."""
    return text.replace("##FILTER", "##lab=Universit\xe4t\n##FILTER", 1).encode("latin-1")


def latin_name(text: str) -> bytes:
    """Names of samples in Latin-1."""
    return text.replace("\ts1\t", "\tM\xfcller\t").replace("\tt1", "\tM\xfcller").encode("latin-1")


def latin_info(text: str) -> bytes:
    return text.replace("rs3\t", "rs3\xe9\t").encode("latin-1")


def latin_alt(text: str) -> bytes:
    return text.replace("rs3\tA\tG", "rs3\tA\t<d\xe9l>").encode("latin-1")


def latin_contig(text: str) -> bytes:
    return text.replace("\n20\t", "\n20\xe9\t").encode("latin-1")


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def wide_info(text: str) -> str:
    """Records of three megabytes."""
    return text.replace("PASS\t.\tGT", "PASS\tX=" + "y" * 3_000_000 + "\tGT", 2)


def wide_header(text: str) -> str:
    return text.replace("##FILTER", "##note=" + "x" * 3_000_000 + "\n##FILTER", 1)


def zipped(edit: Callable[[str], str | bytes]) -> Make:
    """The same, compressed and indexed."""

    def make(room: Room) -> None:
        room.panel()
        text = edit(panels.vcf_text(target_records(), NAMES))
        bgzipped(text, room.folder / "t.vcf.gz", index=True)

    return make


def beside(name: str, content: bytes) -> Make:
    """The panel beside another file."""

    def make(room: Room) -> None:
        panel()(room)
        room.write(name, content)

    return make


def listed(content: bytes) -> Make:
    """The target beside a list of sites."""

    def make(room: Room) -> None:
        target()(room)
        room.write("s.tsv", content)

    return make


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("encodings", name, make, command, exit_code, message)


CASES = [
    case("header in Latin-1", panel_text(latin), PREPARE, 0, "sites kept 41"),
    case("header in Latin-1", target_text(latin), IMPUTE, 0, '"typed_sites": 27'),
    case("header in Latin-1, region", zipped(latin),
         "impute t.vcf.gz -o out.vcf.gz --no-network --region 20:1-9000", 0, '"region"'),
    case("name of a sample in Latin-1", panel_text(latin_name), PREPARE, 1, "p.vcf",
         "not UTF-8", "bcftools reheader -s"),
    case("name of a sample in Latin-1", target_text(latin_name), IMPUTE, 1, "t.vcf",
         "not UTF-8", "bcftools reheader -s"),
    case("name of a sample in UTF-8", target(names=["Müller", "Øre"]), IMPUTE, 0, '"target": 2'),
    case("identifier in Latin-1", panel_text(latin_info), PREPARE, 0, "sites kept 41"),
    case("identifier in Latin-1", target_text(latin_info), IMPUTE, 0, '"typed_sites": 27'),
    case("ALT in Latin-1", panel_text(latin_alt), PREPARE, 1,
         "p.vcf: record 3, at position 3000, has bytes that are not UTF-8", "iconv"),
    case("contig in Latin-1", target_text(latin_contig), IMPUTE, 1,
         "t.vcf: the contig b'20\\xe9' is not UTF-8",
         "copy or download it again"),
    case("UTF-16", panel_text(lambda t: t.encode("utf-16")), PREPARE, 1,
         "p.vcf is not a VCF or BCF"),
    case("byte order mark", panel_text(lambda t: BOM + t.encode()), PREPARE, 1,
         "p.vcf begins with a byte order mark", "sed"),
    case("CRLF", panel_text(crlf), PREPARE, 0, "sites kept 41", "samples kept 20"),
    case("CRLF", target_text(crlf), IMPUTE, 0, '"typed_sites": 27'),
    case("CRLF, compressed", zipped(crlf), "impute t.vcf.gz -o out.vcf.gz --no-network", 0,
         '"typed_sites": 27'),
    case("a NUL byte in a record", panel_text(lambda t: t.replace("rs3", "r\0s3")), PREPARE, 1,
         "p.vcf"),
    case("very long lines", panel_text(wide_info), PREPARE, 0, "sites kept 41"),
    case("very long lines", target_text(wide_info), IMPUTE, 0, '"typed_sites": 27'),
    case("very long line in the header", panel_text(wide_header), PREPARE, 0, "sites kept 41"),
    case("a line without end and nothing else", panel_text(lambda t: "##" + "x" * 3_000_000),
         PREPARE, 1, "p.vcf"),
    case("sample table with byte order mark and CRLF",
         beside("s.tsv", BOM + crlf(samples_text()).encode()), f"{PREPARE} --samples s.tsv", 0,
         "samples kept 20"),
    case("sample table in Latin-1", beside("s.tsv", "sample\ns1\xe9\n".encode("latin-1")),
         f"{PREPARE} --samples s.tsv", 1, "s.tsv is not a text file", "UTF-8"),
    case("sample table in UTF-16", beside("s.tsv", samples_text().encode("utf-16")),
         f"{PREPARE} --samples s.tsv", 1, "s.tsv is not a text file", "UTF-8"),
    case("map with byte order mark and CRLF", beside("m.map", BOM + crlf(MAP).encode()),
         f"{PREPARE} --map m.map", 0, "genetic map m.map"),
    case("map that is compressed", beside("m.map", gzip.compress(MAP.encode())),
         f"{PREPARE} --map m.map", 0, "genetic map m.map"),
    case("map that is compressed and damaged", beside("m.map", b"\x1f\x8b\x08\0\xff"),
         f"{PREPARE} --map m.map", 1, "m.map is not a table of this kind",
         "compressed, but damaged"),
    case("windows with byte order mark and CRLF",
         beside("w.csv", BOM + b"20,1,20000\r\n20,20001,40000\r\n"), f"{PREPARE} --windows w.csv",
         0,
         "windows 2"),
    case("list of sites with byte order mark and CRLF", listed(BOM + b"20\t2000\r\n20\t3000\r\n"),
         f"{IMPUTE} --sites s.tsv", 0, '"written": 2'),
    case("list of sites that is compressed", listed(gzip.compress(b"20\t2000\n20\t3000\n")),
         f"{IMPUTE} --sites s.tsv", 0, '"written": 2'),
    case("list of sites that is compressed and damaged", listed(b"\x1f\x8b\x08\0\xff"),
         f"{IMPUTE} --sites s.tsv", 1, "s.tsv is not a site list", "compressed, but damaged"),
]  # fmt: skip
