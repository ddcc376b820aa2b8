"""Check of the records of a BCF before htslib reads them.

htslib ends the process if genotypes have a type that it cannot count, and reads past them if a
record has another number of samples than the header. So the fields of each record are checked
first.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from vcfbert.errors import InputError
from vcfbert.storage.vcf.checks import Header

_SIZES = {1: 1, 2: 2, 3: 4, 5: 4, 7: 1}  # bytes of a value, by its type
_INTEGERS = frozenset((1, 2, 3))
_PIECE = 1 << 20
_DECLARED = re.compile(rb"^##(?:FILTER|INFO|FORMAT)=<ID=([^,>\n]+)([^\n]*)", re.MULTILINE)
_NUMBER = re.compile(rb"IDX=(\d+)")


def check_bcf(path: Path, header: Header) -> None:
    """Raise InputError at the first record whose FORMAT fields contradict the header."""
    genotype_key = _genotype_key(header.text)
    number = 0
    try:
        with gzip.open(path, "rb") as stream:
            stream.seek(9 + len(header.text))
            while head := stream.read(8):
                number += 1
                shared = _read_exactly(stream, int.from_bytes(head[:4], "little"))
                individual = _read_exactly(stream, int.from_bytes(head[4:], "little"))
                _check_fields(shared, individual, len(header.samples), genotype_key)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise InputError(
            f"{path} is damaged at record {number} ({error}). Copy or download it again."
        ) from error


def _genotype_key(header: bytes) -> int:
    """The number of GT in the records: its IDX in the header, or else its rank there."""
    keys = {b"PASS": 0}
    for name, rest in _DECLARED.findall(header):
        found = _NUMBER.search(rest)
        if found is not None:
            keys[name] = int(found[1])
        keys.setdefault(name, len(keys))
    return keys.get(b"GT", -1)


def _check_fields(shared: bytes, individual: bytes, num_samples: int, genotype_key: int) -> None:
    """Raise ValueError if FORMAT fields are of no type, too long or for other samples."""
    count = int.from_bytes(shared[20:24], "little")
    samples, num_fields = count & 0xFFFFFF, count >> 24
    if samples != num_samples:
        raise ValueError(f"it has {samples} samples, but the header has {num_samples}")
    offset = 0
    for _ in range(num_fields):
        key, offset = _typed_integer(individual, offset)
        kind, width = individual[offset] & 15, individual[offset] >> 4
        offset += 1
        if width == 15:
            width, offset = _typed_integer(individual, offset)
        if kind not in _SIZES or (key == genotype_key and not (kind in _INTEGERS and width)):
            raise ValueError(f"FORMAT field {key} has {width} values of type {kind}")
        offset += width * samples * _SIZES[kind]
    if offset > len(individual):
        raise ValueError("the FORMAT fields are longer than the record")


def _typed_integer(content: bytes, offset: int) -> tuple[int, int]:
    """A single integer with its type before it, and the offset after it."""
    size = {0x11: 1, 0x12: 2, 0x13: 4}.get(content[offset])
    if size is None:
        raise ValueError(f"{content[offset]:#x} is not an integer type")
    return int.from_bytes(content[offset + 1 : offset + 1 + size], "little"), offset + 1 + size


def _read_exactly(stream: gzip.GzipFile, count: int) -> bytes:
    """`count` bytes, read in pieces so that a wrong count does not allocate memory."""
    pieces = []
    while count > 0:
        piece = stream.read(min(count, _PIECE))
        if not piece:
            raise EOFError("it ends within a record")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
