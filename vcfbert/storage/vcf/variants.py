"""Variants from cyvcf2, of a whole file or a region, with every error reported.

htslib continues after a line that it could not read in two cases: at the first record of a contig
that the header does not declare, and at every line of a text file that is read by region. What it
returns then is half a record, and asking for its alleles can end the process. So contigs are
declared before records are read, and the lines of a region are read as a file of their own.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cyvcf2

from vcfbert import plurals
from vcfbert.domain.sites import Region
from vcfbert.errors import InputError
from vcfbert.storage.vcf import checks, lines
from vcfbert.storage.vcf.checks import Header

if TYPE_CHECKING:
    import pysam

# One InputError says what is wrong with a file and how to repair it; htslib would print lines of
# its own above it.
cyvcf2.cyvcf2.set_htslib_log_level(0)

MAX_CONTIGS = 1_000_000

MAX_UNDECLARED_CONTIGS = 10_000
"""More would keep htslib busy for minutes."""

THREADS = 2  # inflating takes a tenth of the time that parsing takes, so more do not help

_LONGEST_NAME = 1000
_PIECE = 1 << 16
_BATCH = 4_000_000  # bytes of a region that are parsed as one file
_STOPPED = (OSError, AssertionError)  # of cyvcf2 at what htslib cannot read, next to Exception
_NAME = re.compile(
    rb"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*"
)  # VCF 4.3, 1.4.7


@dataclass(frozen=True)
class Scan:
    """What the lines of a VCF show before they are parsed.

    count    records
    contigs  first columns, each with the number of the record where it comes first
    """

    count: int
    contigs: dict[bytes, int]


def open_file(path: Path, *, is_bcf: bool) -> Any:
    """A cyvcf2.VCF; None for a VCF whose header htslib cannot read: its lines may be readable.

    Raises InputError if htslib cannot read the header of a BCF.
    """
    with _explained(path):
        try:
            return cyvcf2.VCF(str(path), threads=THREADS)
        except Exception as error:  # cyvcf2 has no class of its own
            if is_bcf or not is_stop(error):
                raise
            return None


def declare_contigs(file: Any, path: Path, header: Header, contigs: dict[bytes, int]) -> None:
    """Declare the contigs of all records to htslib.

    contigs  as in `Scan`
    """
    undeclared = contigs.keys() - header.contigs
    if len(undeclared) > MAX_UNDECLARED_CONTIGS:
        raise InputError(
            f"{path} has records on {plurals.of(len(undeclared), 'contig')} that its header does "
            "not declare. Declare them with: bcftools reheader --fai"
        )
    # All contigs: htslib may reject a header line that looks right here, and it ignores the
    # contigs that it knows already.
    with _explained(path):
        for name, line in contigs.items():
            file.add_to_header(f"##contig=<ID={_checked_name(name, path, line)}>")


def contigs_of(file: Any, path: Path) -> list[str]:
    """Names of the contigs in the header; `file` as `open_file` returns it."""
    if file is None:
        return []
    try:
        return list(file.seqnames)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the contig {error.object[:40]!r} is not UTF-8. Rename it with: bcftools "
            "annotate --rename-chrs"
        ) from error


def scan(path: Path, header: Header) -> Scan:
    """Scan the lines of a VCF. Raises InputError if they cannot be what was written.

    htslib ignores what follows the last sample, so if two lines ran together the second is lost;
    and a zero byte shifts the genotypes after it.
    """
    contigs: dict[bytes, int] = {}
    tabs = newlines = zeros = 0
    is_start = True
    try:
        with checks.open_inflated(path, is_compressed=header.is_compressed) as stream:
            stream.seek(len(header.text))
            while piece := stream.readline(_PIECE):
                if is_start:
                    name = piece[:_LONGEST_NAME].partition(b"\t")[0]
                    contigs.setdefault(name, newlines + 1)
                is_start = piece.endswith(b"\n")
                tabs += piece.count(b"\t")
                newlines += is_start
                zeros += piece.count(b"\0")
                if len(contigs) > MAX_CONTIGS:
                    raise InputError(
                        f"{path} has records on more than {MAX_CONTIGS:,} contigs, so its lines "
                        "do not begin with a contig. Copy or download it again."
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}). Copy or download it again.") from error
    newlines += not is_start  # `check_whole` lets a plain file end without a newline
    if zeros:
        raise InputError(
            f"{path} has {plurals.of(zeros, 'zero byte')} among its records: a disk or a copy lost "
            "data. Copy or download it again."
        )
    columns = header.num_columns
    if tabs > newlines * (columns - 1):
        raise InputError(
            f"{path} has lines with more than the {columns} columns of its header: two lines ran "
            "together, or the header declares too few samples. Copy or download it again; to list "
            f"the lines: awk -F '\\t' 'NF > {columns}'"
        )
    return Scan(newlines, contigs)


def whole(file: Any, path: Path, header: Header, contigs: dict[bytes, int]) -> Iterator[Any]:
    """The variants of a VCF; from the first that htslib cannot read on, by their lines.

    file     as `open_file` returns it
    contigs  as in `Scan`
    """
    names = [_checked_name(name, path, line) for name, line in contigs.items()]
    count = 0
    if file is not None:
        declare_contigs(file, path, header, contigs)
        try:
            for variant in file:
                count += 1
                yield variant
        except Exception as error:  # cyvcf2 has no class of its own
            if not is_stop(error):
                raise
        else:
            return
    yield from lines.of_file(path, header, names, count)


def in_region(source: pysam.TabixFile, path: Path, header: Header, region: Region) -> Iterator[Any]:
    """The variants of a region, parsed below the header as files of their own of some MB."""
    return _of_lines(_lines_of_region(source, path, header, region), path, header, region.contig)


def of_contig(path: Path, header: Header, contig: str, contigs: dict[bytes, int]) -> Iterator[Any]:
    """The variants of a contig of a VCF without index, parsed in the same way.

    contigs  as in `Scan`
    """
    for name, line in contigs.items():
        _checked_name(name, path, line)
    before = contigs.get(contig.encode(), 1) - 1
    chosen = _lines_of_contig(path, header, contig, before)
    return _of_lines(chosen, path, header, contig, before)


def _of_lines(
    lines_: Iterator[bytes], path: Path, header: Header, contig: str, done: int = 0
) -> Iterator[Any]:
    """The variants of lines of one contig.

    done  records before them, for messages
    """
    contig = _checked_name(contig.encode(), path, 1)
    last_line = header.text.rfind(b"\n#CHROM") + 1
    declared = f"##contig=<ID={contig}>\n".encode()
    head = header.text[:last_line] + declared + header.text[last_line:]
    for batch in _batches(lines_, max(_BATCH, 16 * len(head))):
        count = 0
        try:
            for variant in lines.of_bytes(b"".join((head, *batch))):
                count += 1
                yield variant
        except Exception as error:  # cyvcf2 has no class of its own
            if not is_stop(error):
                raise
        if count < len(batch):
            yield from lines.parsed(batch[count:], path, header, [contig], done + count)
        done += len(batch)


def is_stop(error: Exception) -> bool:
    """True for what cyvcf2 raises if htslib cannot read a record or a header."""
    return type(error) is Exception or isinstance(error, _STOPPED)


def _lines_of_region(
    source: pysam.TabixFile, path: Path, header: Header, region: Region
) -> Iterator[bytes]:
    try:
        for line in source.fetch(region.contig, region.start - 1, region.end):
            if line.count("\t") != header.num_columns - 1 or "\0" in line:
                raise ValueError(f"a line has {plurals.of(line.count(chr(9)) + 1, 'column')}")
            yield line.encode("latin-1") + b"\n"
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read in {region} ({error}). Copy it and its index again."
        ) from error


def _lines_of_contig(path: Path, header: Header, contig: str, before: int) -> Iterator[bytes]:
    """The lines of a contig, from record `before` + 1 on.

    Raises InputError if they are not adjacent, or one has not the columns of the header.
    """
    start, is_over = contig.encode() + b"\t", False
    for number, line in enumerate(lines.of_records(path, header, before), start=before + 1):
        if line.startswith(b"#"):
            raise _no_record(path, number, repr(line[:40].decode("utf-8", "replace")))
        if not line.startswith(start):
            is_over = True
            continue
        if is_over:
            raise InputError(
                f"{path}, record {number}: the records are not sorted; contig {contig} returns. "
                f"Sort them with: bcftools sort -Oz -o sorted.vcf.gz {path}"
            )
        lines.check_columns(line, path, header, number)
        yield line


def _batches(lines_: Iterator[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """Some MB of lines at a time."""
    batch, size = [], 0
    for line in lines_:
        batch.append(line)
        size += len(line)
        if size > most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what cyvcf2 raises about a header into an InputError."""
    try:
        yield
    except Exception as error:  # cyvcf2 has no class of its own
        if not is_stop(error):
            raise
        raise InputError(
            f"{path} is not a readable VCF or BCF file ({error}). Check it with: bcftools view -h "
            f"{path}"
        ) from error


def _checked_name(name: bytes, path: Path, line: int) -> str:
    """The name of a contig. Raises InputError if a line does not begin with one."""
    if not name.strip():
        raise InputError(
            f"{path} has an empty line between its records. Remove it: bgzip -dc or cat, then "
            "sed '/^$/d', then bgzip."
        )
    if not _NAME.fullmatch(name):
        if len(name.split()) > checks.NUM_FIXED:
            raise checks.not_tabs(path, f"record {line}")
        try:
            shown = repr(name.rstrip(b"\r\n").decode("utf-8")[:40])
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: the contig {name[:40]!r} is not UTF-8. A line of the file is damaged; "
                "copy or download it again."
            ) from error
        raise _no_record(path, line, shown)
    return name.decode("ascii")


def _no_record(path: Path, line: int, shown: str) -> InputError:
    return InputError(
        f"{path}: line {line} of the records, {shown}, is not a record. Remove empty lines and "
        "header lines; to join files use: bcftools concat"
    )
