"""Figures: one panel a task, one line a tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
COLOURS = {
    "Beagle": "tab:orange",
    "Minimac4": "tab:green",
    "vcfbert no network": "tab:cyan",
    "vcfbert": "tab:blue",
    "vcfbert trained": "tab:purple",
}
MAF_TICKS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def draw_lines(
    path: Path,
    panels: Mapping[str, Mapping[str, Line]],
    *,
    x: str,
    y: str | Sequence[str],
    ticks: Sequence[float] = (),
    diagonal: bool = False,
) -> None:
    """A PNG with the panels side by side, each with a line a tool; tools keep their colours.

    y      the label of all y axes, or of each
    ticks  places of a logarithmic x axis; none for a linear one
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1 + 4 * len(panels), 4), squeeze=False, layout="constrained"
    )
    labels = [y] * len(panels) if isinstance(y, str) else y
    for axis, label, (title, lines) in zip(axes[0], labels, panels.items(), strict=True):
        for name, (across, up) in lines.items():
            axis.plot(across, up, marker="o", markersize=3, color=COLOURS.get(name), label=name)
        if diagonal:
            axis.plot((0, 1), (0, 1), color="grey", linewidth=0.5)
        if ticks and any(len(across) for across, _ in lines.values()):
            axis.set_xscale("log")
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], rotation=45)
            axis.minorticks_off()
            axis.set_xlim(*_span(lines))
        axis.set(title=title, xlabel=x, ylabel=label)
        axis.grid(alpha=0.3)
    axes[0][-1].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _span(lines: Mapping[str, Line]) -> tuple[float, float]:
    """Range of all lines, with a margin for a logarithmic axis."""
    places = np.concatenate([across for across, _ in lines.values()])
    return float(places.min()) / 1.2, float(places.max()) * 1.2
