"""Array profiles: what imputation needs of a panel and a set of typed sites, kept in the workspace.

A profile only saves time: without it, the same numbers are computed again. An entry is a file
named after the digest of everything that it depends on. It begins with its SHA-256, and a damaged
one is made again. If the folder cannot be written to, nothing is kept.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.errors import StoreError
from vcfbert.files import bounded
from vcfbert.storage.zarr import stores

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_BYTES = 4_000_000_000
"""Larger files are not read."""

MOST_FOLDER_BYTES = 4_000_000_000
"""If the entries need more, the least recently used ones are deleted."""

SUFFIX = ".profile"

Fact = str | int | float | None | NDArray[np.generic]
Arrays = dict[str, NDArray[np.generic]]
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Profiles:
    """Entries of one panel.

    folder       None keeps nothing
    facts        what every entry depends on: the panel and the sources of the computations
    is_required  raise StoreError if an entry cannot be written, instead of doing without
    """

    folder: Path | None
    facts: tuple[Fact, ...] = ()
    is_required: bool = False

    def kept(self, kind: str, facts: Sequence[Fact], make: Callable[[], Arrays]) -> Arrays:
        """The arrays of an entry, read or else made and kept.

        kind   first word of the file's name
        facts  everything else that the arrays depend on
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{kind}-{digest_of([*self.facts, *facts])}{SUFFIX}"
        found = _read(path)
        if found is None:
            found = make()
            with nullcontext() if self.is_required else suppress(StoreError):
                _write(path, found)
        return found


NOTHING = Profiles(None)
"""Computes everything anew."""


def digest_of(facts: Sequence[Fact]) -> str:
    """Digest of some facts; arrays count with their type and shape.

    >>> digest_of([1, "a"]) == digest_of([1, "a"]), digest_of(["1", "a"]) == digest_of([1, "a"])
    (True, False)
    """
    digest = hashlib.sha256(f"{FORMAT_VERSION} {versions.__version__}".encode())
    for fact in facts:
        if isinstance(fact, np.ndarray):
            digest.update(f"{fact.dtype.str} {fact.shape}\n".encode())
            digest.update(np.ascontiguousarray(fact).tobytes())
        else:
            digest.update(f"{fact!r}\n".encode())
    return digest.hexdigest()[:32]


def damage(path: Path) -> str | None:
    """What is wrong with an entry; None if nothing is."""
    try:
        _body(path)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def remove(folder: Path) -> None:
    """Delete all entries, because their panel is replaced."""
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)


def _read(path: Path) -> Arrays | None:
    """The arrays of an entry; None if it is missing or damaged."""
    try:
        body = _body(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be used (%s), so it is made again.", path, error)
        return None
    with suppress(OSError):  # of a workspace that cannot be written to
        os.utime(path)  # for `_prune`
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: _array(archive.read(name)) for name in archive.namelist()}


def _body(path: Path) -> bytes:
    """The archive in an entry; OSError or ValueError if it is unreadable or has changed."""
    content = bounded.read(path, MAX_BYTES)
    body = content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != content[:_DIGEST_BYTES]:
        raise ValueError("its SHA-256 is not the one it begins with")
    return body


def _array(content: bytes) -> NDArray[np.generic]:
    return np.asarray(np.lib.format.read_array(io.BytesIO(content)))


def _write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Put an entry in place in one step; of two writers of one entry, either may be last.

    Raises StoreError if the folder cannot be written to.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(values))
            # Counts of alleles are small; frequencies are as large compressed.
            method = zipfile.ZIP_DEFLATED if values.dtype.kind == "i" else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name), content.getvalue(), method, compresslevel=1)
    body = buffer.getvalue()
    stores.write_file(path, hashlib.sha256(body).digest() + body)
    _prune(path.parent, path)


def _prune(folder: Path, newest: Path) -> None:
    """Delete the least recently used entries, until the others fit."""
    entries = [(path.stat(), path) for path in folder.glob(f"*{SUFFIX}") if path.exists()]
    total = sum(facts.st_size for facts, _ in entries)
    for facts, path in sorted(entries, key=lambda entry: entry[0].st_mtime_ns):
        if total <= MOST_FOLDER_BYTES:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= facts.st_size
