"""Progress on stderr: a bar on a terminal, plain lines elsewhere, JSON lines if asked for.

Nothing with --quiet.

With --verbose, a line of the log for each stage, too.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from vcfbert import plurals
from vcfbert.progress import Logged, Progress, Silent

from .estimates import seconds_left
from .json_progress import JsonLines, JsonLogHandler

SECONDS_BETWEEN_LINES = 10.0  # a log of a long run stays readable


class PlainLines:
    """Writes a line when a stage begins, and every ten seconds while it runs."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`; `clock` gives seconds."""
        self._stream = stream
        self._clock = clock
        self._stage: str | None = None
        self._total: int | None = None
        self._done = 0
        self._began = self._wrote = 0.0

    def start(self, stage: str, total: int | None) -> None:
        """Begin a stage."""
        self._stage, self._total, self._done = stage, total, 0
        self._began = self._wrote = self._clock()
        self.note(f"{stage} ..." if total is None else f"{stage}: {plurals.of(total, 'step')} ...")

    def advance(self, steps: int = 1) -> None:
        """Count, and write at most every SECONDS_BETWEEN_LINES."""
        self._done += steps
        now = self._clock()
        if self._stage is None or now - self._wrote < SECONDS_BETWEEN_LINES:
            return
        self._wrote = now
        of_total = "" if self._total is None else f" of {self._total:,}"
        left = seconds_left(self._done, self._total, now - self._began)
        rest = "" if left is None else f", {left:.0f} s left"
        self.note(f"{self._stage}: {self._done:,}{of_total}, {now - self._began:.0f} s{rest}")

    def note(self, message: str) -> None:
        """Write one line now, so that a pipe shows it while the stage runs."""
        print(message, file=self._stream, flush=True)


@contextmanager
def on_stderr(*, quiet: bool, verbose: bool, as_json: bool = False) -> Iterator[Progress]:
    """Progress of one command, and its log on stderr: warnings, or with `verbose` stages, too.

    as_json  one JSON object per line; with `quiet`, warnings only
    """
    level = logging.INFO if verbose and not quiet else logging.WARNING
    if as_json:
        lines = JsonLines(sys.stderr)
        with _logging_to(JsonLogHandler(lines), level):
            yield Silent() if quiet else lines
            lines.finish()
        return
    if sys.stderr.isatty() and not quiet:
        yield from _with_bar(level)
        return
    with _logging_to(logging.StreamHandler(sys.stderr), level):
        progress = Logged(Silent() if quiet else PlainLines(sys.stderr))
        yield progress
        progress.finish()


def _with_bar(level: int) -> Iterator[Progress]:
    from .bar import drawn  # Rich is imported for a terminal only

    with drawn() as (bar, handler), _logging_to(handler, level):
        progress = Logged(bar)
        yield progress
        progress.finish()


@contextmanager
def _logging_to(handler: logging.Handler, level: int) -> Iterator[None]:
    """Send the log of vcfbert to a handler, and only there."""
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
