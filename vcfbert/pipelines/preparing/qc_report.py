"""QC report of `prepare`, as JSON and as a printed table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert.domain.relatedness import Relatedness
from vcfbert.domain.sites import SPLITS, Samples, Sites
from vcfbert.domain.windows import Windows
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.site_collector import REASONS, SiteCollector
from vcfbert.storage.zarr import schema


@dataclass(frozen=True)
class PrepareSummary:
    """What `prepare` wrote; `report` is the content of the QC report."""

    panel: Path
    qc: Path
    fingerprint: str
    report: dict[str, Any]
    related: Relatedness

    def lines(self) -> list[str]:
        """The QC report as a printed table."""
        report = self.report
        read, kept, samples = report["read"], report["kept"], report["samples"]
        rows: list[tuple[str, object]] = [
            ("records read", read["records"]),
            ("sites read", read["sites"]),
            *((f"  dropped: {reason}", count) for reason, count in report["dropped"].items()),
            ("sites kept", kept["sites"]),
            *((f"  {kind}", count) for kind, count in kept["types"].items()),
            ("genotypes filled in", report["filled_genotypes"]),
            *_phased_rows(report.get("phased")),
            ("samples kept", samples["kept"]),
            *((f"  {split}", count) for split, count in samples["splits"].items()),
            ("  haploid at some sites", samples.get("haploid", 0)),
            ("samples not in the table", samples["not_in_table"]),
            ("samples left out for held-out relatives", samples["close_relatives_left_out"]),
            *self.related.rows(),
            ("windows", f"{kept['windows']} of {report['options']['window_size']} sites"),
            ("genetic map", report["genetic_map"]),
            ("panel store", f"{report['bytes']['panel']:,} bytes, "
             f"{report['bytes']['ratio']:.3f} of the input"),
            ("seconds", f"{report['seconds']:.1f}"),
        ]  # fmt: skip
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        width = max(len(name) for name, _ in shown)
        table = [f"{name:<{width}}  {value}" for name, value in shown if value != "0"]
        return [*table, f"{'panel':<{width}}  {self.panel}", f"{'QC report':<{width}}  {self.qc}"]


def _phased_rows(phased: dict[str, Any] | None) -> list[tuple[str, object]]:
    """What was phased, if the panel was."""
    if phased is None:
        return []
    return [
        ("heterozygotes phased", phased["heterozygotes"]),
        ("  expected switch error", f"{phased['expected_switch_error']:.2%}"),
    ]


def counts(
    collector: SiteCollector, table: Sites, samples: Samples, cut: Windows, options: PrepareOptions
) -> dict[str, Any]:
    """What was read, kept and dropped, as JSON types."""
    types = Counter(table.site_type.tolist())
    return {
        "read": {"records": collector.num_records, "sites": collector.num_sites},
        "kept": {
            "sites": len(table),
            "types": {name: types[code] for code, name in enumerate(schema.SITE_TYPES)},
            "contigs": list(table.contigs),
            "windows": len(cut),
        },
        "dropped": {reason: collector.dropped[reason] for reason in REASONS},
        "filled_genotypes": collector.filled_genotypes,
        "samples": {
            "kept": len(samples),
            "splits": {
                name: int((samples.split == code).sum()) for code, name in enumerate(SPLITS)
            },
            "populations": dict(sorted(Counter(samples.labels).items())),
            **_haploid(collector, samples),
        },
        "genetic_map": str(options.genetic_map or "none; 1 cM per Mb"),
        "seed": options.seed,
        "options": options.as_json(),
    }


def _haploid(collector: SiteCollector, samples: Samples) -> dict[str, Any]:
    """Haploid samples, if the panel has some."""
    if collector.ploidy is None or samples.haploid is None:
        return {}
    count = int(samples.haploid.is_haploid.any(axis=0).sum())
    return {"haploid": count, "ploidy": collector.ploidy.record()}


def sizes(panel: Path, source: Path) -> dict[str, float]:
    """Bytes of the panel store and of the VCF it was made from."""
    store_bytes = sum(file.stat().st_size for file in panel.rglob("*") if file.is_file())
    input_bytes = source.stat().st_size
    ratio = round(store_bytes / input_bytes, 4)
    return {"panel": store_bytes, "input": input_bytes, "ratio": ratio}
