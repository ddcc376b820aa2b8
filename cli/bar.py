"""The bar that shows progress on a terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from .estimates import peak_memory


class Bar:
    """Draws the running stage on a terminal; finished stages stay on screen."""

    def __init__(self, drawing: RichProgress) -> None:
        """Draw into a started rich display."""
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


class _Memory(ProgressColumn):
    """Most memory that the process has used."""

    def render(self, task: Task) -> Text:
        """For one stage, in MB; it is that of the whole command."""
        return Text("" if task.finished else f"{peak_memory() / 1e6:,.0f} MB")


@contextmanager
def drawn() -> Iterator[tuple[Bar, logging.Handler]]:
    """Draw on stderr, and yield the bar and what prints the log above it."""
    console = Console(stderr=True)
    drawing = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Memory(),
        console=console,
    )
    handler = RichHandler(console=console, show_path=False, show_time=False, show_level=False)
    with drawing:
        yield Bar(drawing), handler
