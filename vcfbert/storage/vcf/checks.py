"""Whether a VCF or BCF is whole and readable, before and after its records are read.

htslib ends a read by region early and without a word where the file is damaged, and reads a file
cut between two blocks to its end; so both are checked here by other means.
"""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vcfbert.domain.sites import Region
from vcfbert.errors import InputError
from vcfbert.storage.vcf import index_checks

_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_HEADER = 18
_BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
MAX_HEADER_BYTES = 1 << 28
"""A million samples and a million contigs have less."""

_BCF_MAGIC = b"BCF\x02"


@dataclass(frozen=True)
class Header:
    """What the first lines say.

    samples        names of the samples, in order
    is_compressed  True for BGZF
    is_bcf         True for BCF
    """

    samples: list[str]
    is_compressed: bool
    is_bcf: bool


def read_header(path: Path) -> Header:
    """Read and check the header. InputError where the file is no VCF with samples in it."""
    is_compressed = _is_compressed(path)
    try:
        with gzip.open(path, "rb") if is_compressed else path.open("rb") as stream:
            _check_header_size(stream, path)
            is_bcf, text, first = _header_text(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}). Copy or download it again.") from error
    columns = text.rstrip(b"\x00\n").split(b"\n")[-1].rstrip(b"\r").split(b"\t")
    if columns[:2] != [b"#CHROM", b"POS"]:
        raise InputError(
            f"{path} has no #CHROM line, so it is no VCF. Give a .vcf, .vcf.gz or .bcf."
        )
    samples = _names(columns[9:], path)
    width = len(columns) if first is None else first.count(b"\t") + 1
    if width != len(columns):
        raise InputError(
            f"{path}: the first record has {width} columns, but the #CHROM line "
            f"names {len(columns)}, of {len(samples)} samples. Put the right header on it with: "
            "bcftools reheader"
        )
    return Header(samples, is_compressed, is_bcf)


def _names(columns: list[bytes], path: Path) -> list[str]:
    """The samples' names; InputError where one cannot be written again or told from another."""
    if not columns:
        raise InputError(f"{path} has no samples. Phased genotypes (GT) of samples are needed.")
    try:
        samples = [column.decode("utf-8") for column in columns]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the name of a sample is no UTF-8: {error.object[:60]!r}. Rename it with: "
            "bcftools reheader -s"
        ) from error
    if "" in samples:
        raise InputError(
            f"{path}: sample {samples.index('') + 1} is without a name. Name it with: bcftools "
            "reheader -s"
        )
    repeated = [name for name, count in Counter(samples).items() if count > 1]
    if repeated:
        raise InputError(
            f"{path} names the sample {repeated[0]} twice. Rename one with: bcftools reheader -s"
        )
    return samples


def check_whole(path: Path, header: Header) -> int:
    """Offset of the last BGZF block with data; InputError where the end of the file is missing."""
    if not header.is_compressed:
        if not header.is_bcf:
            with path.open("rb") as stream:
                stream.seek(-1, os.SEEK_END)
                _check_last_line(path, stream.read())
        return 0
    size = path.stat().st_size
    offset = last_block = 0
    with path.open("rb") as stream:
        while offset < size:
            stream.seek(offset)
            block = stream.read(_BGZF_HEADER)
            length = int.from_bytes(block[16:18], "little") + 1
            if not _is_bgzf(block) or offset + length > size:
                break
            if length > len(_BGZF_EOF):
                last_block = offset
            offset += length
        stream.seek(max(0, size - len(_BGZF_EOF)))
        is_ended = stream.read() == _BGZF_EOF
    if offset != size or not is_ended:
        raise InputError(
            f"{path} is truncated or damaged at byte {min(offset, size)} of {size}: its last "
            "BGZF block is missing. Copy or download it again."
        )
    if not header.is_bcf:
        _check_last_line(path, _last_block(path, last_block))
    return last_block


def index_of(path: Path) -> Path | None:
    """The file's tabix or CSI index, if one stands beside it."""
    candidates = (path.with_name(f"{path.name}{suffix}") for suffix in (".csi", ".tbi"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def check_index(path: Path, *, last_block: int) -> None:
    """InputError where an index stands beside the file that is damaged or of another version.

    last_block  as `check_whole` returns it
    """
    index = index_of(path)
    if index is not None:
        index_checks.check_index(path, index, last_block=last_block)


def need_index(path: Path, header: Header) -> None:
    """InputError with the command that makes the index, where a region cannot be looked up."""
    if not header.is_compressed:
        raise InputError(
            f"{path} is not compressed, so a region of it cannot be looked up. Compress and index "
            f"it first: bgzip {path} && tabix -p vcf {path}.gz"
        )
    if index_of(path) is None:
        remedy = f"bcftools index {path}" if header.is_bcf else f"tabix -p vcf {path}"
        raise InputError(f"{path} has no index, which --region needs. Make one with: {remedy}")


def count_indexed(path: Path, header: Header) -> int | None:
    """Records that the file's index counts; None where there is no index or it has no counts."""
    index = index_of(path)
    return index_checks.count(path, index) if index is not None and header.is_compressed else None


def contigs_indexed(path: Path) -> set[bytes]:
    """Contigs that the file's index knows."""
    index = index_of(path)
    return set() if index is None else index_checks.contigs(path, index)


def count_region(path: Path, header: Header, region: Region) -> int:
    """Records that overlap a region, counted by another reader, which fails where bytes are bad."""
    import pysam  # 0.1 s that only reads by region need

    pysam.set_verbosity(0)  # the InputError below says it all
    try:
        if header.is_bcf:
            with pysam.VariantFile(str(path)) as variants:
                return sum(1 for _ in variants.fetch(region.contig, region.start - 1, region.end))
        with pysam.TabixFile(
            str(path), index=str(index_of(path))
        ) as lines:  # it looks for .tbi only
            return sum(1 for _ in lines.fetch(region.contig, region.start - 1, region.end))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged within {region}, or its index is of another file ({error}). Copy "
            "or download both again."
        ) from error


def _is_compressed(path: Path) -> bool:
    """True for BGZF; InputError for a file that is not there, is empty or is plain gzip."""
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give a .vcf, .vcf.gz or .bcf file.")
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path} is a pipe or a device, but a file is read more than once. Write it to a file "
            "first."
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(_BGZF_HEADER)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}. Give a .vcf, .vcf.gz or .bcf.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise InputError(f"{path} is empty. Give a .vcf, .vcf.gz or .bcf.")
    if not start.startswith(_GZIP_MAGIC):
        return False
    if not _is_bgzf(start):
        raise InputError(
            f"{path} is compressed with gzip, which hides a missing end. Compress it with bgzip: "
            f"zcat {path} | bgzip > new.vcf.gz"
        )
    return True


def _is_bgzf(block: bytes) -> bool:
    """True where a block begins as bgzip writes it."""
    return len(block) == _BGZF_HEADER and block[:4] == _BGZF_EOF[:4] and block[12:14] == b"BC"


def _header_text(stream: BinaryIO | gzip.GzipFile, path: Path) -> tuple[bool, bytes, bytes | None]:
    """Whether it is a BCF, the header up to and with the #CHROM line, and a VCF's first record."""
    start = stream.read(5)
    if start[:4] == _BCF_MAGIC:
        return True, stream.read(int.from_bytes(stream.read(4), "little")), None
    if start.startswith(codecs.BOM_UTF8):
        raise InputError(
            f"{path} begins with a byte order mark, which no reader of VCF expects. Take it out "
            f"with: sed -i '1s/^\\xef\\xbb\\xbf//' {path}"
        )
    if start[:2] != b"##" and start != b"#CHRO":
        raise InputError(f"{path} is no VCF or BCF. Give a .vcf, .vcf.gz or .bcf.")
    lines = [start + stream.readline()]
    while not lines[-1].startswith(b"#CHROM"):
        line = stream.readline()
        if not line.startswith(b"#"):
            break
        lines.append(line)
    return False, b"".join(lines), stream.readline() or None


def _check_header_size(stream: BinaryIO | gzip.GzipFile, path: Path) -> None:
    """InputError where what `_header_text` will read is too long to be true; goes back."""
    start = stream.read(9)
    stream.seek(0)
    size = int.from_bytes(start[5:], "little") if start[:4] == _BCF_MAGIC else 0
    is_start = is_header = True
    while start[:4] != _BCF_MAGIC and size <= MAX_HEADER_BYTES:
        piece = stream.readline(1 << 16)
        size += len(piece)
        is_header = is_header and not (is_start and not piece.startswith(b"#"))
        is_start = piece.endswith(b"\n")
        if not piece or (is_start and not is_header):
            break
    stream.seek(0)
    if size > MAX_HEADER_BYTES:
        raise InputError(
            f"{path} has a header of more than {MAX_HEADER_BYTES:,} bytes, so it is damaged or no "
            "VCF. Give a .vcf, .vcf.gz or .bcf."
        )


def _check_last_line(path: Path, end: bytes) -> None:
    """InputError where the text does not end with a line; `end` are its last bytes."""
    if not end.endswith(b"\n"):
        raise InputError(
            f"{path} ends in the middle of a line, so it is truncated. Copy or download it again."
        )


def _last_block(path: Path, offset: int) -> bytes:
    """The text of the last BGZF block with data: between blocks, too, a file can be cut."""
    with path.open("rb") as stream:
        stream.seek(offset)
        try:
            return gzip.decompress(stream.read())
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{path} is damaged at byte {offset} ({error}). Copy or download it again."
            ) from error
