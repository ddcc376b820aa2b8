"""Starts the processes that train a run together on this machine, and watches over them.

The parent computes nothing: it shows the progress of rank 0 and hands over its result. If a process
ends early, the others are ended, too. If the parent is killed, they end by themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Generic, TypeVar

import torch

from vcfbert.errors import DeviceError, VcfbertError
from vcfbert.progress import Progress, Silent
from vcfbert.training import devices
from vcfbert.training.systems import ranks
from vcfbert.training.systems.ranks import LostRankError, Ranks

Result = TypeVar("Result")
_GRACE = 10.0  # seconds in which an ended process may remove its unfinished files
_CAUSE = 3.0  # seconds in which the process that ended first is found out
_INTERRUPTED = 130


@dataclass(frozen=True)
class Shared(Generic[Result]):
    """What the processes do.

    work     called in each process, with its rank and device; can be pickled
    names    a device for each process
    threads  CPU threads of each process
    """

    work: Callable[[Ranks, str, Progress], Result]
    names: Sequence[str]
    threads: int


class _SentProgress:
    """Progress of rank 0, sent to the parent."""

    def __init__(self, messages: Connection) -> None:
        self._messages = messages

    def start(self, stage: str, total: int | None) -> None:
        """Send the stage."""
        self._messages.send(("start", (stage, total)))

    def advance(self, steps: int = 1) -> None:
        """Send the steps."""
        self._messages.send(("advance", (steps,)))

    def note(self, message: str) -> None:
        """Send the line."""
        self._messages.send(("note", (message,)))


def run(shared: Shared[Result], progress: Progress) -> Result:
    """Do the work in a new process for each device; returns the result of rank 0.

    Raises the error of a process that fails, DeviceError if one ends without a message. When this
    function returns or raises, no process is left.
    """
    _quieten_tracker()
    context = multiprocessing.get_context("spawn")  # FAISS hangs if it is searched after a fork
    running: dict[Connection, BaseProcess] = {}
    ends: list[Connection] = []
    workers: list[BaseProcess] = []
    with tempfile.TemporaryDirectory(prefix="vcfbert-ranks-") as folder:
        try:
            for rank in range(len(shared.names)):
                reader, writer = context.Pipe(duplex=False)
                lifeline, end = context.Pipe(duplex=False)
                worker: BaseProcess = context.Process(
                    target=_work,
                    args=(shared, rank, folder, writer, lifeline),
                    name=_name_of(rank),
                )
                workers.append(worker)
                running[reader] = worker
                ends.append(end)
                worker.start()
                writer.close()  # so that the pipe ends if the process does
                lifeline.close()
            result: Result = _result(progress, running)
            for worker in workers:
                worker.join(_GRACE)
            return result
        finally:
            _stop(workers, ends)


def _quieten_tracker() -> None:
    """Start the process that clears up after killed processes, without its warning.

    A killed process leaves a semaphore of the library that decompresses stores. The tracker deletes
    it, but would add two lines to the error message.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _name_of(rank: int) -> str:
    return f"rank {rank}"


def _result(progress: Progress, running: dict[Connection, BaseProcess]) -> Any:
    """Pass the progress of rank 0 on until all processes are done; returns the result of rank 0.

    running  the processes, rank 0 first, by the pipes that they send to
    """
    results = []
    while running:
        for reader in _ready(running, None):
            kind, content = _received(reader)
            if kind == "done":
                results += [content] if running.pop(reader).name == _name_of(0) else []
            elif kind in ("error", "lost", "ended"):
                raise _cause(running, reader, kind, content)
            else:
                getattr(progress, kind)(*content)
    return results[0]


def _ready(running: dict[Connection, BaseProcess], timeout: float | None) -> list[Connection]:
    """The pipes that can be read."""
    return [one for one in wait(list(running), timeout) if isinstance(one, Connection)]


def _received(reader: Connection) -> tuple[str, Any]:
    """The next message of a process; `ended` if it has ended without one."""
    try:
        kind, content = reader.recv()
    except (EOFError, ConnectionResetError):
        return "ended", None
    return kind, content


def _cause(
    running: dict[Connection, BaseProcess], reader: Connection, kind: str, content: Any
) -> BaseException:
    """The error to report: that of the process that failed first.

    The others lose their connection to it, and may report that earlier.
    """
    latest = time.monotonic() + _CAUSE
    lost: list[BaseException] = []
    while True:
        if kind == "error":
            error: BaseException = content
            return error
        if kind == "ended":
            return _ended(running[reader])
        if kind == "lost":
            lost.append(content)
        if kind in ("lost", "done"):
            del running[reader]
        ready = _ready(running, max(latest - time.monotonic(), 0)) if running else []
        if not ready:
            return lost[0]
        reader = ready[0]
        kind, content = _received(reader)


def _ended(worker: BaseProcess) -> DeviceError:
    """The error that a process ended without a message."""
    worker.join(_CAUSE)
    code = worker.exitcode
    if code is not None and code < 0:
        return DeviceError(
            f"A process of train --devices ({worker.name}) was ended by signal "
            f"{signal.Signals(-code).name}. If the system stopped it for lack of memory, use fewer "
            "--devices or a smaller training.batch_size. The last checkpoint is intact: continue "
            "with --resume."
        )
    return DeviceError(
        f"A process of train --devices ({worker.name}) ended with exit code {code}. The last "
        "checkpoint is intact: continue with --resume. A Python script of yours must call train "
        'below if __name__ == "__main__":, because each process imports the script.'
    )


def _stop(workers: list[BaseProcess], ends: list[Connection]) -> None:
    """End all processes: first gently, then by force."""
    started = [worker for worker in workers if worker.pid is not None]
    for worker in started:
        if worker.is_alive():
            worker.terminate()
    latest = time.monotonic() + _GRACE
    for worker in started:
        worker.join(max(latest - time.monotonic(), 0))
        if worker.is_alive():
            worker.kill()
            worker.join()
    for end in ends:
        end.close()


def _work(
    shared: Shared[Any], rank: int, folder: str, messages: Connection, lifeline: Connection
) -> None:
    """Do the work as one rank; sends progress, then the result or the error.

    folder  for the file in which the processes find each other
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, args=(lifeline, folder), daemon=True).start()
    try:
        outcome = _outcome(shared, rank, folder, messages)
        messages.send(outcome)
    except (KeyboardInterrupt, BrokenPipeError):  # the latter if the parent was killed
        os._exit(_INTERRUPTED)  # a usual exit waits for connections to the other processes
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if outcome[0] != "done":
        os._exit(1)


def _outcome(shared: Shared[Any], rank: int, folder: str, messages: Connection) -> tuple[str, Any]:
    """Do the work; returns the last message to the parent."""
    name, meet = shared.names[rank], f"file://{folder}/meet"
    devices.set_threads(shared.threads)
    _bind_to_loopback()
    progress: Progress = Silent() if rank else _SentProgress(messages)
    try:
        with ranks.joined(rank, len(shared.names), torch.device(name), meet) as together:
            result = shared.work(together, name, progress)
        return "done", None if rank else result
    except LostRankError as error:
        return "lost", error
    except BrokenPipeError:
        raise
    except (VcfbertError, OSError, MemoryError) as error:
        return "error", error


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Unwind, so that unfinished files are removed."""
    raise KeyboardInterrupt


def _end_with_parent(lifeline: Connection, folder: str) -> None:
    """End this process when the parent ends, which closes the other end."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(_INTERRUPTED)


def _bind_to_loopback() -> None:
    """Let the processes talk within this machine, whatever its host name resolves to."""
    names = {name for _, name in socket.if_nameindex()}
    for loopback in ("lo", "lo0"):
        if loopback in names:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
