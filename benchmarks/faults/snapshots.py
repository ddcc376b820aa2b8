"""Digests of the outputs of commands, without times."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from vcfbert.files import temporary

SECONDS = re.compile(r"(^|_)seconds$|peak_memory|^sha256$")
"""Keys and columns that differ between runs: times, memory, and seals over them."""


def of(folder: Path) -> dict[str, str]:
    """Digest by relative path of every file under a final name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(temporary.is_temporary(part) for part in parts):
            if "tensorboard" not in parts:
                found["/".join(parts)] = hashlib.sha256(_content(path)).hexdigest()
    return found


def leftovers(folder: Path) -> list[str]:
    """Temporary files and lock files below a folder."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if temporary.is_temporary(path.name)
    )


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.name in ("metrics.csv", "refresh.csv", "chunks.tsv"):
        delimiter = "\t" if path.suffix == ".tsv" else ","
        rows = list(csv.DictReader(raw.decode().splitlines(), delimiter=delimiter))
        return json.dumps([_timeless(row) for row in rows]).encode()
    if path.suffix == ".json" and "zarr" not in path.name and path.name != "manifest.json":
        return json.dumps(_timeless(json.loads(raw))).encode()
    return raw


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _timeless(inner) for key, inner in value.items() if not SECONDS.search(str(key))
        }
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return value
