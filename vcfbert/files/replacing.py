"""Putting something finished in the place of something older, so that a kill loses neither.

NAME.PID.partial   being written, or replaced and about to go
NAME.PID.old       what stood at NAME, where a system cannot exchange two folders in one step
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import time
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV}


def partial_of(path: Path) -> Path:
    """Where this process writes what is to stand at `path`."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def put(partial: Path, path: Path) -> None:
    """Put what is finished and on the disk in its place; what stood there goes only after that.

    The caller holds the place.
    """
    path.parent.mkdir(exist_ok=True)
    if not (partial.is_dir() and path.exists()):
        partial.replace(path)
        sync(path.parent)
        return
    if not exchange(partial, path):
        old = path.with_name(f"{path.name}.{os.getpid()}.old")
        path.rename(old)  # a kill here leaves `old`, which `recover` puts back
        partial.rename(path)
        old.rename(partial)
    sync(path.parent)
    remove(partial)


def drop(path: Path) -> None:
    """Delete a finished folder, so that none that is half deleted stands at `path`."""
    partial = partial_of(path)
    path.rename(partial)
    remove(partial)


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # another C library, or not Linux
        return False
    names = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


def recover(path: Path) -> None:
    """Put back what a killed writer had moved aside; the caller holds the place."""
    for old in _beside(path, "old"):
        if not path.exists():
            old.rename(path)
            sync(path.parent)


def is_aside(path: Path) -> bool:
    """True where nothing stands at `path` but what a killed writer had moved aside."""
    return not path.exists() and bool(_beside(path, "old"))


def identity(path: Path) -> tuple[int, int, int] | None:
    """What tells a finished folder from another of the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def clear(path: Path) -> None:
    """Delete what killed writers left beside a place; the caller holds it."""
    recover(path)
    for leftover in _beside(path, "partial", "old"):
        remove(leftover)


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
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, *endings: str) -> list[Path]:
    pattern = re.compile(rf"{re.escape(path.name)}\.\d+\.({'|'.join(endings)})(\.tbi|\.csi)?")
    if not path.parent.is_dir():
        return []
    return sorted(entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name))
