"""Reading files of unknown origin with a bound on memory: small files whole, long ones by lines.

What is wrong is a ValueError or an OSError, so that each reader says in its own words what it
needs. Files of a workspace must be regular files; what a user names may also be a pipe.
"""

from __future__ import annotations

import gzip
import json
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_PIECE = 1 << 20

MAX_JSON = 1 << 28
"""Bytes of a manifest or a run's record; the manifest of a million haplotypes has less."""

MAX_TOML = 1 << 20
"""Bytes of a config."""

MAX_LINE = 1 << 20
"""Characters of a line of a table."""


def read(path: Path, limit: int) -> bytes:
    """All of a regular file of at most `limit` bytes."""
    require_regular(path)
    if path.stat().st_size > limit:
        raise ValueError(f"it is larger than {limit:,} bytes")
    with path.open("rb") as stream:
        return read_pieces(stream, limit)


def read_pieces(stream: BinaryIO | gzip.GzipFile, limit: int) -> bytes:
    """All that is left of a stream, with room taken only for what comes."""
    pieces, size = [], 0
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise ValueError(f"it is larger than {limit:,} bytes")
    return b"".join(pieces)


def require_regular(path: Path) -> None:
    """ValueError where there is a folder, a pipe or a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")


def json_of(content: bytes | str) -> Any:
    """What JSON says; ValueError also where it is nested too deeply or holds endless numbers."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def toml_of(text: str) -> dict[str, Any]:
    """What TOML says; ValueError likewise."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and lines of a text in UTF-8, without their ends and a byte order mark."""
    with path.open(encoding="utf-8-sig") as stream:
        number = 0
        while line := stream.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise LongLineError(f"line {number} is longer than {MAX_LINE:,} characters")
            yield number, line.rstrip("\r\n")


class LongLineError(ValueError):
    """A line that no table has."""
