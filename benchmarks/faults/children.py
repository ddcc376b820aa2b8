"""Commands in forked children, and kills of them at exact places.

The parent has every import but computes nothing, so a fork is safe: FAISS and OpenMP hang in a
child only if the parent has used them.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert.files import replacing, temporary

WATCHED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}
"""Audit events that change a folder, besides opening files to write."""

PATIENCE = 120.0  # seconds until a child counts as hung


@dataclass(frozen=True)
class Kill:
    """When a child gets which signal.

    after   seconds after its start; None for an exact place
    place   number of the file-system operation before which the signal comes; None for a time
    action  called at the place instead of sending the signal
    """

    signal: signal.Signals = signal.SIGKILL
    after: float | None = None
    place: int | None = None
    action: Callable[[], None] | None = None


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    code        exit code, or minus the signal that ended it
    operations  file-system operations below the watched folder
    said        stdout and stderr
    answer      the return value of the work
    """

    code: int
    operations: int
    seconds: float
    said: str
    answer: Any = None

    @property
    def was_stopped(self) -> bool:
        """True if the signal came before the end."""
        return self.code not in (0, 1, 2)


class _Counter:
    """Counts the operations of a child that change files below a folder."""

    def __init__(self, folder: Path, kill: Kill | None) -> None:
        self.count = 0
        self._folder = str(folder)
        self._kill = kill
        self._lock = threading.Lock()

    def install(self) -> None:
        """Watch this process until it ends."""
        sys.addaudithook(self._hear)
        sync, exchange = temporary.sync, replacing.exchange

        def counted_sync(path: Path) -> None:
            self.step(path)
            sync(path)

        def counted_exchange(one: Path, other: Path) -> bool:
            self.step(one)
            is_done = exchange(one, other)
            self.step(other)
            return is_done

        temporary.sync, replacing.exchange = counted_sync, counted_exchange

    def step(self, path: object) -> None:
        """Count an operation; end the process if it is the chosen one."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        if not os.fsdecode(path).startswith(self._folder):
            return
        with self._lock:
            self.count += 1
            is_it = self._kill is not None and self.count == self._kill.place
        if not is_it or self._kill is None:
            return
        if self._kill.action is not None:
            self._kill.action()
        else:
            os.kill(os.getpid(), self._kill.signal)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED:
            self.step(arguments[0])
        elif event == "open" and len(arguments) == 3:
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
                self.step(path)


def run(
    work: Callable[[], Any],
    folder: Path,
    kill: Kill | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Ended:
    """Run some work in a child and return how it ended.

    work     returns a JSON value; SystemExit gives the exit code
    folder   where operations are counted
    prepare  called first in the child
    """
    said, answer = folder.with_name("said.txt"), folder.with_name("answer.json")
    for file in (said, answer):
        file.unlink(missing_ok=True)
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        _live(work, folder, kill, prepare, said, answer)
    if kill is not None and kill.after is not None:
        time.sleep(kill.after)
        _signal(child, kill.signal)
    status = _wait(child)
    seconds = time.perf_counter() - begun
    told = json.loads(answer.read_text()) if answer.exists() else {}
    return Ended(
        code=os.waitstatus_to_exitcode(status),
        operations=told.get("operations", 0),
        seconds=seconds,
        said=said.read_text(errors="replace") if said.exists() else "",
        answer=told.get("answer"),
    )


def _live(
    work: Callable[[], Any],
    folder: Path,
    kill: Kill | None,
    prepare: Callable[[], None],
    said: Path,
    answer: Path,
) -> None:
    """The whole life of a child; never returns."""
    code = 70
    try:
        with suppress(AttributeError):  # Linux only
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # not to outlive the parent
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        # Background jobs of a shell ignore Ctrl-C, and so would Python.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        prepare()
        counter = _Counter(folder, kill)
        counter.install()
        result = None
        try:
            result = work()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0
        sys.stdout.flush()
        content = json.dumps({"operations": counter.count, "answer": result})
        answer.write_text(content)
    except KeyboardInterrupt:  # a signal after the end of the command
        code = 130
    except OSError:  # the limit on file sizes also applies to the answer
        pass
    finally:
        os._exit(code)


def _signal(child: int, number: signal.Signals) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _wait(child: int) -> int:
    """The status of a child; one that hangs is killed and raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"child {child} did not end in {PATIENCE:g} s")


def draw(rng: random.Random, number: signal.Signals, whole: Ended, *, by_place: bool) -> Kill:
    """A random kill during a command, of which `whole` is an undisturbed run."""
    if by_place:
        return Kill(number, place=rng.randint(1, max(1, whole.operations)))
    return Kill(number, after=rng.uniform(0.0, whole.seconds))
