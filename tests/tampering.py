"""Changes of stored files that checksums do not reveal: the folder is sealed again afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vcfbert.files import digests, seals


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file that contains its own digest."""
    record = digests.read_json(path)
    change(record)
    path.write_bytes(digests.sealed_json(record))
    reseal(path.parent)


def edit_metadata(store: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a zarr.json of a sealed store."""
    path = store / name
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    reseal(store)


def reseal(folder: Path) -> None:
    """Seal a folder again if it was sealed."""
    if (folder / seals.NAME).exists():
        seals.write(folder)


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
