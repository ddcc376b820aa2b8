"""Summary of the imputation of a genome."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class GenomeSummary:
    """Folder of the QC files, and the content of its summary.json."""

    qc: Path
    report: Mapping[str, Any]

    @classmethod
    def of(
        cls, reports: Mapping[str, Any], facts: Mapping[str, Any], qc: Path, seconds: float
    ) -> Self:
        """Sums over contigs.

        reports  of each contig, as in its own summary.json
        facts    of the whole run
        seconds  of this command
        """
        sites: Counter[str] = Counter()
        for report in reports.values():
            sites.update(report["sites"])
        warnings = dict.fromkeys(
            [*facts["warnings"], *(text for one in reports.values() for text in one["warnings"])]
        )
        first = next(iter(reports.values()))
        whole = {
            **facts,
            "contigs": list(reports),
            "samples": {name: first["samples"][name] for name in ("target", "panel", "in_panel")},
            "sites": {name: sites[name] for name in first["sites"]},
            "chunks": sum(report["chunks"] for report in reports.values()),
            "records": sum(report["target"]["records"] for report in reports.values()),
            "warnings": list(warnings),
            "seconds": round(seconds, 3),
        }
        return cls(qc, whole)

    def as_json(self) -> bytes:
        """The content of summary.json."""
        return (json.dumps(self.report, indent=2) + "\n").encode()

    def lines(self) -> list[str]:
        """The summary as a table."""
        report, sites = self.report, self.report["sites"]
        rows: list[tuple[str, object]] = [
            ("samples", report["samples"]["target"]),
            ("  also in the panel", len(report["samples"]["in_panel"])),
            ("contigs", len(report["contigs"])),
            ("  with too few typed sites", len(report["skipped"])),
            ("records read", report["records"]),
            ("sites written", sites["written"]),
            ("  typed", sites["typed"]),
            ("  imputed", sites["imputed"]),
            ("missing genotypes imputed", sites["missing_genotypes"]),
            ("heterozygotes phased", sites["phased_genotypes"]),
            ("chunks", report["chunks"]),
            ("seconds", f"{report['seconds']:.1f}"),
            ("imputed", report["out"]),
            ("QC files", self.qc),
        ]
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        width = max(len(name) for name, _ in shown)
        return [f"{name:<{width}}  {value}" for name, value in shown if value != "0"]
