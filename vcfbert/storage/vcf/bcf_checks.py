"""Whether the records of a BCF can be handed to htslib.

htslib ends the process where genotypes are of no type that it can count, and reads beyond them
where a record is of other samples than the header. So each record's fields are looked at before.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from vcfbert.errors import InputError

_SIZES = {1: 1, 2: 2, 3: 4, 5: 4, 7: 1}  # bytes of a value by its type
_INTEGERS = frozenset((1, 2, 3))
_PIECE = 1 << 20
_NAMED = re.compile(rb"^##(?:FILTER|INFO|FORMAT)=<ID=([^,>\n]+)([^\n]*)", re.MULTILINE)
_NUMBER = re.compile(rb"IDX=(\d+)")


def check_bcf(path: Path, num_samples: int) -> None:
    """InputError at the first record whose fields of samples are not as the header says."""
    number = 0
    try:
        with gzip.open(path, "rb") as stream:
            stream.read(5)
            header = _read_exactly(stream, int.from_bytes(stream.read(4), "little"))
            genotypes = _key_of_genotypes(header)
            while head := stream.read(8):
                number += 1
                shared = _read_exactly(stream, int.from_bytes(head[:4], "little"))
                individual = _read_exactly(stream, int.from_bytes(head[4:], "little"))
                _check_fields(shared, individual, num_samples, genotypes)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise InputError(
            f"{path} is damaged at record {number} ({error}). Copy or download it again."
        ) from error


def _key_of_genotypes(header: bytes) -> int:
    """The number that stands for GT in the records: as the header says, or by its place there."""
    places = {b"PASS": 0}
    for name, rest in _NAMED.findall(header):
        found = _NUMBER.search(rest)
        if found is not None:
            places[name] = int(found[1])
        places.setdefault(name, len(places))
    return places.get(b"GT", -1)


def _check_fields(shared: bytes, individual: bytes, num_samples: int, genotypes: int) -> None:
    """ValueError where a record's fields have no type, leave it, or are of other samples."""
    count = int.from_bytes(shared[20:24], "little")
    samples, num_fields = count & 0xFFFFFF, count >> 24
    if samples != num_samples:
        raise ValueError(f"it is of {samples} samples, and the header names {num_samples}")
    place = 0
    for _ in range(num_fields):
        key, place = _typed_integer(individual, place)
        kind, width = individual[place] & 15, individual[place] >> 4
        place += 1
        if width == 15:
            width, place = _typed_integer(individual, place)
        if kind not in _SIZES or (key == genotypes and not (kind in _INTEGERS and width)):
            raise ValueError(f"field {key} of the samples is {width} values of the type {kind}")
        place += width * samples * _SIZES[kind]
    if place > len(individual):
        raise ValueError("the fields of the samples are longer than the record")


def _typed_integer(content: bytes, place: int) -> tuple[int, int]:
    """A single integer with its type before it, and the place behind it."""
    size = {0x11: 1, 0x12: 2, 0x13: 4}.get(content[place])
    if size is None:
        raise ValueError(f"{content[place]:#x} is no integer")
    return int.from_bytes(content[place + 1 : place + 1 + size], "little"), place + 1 + size


def _read_exactly(stream: gzip.GzipFile, count: int) -> bytes:
    """So many bytes, in pieces, so that a wrong count takes no memory."""
    pieces = []
    while count > 0:
        piece = stream.read(min(count, 1 << 20))
        if not piece:
            raise EOFError("it ends within a record")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
