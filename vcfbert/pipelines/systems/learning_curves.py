"""Learning curves of a run, `learning.png` in its folder: scores by epoch, from the metrics."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcfbert.storage.zarr import stores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = (("log_loss", "log loss"), ("f1", "F1"), ("rare_f1", "F1 at rare sites"), ("r2", "r2"))
_LINES = (("train", "tab:blue"), ("val", "tab:orange"))
_NAMES = {"train": "training", "val": "validation"}

_LEAST_SECONDS = 30.0
"""Age at which the figure is drawn again: drawing takes as long as a short epoch."""


def update(run: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Replace the figure if it is old, or missing in a run that is old."""
    path = run / "learning.png"
    before = path if path.exists() else run / "config.toml"
    if time.time() - before.stat().st_mtime >= _LEAST_SECONDS:
        write(run, history)


def write(run: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Replace the figure in one step; epoch 0 is the network before training.

    history  rows of the metrics
    """
    stores.write_file(run / "learning.png", _png(history))


def _png(history: Sequence[Mapping[str, Any]]) -> bytes:
    # Imported here, at the end of an epoch, because loading matplotlib takes half a second.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5))
    axes = figure.subplots(2, 2).ravel()
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.08, top=0.95, hspace=0.32, wspace=0.15)
    for axis, (metric, title) in zip(axes, _PANELS, strict=True):
        _draw(axis, history, metric, title)
    stream = io.BytesIO()
    # No date or version in the file, so that the same run gives the same bytes.
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    return stream.getvalue()


def _draw(axis: Axes, history: Sequence[Mapping[str, Any]], metric: str, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for prefix, colour in _LINES:
        points = [(row["epoch"], row[f"{prefix}_{metric}"]) for row in history]
        shown = [(epoch, value) for epoch, value in points if _is_number(value)]
        epochs, values = [point[0] for point in shown], [point[1] for point in shown]
        axis.plot(epochs, values, marker="o", markersize=3, color=colour, label=_NAMES[prefix])
    axis.set(title=title, xlabel="epoch (0: before training)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _is_number(value: Any) -> bool:
    """False for an empty cell and for NaN."""
    return isinstance(value, (int, float)) and math.isfinite(value)
