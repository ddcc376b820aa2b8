"""Finished stores and their arrays, read without the package zarr.

Importing zarr takes a tenth of a second, and each chunk a millisecond, which one sample notices.
The metadata of a store is checked before it is used (`declared_sizes`): every array has one of four
sequences of codecs, and this module decodes those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc, zstd
from numpy.typing import NDArray

from vcfbert.errors import StoreError
from vcfbert.files import locks, replacing, seals
from vcfbert.storage.zarr import declared_sizes, schema
from vcfbert.storage.zarr.schema import Kind

_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class StoredGroup:
    """An open store.

    identity  of the folder at `path` when it was opened
    """

    path: Path
    identity: tuple[int, ...] | None
    attrs: dict[str, Any]

    def require_same(self) -> None:
        """Raise StoreError if another store has taken the place of this one."""
        if replacing.identity(self.path) != self.identity:
            raise StoreError.replaced(self.path)


@dataclass(frozen=True)
class StoredArray:
    """An array of an open store.

    name    its path in the store
    chunks  shape of a chunk; those at the end are as large, filled up with zeros
    codecs  names, in the order in which they are encoded
    """

    group: StoredGroup
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    codecs: tuple[str, ...]

    @property
    def num_chunks(self) -> tuple[int, ...]:
        """Along each axis."""
        sizes = zip(self.shape, self.chunks, strict=True)
        return tuple(-(-size // chunk) for size, chunk in sizes)

    def window(self, first: int) -> NDArray[Any]:
        """The chunks at one index of the first axis, without that axis, which is of size 1.

        Raises StoreError if one is missing, ValueError, RuntimeError or OSError if it is damaged.
        """
        values: NDArray[Any] = self._read(range(first, first + 1))[0]
        return values

    def whole(self) -> NDArray[Any]:
        """All chunks; raises as `window` does."""
        return self._read(range(self.num_chunks[0]))

    def _read(self, firsts: range) -> NDArray[Any]:
        """The chunks at some indexes of the first axis."""
        start = firsts.start * self.chunks[0]
        stop = min(firsts.stop * self.chunks[0], self.shape[0])
        if math.prod(self.num_chunks[1:]) == len(firsts) == 1 and self.chunks[1:] == self.shape[1:]:
            return self._chunk((firsts.start, *(0 for _ in self.shape[1:])))[: stop - start]
        values = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for place in itertools.product(firsts, *map(range, self.num_chunks[1:])):
            low = [number * size for number, size in zip(place, self.chunks, strict=True)]
            low[0] -= start
            target = values[
                tuple(slice(at, at + size) for at, size in zip(low, self.chunks, strict=True))
            ]
            is_whole = target.shape == self.chunks and target.flags.c_contiguous
            found = self._chunk(place, target if is_whole else None)
            if found is not target:
                target[...] = found[tuple(map(slice, target.shape))]
        return values

    def _chunk(self, place: tuple[int, ...], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """A whole chunk; in `out`, if that is given and the codec can write there."""
        file = self.group.path.joinpath(self.name, "c", *map(str, place))
        self._require(file)
        raw = file.read_bytes()
        if "crc32c" in self.codecs:
            raw, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
            if google_crc32c.value(raw) != int.from_bytes(checksum, "little"):
                raise ValueError("stored and computed checksum do not match")
        if "zstd" in self.codecs:
            if out is not None:
                zstd.decompress(raw, out)
                return out
            raw = zstd.decompress(raw)
        elif "blosc" in self.codecs:
            raw = blosc.decompress(raw)
        return np.frombuffer(raw, self.dtype.newbyteorder("<")).reshape(self.chunks)

    def _require(self, file: Path) -> None:
        """Raise StoreError unless a chunk is there and declares its size."""
        if not file.exists():
            self.group.require_same()
            raise StoreError(
                f"{file} is missing: the store is damaged. Rebuild it with --force and the command "
                "that made it."
            )
        try:
            size = math.prod(self.chunks) * self.dtype.itemsize
            declared_sizes.check_chunk(file, size, self.codecs)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{file} is damaged ({error}). Rebuild the store with --force and the command that "
                "made it."
            ) from error


@contextmanager
def open_store(path: Path, kind: Kind) -> Iterator[StoredGroup]:
    """Open a finished store for reading, after checking its kind and format version."""
    with locks.reading(path):
        yield _opened(path, kind)


def _opened(path: Path, kind: Kind) -> StoredGroup:
    made_by = schema.MADE_BY[kind]
    declared_sizes.check_store(path, kind)
    try:
        identity = replacing.identity(path)
        metadata = declared_sizes.metadata(path)
    except FileNotFoundError as error:
        raise StoreError.missing(path, made_by=made_by) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is not a readable Zarr store ({error}). Rebuild it with: "
                         f"vcfbert {made_by} --force") from error  # fmt: skip
    root = StoredGroup(path, identity, metadata.get("attributes", {}))
    found = root.attrs.get("vcfbert_kind")
    if found != kind:
        raise StoreError.wrong_kind(path, found=found, needed=kind, made_by=made_by)
    version, needed = root.attrs.get("format_version"), schema.FORMAT_VERSION[kind]
    if version != needed:
        raise StoreError.wrong_version(path, found=version, needed=needed, made_by=made_by)
    seals.check(path, schema.AGAIN[kind], is_wanted=seals.is_metadata)
    return root


def attribute(root: StoredGroup, name: str) -> Any:
    """A required attribute; StoreError if the store lacks it."""
    if name not in root.attrs:
        raise StoreError(
            f"{root.path} lacks the attribute {name}: the store is damaged. Rebuild it with "
            "--force."
        )
    return root.attrs[name]


def member(root: StoredGroup, name: str) -> StoredArray:
    """An array by its path; StoreError if the store lacks it."""
    try:
        found = declared_sizes.metadata(root.path / name)
        return StoredArray(
            root,
            name,
            tuple(found["shape"]),
            tuple(found["chunk_grid"]["configuration"]["chunk_shape"]),
            np.dtype(found["data_type"]),
            tuple(codec["name"] for codec in found["codecs"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:  # its zarr.json is damaged
        root.require_same()
        raise StoreError(
            f"{root.path} lacks the array {name}: the store is damaged. Rebuild it with --force."
        ) from error


def read_column(root: StoredGroup, name: str) -> NDArray[Any]:
    """Read a whole array."""
    array = member(root, name)
    try:
        values = np.array(array.whole())
        root.require_same()
        return values
    except (ValueError, RuntimeError, OSError) as error:  # a checksum or a codec that fails
        root.require_same()
        raise StoreError(
            f"{name} in {root.path} is damaged ({error}). Rebuild the store with --force."
        ) from error


def read_text(root: StoredGroup, name: str) -> list[str]:
    """Read what `stores.write_text` wrote."""
    try:
        return read_column(root, name).tobytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise StoreError(
            f"{name} in {root.path} is damaged ({error}). Rebuild the store with --force."
        ) from error


def read_window(array: StoredArray, window: int, kind: Kind) -> NDArray[Any]:
    """Read one window of an array whose first axis is chunked window by window."""
    try:
        values = array.window(window)
        array.group.require_same()
        return values
    except (ValueError, RuntimeError, OSError) as error:  # a checksum or a codec that fails
        array.group.require_same()
        raise StoreError(
            f"{array.name} of window {window} in {array.group.path} is damaged ({error}). "
            f"Rebuild the store with: vcfbert {schema.MADE_BY[kind]} --force"
        ) from error
