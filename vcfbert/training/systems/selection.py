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
    """Numbers of epochs, from 1; 0 is the network before training.

    best_epoch  epoch of the best value, the earliest if several are equal
    gain_epoch  last epoch that was better by more than `min_delta` of the error than the last such
                epoch before it
    """

    best_epoch: int
    gain_epoch: int


def error_of(row: Mapping[str, Any], metric: ValidationMetric) -> float:
    """The remaining validation error, which is smaller for a better epoch; NaN is the worst.

    row      of the metrics
    returns  the loss itself, or 1 minus the score, so that all metrics have one scale

    >>> error_of({"val_loss": 0.25, "val_f1": 0.5}, "loss"), error_of({"val_f1": 0.75}, "f1")
    (0.25, 0.25)
    """
    value = float(row[f"val_{metric}"])
    if math.isnan(value):
        return math.inf
    return value if metric in ("loss", "log_loss") else 1 - value


def standing(
    history: Sequence[Mapping[str, Any]], metric: ValidationMetric, min_delta: float
) -> Standing:
    """The best epoch and the last improvement after the epochs of `history`.

    min_delta  smallest gain of an improvement, as a share of the error before it

    >>> rows = [{"epoch": n, "val_f1": f1} for n, f1 in enumerate((0.5, 0.6, 0.6004))]
    >>> standing(rows, "f1", 0.002)
    Standing(best_epoch=2, gain_epoch=1)
    """
    best_epoch = gain_epoch = 0
    best = gained = math.inf
    for row in history:
        error = error_of(row, metric)
        if error < best:
            best, best_epoch = error, int(row["epoch"])
        if error < gained * (1 - min_delta):
            gained, gain_epoch = error, int(row["epoch"])
    return Standing(best_epoch, gain_epoch)
