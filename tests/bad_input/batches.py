"""Files for `merge` that do not fit together, are damaged or are of another program."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pysam

from tests import batches
from tests.bad_input.case import Case
from tests.bad_input.room import Make, Room, bgzipped, flipped

MERGE = "merge a.vcf.gz b.vcf.gz -o out.vcf.gz"
NAMES_OF_A, NAMES_OF_B = ["a0", "a1"], ["b0", "b1", "b2"]
SITE_9 = "20\t9000\t"


@cache
def texts() -> tuple[str, str]:
    """Two files that fit together."""
    alt = batches.eighths(5)
    with TemporaryDirectory() as folder:
        a = batches.write_batch(Path(folder) / "a.vcf.gz", alt[:, :2], NAMES_OF_A)
        b = batches.write_batch(Path(folder) / "b.vcf.gz", alt[:, 2:], NAMES_OF_B)
        return batches.text_of(a), batches.text_of(b)


def other(edit: Callable[[str], str] = lambda text: text, suffix: str = "vcf.gz") -> Make:
    """The second file is changed."""

    def make(room: Room) -> None:
        one, two = texts()
        bgzipped(one, room.folder / "a.vcf.gz")
        if suffix == "vcf":
            room.write("b.vcf", edit(two))
        else:
            bgzipped(edit(two), room.folder / "b.vcf.gz")

    return make


def both(edit: Callable[[str], str]) -> Make:
    """Both files are changed in the same way."""

    def make(room: Room) -> None:
        for name, text in zip("ab", texts(), strict=True):
            bgzipped(edit(text), room.folder / f"{name}.vcf.gz")

    return make


def bytes_of_b(edit: Callable[[bytes], bytes]) -> Make:
    """The bytes of the second, long file are changed."""

    def make(room: Room) -> None:
        rng = np.random.default_rng(1)
        alt = np.round(rng.random((2000, 10, 2)), 3).astype(np.float32)
        for name, part in (("a", alt[:, :5]), ("b", alt[:, 5:])):
            path = room.folder / f"{name}.vcf.gz"
            batches.write_batch(path, part, [f"{name}{n}" for n in range(5)])
            (room.folder / f"{name}.vcf.gz.tbi").unlink()
        path.write_bytes(edit(path.read_bytes()))

    return make


def replaced(old: str, new: str, count: int = -1) -> Callable[[str], str]:
    """Replace a text that must be there."""

    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return edit


def without_lines(start: str) -> Callable[[str], str]:
    """The lines that begin like this are removed."""

    def edit(text: str) -> str:
        lines = text.splitlines(keepends=True)
        assert any(line.startswith(start) for line in lines)
        return "".join(line for line in lines if not line.startswith(start))

    return edit


def swapped_lines(text: str) -> str:
    """The last two records change places."""
    *rest, first, second = text.splitlines(keepends=True)
    return "".join((*rest, second, first))


def only_gt(text: str) -> str:
    """No field but GT in the records."""
    lines = []
    for line in text.splitlines():
        columns = line.split("\t")
        if line[0] != "#":
            columns[8:] = [column.split(":")[0] for column in columns[8:]]
        lines.append("\t".join(columns))
    return "".join(f"{line}\n" for line in lines)


def one_cell_less(text: str) -> str:
    """The last record lacks its last sample."""
    return text.rstrip("\n").rpartition("\t")[0] + "\n"


def as_bcf(room: Room) -> None:
    """The second file as BCF."""
    other()(room)
    pysam.set_verbosity(0)
    with pysam.VariantFile(str(room.folder / "b.vcf.gz")) as source:
        with pysam.VariantFile(str(room.folder / "b.bcf"), "wb", header=source.header) as sink:
            for record in source:
                sink.write(record)


def truncated_bcf(room: Room) -> None:
    """A BCF without its end."""
    as_bcf(room)
    path = room.folder / "b.bcf"
    path.write_bytes(path.read_bytes()[:-40])


def listed(text: str) -> Make:
    """Good files, and a list."""

    def make(room: Room) -> None:
        other()(room)
        room.write("files.txt", text)

    return make


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("batches", name, make, command, exit_code, message)


COPY = "Copy or download"
NOT_OURS = "is not the output of vcfbert impute, Minimac4 or Beagle"

CASES = [
    case("good files", other(), MERGE, 0, "samples 5", "merged file out.vcf.gz"),
    case("a file that is not compressed", other(suffix="vcf"),
         "merge a.vcf.gz b.vcf -o out.vcf.gz", 0, "merged file"),
    case("a BCF", as_bcf, "merge a.vcf.gz b.bcf -o out.bcf", 0, "merged file"),
    case("one file", other(), "merge a.vcf.gz -o out.vcf.gz", 0, "merged file"),
    case("Windows line ends",
         other(lambda text: text.replace("\n", "\r\n"), suffix="vcf"),
         "merge a.vcf.gz b.vcf -o out.vcf.gz", 0, "merged file"),
    case("a list with an empty line", listed("a.vcf.gz\n\nb.vcf.gz\n"),
         "merge --list files.txt -o out.vcf.gz", 0, "merged file"),
    case("a sample in two files", other(replaced("b1", "a1", 1)), MERGE, 1,
         "1 sample name is in two files: a1; a1 is in a.vcf.gz and b.vcf.gz",
         "bcftools reheader -s"),
    case("the same file twice", other(), "merge a.vcf.gz a.vcf.gz -o out.vcf.gz", 1,
         "a.vcf.gz is given twice"),
    case("the output is an input", other(), "merge a.vcf.gz b.vcf.gz -o b.vcf.gz --force", 1,
         "b.vcf.gz is one of the files"),
    case("the output exists", other(), "merge a.vcf.gz -o b.vcf.gz", 1, "b.vcf.gz already exists"),
    case("no file", other(), "merge -o out.vcf.gz", 1, "There are no files to merge"),
    case("a file that does not exist", other(), "merge a.vcf.gz c.vcf.gz -o out.vcf.gz", 1,
         "c.vcf.gz does not exist"),
    case("an output of another kind", other(), "merge a.vcf.gz b.vcf.gz -o out.vcf", 1,
         "must end in .vcf.gz, .vcf.bgz or .bcf"),
    case("an empty list", listed("\n"), "merge --list files.txt -o out.vcf.gz", 1,
         "files.txt lists no files"),
    case("a list that does not exist", other(), "merge --list files.txt -o out.vcf.gz", 1,
         "files.txt cannot be read as a list of files"),
    case("a VCF instead of a list", other(), "merge --list a.vcf.gz -o out.vcf.gz", 1,
         "does not exist"),
    case("another position", other(replaced(SITE_9, "20\t9001\t")), MERGE, 1,
         "b.vcf.gz, record 9: the site is 20:9001 A>G, but 20:9000 A>G in a.vcf.gz",
         "Impute all batches with the same panel"),
    case("other alleles", other(replaced(f"{SITE_9}.\tA\tG", f"{SITE_9}.\tG\tA")), MERGE, 1,
         "record 9: the site is 20:9000 G>A, but 20:9000 A>G in a.vcf.gz"),
    case("another contig name", other(lambda text: text.replace("\n20\t", "\nchr20\t")), MERGE, 1,
         "record 1: the site is chr20:1000 A>G, but 20:1000 A>G"),
    case("another order", other(swapped_lines), MERGE, 1, "record 11: the site is 20:12000"),
    case("a missing record in the middle", other(without_lines(SITE_9)), MERGE, 1,
         "record 9: the site is 20:10000"),
    case("a missing record at the end", other(without_lines("20\t12000\t")), MERGE, 1,
         "b.vcf.gz has 11 records, but a.vcf.gz has more"),
    case("no records", both(without_lines("20\t")), MERGE, 1, "a.vcf.gz has no records"),
    case("records that are not sorted", both(swapped_lines), MERGE, 1,
         "record 12: the records are not sorted; 20:11000 A>G", "bcftools sort"),
    case("another panel", other(replaced("vcfbert_panel=abc", "vcfbert_panel=def")), MERGE, 1,
         "b.vcf.gz was imputed from another panel than a.vcf.gz (header line ##vcfbert_panel)",
         "--allow-differences"),
    case("another panel, allowed", other(replaced("vcfbert_panel=abc", "vcfbert_panel=def")),
         f"{MERGE} --allow-differences", 0, "from another panel than a.vcf.gz", "merged file"),
    case("another version", other(replaced("##source=vcfbert ", "##source=vcfbert 9.")), MERGE, 1,
         "with another version than a.vcf.gz"),
    case("another network", other(replaced("ID=none", "ID=mine")), MERGE, 1,
         "with other weights than a.vcf.gz"),
    case("other options", other(replaced("seed=1", "seed=2")), MERGE, 1,
         "with other options than a.vcf.gz"),
    case("a header without the panel", other(without_lines("##vcfbert_panel")), MERGE, 1,
         "from another panel than a.vcf.gz"),
    case("other FORMAT fields", other(only_gt), MERGE, 1,
         "b.vcf.gz, 20:1000 A>G: the FORMAT fields are GT, but GT:DS:HDS:GP in a.vcf.gz",
         "bcftools annotate -x FORMAT/NAME"),
    case("a file of another program", other(without_lines("##source")), MERGE, 1, NOT_OURS,
         "bcftools merge"),
    case("a file of vcfbert phase", other(without_lines("##vcfbert_impute")), MERGE, 1, NOT_OURS),
    case("files of two programs", other(replaced("##source=vcfbert 0", "##source=Minimac v4.1")),
         MERGE, 1, "b.vcf.gz was written by Minimac4 and a.vcf.gz by vcfbert"),
    case("several ALT alleles", both(replaced(f"{SITE_9}.\tA\tG", f"{SITE_9}.\tA\tG,T")), MERGE, 1,
         "a.vcf.gz, 20:9000 A>G,T: the record has several ALT alleles", "bcftools norm -m -any"),
    case("INFO that other programs added",
         other(replaced("##INFO=<ID=AC", '##INFO=<ID=HWE,Number=1,Type=Float,Description="f">\n'
                        "##INFO=<ID=AC")), MERGE, 0, "merged file"),
    case("ER2 of the batches",
         both(replaced("##INFO=<ID=AC", '##INFO=<ID=ER2,Number=A,Type=Float,Description="f">\n'
                       "##INFO=<ID=AC")), MERGE, 0, "INFO/ER2 is left out", "--empirical"),
    case("a record without its last sample", other(one_cell_less), MERGE, 1,
         "b.vcf.gz, record 12: the line has 11 columns, but the header has 12", COPY),
    case("a file that is cut", bytes_of_b(lambda content: content[:-5000]), MERGE, 1,
         "b.vcf.gz is truncated or damaged at byte", COPY),
    case("a file without its last block", bytes_of_b(lambda content: content[:-28]), MERGE, 1,
         "b.vcf.gz is truncated or damaged at byte", COPY),
    case("a flipped byte", bytes_of_b(lambda content: flipped(content, len(content) // 2)), MERGE,
         1, "b.vcf.gz is damaged at byte", COPY),
    case("a plain file whose last line has no newline",
         other(lambda text: text[:-1], suffix="vcf"), "merge a.vcf.gz b.vcf -o out.vcf.gz", 0,
         "b.vcf does not end with a newline"),
    case("a plain file that ends in the middle of a line",
         other(lambda text: text[:-9], suffix="vcf"), "merge a.vcf.gz b.vcf -o out.vcf.gz", 1,
         "b.vcf ends in the middle of a line", COPY),
    case("a BCF that is cut", truncated_bcf, "merge a.vcf.gz b.bcf -o out.vcf.gz", 1,
         "b.bcf is truncated or damaged", COPY),
]  # fmt: skip
