"""Figure of a comparison of runs; it loads matplotlib when it is imported."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vcfbert import plurals
from vcfbert.pipelines.evaluating.comparison_report import Comparison, Line

_COLOURS = [f"tab:{name}" for name in ("blue", "orange", "green", "red", "purple", "brown")]


def png(found: Comparison) -> bytes:
    """Left: r2 by frequency, one line per run. Right: differences from the first run."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = [line for line in found.scores if line.quantity == "r2" and line.group.startswith("(")]
    _draw_bins(left, bins, found)
    shown = [line for line in found.scores if line not in bins and line.quantity != "log loss"]
    _draw_differences(right, shown, found)
    facts = found.facts
    figure.suptitle(
        f"{plurals.of(facts['samples'], facts['split'] + ' sample')}, "
        f"{plurals.of(facts['hidden_sites'], 'hidden site')} ({facts['masks']})",
        fontsize=10,
    )
    stream = io.BytesIO()
    # No date or version in the file, so that the same comparison gives the same bytes.
    figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    return stream.getvalue()


def _draw_bins(axis: Axes, bins: list[Line], found: Comparison) -> None:
    for number, run in enumerate(found.runs):
        values = [line.values[number] for line in bins]
        axis.plot(range(len(bins)), values, marker="o", markersize=3, label=run.name,
                  color=_COLOURS[number % len(_COLOURS)])  # fmt: skip
    axis.set_xticks(range(len(bins)), [line.group for line in bins], rotation=30, fontsize=7)
    axis.set(xlabel="minor allele frequency", ylabel="aggregate dosage r2")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _draw_differences(axis: Axes, lines: list[Line], found: Comparison) -> None:
    """One dot per run and metric, with its interval; the first run is the line at 0."""
    others = found.runs[1:]
    step = 0.6 / max(len(others), 1)
    for number, run in enumerate(others, start=1):
        place = np.arange(len(lines)) + step * (number - (len(others) + 1) / 2)
        bounds = [line.differences[number - 1] for line in lines]
        shown = [(at, *one) for at, one in zip(place, bounds, strict=True) if _is_known(one)]
        at, value, low, high = (list(column) for column in zip(*shown, strict=True))
        axis.hlines(at, low, high, color=_COLOURS[number % len(_COLOURS)], linewidth=1)
        axis.plot(value, at, "o", markersize=4, label=run.name,
                  color=_COLOURS[number % len(_COLOURS)])  # fmt: skip
    axis.axvline(0, color=_COLOURS[0], linewidth=1)
    names = [f"{line.quantity} {line.group}" for line in lines]
    axis.set_yticks(range(len(lines)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set(
        xlabel=f"difference from {found.runs[0].name}, with 95 % bootstrap interval over samples"
    )
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=8)


def _is_known(bounds: tuple[float, float, float]) -> bool:
    return all(math.isfinite(value) for value in bounds)
