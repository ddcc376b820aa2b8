"""Which epoch is the best, and since when there was no gain: read off the epochs so far.

Nothing of it is kept beside the rows of the metrics, so a resumed run cannot disagree with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vcfbert.config import ValidationMetric


@dataclass(frozen=True)
class Standing:
    """Epochs by their number, from 1; 0 before the first.

    best_epoch  of the best value; the earlier one of two that are equal
    gain_epoch  the last that bettered the value of the gain before it by more than `min_delta`
    """

    best_epoch: int
    gain_epoch: int


def merit(row: Mapping[str, Any], metric: ValidationMetric) -> float:
    """The value that decides, turned so that more is better; nothing is worse than no number.

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
    """Where a run stands after the epochs of `history`, in order.

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
