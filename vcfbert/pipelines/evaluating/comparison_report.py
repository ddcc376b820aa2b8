"""A comparison of runs as a table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vcfbert import config
from vcfbert.pipelines.evaluating.run_costs import RunFacts

Bounds = tuple[float, float, float]
"""A difference to the first run, and the ends of its interval."""

_CSV_HEAD = ("quantity", "group", "sites", "run", "value", "difference", "low", "high")
_COSTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("best validation F1", "best_f1", lambda value: f"{value:.4f}"),
    ("nearest neighbour right", "agreement", lambda value: f"{value:.4f}"),
    ("parameters", "parameters", lambda value: f"{value:,}"),
    ("samples a batch x accumulation", "batch", str),
    ("epochs", "epochs", str),
    ("seconds in all", "seconds", lambda value: f"{value:.1f}"),
    ("seconds an epoch", "epoch_seconds", lambda value: f"{value:.1f}"),
    ("ms a batch", "batch_ms", lambda value: f"{value:.1f}"),
    ("new versions of", "refreshes", str),
    ("seconds for new versions", "refresh_seconds", lambda value: f"{value:.2f}"),
    ("peak memory, MB", "peak_bytes", lambda value: f"{value / 1e6:,.0f}"),
    ("trained on", "device", str),
)
_VALIDATED = 2  # of these stand above the scores


@dataclass(frozen=True)
class Line:
    """One quantity in one frequency group.

    values       one a run
    differences  one a run but the first
    """

    quantity: str
    group: str
    sites: int
    values: list[float]
    differences: list[Bounds]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    scores  in the order of the table
    facts  samples, sites, masks, seeds and versions, of JSON types
    """

    runs: list[RunFacts]
    scores: list[Line]
    facts: dict[str, Any]
    csv_path: Path
    json_path: Path
    png_path: Path

    def lines(self) -> list[str]:
        """What was compared, the table, and where it was written."""
        facts = self.facts
        return [
            f"{len(self.runs)} runs on the same {facts['samples']:,} {facts['split']} samples: "
            f"{facts['hidden_sites']:,} of {facts['sites']:,} sites hidden ({facts['masks']}).",
            f"Differences to {self.runs[0].name}, with the interval of 95 % of {facts['draws']:,} "
            f"draws of samples (seed {facts['seed']}).",
            *(f"Note: {note}" for note in self.notes()),
            *_columns(*self.table()),
            *(f"Written: {path}" for path in (self.csv_path, self.json_path, self.png_path)),
        ]

    def notes(self) -> list[str]:
        """What keeps figures from being compared."""
        notes = []
        devices = {run.costs.device for run in self.runs}
        if len(devices - {None}) > 1:
            notes.append(
                "The runs were trained on different machines or threads, so times and memory do "
                "not compare."
            )
        old = [run.name for run in self.runs if run.costs.device is None]
        if old:
            notes.append(
                f"{', '.join(old)} was trained before batches and memory were written down."
            )
        return notes

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows: quantities below one another, runs side by side."""
        names = [run.name for run in self.runs]
        headers = ["", "sites", names[0]]
        for name in names[1:]:
            headers += [name, "difference", "95 %"]
        rows = [self._cost_row(*cost) for cost in _COSTS[:_VALIDATED]]
        for line in self.scores:
            row = [f"{line.quantity} {line.group}", f"{line.sites:,}", _number(line.values[0])]
            for value, (by, low, high) in zip(line.values[1:], line.differences, strict=True):
                row += [_number(value), _signed(by), f"{_signed(low)} to {_signed(high)}"]
            rows.append(row)
        return headers, rows + [self._cost_row(*cost) for cost in _COSTS[_VALIDATED:]]

    def _cost_row(self, title: str, name: str, show: Callable[[Any], str]) -> list[str]:
        found = [getattr(run.costs, name) for run in self.runs]
        cells = ["-" if value is None else show(value) for value in found]
        row = [title, "", cells[0]]
        for cell in cells[1:]:
            row += [cell, "", ""]
        return row

    def to_csv(self) -> str:
        """One row a quantity, group and run; what is undefined is empty."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_CSV_HEAD)
        for line in self.scores:
            bounds = [("", "", ""), *(tuple(map(_short, one)) for one in line.differences)]
            for run, value, found in zip(self.runs, line.values, bounds, strict=True):
                head = (line.quantity, line.group, line.sites, run.name)
                writer.writerow((*head, _short(value), *found))
        for name in (name for _, name, _ in _COSTS):
            for run in self.runs:
                known = getattr(run.costs, name)
                writer.writerow(
                    (name, "", "", run.name, "" if known is None else known, "", "", "")
                )
        return stream.getvalue()

    def to_json(self) -> str:
        """Everything; what is undefined is null."""
        record = {
            **self.facts,
            "notes": self.notes(),
            "costs": {run.name: asdict(run.costs) for run in self.runs},
            "settings": {run.name: config.to_dict(run.settings) for run in self.runs},
            "scores": [_plain(asdict(line)) for line in self.scores],
        }
        return json.dumps(record, indent=1, allow_nan=False)


def _columns(headers: list[str], rows: list[list[str]]) -> list[str]:
    """Columns as wide as their longest cell; all but the first end at the right.

    >>> _columns(["", "a"], [["F1", "0.9"], ["epochs", "12"]])
    ['          a', 'F1      0.9', 'epochs   12']
    """
    table = [headers, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in table
    ]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+z.4f}"


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:z.6f}"


def _plain(value: Any) -> Any:
    """NaN is no JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
