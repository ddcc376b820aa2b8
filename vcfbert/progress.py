"""Progress of long stages: the library reports it, a command may draw a bar."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one stage after another."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins; `total` is its number of steps, None if unknown."""

    def advance(self, steps: int = 1) -> None:
        """That many more steps of the current stage are done."""

    def note(self, message: str) -> None:
        """Show a line, such as the metrics of an epoch."""


class Silent:
    """A Progress that shows nothing."""

    def start(self, stage: str, total: int | None) -> None:
        """Ignore the stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore the steps."""

    def note(self, message: str) -> None:
        """Ignore the line."""
