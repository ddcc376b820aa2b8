"""Interface through which long stages report their progress, and two implementations.

A library call draws nothing; the commands pass a Progress that draws a bar.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol

from vcfbert import plurals

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives the advance of one stage after another."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins; `total` is its number of steps, None if it is not known."""

    def advance(self, steps: int = 1) -> None:
        """`steps` more steps of the running stage are done."""

    def note(self, message: str) -> None:
        """A line to show now, such as the metrics of an epoch."""


class Silent:
    """A Progress that shows nothing."""

    def start(self, stage: str, total: int | None) -> None:
        """Ignore the stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore the steps."""

    def note(self, message: str) -> None:
        """Ignore the line."""


class Logged:
    """Logs a line for each finished stage, with its steps and seconds, at level INFO."""

    def __init__(self, shown: Progress | None = None) -> None:
        """Pass everything on to `shown`."""
        self._shown = shown or Silent()
        self._stage: str | None = None
        self._total: int | None = None
        self._done = 0
        self._began = 0.0

    def start(self, stage: str, total: int | None) -> None:
        """Log the stage before and begin this one."""
        self.finish()
        self._stage, self._total, self._done = stage, total, 0
        self._began = time.monotonic()
        self._shown.start(stage, total)

    def advance(self, steps: int = 1) -> None:
        """Count the steps; the last one ends the stage."""
        self._shown.advance(steps)
        self._done += steps
        if self._done == self._total:
            self.finish()

    def note(self, message: str) -> None:
        """Pass the line on."""
        self._shown.note(message)

    def finish(self) -> None:
        """Log the running stage."""
        if self._stage is not None:
            steps = f"{plurals.of(self._done, 'step')} in " if self._done else ""
            logger.info("%s: %s%.1f s", self._stage, steps, time.monotonic() - self._began)
        self._stage = None
