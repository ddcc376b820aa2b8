"""Names of temporary files and folders, and the removal of those that a killed writer left.

.NAME.vcfbert-TOKEN.partial   being written, or replaced and about to be deleted
.NAME.vcfbert-TOKEN.old       moved away from NAME, on a file system that cannot exchange folders
.NAME.vcfbert-lock            exists while NAME is written; lists the tokens of its writers

A token is 128 random bits, drawn for one hold of a lock and recorded in the lock file before any
name is made with it. Only names with a recorded token are ever renamed or deleted.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Ending = Literal["partial", "old"]

_LOCK = ".vcfbert-lock"
_NAME = re.compile(
    r"\.(?P<name>.+)\.vcfbert-(?P<token>[0-9a-f]{32})\.(?P<ending>partial|old)(\.tbi|\.csi)?",
    re.DOTALL,
)


def name_of(path: Path, token: str, ending: Ending) -> Path:
    """The temporary name next to `path` with this token."""
    return path.with_name(f".{path.name}.vcfbert-{token}.{ending}")


def lock_of(path: Path) -> Path:
    """The lock file of `path`."""
    return path.with_name(f".{path.name}{_LOCK}")


def locked_below(folder: Path) -> list[Path]:
    """The paths directly in a folder that have a lock file."""
    return [folder / file.name[1 : -len(_LOCK)] for file in sorted(folder.glob(f".*{_LOCK}"))]


def is_temporary(name: str) -> bool:
    """True for the name of a temporary file or of a lock file.

    >>> is_temporary(f".panel.zarr.vcfbert-{'0' * 32}.old"), is_temporary("panel.zarr.2024.old")
    (True, False)
    """
    return bool(_NAME.fullmatch(name)) or (name.startswith(".") and name.endswith(_LOCK))


def token_of(path: Path) -> str | None:
    """The token in a temporary name; None for any other name."""
    match = _NAME.fullmatch(path.name)
    return match["token"] if match else None


def moved_aside(folder: Path) -> dict[Path, Path]:
    """What was moved away from its place in a folder while nothing has replaced it, by place."""
    if not folder.is_dir():
        return {}
    found = ((entry, _NAME.fullmatch(entry.name)) for entry in sorted(folder.iterdir()))
    places = {folder / match["name"]: entry for entry, match in found
              if match and match["ending"] == "old"}  # fmt: skip
    return {place: entry for place, entry in places.items() if not place.exists()}


def clear(place: Path, tokens: Iterable[str]) -> None:
    """Recover or delete what writers with these tokens left at a place and below it."""
    known = frozenset(tokens)
    if not known:
        return
    _clear(place.parent.glob(".*.vcfbert-*"), known)
    _clear((Path(base) / name for base, folders, files in os.walk(place)
            for name in (*folders, *files)), known)  # fmt: skip


def _clear(paths: Iterable[Path], tokens: frozenset[str]) -> None:
    matches = ((path, _NAME.fullmatch(path.name)) for path in paths)
    ours = [(path, match) for path, match in matches if match and match["token"] in tokens]
    for path, match in ours:
        place = path.with_name(match["name"])
        if match["ending"] == "old" and path.exists() and not place.exists():
            path.rename(place)
            sync(path.parent)
    for path, _ in ours:
        remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder that Zarr's threads may still be writing into after Ctrl-C."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for pause in (0.0, 0.1, 0.3, 1.0):
        time.sleep(pause)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def flush(descriptor: int) -> None:
    """Force an open file to the disk. On macOS, fsync leaves it in the cache of the drive."""
    whole = getattr(fcntl, "F_FULLFSYNC", None)
    if whole is not None:
        try:
            fcntl.fcntl(descriptor, whole)
            return
        except OSError:
            pass  # the file system has no such request
    os.fsync(descriptor)
