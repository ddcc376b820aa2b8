"""Report of an evaluation as a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vcfbert import plurals
from vcfbert.domain.metrics import Scores
from vcfbert.pipelines import text_table

COUNTS = ("sites", "varying_sites")
METRICS = tuple(field.name for field in fields(Scores) if field.name not in COUNTS)
_TITLES = {
    "f1": "F1",
    "unphased_f1": "unphased F1",
    "genotype_f1": "genotype F1",
    "r2": "r2",
    "mean_site_r2": "site r2",
    "iqs": "IQS",
    "pooled_iqs": "pooled IQS",
    "nrc": "NRC",
}


@dataclass(frozen=True)
class EvalSummary:
    """Scores of each system in each frequency group, and the files they were written to.

    scores  by system, then by group; all systems have the same groups
    facts   settings, seed, fingerprints, counts and seconds, of JSON types
    """

    scores: Mapping[str, Mapping[str, Scores]]
    facts: dict[str, Any]
    json_path: Path
    csv_path: Path
    vcf_path: Path | None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows, grouped by frequency group."""
        headers = ["sites by MAF", "sites", "varying", "system"]
        headers += [_TITLES.get(name, name) for name in METRICS]
        rows = []
        for group in next(iter(self.scores.values())):
            for system, by_group in self.scores.items():
                scored = by_group[group]
                values = [cell(getattr(scored, name)) for name in METRICS]
                counts = [f"{getattr(scored, name):,}" for name in COUNTS]
                rows.append([group, *counts, system, *values])
        return headers, rows

    def lines(self) -> list[str]:
        """Title, notes, table, and the files written."""
        facts = self.facts
        written = [self.json_path, self.csv_path, *([self.vcf_path] if self.vcf_path else [])]
        return [
            f"{facts['run']} on {plurals.of(facts['samples'], facts['split'] + ' sample')}: "
            f"{facts['hidden_sites']:,} of {plurals.of(facts['sites'], 'site')} hidden "
            f"({facts['masks']}), {facts['predict_seconds']:.1f} s.",
            *(f"Note: {note}" for note in facts["notes"]),
            *text_table.lines(*self.table()),
            *(f"Written: {path}" for path in written),
        ]

    def to_json(self) -> str:
        """Facts and scores; undefined values are null."""
        systems = {
            system: {group: asdict(scored) for group, scored in by_group.items()}
            for system, by_group in self.scores.items()
        }
        record = {**self.facts, "systems": without_nan(systems)}
        return json.dumps(record, indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """One row per system and group; undefined values are empty."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["system", "group", *COUNTS, *METRICS])
        for system, by_group in self.scores.items():
            for group, scored in by_group.items():
                values = [csv_cell(getattr(scored, name)) for name in METRICS]
                counts = [getattr(scored, name) for name in COUNTS]
                writer.writerow([system, group, *counts, *values])
        return stream.getvalue()


def cell(value: float) -> str:
    """A score as the tables show it."""
    return "-" if math.isnan(value) else f"{value:z.4f}"


def csv_cell(value: float) -> str:
    """A score as the CSV files have it."""
    return "" if math.isnan(value) else f"{value:z.6f}"


def without_nan(value: Any) -> Any:
    """NaN as None, because JSON has no NaN; also inside dicts, lists and tuples."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
