"""SHA-256 of files, and JSON files that contain their own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcfbert.files import bounded

KEY = "sha256"
"""First key of a sealed JSON file."""

_BLANK = "0" * 64
_PIECE = 1 << 20

_SETTLED_NS = 2_000_000_000
"""Files that changed later than this before they were hashed are hashed again: two changes within
a tick of the file system's clock leave the same times."""

_known: dict[Path, tuple[tuple[int, ...], str]] = {}  # state and SHA-256 by path


def of_file(path: Path) -> str:
    """SHA-256 of the content of a file, which is read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def of_file_once(path: Path) -> str:
    """SHA-256 of a file, which this process reads again only if it has changed."""
    place, found = path.absolute(), path.stat()
    state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    before = _known.get(place)
    if before is not None and before[0] == state:
        return before[1]
    is_settled = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED_NS
    digest = of_file(path)
    if is_settled:
        _known[place] = state, digest
    return digest


def of_bytes(content: bytes) -> str:
    """SHA-256 as hex.

    >>> of_bytes(b"")[:12]
    'e3b0c44298fc'
    """
    return hashlib.sha256(content).hexdigest()


def sealed_json(
    record: Mapping[str, Any], *, indent: int | None = 1, allow_nan: bool = True
) -> bytes:
    """JSON of a record, which begins with the SHA-256 of the text.

    The digest is computed with zeros in its place, so it detects a change of any byte.

    >>> opened_json(sealed_json({"seed": 1}))
    {'seed': 1}
    """
    text = json.dumps({KEY: _BLANK, **record}, indent=indent, allow_nan=allow_nan).encode()
    return text.replace(_BLANK.encode(), of_bytes(text).encode(), 1)


def opened_json(content: bytes) -> dict[str, Any]:
    """The record in what `sealed_json` returned; ValueError if that has changed."""
    record = bounded.json_of(content.decode("utf-8"))
    written = record.pop(KEY, None) if isinstance(record, dict) else None
    if not isinstance(written, str):
        raise ValueError(f"it does not contain its {KEY}")
    blank = content.replace(written.encode(), _BLANK.encode(), 1)
    if of_bytes(blank) != written:
        raise ValueError("its SHA-256 is not the one it contains")
    return dict(record)


def read_json(path: Path) -> dict[str, Any]:
    """Read a sealed JSON file; OSError or ValueError if it is unreadable or has changed."""
    return opened_json(bounded.read(path, bounded.MAX_JSON))
