"""What long stages report to, so that a library call draws nothing and a command draws a bar."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the advance of one stage after another."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins; `total` is its number of steps, None where nobody knows."""

    def advance(self, steps: int = 1) -> None:
        """That many more steps of the running stage are done."""

    def note(self, message: str) -> None:
        """One line worth reading, such as the metrics of an epoch."""


class Silent:
    """A Progress that shows nothing."""

    def start(self, stage: str, total: int | None) -> None:
        """Ignore the stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore the steps."""

    def note(self, message: str) -> None:
        """Ignore the line."""
