"""Checks of the metadata and chunk sizes of a store before memory is allocated for it.

The JSON of a store declares the shape and chunks of an array and its codecs, and could declare any.
vcfbert writes only four sequences of codecs, so it reads no others.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vcfbert.errors import StoreError
from vcfbert.files import bounded
from vcfbert.storage.zarr import schema
from vcfbert.storage.zarr.schema import ArraySpec, Kind

MAX_CHUNK_BYTES = 1 << 31
"""Bytes of a decompressed chunk; memory-mapped chunks take no memory."""

MAX_METADATA_BYTES = 1 << 24
"""Bytes of a zarr.json; that of a group has the names of contigs."""

_CODECS = (
    ("sharding_indexed",),
    ("bytes", "crc32c"),
    ("bytes", "zstd", "crc32c"),
    ("bytes", "blosc", "crc32c"),
)
_LITTLE = [{"name": "bytes", "configuration": {"endian": "little"}}]
_ARRAY_KEYS = {
    "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs",
    "attributes", "zarr_format", "node_type", "storage_transformers", "dimension_names",
}  # fmt: skip
_GROUP_KEYS = {"attributes", "zarr_format", "node_type", "consolidated_metadata"}
_CHECKSUM_BYTES = 4
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOSC_HEADER = 16


def check_store(path: Path, kind: Kind) -> None:
    """Raise StoreError if a store has links, pipes or metadata that vcfbert does not write.

    A store that is missing or has no root is left to the caller.
    """
    if not (path / "zarr.json").is_file():
        return
    try:
        num_files = _check_files(path)
        _check_group(metadata(path))
        for spec in schema.arrays_of(kind):
            for above in Path(spec.name).parents:
                if above.parts and (path / above).is_dir():
                    _check_group(metadata(path / above))
            if (path / spec.name / "zarr.json").is_file():
                _check_array(metadata(path / spec.name), spec, num_files)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise StoreError(
            f"{path} is not a readable Zarr store of vcfbert ({error}). Rebuild it with: vcfbert "
            f"{schema.MADE_BY[kind]} --force"
        ) from error


def check_chunk(file: Path, size: int, codecs: tuple[str, ...]) -> None:
    """Raise ValueError unless the header of a chunk declares `size` decompressed bytes.

    codecs  names, as in the metadata of the array
    """
    bounded.require_regular(file)
    stored = file.stat().st_size - _CHECKSUM_BYTES * ("crc32c" in codecs)
    with file.open("rb") as stream:
        head = stream.read(32)
    found = stored
    if "zstd" in codecs:
        found = _zstd_size(head)
    elif "blosc" in codecs:
        found = int.from_bytes(head[4:8], "little")
        if len(head) < _BLOSC_HEADER or int.from_bytes(head[12:16], "little") != stored:
            raise ValueError("its length is not the one in its header")
    if found != size:
        raise ValueError(f"it has {found:,} bytes, but {size:,} are needed")


def _zstd_size(head: bytes) -> int:
    """The content size in the header of a frame (RFC 8878, 3.1.1.1)."""
    if len(head) < 6 or head[:4] != _ZSTD_MAGIC:
        raise ValueError("it is not a zstd frame")
    flags = head[4]
    is_single = bool(flags & 0x20)
    width = (0, 2, 4, 8)[flags >> 6] or int(is_single)
    if not width:
        raise ValueError("it does not declare its size")
    place = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(head[place : place + width], "little")
    return size + 256 if width == 2 else size


def _check_files(path: Path) -> int:
    """The number of files; ValueError if an entry is neither a file nor a folder."""
    folders = [os.fspath(path)]
    count = 0
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise ValueError(f"{entry.path} is not a regular file")
                else:
                    count += 1
    return count


def metadata(folder: Path) -> dict[str, Any]:
    """The content of a zarr.json; ValueError or OSError if it is damaged or missing."""
    try:
        found = bounded.json_of(bounded.read(folder / "zarr.json", MAX_METADATA_BYTES))
    except ValueError as error:
        raise ValueError(f"{folder / 'zarr.json'} is damaged: {error}") from error
    if not isinstance(found, dict) or found.get("zarr_format") != 3:
        raise ValueError(f"{folder / 'zarr.json'} is not Zarr 3 metadata")
    return found


def _check_group(found: Mapping[str, Any]) -> None:
    _require("node type", found["node_type"], "group")
    _require("attributes", isinstance(found.get("attributes", {}), dict), True)
    _require("unknown keys", sorted(found.keys() - _GROUP_KEYS), [])
    _require("consolidated metadata", found.get("consolidated_metadata"), None)


def _check_array(found: Mapping[str, Any], spec: ArraySpec, num_files: int) -> None:
    name = spec.name
    _require(f"{name}: unknown keys", sorted(found.keys() - _ARRAY_KEYS), [])
    _require(f"{name}: node type", found["node_type"], "array")
    _require(f"{name}: data type", found["data_type"] in spec.dtypes, True)
    dtype = np.dtype(found["data_type"])
    shape = _sizes(name, found["shape"], 0)
    grid = found["chunk_grid"]
    _require(f"{name}: grid", grid["name"], "regular")
    chunks = _sizes(name, grid["configuration"]["chunk_shape"], 1)
    dims = 1 if spec.dtype == "text" else len(spec.dims.split())
    _require(f"{name}: dimensions", (len(shape), len(chunks)), (dims, dims))
    pieces = math.prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    if pieces > num_files:
        raise ValueError(f"{name} has {pieces:,} chunks, but the store has {num_files} files")
    keys = found["chunk_key_encoding"]
    _require(f"{name}: names of chunks", (keys["name"], keys["configuration"]["separator"]),
             ("default", "/"))  # fmt: skip
    fill = found["fill_value"]
    _require(f"{name}: fill value", fill == 0 and not isinstance(fill, str), True)
    _require(f"{name}: storage transformers", found.get("storage_transformers", []), [])
    codecs = tuple(codec["name"] for codec in found["codecs"])
    if codecs not in _CODECS:
        raise ValueError(f"{name} has the codecs {', '.join(map(str, codecs))[:80]}")
    endian = found["codecs"][0].get("configuration", {}).get("endian", "little")
    _require(f"{name}: order of bytes", endian, "little")
    size = math.prod(chunks) * dtype.itemsize
    if codecs == ("sharding_indexed",):
        _check_shards(found["codecs"][0]["configuration"], chunks, name)
    elif size > MAX_CHUNK_BYTES:
        raise ValueError(f"{name} has chunks of {size:,} bytes")


def _check_shards(found: Mapping[str, Any], shard: list[int], name: str) -> None:
    """Rows along the second axis are chunks of raw bytes, and their index is at the end."""
    chunk = [1, 1, *shard[2:]]
    needed = {"chunk_shape": chunk, "codecs": _LITTLE, "index_codecs": _LITTLE,
              "index_location": "end"}  # fmt: skip
    _require(f"{name}: shards", [*shard[:1], dict(found)], [1, needed])


def _sizes(name: str, value: Any, least: int) -> list[int]:
    if not isinstance(value, list) or not all(type(v) is int and v >= least for v in value):
        raise ValueError(f"{name} has the shape {str(value)[:60]}")
    return value


def _require(what: str, found: object, needed: object) -> None:
    if found != needed or type(found) is not type(needed):
        raise ValueError(f"{what}: {str(found)[:60]}, not {needed}")
