"""Checks of the header and the completeness of a VCF or BCF.

htslib ends a read by region early and silently if the file is damaged, and reads a file that was
cut between two blocks without complaint. Both are therefore checked here by other means.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vcfbert import plurals
from vcfbert.errors import InputError
from vcfbert.storage.vcf import last_line
from vcfbert.storage.vcf.bgzf import END_OF_FILE, HEADER_BYTES

MAX_HEADER_BYTES = 1 << 28
"""Headers with a million samples and a million contigs are smaller."""

NUM_FIXED = 9
"""Columns of a record before its samples."""

_NEAR_START = 20  # bytes in which a damaged header line shows its CHROM
_GZIP_MAGIC = b"\x1f\x8b"
_BCF_MAGIC = b"BCF\x02"
_CONTIG = re.compile(rb"^##contig=<(?:[^>\n]*,)?ID=([^,>\n]+)", re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """The lines above the records.

    samples        names of the samples, in order
    contigs        names that the header declares
    text           all lines, up to and including #CHROM
    is_compressed  True for BGZF
    is_bcf         True for BCF
    """

    samples: list[str]
    contigs: set[bytes]
    text: bytes
    is_compressed: bool
    is_bcf: bool

    @property
    def num_columns(self) -> int:
        """Columns of a record."""
        return NUM_FIXED + len(self.samples)


def read_header(path: Path) -> Header:
    """Read and check the header. Raises InputError if the file is not a VCF with samples."""
    is_compressed = _is_compressed(path)
    try:
        with open_inflated(path, is_compressed=is_compressed) as stream:
            is_bcf, text, first = _header_text(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}). Copy or download it again.") from error
    last = text.rstrip(b"\x00\r\n").split(b"\n")[-1]
    columns = last.rstrip(b"\r").split(b"\t")
    if columns[:2] != [b"#CHROM", b"POS"]:
        raise _no_column_names(path, last, first)
    if len(columns) > NUM_FIXED and columns[NUM_FIXED - 1] != b"FORMAT":
        raise InputError(
            f"{path}: column {NUM_FIXED} of the #CHROM header line is "
            f"{_shown(columns[NUM_FIXED - 1])}, but must be FORMAT: CHROM, POS, ID, REF, "
            "ALT, QUAL, FILTER, INFO and FORMAT come before the samples. Add the column to the "
            "header line and to each record."
        )
    samples = _names(columns[NUM_FIXED:], path)
    width = first.count(b"\t") + 1 if first else len(columns)
    if width < NUM_FIXED and len(first.split()) >= NUM_FIXED:
        raise not_tabs(path, "the first record")
    if width != len(columns):
        raise InputError(
            f"{path}: the first record has {plurals.of(width, 'column')}, but the #CHROM line has "
            f"{len(columns)}, for {plurals.of(len(samples), 'sample')}. Replace the header with: "
            "bcftools reheader"
        )
    return Header(samples, set(_CONTIG.findall(text)), text, is_compressed, is_bcf)


def not_tabs(path: Path, line: str) -> InputError:
    """An error about a line whose columns are separated by spaces."""
    return InputError(
        f"{path}: the columns of {line} are separated by spaces, but VCF needs tabs. Convert them "
        f"with: sed -E '/^##/!s/ +/\\t/g' {path} > tabs.vcf (after bgzip -d if compressed)"
    )


def _no_column_names(path: Path, last: bytes, first: bytes) -> InputError:
    """Why the last line of the header is not the one with the column names.

    first  the first line below the header
    """
    if first and not first.strip():
        return InputError(f"{path} has an empty line in its header. Remove the line.")
    for line in (last, first):
        words = line.removeprefix(codecs.BOM_UTF8).split()
        if [word.upper() for word in words[:2]] == [b"#CHROM", b"POS"]:
            if b"\t" not in line:
                return not_tabs(path, "the #CHROM header line")
            return InputError(
                f"{path}: the #CHROM header line begins with {_shown(line[:12])}, but must begin "
                "with #CHROM, a tab and POS. Correct the line."
            )
        if b"".join(words[:2]).upper().lstrip(b"#").startswith(b"CHROM"):
            return InputError(
                f"{path}: the header line with the column names begins with {_shown(line[:12])}, "
                "but must begin with #CHROM, a tab and POS. Correct the line."
            )
    return InputError(
        f"{path} is not a VCF file: the #CHROM header line is missing. Give a .vcf, .vcf.gz or "
        ".bcf file."
    )


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("utf-8", "replace"))


def open_inflated(path: Path, *, is_compressed: bool) -> BinaryIO | gzip.GzipFile:
    """The bytes of a file, inflated if it is compressed."""
    return gzip.open(path, "rb") if is_compressed else path.open("rb")


def _names(columns: list[bytes], path: Path) -> list[str]:
    """Names of the samples. Raises InputError if one is not UTF-8, empty or repeated."""
    if not columns:
        raise InputError(f"{path} has no samples. Genotypes (GT) of samples are needed.")
    try:
        samples = [column.decode("utf-8") for column in columns]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the sample name {error.object[:60]!r} is not UTF-8. Rename it with: "
            "bcftools reheader -s"
        ) from error
    if "" in samples:
        raise InputError(
            f"{path}: sample {samples.index('') + 1} has no name. Name it with: bcftools reheader "
            "-s"
        )
    repeated = [name for name, count in Counter(samples).items() if count > 1]
    if repeated:
        raise InputError(
            f"{path} has two samples named {repeated[0]}. Rename one with: bcftools reheader -s"
        )
    return samples


def check_whole(path: Path, header: Header) -> int:
    """Offset of the last BGZF block with data. Raises InputError if the end of the file is missing.

    returns  0 for a file that is not compressed
    """
    if not header.is_compressed:
        if not header.is_bcf:
            last_line.check(path, begin=len(header.text), num_columns=header.num_columns)
        return 0
    size = path.stat().st_size
    offset = last_block = 0
    with path.open("rb") as stream:
        while offset < size:
            stream.seek(offset)
            block = stream.read(HEADER_BYTES)
            length = int.from_bytes(block[16:18], "little") + 1
            if not _is_bgzf(block) or offset + length > size:
                break
            if length > len(END_OF_FILE):
                last_block = offset
            offset += length
        stream.seek(max(0, size - len(END_OF_FILE)))
        is_ended = stream.read() == END_OF_FILE
    if offset != size or not is_ended:
        raise InputError(
            f"{path} is truncated or damaged at byte {min(offset, size)} of {size}: its last "
            "BGZF block is missing. Copy or download it again."
        )
    if not header.is_bcf:
        _check_last_line(path, _last_block(path, last_block))
    return last_block


def _is_compressed(path: Path) -> bool:
    """True for BGZF. Raises InputError if the file is missing, empty or compressed with gzip."""
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give a .vcf, .vcf.gz or .bcf file.")
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path} is a pipe or a device, but files are read more than once. Write it to a file "
            "first."
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(HEADER_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. Give a .vcf, .vcf.gz or .bcf file.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise InputError(f"{path} is empty. Give a .vcf, .vcf.gz or .bcf file.")
    if not start.startswith(_GZIP_MAGIC):
        return False
    if not _is_bgzf(start):
        raise InputError(
            f"{path} is compressed with gzip, which cannot show whether its end is missing. "
            f"Compress it with bgzip: zcat {path} | bgzip > new.vcf.gz"
        )
    return True


def _is_bgzf(block: bytes) -> bool:
    """True if a block begins as bgzip writes it."""
    return len(block) == HEADER_BYTES and block[:4] == END_OF_FILE[:4] and block[12:14] == b"BC"


def _header_text(stream: BinaryIO | gzip.GzipFile, path: Path) -> tuple[bool, bytes, bytes]:
    """Whether it is a BCF, the header up to and including the #CHROM line, a VCF's first record."""
    start = stream.read(9)
    if start[:4] == _BCF_MAGIC:
        size = int.from_bytes(start[5:], "little")
        _check_header_size(size, path)
        return True, stream.read(size), b""
    if start.startswith(codecs.BOM_UTF8):
        raise InputError(
            f"{path} begins with a byte order mark, which VCF readers do not expect. Remove it "
            f"with: sed -i '1s/^\\xef\\xbb\\xbf//' {path}"
        )
    first = start if start.endswith(b"\n") else start + stream.readline(MAX_HEADER_BYTES)
    if start[:2] != b"##" and start[:5] != b"#CHRO":
        if b"CHROM" in first[:_NEAR_START].upper():
            raise _no_column_names(path, first, b"")
        raise InputError(f"{path} is not a VCF or BCF file. Give a .vcf, .vcf.gz or .bcf file.")
    lines = [first]
    size = len(lines[0])
    while not lines[-1].startswith(b"#CHROM"):
        _check_header_size(size, path)
        line = stream.readline(MAX_HEADER_BYTES)
        if not line.startswith(b"#"):
            return False, b"".join(lines), line
        lines.append(line)
        size += len(line)
    _check_header_size(size, path)
    return False, b"".join(lines), stream.readline(MAX_HEADER_BYTES)


def _check_header_size(size: int, path: Path) -> None:
    if size > MAX_HEADER_BYTES:
        raise InputError(
            f"{path} has a header of more than {MAX_HEADER_BYTES:,} bytes, so it is damaged or not "
            "a VCF file. Give a .vcf, .vcf.gz or .bcf file."
        )


def _check_last_line(path: Path, end: bytes) -> None:
    """Raise InputError unless the text ends with a complete line; `end` is its last bytes."""
    if not end.endswith(b"\n"):
        raise InputError(
            f"{path} ends in the middle of a line, so it is truncated. Copy or download it again."
        )


def _last_block(path: Path, offset: int) -> bytes:
    """The text of the last BGZF block with data: a file can also be cut between two blocks."""
    with path.open("rb") as stream:
        stream.seek(offset)
        try:
            return gzip.decompress(stream.read())
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{path} is damaged at byte {offset} ({error}). Copy or download it again."
            ) from error
