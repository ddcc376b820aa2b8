"""Replacement of files and folders by finished ones, in steps that a kill cannot spoil.

Several things that belong together are put in place by a plan on the disk. After a kill, `finish`
carries out the rest, and until then `detours` tells readers where each finished thing is.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from vcfbert.errors import StoreError
from vcfbert.files import bounded, locks, temporary

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV}
_PLAN = "plan.json"


def put(new: Path, path: Path) -> None:
    """Move a finished file or folder, already on the disk, to `path`; then delete what was there.

    The caller holds `path`, or it is a file.
    """
    path.parent.mkdir(exist_ok=True)
    if not (new.is_dir() and path.exists()):
        new.replace(path)
        temporary.sync(path.parent)
        return
    old = new
    if not exchange(new, path):
        old = locks.temporary_name(path, "old")
        locks.sync_record(path)
        path.rename(old)  # a kill here leaves `old`, which the next writer puts back
        new.rename(path)
    temporary.sync(path.parent)
    temporary.remove(old)


def drop(path: Path) -> None:
    """Delete a finished folder that the caller holds, so that `path` is never half deleted."""
    partial = locks.temporary_name(path, "partial")
    path.rename(partial)
    temporary.remove(partial)


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; False if the system cannot."""
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


def identity(path: Path) -> tuple[int, int, int] | None:
    """What distinguishes a finished folder from a later one at the same path; None if missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def put_all(staging: Path, names: Sequence[str], root: Path) -> None:
    """Move things of a temporary folder in `root` to their places below `root`, in this order.

    The caller holds the places of the folders.
    """
    plan = {name: (staging / name).stat().st_ino for name in names}
    partial = staging / f"{_PLAN}.partial"
    record = {"token": temporary.token_of(staging), "names": plan}
    partial.write_text(json.dumps(record), encoding="utf-8")
    temporary.sync(partial)
    partial.rename(staging / _PLAN)
    temporary.sync(staging)
    try:
        _carry_out(staging, plan, root)
    except BaseException:  # Ctrl-C, after which the folder is deleted: finish first
        _carry_out(staging, plan, root)
        raise


def finish(root: Path) -> None:
    """Carry out the plans of killed writers; those of running ones are left alone."""
    for staging, plan in _plans(root):
        with suppress(StoreError), ExitStack() as stack:  # an error: its writer is running
            for name in reversed(plan):
                stack.enter_context(locks.hold(root / Path(name).parts[0]))
            _carry_out(staging, plan, root)
            temporary.remove(staging)


def detours(root: Path, folder: Path) -> dict[Path, Path]:
    """Where a killed writer left what belongs in a folder, by place; changes nothing.

    root    where plans are
    folder  `root` or a folder below it
    """
    found = temporary.moved_aside(folder)
    for staging, plan in _plans(root):
        for name, number in plan.items():
            if (root / name).parent == folder and _is_staged(staging / name, number):
                found[root / name] = staging / name
    return found


def _plans(root: Path) -> Iterator[tuple[Path, dict[str, int]]]:
    """Temporary folders that hold a plan of their own, and what it puts in place."""
    for path in sorted(root.glob(f".*.vcfbert-*.partial/{_PLAN}")):
        try:
            record = bounded.json_of(bounded.read(path, bounded.MAX_JSON))
            plan = {str(name): int(number) for name, number in record["names"].items()}
            is_ours = record["token"] == temporary.token_of(path.parent)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        is_inside = not any(Path(name).is_absolute() or ".." in Path(name).parts for name in plan)
        if is_ours and is_inside:
            yield path.parent, plan


def _carry_out(staging: Path, plan: Mapping[str, int], root: Path) -> None:
    """Put in place what is not there yet."""
    for name, number in plan.items():
        if _is_staged(staging / name, number):
            put(staging / name, root / name)


def _is_staged(path: Path, number: int) -> bool:
    """True before a thing is put in place; afterwards the exchange has left another one here."""
    return path.exists() and path.stat().st_ino == number
