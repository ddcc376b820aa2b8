"""Zarr stores: creating them, and writing their arrays. `stored` reads them.

A path that exists is a finished store: a store is written under a temporary name and renamed. It
records its kind, format version, fingerprint and the fingerprints of its parents. Every chunk has a
checksum (crc32c), except in memory-mapped arrays, and the folder has a seal over every file (see
`files.seals`); opening a store checks the seal of the metadata. Zarr is imported by what writes.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import DeviceError, StoreError
from vcfbert.files import locks, replacing, seals, temporary
from vcfbert.storage.zarr import declared_sizes, schema
from vcfbert.storage.zarr.schema import Kind

if TYPE_CHECKING:
    import zarr

ZSTD_LEVEL = 12
"""For alleles: 8 % smaller than level 9, and still a hundredth of the time of parsing."""

COLUMN_LEVEL = 17
"""For tables, which are small and read whole."""

ROW_INDEX_BYTES = 16
"""Of a memory-mapped array, for each row: its offset and length."""

_STRICT = {"array.write_empty_chunks": True}  # so that an absent chunk is a lost chunk


@contextmanager
def create_store(path: Path, kind: Kind, *, overwrite: bool = False) -> Iterator[zarr.Group]:
    """Yield an empty group that appears at `path` only if the block completes.

    The block sets the attributes `fingerprint` and `parents` itself.
    """
    import zarr

    attributes = {"vcfbert_kind": kind, "format_version": schema.FORMAT_VERSION[kind]}
    with create_folder(path, overwrite=overwrite) as partial, zarr.config.set(_STRICT):
        yield zarr.create_group(partial, attributes=attributes, overwrite=True)


@contextmanager
def open_unfinished(folder: Path) -> Iterator[zarr.Group]:
    """Open the temporary folder of a store that `create_store` is creating in another process."""
    import zarr

    with zarr.config.set(_STRICT):
        root = zarr.open_group(folder, mode="r+")
        try:
            yield root
        finally:
            root.store.close()


@contextmanager
def create_folder(path: Path, *, overwrite: bool = False, sealed: bool = True) -> Iterator[Path]:
    """Yield an empty folder that appears at `path`, sealed, only if the block completes.

    Raises StoreError if another process is writing `path`, or if `path` exists and may not be
    replaced.
    """
    with staging(path) as partial:
        if path.exists() and not overwrite:
            raise StoreError.exists(path)
        try:
            yield partial
            if sealed:
                seals.write(partial)
            replace_folder(partial, path)
        except OSError as error:
            raise StoreError.unwritable(path, error) from error


@contextmanager
def staging(place: Path) -> Iterator[Path]:
    """Hold a place and yield an empty temporary folder next to it, deleted when the block ends.

    What is written there and then renamed is never half-written under its final name.
    """
    with locks.hold(place):
        partial = locks.temporary_name(place, "partial")
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise StoreError.unwritable(place, error) from error
        try:
            yield partial
        finally:
            temporary.remove(partial)


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Yield an empty folder on the disk of `path`, deleted when the block ends.

    Raises StoreError if nothing can be written there.
    """
    existing = next(place for place in path.absolute().parents if place.exists())
    name = f"{path.name}.scratch-"
    locks.clear_stopped(existing, f"{glob.escape(name)}*")
    with staging(existing / f"{name}{secrets.token_hex(8)}") as folder:
        try:
            yield folder
        except OSError as error:
            raise StoreError.unwritable(path, error) from error


def require_disk(path: Path, needed: int, *, what: str, instead: str) -> None:
    """Raise DeviceError unless the disk below `path` has `needed` free bytes.

    what     what is to be written, in the plural
    instead  what to do instead, for the end of the message
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DeviceError(
            f"{what} at {path} need {needed:,} bytes, but the disk has {free:,} free. {instead}"
        )


def replace_folder(partial: Path, path: Path) -> None:
    """Force a finished folder to the disk and put it in its place."""
    sync_tree(partial)
    replacing.put(partial, path)


def sync_tree(folder: Path) -> None:
    """Force all files of a folder to the disk, so that a rename never outlives its content."""
    for base, _, names in os.walk(folder):
        for name in names:
            temporary.sync(Path(base) / name)
        temporary.sync(Path(base))


def create_array(
    root: zarr.Group,
    kind: Kind,
    name: str,
    shape: Sequence[int],
    chunks: Sequence[int],
    *,
    mapped: bool = False,
    dtype: str | None = None,
    level: int | None = ZSTD_LEVEL,
    shuffled: bool = False,
) -> zarr.Array[Any]:
    """Declare an array of the schema.

    mapped    store raw bytes, no compression and no checksum, so that `map_rows` can read it; a
              row along the second axis is a chunk of its own, and `chunks` is a file of many
    dtype     one of several that the schema allows; None is the usual one
    level     of zstd; None stores as it is, with a checksum
    shuffled  compress the bytes of numbers plane by plane
    """
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec

    spec = schema.find(kind, name)
    assert dtype is None or dtype in spec.dtypes
    numbers = np.dtype(dtype or spec.dtypes[0])
    codecs: list[Any] = [] if level is None else [ZstdCodec(level=level)]
    codecs.append(Crc32cCodec())
    serializer: BytesCodec | ShardingCodec = BytesCodec()
    if mapped:
        row = (1, 1, *chunks[2:])
        plain = [BytesCodec()]
        serializer = ShardingCodec(chunk_shape=row, codecs=plain, index_codecs=plain)
        codecs = []
    elif shuffled and level is not None and numbers.itemsize > 1:
        codecs[0] = BloscCodec(cname="zstd", clevel=8, shuffle="shuffle", typesize=numbers.itemsize)
    return root.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(max(1, size) for size in chunks),
        dtype=numbers,
        serializer=serializer,
        compressors=codecs,
        fill_value=0,
        attributes={"dims": spec.dims, "meaning": spec.meaning},
    )


def write_column(root: zarr.Group, kind: Kind, name: str, values: NDArray[Any]) -> None:
    """Write a whole small array as one chunk.

    Numbers are stored by byte planes, which halves the space: the high bytes of positions and
    counts hardly change.
    """
    array = create_array(
        root, kind, name, values.shape, values.shape, level=COLUMN_LEVEL, shuffled=True
    )
    array[...] = values


def write_text(root: zarr.Group, kind: Kind, name: str, values: Sequence[str]) -> None:
    """Write strings as UTF-8 lines; Zarr 3 has no settled string type."""
    text = "\n".join(values).encode("utf-8")
    write_column(root, kind, name, np.frombuffer(text, dtype=np.uint8))


def member(root: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a store that is being written."""
    found: zarr.Array[Any] = root[name]  # type: ignore[assignment]
    return found


def place(root: zarr.Group) -> Path:
    """The folder of a store that is being written."""
    store: Any = root.store
    return Path(store.root)


def write_rows(folder: Path, index: int, blocks: Iterable[NDArray[Any]], dtype: str) -> None:
    """Write one file along the first axis of an array created with `mapped=True`, in pieces.

    Zarr needs a whole file in memory; writing the raw bytes allows files larger than memory. After
    the rows comes the index of Zarr's sharding: offset and length of each. Lengthen the array with
    `resize` once all its files are written.

    folder  of the array
    blocks  consecutive parts along the second axis, whole along the others
    """
    remaining = iter(blocks)
    first = next(remaining)
    file = _rows_file(folder, index, first.ndim + 1)
    file.parent.mkdir(parents=True)
    lengths: list[int] = []
    with file.open("wb") as stream:
        for block in itertools.chain([first], remaining):
            raw = np.ascontiguousarray(block, dtype=np.dtype(dtype).newbyteorder("<"))
            stream.write(raw.data)
            lengths += [raw[0].nbytes] * len(raw)
        stream.write(_row_index(lengths).data)


def _row_index(lengths: Sequence[int]) -> NDArray[np.uint64]:
    """(R, 2) offset and length of each row in a file."""
    sizes = np.array(lengths, dtype="<u8")
    return np.stack([np.cumsum(sizes, dtype="<u8") - sizes, sizes], axis=1)


def map_rows(path: Path, name: str, index: int, shape: Sequence[int], dtype: str) -> NDArray[Any]:
    """Memory-map the rows of one file of an array created with `mapped=True`.

    shape  (R, ...) of the rows
    """
    file = _rows_file(path / name, index, len(shape) + 1)
    numbers = np.dtype(dtype).newbyteorder("<")
    try:
        size = numbers.itemsize * math.prod(shape) + ROW_INDEX_BYTES * shape[0]
        declared_sizes.check_chunk(file, size, ("sharding_indexed",))
        return np.memmap(file, dtype=numbers, mode="r", shape=tuple(shape))
    except (OSError, ValueError, OverflowError) as error:  # missing or truncated
        raise StoreError(f"{file} is damaged or missing ({error}). Rebuild {path}.") from error


def _rows_file(array: Path, index: int, num_dims: int) -> Path:
    return array.joinpath("c", str(index), *("0" for _ in range(num_dims - 1)))


def fingerprint(*parts: bytes | str | NDArray[Any]) -> str:
    """SHA-256 of the parts of a store, by which a child recognises its parent."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            data = part.encode("utf-8")
        elif isinstance(part, bytes):
            data = part
        else:
            data = np.ascontiguousarray(part).tobytes()
        digest.update(
            len(data).to_bytes(8, "little")
        )  # so that ("ab", "c") differs from ("a", "bc")
        digest.update(data)
    return digest.hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that `path` has either all of the new content or its old content."""
    with locks.hold(path):
        partial = locks.temporary_name(path, "partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                temporary.flush(stream.fileno())
            replacing.put(partial, path)
        except OSError as error:
            raise StoreError.unwritable(path, error) from error
        finally:
            partial.unlink(missing_ok=True)
