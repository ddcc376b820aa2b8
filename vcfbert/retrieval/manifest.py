"""Manifest of an index folder: its files, its reference haplotypes and the stores it is made from.

W windows, L sites in a window, R reference haplotypes.

FAISS files have no checksum, so a flipped byte would load without an error. The manifest therefore
contains the SHA-256 of each file and its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.files import bounded, digests

FORMAT_VERSION = 2
NAME = "manifest.json"
MADE_BY = "build-index"
Kind = Literal["exact", "fast", "dense"]

MAX_LENGTH = 1 << 24
"""Largest number of sites in a window."""

MAX_ROWS = 1 << 40
"""Largest number of haplotypes in a panel."""


@dataclass(frozen=True)
class FileEntry:
    """One window's FAISS file."""

    name: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Measure a finished file."""
        return cls(name=path.name, sha256=digests.of_file(path), bytes=path.stat().st_size)


@dataclass(frozen=True)
class Manifest:
    """Everything about an index except the vectors.

    length                L
    parents               fingerprints of the stores it was made from, by kind: the panel, and for a
                          dense index masks and embeddings
    reference_haplotypes  (R,) panel haplotype of each row
    max_references, seed  how those were drawn; None means all train haplotypes
    files                 one per window
    mask_version          of a dense index; None for the others
    masks                 of a dense index: packed mask of each window, as hex
    """

    kind: Kind
    length: int
    parents: dict[str, str]
    reference_haplotypes: list[int]
    max_references: int | None
    seed: int
    files: list[FileEntry]
    mask_version: int | None = None
    masks: list[str] | None = None

    def is_masked(self, window: int) -> NDArray[np.bool_]:
        """(L,) the mask of a dense index in one window."""
        assert self.masks is not None
        packed = np.frombuffer(bytes.fromhex(self.masks[window]), dtype=np.uint8)
        return tokens.unpack(packed, self.length).astype(np.bool_)


def masks_as_hex(is_masked: NDArray[np.bool_]) -> list[str]:
    """Masks, (W, L), as the manifest stores them."""
    return [row.tobytes().hex() for row in tokens.pack(is_masked.view(np.uint8))]


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a folder with the finished files."""
    record = {
        "vcfbert_kind": "index",
        "format_version": FORMAT_VERSION,
        **dataclasses.asdict(manifest),
    }
    (folder / NAME).write_bytes(digests.sealed_json(record))


def read(folder: Path) -> Manifest:
    """Read and check a manifest; StoreError if it is missing, damaged or of another format."""
    path = folder / NAME
    try:
        content = bounded.read(path, bounded.MAX_JSON)
        record: Any = bounded.json_of(content.decode("utf-8"))
    except FileNotFoundError as error:
        raise StoreError.missing(folder, made_by=MADE_BY) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(record, dict) or record.pop("vcfbert_kind", None) != "index":
        raise StoreError.wrong_kind(folder, found="other", needed="index", made_by=MADE_BY)
    version = record.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise StoreError.wrong_version(
            folder, found=version, needed=FORMAT_VERSION, made_by=MADE_BY
        )
    try:
        digests.opened_json(content)
        record.pop(digests.KEY)
        record["files"] = [FileEntry(**entry) for entry in record["files"]]
        found = Manifest(**record)
        is_known = found.kind in get_args(Kind)
        if is_known:
            _check_types(found)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(path, error) from error
    if not is_known:
        raise StoreError.wrong_kind(
            folder, found=found.kind, needed="exact, fast or dense", made_by=MADE_BY
        )
    return found


def _check_types(found: Manifest) -> None:
    """Raise TypeError if a field has the wrong type or is out of range."""
    rows = found.reference_haplotypes
    is_right = {
        "length": type(found.length) is int and 0 < found.length <= MAX_LENGTH,
        "parents": _is_texts(found.parents),
        "reference_haplotypes": isinstance(rows, list)
        and all(type(haplotype) is int and 0 <= haplotype < MAX_ROWS for haplotype in rows)
        and 0 < len(set(rows)) == len(rows),
        "files": all(_is_file(entry) for entry in found.files),
        "mask_version": found.mask_version is None or type(found.mask_version) is int,
        "seed": type(found.seed) is int,
        "max_references": found.max_references is None or type(found.max_references) is int,
    }
    for name, holds in is_right.items():
        if not holds:
            raise TypeError(f"{name} is of the wrong type or out of range")
    if (found.kind == "dense") != (found.masks is not None and found.mask_version is not None):
        raise TypeError("a dense index has masks and the others have none")
    if found.masks is not None:
        _check_masks(found.masks, len(found.files), found.length)


def _check_masks(masks: object, num_windows: int, length: int) -> None:
    width = 2 * (-(-length // 8))
    if not isinstance(masks, list) or len(masks) != num_windows:
        raise TypeError("there is not one mask per window")
    for mask in masks:
        if not isinstance(mask, str) or not re.fullmatch(rf"[0-9a-f]{{{width}}}", mask):
            raise TypeError(f"a mask does not have {width} hexadecimal digits")


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(x, str) for x in value.values())


def _is_file(entry: FileEntry) -> bool:
    """True if an entry has a file name as `write_windows` gives it, not a path elsewhere."""
    return (
        isinstance(entry.name, str)
        and re.fullmatch(r"w\d{5,9}\.faiss", entry.name) is not None
        and isinstance(entry.sha256, str)
        and type(entry.bytes) is int
    )


def fingerprint(manifest: Manifest) -> str:
    """SHA-256 of the digests of the files and the reference haplotypes of the rows."""
    content = [entry.sha256 for entry in manifest.files], manifest.reference_haplotypes
    return hashlib.sha256(json.dumps([manifest.kind, *content]).encode()).hexdigest()


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} cannot be read ({error}). Rebuild the index with: "
                      f"vcfbert {MADE_BY} --force")  # fmt: skip
