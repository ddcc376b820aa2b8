"""Locks that admit one writer to a path at a time, and marks on folders that are being read.

The lock file of a path exists while the path is written and names the writer. The kernel frees the
lock when the writer dies; the file then remains and lists the token of what the writer left, which
the next writer clears. Readers take no lock; they mark the folder they read, so that it is not
pruned. `docs/decisions/locks.md` says why this is not the library `filelock`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vcfbert.errors import StoreError
from vcfbert.files import temporary
from vcfbert.files.temporary import Ending

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What a file system without locks answers."""

_RECORD = re.compile(r"^(?P<token>[0-9a-f]{32}) (?P<holder>.+)$", re.MULTILINE)
_MAX_RECORDS = 1 << 20  # bytes of a lock file that are read


@dataclass(frozen=True)
class _Hold:
    """One hold of a lock by a thread of this process."""

    thread: int
    token: str
    descriptor: int
    file: Path


_held: dict[Path, _Hold] = {}  # by the place, and by its partial folder
_guard = threading.Lock()


@contextmanager
def hold(place: Path) -> Iterator[None]:
    """Be the only writer at `place`, and everywhere below it, until the block ends.

    First recovers or deletes what a killed writer left there. A thread that holds the place or a
    folder above it may enter again.

    Raises StoreError if another writer holds the place (the message names it), if the place is not
    writable, or if its file system has no locks.
    """
    place = _settled(place)
    if _hold_of(place) is not None:
        yield
        return
    made = _make_parents(place)
    try:
        with _locked(place):
            for below in temporary.locked_below(place):
                with suppress(StoreError), _locked(below):  # an error: it is being written
                    pass
            yield
    finally:
        _remove_empty(made)


def temporary_name(path: Path, ending: Ending) -> Path:
    """A temporary name next to `path`, which this thread holds."""
    return temporary.name_of(path, _require(path).token, ending)


def sync_record(path: Path) -> None:
    """Force the lock file with the token of temporary names of `path` to the disk."""
    file = _require(path).file
    temporary.sync(file)
    temporary.sync(file.parent)


def clear_stopped(folder: Path, pattern: str) -> None:
    """Clear what killed writers left of the paths in a folder whose names match a glob pattern."""
    for place in temporary.locked_below(folder):
        if place.match(pattern):
            with suppress(StoreError), hold(place):
                pass


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Mark a folder as being read, if its file system has locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield  # the reader fails next and has more to say
        return
    try:
        _flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_read(folder: Path) -> bool:
    """True if a folder is being read, in this process or another."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int) -> bool:
    """Try to lock a folder; False if it is locked. A file system without locks locks nothing."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS | {errno.EBADF}:  # EBADF: NFS, of a folder
            raise
    return True


def _settled(place: Path) -> Path:
    """The same name for a place whichever path leads to it."""
    return place.parent.resolve() / place.name


def _hold_of(place: Path) -> _Hold | None:
    """The hold of this thread that covers a place."""
    thread = threading.get_ident()
    with _guard:
        holds = (_held.get(path) for path in (place, *place.parents))
        return next((hold for hold in holds if hold and hold.thread == thread), None)


def _require(path: Path) -> _Hold:
    found = _hold_of(_settled(path))
    assert found is not None, f"{path} is not held"
    return found


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the lock file of a place, after clearing what the tokens in it name."""
    file, token = temporary.lock_of(place), secrets.token_hex(16)
    with _opened(file, place) as descriptor:
        old = os.pread(descriptor, _MAX_RECORDS, 0).decode(errors="replace")
        tokens = {match["token"] for match in _RECORD.finditer(old)}
        if old and not tokens:
            raise StoreError(f"{file} was not written by vcfbert. Move it away to write {place}.")
        hold = _Hold(threading.get_ident(), token, descriptor, file)
        places = (place, temporary.name_of(place, token, "partial"))
        with _guard:
            _held.update(dict.fromkeys(places, hold))
        try:
            _record(hold, place, is_first=not old)
            temporary.clear(place, tokens)
            yield
        except BaseException as error:
            with suppress(OSError):  # the record stays for the next writer
                temporary.clear(place, tokens | {token})
                if not (isinstance(error, KeyboardInterrupt) and place.is_dir()):
                    file.unlink(missing_ok=True)  # else threads of Zarr may still write there
            raise
        else:
            file.unlink(missing_ok=True)  # while it is held: `_acquire` notices
        finally:
            with _guard:
                for each in places:
                    _held.pop(each, None)


def _record(hold: _Hold, place: Path, *, is_first: bool) -> None:
    """Add the token and the holder to the lock file; earlier tokens stay until they are cleared."""
    line = f"{'' if is_first else chr(10)}{hold.token} {_myself()}\n".encode(errors="replace")
    try:
        if os.write(hold.descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise StoreError.unwritable(place, error) from error


@contextmanager
def _opened(file: Path, place: Path) -> Iterator[int]:
    """The descriptor of a locked lock file."""
    try:
        descriptor = _acquire(file, place)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise StoreError.no_locks(place, error) from error
        raise StoreError.unwritable(place, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(file: Path, place: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(file, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(descriptor, file):  # if not, its holder deleted it meanwhile
                return descriptor
        except BlockingIOError as error:
            records = _RECORD.findall(
                os.pread(descriptor, _MAX_RECORDS, 0).decode(errors="replace")
            )
            os.close(descriptor)
            holder = records[-1][1] if records else "another process"
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
    """The process, machine, command and time of this writer, in one line."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]).replace("\n", " ")
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} ({command[:500]}) since {now}"


def _make_parents(place: Path) -> list[Path]:
    """Make the folders above a place; returns those that were missing, the lowest first."""
    missing = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError.unwritable(place, error) from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders in which nothing was written."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _forget() -> None:
    """Drop the parent's locks in a forked child, which must neither use them nor keep them."""
    _guard.release()
    for descriptor in {hold.descriptor for hold in _held.values()}:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget)
