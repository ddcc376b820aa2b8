"""Progress as one JSON object per line, for programs that run vcfbert.

Each line has `event`: start, progress, end, note, info, warning, error or interrupted. The first
three also have `stage`, `done`, `total` (null if it is not known), `seconds`, `per_second`,
`seconds_left` (null if it is not known yet) and `peak_memory_bytes` of this process; the others
have `text`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import TextIO

from .estimates import peak_memory, seconds_left

SECONDS_BETWEEN_LINES = 1.0


class JsonLines:
    """Writes a line when a stage begins and ends, and at most every second while it runs."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], int] = peak_memory,
    ) -> None:
        """Write to `stream`; `clock` gives seconds and `memory` bytes."""
        self._stream = stream
        self._clock = clock
        self._memory = memory
        self._stage: str | None = None
        self._total: int | None = None
        self._done = 0
        self._began = self._wrote = 0.0

    def start(self, stage: str, total: int | None) -> None:
        """End the stage before and begin this one."""
        self.finish()
        self._stage, self._total, self._done = stage, total, 0
        self._began = self._wrote = self._clock()
        self._write_stage("start")

    def advance(self, steps: int = 1) -> None:
        """Count the steps, and write if a second has passed."""
        self._done += steps
        if self._stage is not None and self._clock() - self._wrote >= SECONDS_BETWEEN_LINES:
            self._write_stage("progress")

    def note(self, message: str) -> None:
        """Write a line of text."""
        self.write(event="note", text=message)

    def finish(self) -> None:
        """End the running stage."""
        if self._stage is not None:
            self._write_stage("end")
        self._stage = None

    def write(self, **values: object) -> None:
        """Write one object now."""
        print(json.dumps(values), file=self._stream, flush=True)

    def _write_stage(self, event: str) -> None:
        self._wrote = self._clock()
        seconds = self._wrote - self._began
        left = seconds_left(self._done, self._total, seconds)
        self.write(
            event=event,
            stage=self._stage,
            done=self._done,
            total=self._total,
            seconds=round(seconds, 3),
            per_second=round(self._done / seconds, 3) if seconds > 0 else None,
            seconds_left=None if left is None else round(left, 1),
            peak_memory_bytes=self._memory(),
        )


class JsonLogHandler(logging.Handler):
    """Writes the messages of the log as lines of JSON."""

    def __init__(self, lines: JsonLines) -> None:
        """Write where `lines` does."""
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        self._lines.write(event=record.levelname.lower(), text=record.getMessage())
