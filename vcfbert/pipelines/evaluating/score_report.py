"""What an evaluation found, as a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vcfbert.domain.metrics import Scores
from vcfbert.domain.text_tables import aligned

METRICS = tuple(field.name for field in fields(Scores) if field.name != "sites")
_TITLES = {
    "f1": "F1",
    "genotype_f1": "genotype F1",
    "r2": "r2",
    "mean_site_r2": "site r2",
    "iqs": "IQS",
    "nrc": "NRC",
}


@dataclass(frozen=True)
class EvalSummary:
    """The scores of each system in each frequency group, and where they were written.

    scores  by system, then by group; all systems have the same groups
    facts   settings, seed, fingerprints, counts and seconds, of JSON types
    """

    scores: Mapping[str, Mapping[str, Scores]]
    facts: dict[str, Any]
    json_path: Path
    csv_path: Path
    vcf_path: Path | None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows; the systems stand together below each frequency group."""
        headers = ["sites by MAF", "sites", "system"]
        headers += [_TITLES.get(name, name) for name in METRICS]
        rows = []
        for group in next(iter(self.scores.values())):
            for system, by_group in self.scores.items():
                scored = by_group[group]
                values = [_cell(getattr(scored, name)) for name in METRICS]
                rows.append([group, f"{scored.sites:,}", system, *values])
        return headers, rows

    def lines(self) -> list[str]:
        """What was scored, the table, and where it was written."""
        facts = self.facts
        written = [self.json_path, self.csv_path, *([self.vcf_path] if self.vcf_path else [])]
        return [
            f"{facts['run']} on {facts['samples']:,} {facts['split']} samples: "
            f"{facts['hidden_sites']:,} of {facts['sites']:,} sites hidden ({facts['masks']}), "
            f"{facts['predict_seconds']:.1f} s.",
            *(f"Note: {note}" for note in facts["notes"]),
            *aligned(*self.table()),
            *(f"Written: {path}" for path in written),
        ]

    def to_json(self) -> str:
        """Facts and scores; what is undefined is null."""
        systems = {
            system: {group: _plain(asdict(scored)) for group, scored in by_group.items()}
            for system, by_group in self.scores.items()
        }
        return json.dumps({**self.facts, "systems": systems}, indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """One row a system and group; what is undefined is empty."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["system", "group", "sites", *METRICS])
        for system, by_group in self.scores.items():
            for group, scored in by_group.items():
                values = _plain(asdict(scored))
                writer.writerow(
                    [system, group, scored.sites, *(_short(values[name]) for name in METRICS)]
                )
        return stream.getvalue()


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:z.4f}"


def _plain(scored: dict[str, Any]) -> dict[str, Any]:
    """NaN is no JSON."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in scored.items()
    }


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:z.6f}"
