"""The best epoch and the last improvement, from the metrics of the epochs so far.

Both are computed from the rows of the metrics and not stored, so they cannot contradict the rows
when a run is resumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vcfbert.config import ValidationMetric


@dataclass(frozen=True)
class Standing:
    """Numbers of epochs, from 1; 0 before the first epoch.

    best_epoch  epoch of the best value, the earliest if several are equal
    gain_epoch  last epoch that improved by more than `min_delta` on the improvement before it
    """

    best_epoch: int
    gain_epoch: int


def merit(row: Mapping[str, Any], metric: ValidationMetric) -> float:
    """The validation score, with its sign such that larger is better; NaN is the worst.

    row  of the metrics

    >>> merit({"val_loss": 0.25, "val_f1": 0.5}, "loss"), merit({"val_f1": 0.5}, "f1")
    (-0.25, 0.5)
    """
    value = float(row[f"val_{metric}"])
    if math.isnan(value):
        return -math.inf
    return -value if metric == "loss" else value


def standing(
    history: Sequence[Mapping[str, Any]], metric: ValidationMetric, min_delta: float
) -> Standing:
    """The best epoch and the last improvement after the epochs of `history`.

    >>> rows = [{"epoch": n + 1, "val_f1": f1} for n, f1 in enumerate((0.5, 0.6, 0.6004))]
    >>> standing(rows, "f1", 0.001)
    Standing(best_epoch=3, gain_epoch=2)
    """
    best_epoch = gain_epoch = 0
    best = gained = -math.inf
    for row in history:
        value = merit(row, metric)
        if value > best:
            best, best_epoch = value, int(row["epoch"])
        if value > gained + min_delta:
            gained, gain_epoch = value, int(row["epoch"])
    return Standing(best_epoch, gain_epoch)
