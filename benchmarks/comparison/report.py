"""Results of a task: accuracy by frequency against the better peer, seconds and memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vcfbert.domain.metrics import Groups

from . import accuracy, tables
from .accuracy import Floats, Scores
from .processes import Measured

METRICS = ("r2", "IQS_varying", "NRC", "F1")
GROUPS = Groups()
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What was measured of one task; dictionaries go by the name of the tool.

    prepared  what runs once a panel
    times     what runs for each target
    sums      (N, G, 6) for the bootstrap
    """

    task: str
    peers: tuple[str, ...]
    prepared: dict[str, Measured]
    times: dict[str, Measured]
    scores: dict[str, Scores]
    sums: dict[str, Floats]


def accuracy_rows(found: Found, num_draws: int, seed: int) -> list[Row]:
    """A row for each tool and group of sites: the scorer's figures, and those of the better peer.

    The error ratio is 1 - x over that of the peer with the larger x; the difference of r2 has the
    bounds of 95 % of the draws of samples.
    """
    draws = {name: accuracy.draw_r2(sums, num_draws, seed) for name, sums in found.sums.items()}
    rows = []
    for name, scores in found.scores.items():
        for group, values in scores.items():
            row: Row = {"task": found.task, "tool": name, "sites by MAF": group}
            row["sites"] = int(values["sites"])
            row |= {metric: values[metric] for metric in METRICS}
            for metric in METRICS:
                peer = _better_peer(found, group, metric)
                ratio = None
                if peer is not None:
                    ratio = tables.error_ratio(values[metric], found.scores[peer][group][metric])
                row[f"{metric} error ratio"] = ratio
            rows.append(row | _interval(found, draws, name, group))
    return rows


def time_rows(found: Found) -> list[Row]:
    """What runs once a panel, then what runs for each target."""
    measured = (found.prepared | found.times).items()
    return [{"task": found.task, "what": what} | time_cells(one) for what, one in measured]


def time_cells(one: Measured) -> Row:
    return {
        "seconds": one.seconds,
        "processor seconds": one.processor,
        "peak MB": one.megabytes,
    }


def time_text(title: str, rows: Iterable[Row], label: str) -> str:
    """Rows that hold `time_cells`; the column `label` names them."""
    lines = [
        (
            str(row[label]),
            f"{row['seconds']:.2f}",
            f"{row['processor seconds']:.2f}",
            f"{row['peak MB']:.0f}",
        )
        for row in rows
    ]
    return tables.text_table((title, "seconds", "processor s", "peak MB"), lines)


def text(found: Found, rows: Iterable[Row]) -> str:
    """All tables of a task."""
    parts = [_side_by_side(found, metric) for metric in METRICS]
    compared = [row for row in rows if row["low"] is not None]
    if compared:
        parts.append(_beside_better_peer(found, compared))
    parts.append(time_text(f"{found.task}: time", time_rows(found), "what"))
    return "\n\n".join(parts)


def _side_by_side(found: Found, metric: str) -> str:
    first = next(iter(found.scores.values()))
    lines = [
        [
            group,
            f"{values['sites']:,}",
            *(tables.number(scores[group][metric]) for scores in found.scores.values()),
        ]
        for group, values in first.items()
    ]
    return tables.text_table((f"{found.task}: {metric}", "sites", *found.scores), lines)


def _beside_better_peer(found: Found, rows: list[Row]) -> str:
    numbers = (*(f"{metric} error ratio" for metric in METRICS), "r2 - peer", "low", "high")
    rows = sorted(rows, key=lambda row: GROUPS.names.index(row["sites by MAF"]))
    lines = [
        [row["sites by MAF"], row["tool"], *(tables.number(row[key]) for key in numbers)]
        for row in rows
    ]
    header = ("tool", *METRICS, "r2 - peer", "2.5 %", "97.5 %")
    return tables.text_table((f"{found.task}: error / better peer's", *header), lines)


def _better_peer(found: Found, group: str, metric: str) -> str | None:
    values = {name: scores[group][metric] for name, scores in found.scores.items()}
    return tables.better_peer(values, found.peers)


def _interval(found: Found, draws: dict[str, Floats], name: str, group: str) -> Row:
    """r2 minus that of the peer with the better r2, and 95 % of its draws."""
    peer = _better_peer(found, group, "r2")
    if peer is None or name in found.peers:
        return {"better peer": peer, "r2 - peer": None, "low": None, "high": None}
    place = GROUPS.names.index(group)
    low, high = np.nanpercentile(draws[name][:, place] - draws[peer][:, place], (2.5, 97.5))
    difference = found.scores[name][group]["r2"] - found.scores[peer][group]["r2"]
    return {"better peer": peer, "r2 - peer": difference, "low": float(low), "high": float(high)}
