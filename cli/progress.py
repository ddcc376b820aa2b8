"""Progress on stderr: a bar on a terminal, plain lines otherwise, nothing with --quiet."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress

from vcfbert.progress import Progress, Silent

SECONDS_BETWEEN_LINES = 10.0  # a log of a long run stays readable


class Bar:
    """Progress bars on a terminal; finished stages stay on screen."""

    def __init__(self, drawing: RichProgress) -> None:
        """Draw into a running rich display."""
        self._drawing = drawing
        self._task: TaskID | None = None

    def start(self, stage: str, total: int | None) -> None:
        """Begin a stage below the finished ones."""
        if self._task is not None:
            self._drawing.stop_task(self._task)
        self._task = self._drawing.add_task(stage, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._drawing.advance(self._task, steps)

    def note(self, message: str) -> None:
        """Print a line above the bar."""
        self._drawing.console.print(message, markup=False, highlight=False)


class ProgressLines:
    """Progress as lines: one when a stage begins, some while it runs, one when it ends."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`; `clock` gives seconds."""
        self._stream = stream
        self._clock = clock
        self._stage: str | None = None
        self._total: int | None = None
        self._done = 0
        self._began = self._wrote = 0.0

    def start(self, stage: str, total: int | None) -> None:
        """End the previous stage and begin this one."""
        self.finish()
        self._stage, self._total, self._done = stage, total, 0
        self._began = self._wrote = self._clock()
        self.note(f"{stage} ..." if total is None else f"{stage}: {total:,} steps ...")

    def advance(self, steps: int = 1) -> None:
        """Count steps; write at most one line in SECONDS_BETWEEN_LINES."""
        self._done += steps
        now = self._clock()
        if self._stage is None or now - self._wrote < SECONDS_BETWEEN_LINES:
            return
        self._wrote = now
        of_total = "" if self._total is None else f" of {self._total:,}"
        self.note(f"{self._stage}: {self._done:,}{of_total}, {now - self._began:.0f} s")

    def note(self, message: str) -> None:
        """Write one line at once, also into a pipe."""
        print(message, file=self._stream, flush=True)

    def finish(self) -> None:
        """Report the end of the running stage."""
        if self._stage is not None:
            self.note(f"{self._stage}: done, {self._clock() - self._began:.1f} s")
        self._stage = None


@contextmanager
def on_stderr(*, quiet: bool, verbose: bool) -> Iterator[Progress]:
    """Progress and logging on stderr for one command."""
    level = logging.INFO if verbose else logging.WARNING
    if quiet:
        with _logging_to(logging.StreamHandler(sys.stderr), level):
            yield Silent()
    elif sys.stderr.isatty():
        yield from _with_bar(level)
    else:
        lines = ProgressLines(sys.stderr)
        with _logging_to(logging.StreamHandler(sys.stderr), level):
            yield lines
            lines.finish()


def _with_bar(level: int) -> Iterator[Progress]:
    console = Console(stderr=True)
    drawing = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    handler = RichHandler(console=console, show_path=False, show_time=False, show_level=False)
    with _logging_to(handler, level), drawing:
        yield Bar(drawing)


@contextmanager
def _logging_to(handler: logging.Handler, level: int) -> Iterator[None]:
    """Send the log lines of vcfbert, and of no other library, to a handler."""
    logger = logging.getLogger("vcfbert")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
