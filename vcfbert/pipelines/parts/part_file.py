"""Files of parts: written whole or not at all, checked before use, read a few sites at a time.

A file has a first line, compressed sections, and at the end a JSON text that says where they are
and has the SHA-256 of everything before it and of itself.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import StoreError
from vcfbert.files import digests, temporary
from vcfbert.pipelines.parts import cell_codes
from vcfbert.pipelines.parts.part import ChunkPart, PartFacts

FORMAT_VERSION = 2
SUFFIX = ".part"

_MAGIC = f"vcfbert part {FORMAT_VERSION}\n".encode()
_END = 16  # bytes: length of the JSON text in decimal digits
_MAX_FOOTER = 1 << 28
_CELLS_OF_BLOCK = 1 << 22
_FEWEST_ROWS, _MOST_ROWS = 16, 1024
_TYPES = {"int64": np.int64, "float64": np.float64, "uint8": np.uint8}


class DamagedPartError(ValueError):
    """A file that is not a whole part."""


def rows_of_block(num_samples: int) -> int:
    """Written sites that are compressed together; the same for all batches of N samples."""
    return int(np.clip(_CELLS_OF_BLOCK // (2 * num_samples), _FEWEST_ROWS, _MOST_ROWS))


def blocks(num_sites: int, num_samples: int) -> Iterator[slice]:
    """The written sites of a chunk, a block at a time; N samples of the target."""
    step = rows_of_block(num_samples)
    for first in range(0, num_sites, step):
        yield slice(first, min(first + step, num_sites))


def name_of(key: str, chunk: int, samples: slice) -> str:
    """The name of a part's file.

    >>> name_of("ab12" * 16, 3, slice(0, 250))
    'ab12ab12ab12-000003-0000000-0000250.part'
    """
    return f"{key[:12]}-{chunk:06}-{samples.start:07}-{samples.stop:07}{SUFFIX}"


def write(
    folder: Path, key: str, part: ChunkPart, is_typed: NDArray[np.bool_], num_samples: int
) -> Path:
    """Write a part into a folder; a file of this name is replaced in one step.

    is_typed     (n,) of the written sites
    num_samples  of the target

    Raises StoreError if it cannot be written.
    """
    path = folder / name_of(key, part.chunk, part.samples)
    partial = temporary.name_of(path, secrets.token_hex(16), "partial")
    try:
        with partial.open("xb") as file:
            _write(file, key, part, is_typed, num_samples)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}. Finished parts are kept: check the "
            "free space, then run the same command again."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write(
    file: BinaryIO, key: str, part: ChunkPart, is_typed: NDArray[np.bool_], num_samples: int
) -> None:
    digest, place = hashlib.sha256(), 0

    def put(content: bytes) -> list[int]:
        nonlocal place
        file.write(content)
        digest.update(content)
        place += len(content)
        return [place - len(content), len(content)]

    put(_MAGIC)
    sections = {}
    for field in fields(PartFacts):
        values: NDArray[Any] = np.ascontiguousarray(getattr(part.facts, field.name))
        where = put(zlib.compress(values.tobytes(), 1))
        sections[field.name] = [*where, str(values.dtype), list(values.shape)]
    alt, left_out = [], []
    has_left_out = len(part.cells.left_out(slice(None))) > 0
    before = np.append(0, np.cumsum(is_typed))
    for rows in blocks(len(is_typed), num_samples):
        alt.append(put(cell_codes.encoded(part.cells.alt(rows))))
        if has_left_out:
            some = part.cells.left_out(slice(int(before[rows.start]), int(before[rows.stop])))
            left_out.append(put(zlib.compress(some.astype("<f4").tobytes(), 1)))
    footer = digests.sealed_json({
        "format": FORMAT_VERSION, "key": key, "chunk": part.chunk,
        "samples": [part.samples.start, part.samples.stop], "body": digest.hexdigest(),
        "sections": sections, "alt": alt, "left_out": left_out,
    }, indent=None)  # fmt: skip
    file.write(footer + f"{len(footer):0{_END}d}".encode())


@dataclass(frozen=True)
class StoredCells:
    """Probabilities in a file.

    rows       sites of each block of `alt`
    is_typed   (n,) of the written sites
    alt_at     offset and length of each block; `left_out_at` is the same for it, or empty
    """

    path: Path
    num_samples: int
    rows: int
    is_typed: NDArray[np.bool_]
    alt_at: list[list[int]]
    left_out_at: list[list[int]]

    def alt(self, rows: slice) -> NDArray[np.float32]:
        """See `Cells`; `rows` is a block."""
        try:
            content = _read_at(self.path, self.alt_at[rows.start // self.rows])
            return cell_codes.decoded(content, rows.stop - rows.start, self.num_samples)
        except ValueError as error:
            raise damaged(self.path, error) from error

    def left_out(self, rows: slice) -> NDArray[np.float32]:
        """See `Cells`; `rows` are the typed sites of a block."""
        before = np.append(0, np.cumsum(self.is_typed))
        number = int(np.searchsorted(before, rows.start, side="right") - 1) // self.rows
        count = rows.stop - rows.start
        try:
            content = _read_at(self.path, self.left_out_at[number])
            raw = zlib.decompress(content)
            return np.frombuffer(raw, "<f4").reshape(count, self.num_samples, 2)
        except (ValueError, zlib.error) as error:
            raise damaged(self.path, error) from error


def damaged(path: Path, error: Exception) -> StoreError:
    """The error for a part that has changed since it was checked."""
    return StoreError(f"{path} is damaged ({error}). Delete it and run the same command again.")


def read(path: Path, key: str, is_typed: NDArray[np.bool_], num_samples: int) -> ChunkPart:
    """Open a part after checking all of it; the probabilities stay on the disk.

    Raises DamagedPartError if the file is not a whole part of this key, and OSError.
    """
    footer = checked(path)
    if footer["key"] != key:
        raise DamagedPartError("it has another key")
    try:
        facts = PartFacts(
            **{field.name: _array(path, footer["sections"][field.name])
               for field in fields(PartFacts)}
        )  # fmt: skip
        samples = slice(*footer["samples"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise DamagedPartError(str(error)) from error
    if len(facts.dosage) != len(is_typed):
        raise DamagedPartError("it has another number of sites")
    cells = StoredCells(
        path, samples.stop - samples.start, rows_of_block(num_samples), is_typed,
        footer["alt"], footer["left_out"],
    )  # fmt: skip
    return ChunkPart(footer["chunk"], samples, facts, cells)


def checked(path: Path) -> Mapping[str, Any]:
    """What the end of a file says, after checking all of it.

    Raises DamagedPartError if it is not a whole part, and OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        footer, length = _footer(file, size)
        file.seek(0)
        digest, rest = hashlib.sha256(), size - length - _END
        while rest > 0 and (piece := file.read(min(1 << 20, rest))):
            digest.update(piece)
            rest -= len(piece)
    if footer.get("body") != digest.hexdigest():
        raise DamagedPartError("its SHA-256 is not the one it contains")
    return footer


def described(path: Path) -> Mapping[str, Any]:
    """What the end of a file says; only this is checked. Raises like `checked`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return _footer(file, size)[0]


def _footer(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The JSON text at the end, and its length."""
    try:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise DamagedPartError("it is not a part of this version")
        file.seek(size - _END)
        length = int(file.read(_END))
        if not 0 < length <= min(_MAX_FOOTER, size - _END):
            raise DamagedPartError("its end is missing")
        file.seek(size - _END - length)
        return digests.opened_json(file.read(length)), length
    except OSError as error:
        raise DamagedPartError("its end is missing") from error
    except DamagedPartError:
        raise
    except ValueError as error:
        raise DamagedPartError(str(error)) from error


def _array(path: Path, where: list[Any]) -> NDArray[Any]:
    start, length, kind, shape = where
    values = np.frombuffer(zlib.decompress(_read_at(path, [start, length])), _TYPES[kind])
    return values.reshape(shape)


def _read_at(path: Path, where: list[int]) -> bytes:
    start, length = where
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)
