"""One writer at a time for each place, by locks that the kernel frees when their holder dies.

A place is a path that something is written at: a store, the folder of its versions, a run, an
output file. Beside it lies `.NAME.lock` while somebody writes, and says who. What a killed writer
left beside a place is cleared by the next one that holds it. Readers take no part in this; they
mark the folder they read, so that nobody prunes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from vcfbert.errors import StoreError
from vcfbert.files import replacing

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What a file system without locks answers."""

_LEFTOVER = re.compile(r"(?P<place>.+)\.\d+\.(partial|old)(\.tbi|\.csi)?")
"""Names of what is written beside a place, with the number of the process that writes it."""

_held: dict[Path, int] = {}  # place -> the thread of this process that writes there
_open: set[int] = set()  # descriptors of locks, which a forked child must not keep
_guard = threading.Lock()


@contextmanager
def hold(place: Path) -> Iterator[None]:
    """Be the one writer at `place`, and at all below it, until the block ends.

    What a killed writer left half done at the place is cleared first. Entering again is free for
    the thread that holds the place or a folder above it.

    Raises StoreError that names the holder where somebody else writes there, and where nothing can
    be written or the file system has no locks.
    """
    place = _settled(place)
    if _is_held(place):
        yield
        return
    made = _make_parents(place)
    try:
        with _lock(place), _registered(place):
            replacing.clear(place)
            clear_below(place)
            yield
    finally:
        _drop_empty(made)


@contextmanager
def own(place: Path) -> Iterator[None]:
    """Count a folder that nobody else can know of as held."""
    with _registered(_settled(place)):
        yield


def clear_below(folder: Path) -> None:
    """Clear what killed writers left directly in a folder; what is being written stays."""
    if not folder.is_dir():
        return
    matches = (_LEFTOVER.fullmatch(entry.name) for entry in os.scandir(folder))
    for name in sorted({match["place"] for match in matches if match}):
        place = _settled(folder / name)
        if place in _held:
            continue
        try:
            with _lock(place):
                replacing.clear(place)
        except StoreError:
            continue  # it is being written: no leftover


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Mark a folder as being read, where the file system can tell."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield  # whoever reads finds out and has more to say
        return
    try:
        _flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_read(folder: Path) -> bool:
    """True where somebody reads a folder, in this process or another."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int) -> bool:
    """Try to lock; False where another holds it. A file system without locks locks nothing."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS | {errno.EBADF}:  # EBADF: NFS, of a folder
            raise
    return True


def _settled(place: Path) -> Path:
    """One name for one place, whichever way leads to it."""
    return place.parent.resolve() / place.name


def _is_held(place: Path) -> bool:
    thread = threading.get_ident()
    with _guard:
        return any(_held.get(one) == thread for one in (place, *place.parents))


@contextmanager
def _registered(place: Path) -> Iterator[None]:
    with _guard:
        _held[place] = threading.get_ident()
    try:
        yield
    finally:
        with _guard:
            _held.pop(place, None)


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    """Hold the lock file of a place; StoreError where another does."""
    file = place.with_name(f".{place.name}.lock")
    try:
        descriptor = _acquire(file, place)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise StoreError.no_locks(place, error) from error
        raise StoreError.unwritable(place, error) from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is held: `_acquire` notices
        _open.discard(descriptor)
        os.close(descriptor)


def _acquire(file: Path, place: Path) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(descriptor, file):  # else its holder deleted it while this one waited
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _myself().encode())
                _open.add(descriptor)
                return descriptor
        except BlockingIOError as error:
            holder = os.read(descriptor, 4096).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise StoreError.in_use(place, holder=holder) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _myself() -> str:
    """Who writes: process, machine, command, since when."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} ({command[:500]}) since {now}"


def _make_parents(place: Path) -> list[Path]:
    """Make the folders above a place; returns those that were not there, the lowest first."""
    absent = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError.unwritable(place, error) from error
    return absent


def _drop_empty(folders: list[Path]) -> None:
    """Take away the folders that were made for nothing."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return  # something was written there


def _forget() -> None:
    """A forked child writes nothing in its parent's name, and does not keep its locks alive."""
    _guard.release()
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()
    _held.clear()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget)
