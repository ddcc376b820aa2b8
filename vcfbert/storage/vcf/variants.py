"""Variants as cyvcf2 hands them out, of whole files and of regions, with every error told.

htslib has two ways to go on after a line it could not read: for the first record of a contig that
the header does not name, and for every line of a text file read by region. What it then hands out
is half a record, and asking it for its alleles may end the process. So contigs are named before
they are read, and the lines of a region are read as a file of their own.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cyvcf2

from vcfbert.domain.sites import Region
from vcfbert.errors import InputError
from vcfbert.storage.vcf import bcf_checks, checks
from vcfbert.storage.vcf.checks import Header

# What is wrong with a file is told once, by an InputError with the place and the remedy; htslib
# would print lines of its own above it.
cyvcf2.cyvcf2.set_htslib_log_level(0)

MAX_CONTIGS = 1_000_000

MAX_UNNAMED_CONTIGS = 10_000
"""More take htslib minutes to learn."""

_LONGEST_NAME = 1000
_PIECE = 1 << 16
_BATCH = 4_000_000  # bytes of a region read together
_NAME = re.compile(
    rb"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*"
)  # VCF 4.3, 1.4.7
_NAMED = re.compile(rb"^##contig=<(?:[^>\n]*,)?ID=([^,>\n]+)", re.MULTILINE)
_DAMAGE = (OSError, EOFError, zlib.error)

THREADS = 2  # inflating takes a tenth of the time that parsing takes, so more are of no use


def variants(
    path: Path, header: Header, contigs: dict[bytes, int], region: Region | None
) -> Iterator[Any]:
    """All variants, or those that overlap a region, in the order of the file.

    contigs  of all records, whether the header names them or not, and where each begins; see
             `scan`

    Raises InputError, and what cyvcf2 raises where a line cannot be read.
    """
    if header.is_bcf:
        bcf_checks.check_bcf(path, len(header.samples))
        yield from open_file(path) if region is None else open_file(path)(str(region))
        return
    with _opened(path, header) as stream:
        text = header_text(stream)
    if region is not None:
        yield from _of_region(path, text, {region.contig.encode(): 1}, region)
        return
    unnamed = contigs.keys() - set(_NAMED.findall(text))
    if len(unnamed) > MAX_UNNAMED_CONTIGS:
        raise InputError(
            f"{path} has records of {len(unnamed):,} contigs that its header does not name. Name "
            "them with: bcftools reheader --fai"
        )
    # All of them: a line of the header that looks right may be none for htslib, and it passes over
    # what it knows.
    yield from open_file(path, contigs)


@dataclass(frozen=True)
class Lines:
    """What the lines of a VCF tell before they are read.

    count    of records
    contigs  first columns, and the number of the line among the records where each comes first
    """

    count: int
    contigs: dict[bytes, int]


def scan(path: Path, header: Header) -> Lines:
    """The lines of a VCF without an index; InputError where they cannot be what was written.

    htslib passes over what stands behind the last sample, so that of two lines that ran together
    the second is lost, and a byte of zero shifts the genotypes behind it.
    """
    contigs: dict[bytes, int] = {}
    tabs = newlines = nuls = 0
    is_start = True
    try:
        with _opened(path, header) as stream:
            stream.seek(len(header_text(stream)))
            while piece := stream.readline(_PIECE):
                if is_start:
                    name = piece[:_LONGEST_NAME].partition(b"\t")[0]
                    contigs.setdefault(name, newlines + 1)
                is_start = piece.endswith(b"\n")
                tabs += piece.count(b"\t")
                newlines += is_start
                nuls += piece.count(b"\0")
                if len(contigs) > MAX_CONTIGS:
                    raise InputError(
                        f"{path} has records of more than {MAX_CONTIGS:,} contigs, so its lines "
                        "do not begin with one. Copy or download it again."
                    )
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged ({error}). Copy or download it again.") from error
    if nuls:
        raise InputError(
            f"{path} has {nuls} bytes of zero among its records, where a disk or a copy has lost "
            "what was there. Copy or download it again."
        )
    columns = 9 + len(header.samples)
    if tabs > newlines * (columns - 1):
        raise InputError(
            f"{path} has lines of more than the {columns} columns of its header: two have run "
            f"together, or it names too few samples. Copy or download it again; which lines: "
            f"awk -F '\\t' 'NF > {columns}'"
        )
    return Lines(newlines, contigs)


def contigs_of(file: Any, path: Path) -> list[str]:
    """Names of the contigs in the header, or, where it has none, in the index."""
    try:
        return list(file.seqnames)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the contig {error.object[:40]!r} is no UTF-8. Rename it with: bcftools "
            "annotate --rename-chrs"
        ) from error


def open_file(path: Path, contigs: Mapping[bytes, int] | None = None) -> Any:
    """A file of cyvcf2; `contigs` are named beside those of its header, see `Lines`."""
    try:
        file = cyvcf2.VCF(str(path), threads=THREADS)
        for name, line in (contigs or {}).items():
            file.add_to_header(f"##contig=<ID={_valid(name, path, line)}>")
    except Exception as error:  # cyvcf2 has no class of its own
        if type(error) is not Exception and not isinstance(error, OSError):
            raise
        raise InputError(
            f"{path} is no readable VCF or BCF ({error}). Check it with: bcftools view -h {path}"
        ) from error
    return file


def header_text(stream: BinaryIO | gzip.GzipFile) -> bytes:
    """The lines that begin with #, as they are; `checks.read_header` has bounded their size."""
    pieces, is_start = [], True
    while piece := stream.readline(_PIECE):
        if is_start and not piece.startswith(b"#"):
            break
        is_start = piece.endswith(b"\n")
        pieces.append(piece)
    return b"".join(pieces)


def _of_region(
    path: Path, header: bytes, contigs: Mapping[bytes, int], region: Region
) -> Iterator[Any]:
    """The lines of a region below the header, read as files by themselves, some MB at a time."""
    import pysam  # 0.1 s that only reads by region need

    extra = "".join(
        f"##contig=<ID={_valid(name, path, line)}>\n" for name, line in contigs.items()
    ).encode()
    above, mark, columns = header.rpartition(b"#CHROM")
    head = above + extra + mark + columns
    num_tabs = columns.count(b"\t")
    index = str(checks.index_of(path))
    try:
        with pysam.TabixFile(str(path), index=index, encoding="latin-1") as lines:
            batch, size = [head], 0
            for line in lines.fetch(region.contig, region.start - 1, region.end):
                if line.count("\t") != num_tabs or "\0" in line:
                    raise ValueError(f"a line has {line.count(chr(9)) + 1} columns")
                batch.append(line.encode("latin-1") + b"\n")
                size += len(batch[-1])
                if size > max(_BATCH, 16 * len(head)):
                    yield from _of_bytes(b"".join(batch))
                    batch, size = [head], 0
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read within {region} ({error}). Copy it and its index again."
        ) from error
    if size:
        yield from _of_bytes(b"".join(batch))


def _of_bytes(text: bytes) -> Iterator[Any]:
    """The variants of a whole VCF."""
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        yield from cyvcf2.VCF(os.dup(file.fileno()))  # which closes what it is given


def _opened(path: Path, header: Header) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path, "rb") if header.is_compressed else path.open("rb")


def _valid(name: bytes, path: Path, line: int) -> str:
    if not name.strip():
        raise InputError(
            f"{path} has an empty line between its records. Take it out: bgzip -dc or cat, then "
            "sed '/^$/d', then bgzip."
        )
    if not _NAME.fullmatch(name):
        try:
            shown = repr(name.rstrip(b"\r\n").decode("utf-8")[:40])
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: the contig {name[:40]!r} is no UTF-8. A line of the file is damaged; "
                "copy or download it again."
            ) from error
        raise InputError(
            f"{path}: line {line} of the records, {shown}, is no record. Take empty lines "
            "and lines of a header out; to join files use: bcftools concat"
        )
    return name.decode("ascii")
