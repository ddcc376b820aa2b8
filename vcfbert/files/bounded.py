"""Readers of untrusted files with bounded memory: small files whole, long ones line by line.

They raise ValueError or OSError, and each caller explains in its own words what it needs. Files of
a workspace must be regular files; files that a user names may also be pipes.
"""

from __future__ import annotations

import gzip
import io
import json
import stat
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_PIECE = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"

MAX_JSON = 1 << 28
"""Bytes of a manifest or of the record of a run; a million haplotypes need less."""

MAX_TOML = 1 << 20
"""Bytes of a settings file."""

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
    """The rest of a stream; memory grows only with what is read."""
    pieces, size = [], 0
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise ValueError(f"it is larger than {limit:,} bytes")
    return b"".join(pieces)


def require_regular(path: Path) -> None:
    """Raise ValueError for a folder, a pipe or a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")


def json_of(content: bytes | str) -> Any:
    """The value of JSON text; ValueError also if nesting or numbers are too long."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def toml_of(text: str) -> dict[str, Any]:
    """The table of TOML text; ValueError also if it is nested too deeply."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 text, without line ends and byte order mark.

    A text that is compressed with gzip or bgzip is inflated.
    """
    with path.open("rb") as stream:
        is_compressed = stream.peek(2)[:2] == _GZIP_MAGIC
        inflated = gzip.GzipFile(fileobj=stream) if is_compressed else stream
        text = io.TextIOWrapper(inflated, encoding="utf-8-sig")
        number = 0
        try:
            while line := text.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise LongLineError(f"line {number} is longer than {MAX_LINE:,} characters")
                yield number, line.rstrip("\r\n")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnreadableTextError(f"it is compressed, but damaged ({error})") from error


class UnreadableTextError(ValueError):
    """A text that cannot be read as lines of a table."""


class LongLineError(UnreadableTextError):
    """A line that is longer than any line of a table."""
