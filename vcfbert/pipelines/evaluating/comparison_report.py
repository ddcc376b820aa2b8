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

from vcfbert import config, plurals
from vcfbert.pipelines import text_table
from vcfbert.pipelines.evaluating import score_report
from vcfbert.pipelines.evaluating.run_costs import RunFacts

Bounds = tuple[float, float, float]
"""A difference from the first run, and the ends of its interval."""

_CSV_HEAD = ("quantity", "group", "sites", "run", "value", "difference", "low", "high")
_COSTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("best validation F1", "best_f1", lambda value: f"{value:.4f}"),
    ("nearest neighbour correct", "agreement", lambda value: f"{value:.4f}"),
    ("parameters", "parameters", lambda value: f"{value:,}"),
    ("batch size x accumulation", "batch", str),
    ("epochs", "epochs", str),
    ("training seconds", "seconds", lambda value: f"{value:.1f}"),
    ("seconds per epoch", "epoch_seconds", lambda value: f"{value:.1f}"),
    ("ms per batch", "batch_ms", lambda value: f"{value:.1f}"),
    ("refreshes", "refreshes", str),
    ("refresh seconds", "refresh_seconds", lambda value: f"{value:.2f}"),
    ("peak memory, MB", "peak_bytes", lambda value: f"{value / 1e6:,.0f}"),
    ("trained on", "device", str),
)
_VALIDATED = 2  # the first of these are shown above the scores


@dataclass(frozen=True)
class Line:
    """A score in one frequency group.

    values       one per run, then one per baseline
    differences  one per run except the first, then one per baseline
    """

    quantity: str
    group: str
    sites: int
    values: list[float]
    differences: list[Bounds]


@dataclass(frozen=True)
class Comparison:
    """Scores and costs of several runs.

    baselines  names of the baselines, each of the first run that has it
    scores     in the order of the table
    facts      samples, sites, masks, seeds and versions, of JSON types
    """

    runs: list[RunFacts]
    baselines: list[str]
    scores: list[Line]
    facts: dict[str, Any]
    csv_path: Path
    json_path: Path
    png_path: Path

    def lines(self) -> list[str]:
        """Title, notes, table, and the files written."""
        facts = self.facts
        return [
            f"{plurals.of(len(self.runs), 'run')} on the same "
            f"{plurals.of(facts['samples'], facts['split'] + ' sample')}: "
            f"{facts['hidden_sites']:,} of {plurals.of(facts['sites'], 'site')} hidden "
            f"({facts['masks']}).",
            f"Differences from {self.runs[0].name}, with 95 % bootstrap intervals over samples "
            f"({facts['draws']:,} draws, seed {facts['seed']}).",
            *(f"Note: {note}" for note in self.notes()),
            *text_table.lines(*self.table(), num_left=1),
            *(f"Written: {path}" for path in (self.csv_path, self.json_path, self.png_path)),
        ]

    def notes(self) -> list[str]:
        """Reasons why some figures cannot be compared."""
        notes = []
        devices = {run.costs.device for run in self.runs}
        if len(devices - {None}) > 1:
            notes.append(
                "The runs were trained on different machines or thread counts: times and memory "
                "cannot be compared."
            )
        old = [run.name for run in self.runs if run.costs.device is None]
        if old:
            notes.append(f"Trained before batch times and memory were recorded: {', '.join(old)}.")
        return notes

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows: one row per quantity, one column per run."""
        names = [run.name for run in self.runs]
        headers = ["", "sites", names[0]]
        for name in names[1:]:
            headers += [name, "difference", "95 %"]
        headers += self.baselines
        rows = [self._cost_row(*cost) for cost in _COSTS[:_VALIDATED]]
        for line in self.scores:
            row = [
                f"{line.quantity} {line.group}",
                f"{line.sites:,}",
                score_report.cell(line.values[0]),
            ]
            of_runs = slice(1, len(self.runs))
            compared = zip(line.values[of_runs], line.differences, strict=False)
            for value, (by, low, high) in compared:
                row += [score_report.cell(value), _signed(by), f"{_signed(low)} to {_signed(high)}"]
            row += [score_report.cell(value) for value in line.values[len(self.runs) :]]
            rows.append(row)
        return headers, rows + [self._cost_row(*cost) for cost in _COSTS[_VALIDATED:]]

    def _cost_row(self, title: str, name: str, show: Callable[[Any], str]) -> list[str]:
        found = [getattr(run.costs, name) for run in self.runs]
        cells = ["-" if value is None else show(value) for value in found]
        row = [title, "", cells[0]]
        for cell in cells[1:]:
            row += [cell, "", ""]
        return row + [""] * len(self.baselines)

    def to_csv(self) -> str:
        """One row per quantity, group and run; undefined values are empty."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_CSV_HEAD)
        for line in self.scores:
            bounds = [
                ("", "", ""),
                *(tuple(map(score_report.csv_cell, one)) for one in line.differences),
            ]
            names = [*(run.name for run in self.runs), *self.baselines]
            for name, value, found in zip(names, line.values, bounds, strict=True):
                head = (line.quantity, line.group, line.sites, name)
                writer.writerow((*head, score_report.csv_cell(value), *found))
        for name in (name for _, name, _ in _COSTS):
            for run in self.runs:
                known = getattr(run.costs, name)
                writer.writerow(
                    (name, "", "", run.name, "" if known is None else known, "", "", "")
                )
        return stream.getvalue()

    def to_json(self) -> str:
        """Everything; undefined values are null."""
        record = {
            **self.facts,
            "baselines": self.baselines,
            "notes": self.notes(),
            "costs": {run.name: asdict(run.costs) for run in self.runs},
            "settings": {run.name: config.to_dict(run.settings) for run in self.runs},
            "scores": [score_report.without_nan(asdict(line)) for line in self.scores],
        }
        return json.dumps(record, indent=1, allow_nan=False)


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+z.4f}"
