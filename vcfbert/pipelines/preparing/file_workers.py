"""Preparation of several files, one after another or each in a process of its own.

A store depends on its file and the options alone, so the bytes are the same either way.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from vcfbert import plurals
from vcfbert.errors import DeviceError, VcfbertError
from vcfbert.pipelines.preparing import prepare_file
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.panel_files import PanelFile
from vcfbert.pipelines.preparing.prepare_file import PreparedFile
from vcfbert.progress import Progress

READING = prepare_file.READING
_SECONDS = 0.2  # between two messages about progress


@dataclass(frozen=True)
class _Task:
    """A file, and the empty folder for its stores."""

    file: PanelFile
    folder: Path
    options: PrepareOptions


class _RecordCount:
    """A Progress that passes the records on, and nothing else."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._is_reading = False
        self._done = self._passed = 0

    def start(self, stage: str, total: int | None) -> None:
        """Note whether records are read."""
        self._is_reading, self._done = stage == READING, 0

    def advance(self, steps: int = 1) -> None:
        """Pass records on, those that are read again but once."""
        if not self._is_reading:
            return
        self._done += steps
        if self._done > self._passed:
            self._progress.advance(self._done - self._passed)
            self._passed = self._done

    def note(self, message: str) -> None:
        """Notes are about the samples, which are those of all files."""


class _Sent:
    """A Progress that sends numbers of records through a pipe."""

    def __init__(self, messages: Connection) -> None:
        self._messages = messages
        self._steps = 0
        self._sent = time.monotonic()

    def start(self, stage: str, total: int | None) -> None:
        """Stages are not sent."""

    def advance(self, steps: int = 1) -> None:
        """Send the steps now and then."""
        self._steps += steps
        if time.monotonic() - self._sent >= _SECONDS:
            self.flush()

    def note(self, message: str) -> None:
        """Notes are not sent."""

    def flush(self) -> None:
        """Send what was not sent yet."""
        self._messages.send(self._steps)
        self._steps, self._sent = 0, time.monotonic()


def prepared(
    files: Sequence[PanelFile],
    folder: Path,
    options: PrepareOptions,
    progress: Progress,
    *,
    workers: int,
) -> Iterator[PreparedFile]:
    """Prepare the files; yields each when its stores are finished, in no fixed order.

    folder   an empty folder on the disk of the workspace
    workers  files that are prepared at a time, each in a process of its own if it is more than 1

    Raises the error of the first file that fails, after those that had begun are finished.
    """
    tasks = [_Task(file, folder / f"{n:05d}", options) for n, file in enumerate(files)]
    for task in tasks:
        task.folder.mkdir()
    if len(tasks) == 1:
        yield _run(tasks[0], progress)
        return
    counts = [file.records for file in files]
    known = None if None in counts else sum(count or 0 for count in counts)
    progress.start(f"{READING} of {plurals.of(len(files), 'file')}", known)
    if workers == 1:
        for task in tasks:
            yield _run(task, _RecordCount(progress))
        return
    yield from _in_processes(tasks, progress, min(workers, len(tasks)))


def _run(task: _Task, progress: Progress) -> PreparedFile:
    return prepare_file.prepare_file(
        task.file.path, task.folder, task.options, progress, is_diploid=task.file.has_no_x
    )


def _in_processes(
    tasks: Sequence[_Task], progress: Progress, workers: int
) -> Iterator[PreparedFile]:
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[_Task, BaseProcess]] = {}
    waiting = list(tasks)
    fault: VcfbertError | None = None
    try:
        while running or (waiting and fault is None):
            while waiting and fault is None and len(running) < workers:
                task = waiting.pop(0)
                reader, writer = context.Pipe(duplex=False)
                worker: BaseProcess = context.Process(
                    target=_work, args=(task, writer, os.getpid()), daemon=True
                )
                running[reader] = task, worker
                worker.start()
                writer.close()  # so that the pipe ends if the worker does
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                message = _received(ready, *running[ready])
                if isinstance(message, int):
                    progress.advance(message)
                    continue
                running.pop(ready)[1].join()
                if isinstance(message, PreparedFile):
                    yield message
                else:
                    fault = fault or message
    finally:
        for _, worker in running.values():
            if worker.pid is not None:
                worker.terminate()
                worker.join()
    if fault is not None:
        raise fault


def _received(
    reader: Connection, task: _Task, worker: BaseProcess
) -> int | PreparedFile | VcfbertError:
    """The next message of a worker: records, its result or its error."""
    try:
        message: int | PreparedFile | VcfbertError = reader.recv()
        return message
    except EOFError:
        worker.join()
        return DeviceError(
            f"The process that prepared {task.file.path} ended with exit code {worker.exitcode}. "
            "If the system stopped it for lack of memory, use fewer --threads. A Python script of "
            'yours must call prepare below if __name__ == "__main__":, because each process '
            "imports the script."
        )


def _work(task: _Task, messages: Connection, parent: int) -> None:
    """Prepare one file; sends records, then the result or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that Python frees what it holds
    logging.getLogger("vcfbert").addHandler(logging.NullHandler())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    progress = _Sent(messages)
    try:
        result = _run(task, _RecordCount(progress))
        progress.flush()
        messages.send(result)
    except BrokenPipeError:  # the parent was killed
        return
    except VcfbertError as error:
        messages.send(error)
    except OSError as error:
        messages.send(DeviceError(f"{task.file.path} could not be prepared: {error}"))


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which nothing else would do in a long step."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
