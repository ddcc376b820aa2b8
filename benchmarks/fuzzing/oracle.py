"""What a VCF says, worked out by other means than vcfbert's, to compare what was read with."""

from __future__ import annotations

import re
import zlib

import numpy as np

from vcfbert.domain.records import NO_CALL, Record, RecordBlock

_PLAIN_CALL = re.compile(rb"(\d)([|/])(\d)(?::.*)?")
_PLAIN_PLACE = re.compile(rb"[1-9]\d{0,8}")
_PLAIN_ALLELES = re.compile(rb"[ACGT]+(,[ACGT]+)*")

Read = list[tuple[Record, list[tuple[int, int, int]] | None]]
"""Records and, where they are pairs, the calls of everyone."""


class WrongError(Exception):
    """Something was read without an error that the file does not say."""


def flat(blocks: list[RecordBlock]) -> Read:
    """Records of blocks one after another."""
    out: Read = []
    for block in blocks:
        for record, calls, is_diploid in zip(
            block.records, block.calls, block.is_diploid, strict=True
        ):
            pairs = [tuple(map(int, call)) for call in calls.tolist()] if is_diploid else None
            out.append((record, pairs))  # type: ignore[arg-type]
    return out


def inflate(data: bytes, limit: int = 1 << 26) -> bytes:
    """All gzip members of a file, up to the first that is damaged."""
    out = []
    size = 0
    while data and size < limit:
        stream = zlib.decompressobj(31)
        try:
            piece = stream.decompress(data, limit)
        except zlib.error:
            break
        out.append(piece)
        size += len(piece)
        if not stream.eof:
            break
        data = stream.unused_data
    return b"".join(out)


def compare(text: bytes, read: Read, *, samples: int) -> None:
    """Raise WrongError where records were lost, changed, or invented.

    Only what is written plainly is compared, because htslib also reads what is not.
    """
    lines = [line for line in text.split(b"\n") if line.strip(b"\r \t")]
    first = next((n for n, line in enumerate(lines) if line.startswith(b"#CHROM")), None)
    if first is None:
        raise WrongError("there is no #CHROM line")
    data = lines[first + 1 :]
    if len(read) != len(data):
        raise WrongError(f"{len(read)} records of {len(data)} lines")
    for line, (record, calls) in zip(data, read, strict=True):
        _compare_line(line.rstrip(b"\r").split(b"\t"), record, calls, samples)


def _compare_line(
    columns: list[bytes], record: Record, calls: list[tuple[int, int, int]] | None, samples: int
) -> None:
    if columns[0] != record.contig.encode():
        raise WrongError(f"contig {columns[0]!r} was read as {record.contig!r}")
    if _PLAIN_PLACE.fullmatch(columns[1]) and int(columns[1]) != record.position:
        raise WrongError(f"position {columns[1]!r} was read as {record.position}")
    if not columns[1].isdigit():
        raise WrongError(f"position {columns[1][:30]!r} was read as {record.position}")
    if _PLAIN_ALLELES.fullmatch(columns[3]) and columns[3] != record.ref.encode():
        raise WrongError(f"REF {columns[3]!r} was read as {record.ref!r}")
    if _PLAIN_ALLELES.fullmatch(columns[4]) and columns[4] != ",".join(record.alts).encode():
        raise WrongError(f"ALT {columns[4]!r} was read as {record.alts!r}")
    if len(columns) != 9 + samples:
        raise WrongError(f"a line of {len(columns)} columns was read with {samples} samples")
    if calls is None or columns[8].split(b":")[0] != b"GT":
        return
    for text, call in zip(columns[9:], calls, strict=True):
        plain = _PLAIN_CALL.fullmatch(text)
        if plain is None:
            continue
        expected = (int(plain[1]), int(plain[3]), int(plain[2] == b"|"))
        if call[:2] != expected[:2] or (expected[0] != expected[1] and call[2] != expected[2]):
            raise WrongError(f"genotype {text!r} was read as {call}")


def same(expected: Read, read: Read) -> None:
    """Raise WrongError where two readings of one file differ."""
    if len(expected) != len(read):
        raise WrongError(f"{len(read)} records where there are {len(expected)}")
    for (record, calls), (other, others) in zip(expected, read, strict=True):
        if record != other or calls != others:
            raise WrongError(f"{record} was read as {other}, or its genotypes differ")


def check_alleles(alleles: np.ndarray, highest: int) -> None:
    """Raise WrongError where an array holds what is no allele."""
    if alleles.size and (alleles.max() > highest or alleles.min() < min(0, NO_CALL)):
        raise WrongError("an allele is out of range")
