"""Records of a VCF from its lines, reduced to genotypes and phase sets.

htslib stops at a line if any of its FORMAT values does not fit the header, such as text in an
Integer field, and at the phase sign before the first allele that VCF 4.4 allows, as in `|0|1`. Only
GT and the phase set are needed here. So if htslib cannot read a line, or the header, that line and
all after it are reduced to those two fields and parsed below a header of their own.

N samples.
"""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import cyvcf2

from vcfbert import plurals
from vcfbert.errors import InputError, StoreError
from vcfbert.storage.vcf import checks, phase_sets
from vcfbert.storage.vcf.checks import Header

NO_GENOTYPE = "NO_GT"
"""FORMAT of a reduced record whose first field is not GT."""

_LONGEST = 1 << 31  # bytes of a line
_BATCH = 4_000_000  # bytes that are parsed as one file
_GENOTYPE = rb"(?:\d+|\.)(?:[|/](?:\d+|\.))*"
_GENOTYPES = re.compile(rb"%b(?:\t%b)*" % (_GENOTYPE, _GENOTYPE))
_INFO = re.compile(rb"^##INFO=[^\n]*", re.MULTILINE)
_CELL = re.compile(_GENOTYPE)
_PHASED_START = re.compile(rb"(^|\t)\|")
_UNPHASED_START = re.compile(rb"(^|\t)/([^\t:]*)")
_OTHER_FIELDS = re.compile(rb":[^\t]*")


def of_file(path: Path, header: Header, contigs: Iterable[str], skip: int) -> Iterator[Any]:
    """The variants of a whole VCF after the first `skip` records.

    contigs  of all records
    """
    yield from parsed(of_records(path, header, skip), path, header, contigs, skip)


def of_records(path: Path, header: Header, skip: int = 0) -> Iterator[bytes]:
    """The lines of a whole VCF after its header and the first `skip` records."""
    try:
        with checks.open_inflated(path, is_compressed=header.is_compressed) as stream:
            stream.seek(len(header.text))
            for _ in range(skip):
                stream.readline(_LONGEST)
            while line := stream.readline(_LONGEST):
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}). Copy or download it again.") from error


def parsed(
    lines: Iterable[bytes], path: Path, header: Header, contigs: Iterable[str], before: int
) -> Iterator[Any]:
    """The variants of some lines.

    before  records before them, for messages

    Raises InputError if a line has another number of columns than the header, or a genotype cannot
    be read.
    """
    head = _head(header, contigs)
    batch, size = [head], 0
    for number, line in enumerate(lines, start=before + 1):
        batch.append(_reduced(line, path, header, number))
        size += len(batch[-1])
        if size > max(_BATCH, 16 * len(head)):
            yield from of_bytes(b"".join(batch))
            batch, size = [head], 0
    if size:
        yield from of_bytes(b"".join(batch))


def of_bytes(text: bytes) -> Iterator[Any]:
    """The variants of a whole VCF. Raises StoreError if it cannot be put into a temporary file."""
    with _temporary(text) as file:
        yield from cyvcf2.VCF(os.dup(file.fileno()))  # which closes what it is given


def _temporary(text: bytes) -> BinaryIO:
    """A temporary file, at its start. cyvcf2 would take its errors for those of the VCF."""
    try:
        file = tempfile.TemporaryFile()
        file.write(text)
        file.seek(0)
    except OSError as error:
        raise StoreError.unwritable(Path(tempfile.gettempdir()), error) from error
    return cast(BinaryIO, file)


def without_phase_signs(genotypes: bytes) -> bytes:
    r"""Genotypes, separated by tabs, without the phase sign before the first allele.

    A genotype is phased if all its signs say so.

    >>> without_phase_signs(b"|0|1\t/1/0\t/0|1\t0|1\t|1")
    b'0|1\t1/0\t0/1\t0|1\t1'
    """
    genotypes = _PHASED_START.sub(rb"\1", genotypes)
    return _UNPHASED_START.sub(lambda m: m[1] + m[2].replace(b"|", b"/"), genotypes)


def _head(header: Header, contigs: Iterable[str]) -> bytes:
    """A header that declares the two fields, and INFO as the file does."""
    lines = [
        "##fileformat=VCFv4.2",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        f'##FORMAT=<ID={phase_sets.TAGS[0]},Number=1,Type=String,Description="Phase set">',
        f'##FORMAT=<ID={NO_GENOTYPE},Number=1,Type=String,Description="Nothing">',
        *(f"##contig=<ID={contig}>" for contig in contigs),
    ]
    names = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
    ours = "".join(f"{line}\n" for line in lines).encode()
    declared = b"".join(line.rstrip(b"\r\n") + b"\n" for line in _INFO.findall(header.text))
    return ours + declared + "\t".join((*names, *header.samples)).encode() + b"\n"


def check_columns(line: bytes, path: Path, header: Header, number: int) -> None:
    """Raise InputError if a line has another number of columns than the header, or a zero byte."""
    if line.count(b"\t") + 1 != header.num_columns or b"\0" in line:
        raise _other_columns(line, path, header, number)


def _reduced(line: bytes, path: Path, header: Header, number: int) -> bytes:
    """A line with GT and the phase set only."""
    line = line.rstrip(b"\r\n")
    columns = line.split(b"\t", checks.NUM_FIXED)
    check_columns(line, path, header, number)
    *fixed, format_, cells = columns
    keys = format_.split(b":")
    if keys[0] != b"GT":
        nothing = b"\t".join([b"."] * len(header.samples))
        return b"\t".join((*fixed, NO_GENOTYPE.encode(), nothing)) + b"\n"
    genotypes = cells if len(keys) == 1 else _OTHER_FIELDS.sub(b"", cells)
    genotypes = without_phase_signs(genotypes)
    if not _GENOTYPES.fullmatch(genotypes):
        raise _bad_genotype(fixed, genotypes, path, header)
    phase_set = _phase_set(format_)
    if phase_set is None:
        return b"\t".join((*fixed, b"GT", genotypes)) + b"\n"
    sets = (_field(cell.split(b":"), phase_set) for cell in cells.split(b"\t"))
    both = zip(genotypes.split(b"\t"), sets, strict=True)
    tag = phase_sets.TAGS[0].encode()
    return b"\t".join((*fixed, b"GT:" + tag, *(b"%b:%b" % pair for pair in both))) + b"\n"


@lru_cache(maxsize=256)
def _phase_set(format_: bytes) -> int | None:
    """Place of the phase set in FORMAT."""
    keys = format_.decode("latin-1").split(":")
    tag = phase_sets.tag_of(keys)
    return None if tag is None else keys.index(tag)


def _field(cell: list[bytes], place: int) -> bytes:
    return (cell[place] if place < len(cell) else b"") or b"."


def _bad_genotype(fixed: list[bytes], genotypes: bytes, path: Path, header: Header) -> InputError:
    cells = genotypes.split(b"\t")
    bad = next(number for number, cell in enumerate(cells) if not _CELL.fullmatch(cell))
    place = b":".join(fixed[:2]).decode("utf-8", "replace")[:60]
    shown = cells[bad].decode("utf-8", "replace")[:20]
    return InputError(
        f"{path}, {place}, sample {header.samples[bad]}: {shown!r} is not a genotype, so the line "
        "is damaged. Correct it, or copy or download the file again."
    )


def _other_columns(line: bytes, path: Path, header: Header, number: int) -> InputError:
    columns = line.count(b"\t") + 1
    if columns < checks.NUM_FIXED and len(line.split()) == header.num_columns:
        return checks.not_tabs(path, f"record {number}")
    return InputError(
        f"{path} is damaged after record {number - 1}: what follows is not a whole line for "
        f"{plurals.of(len(header.samples), 'sample')}; it has {plurals.of(columns, 'column')}, not "
        f"{header.num_columns}. Copy or download it again; if the file is unchanged, this shows "
        f"what is wrong: bcftools view {path} > /dev/null"
    )
