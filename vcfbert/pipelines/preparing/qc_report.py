"""QC report of `prepare`, as JSON and as a printed table."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert.domain.relatedness import Relatedness
from vcfbert.domain.sites import SPLITS, Samples, Sites
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.site_collector import REASONS, SiteCollector
from vcfbert.storage.zarr import schema

NO_MAP = "none; 1 cM per Mb"


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
            ("contigs", len(kept["contigs"]) if len(kept["contigs"]) > 1 else 0),
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
    collector: SiteCollector,
    table: Sites,
    samples: Samples,
    num_windows: int,
    options: PrepareOptions,
) -> dict[str, Any]:
    """What was read, kept and dropped of one file, as JSON types."""
    types = Counter(table.site_type.tolist())
    return {
        "read": {"records": collector.num_records, "sites": collector.num_sites},
        "kept": {
            "sites": len(table),
            "types": {name: types[code] for code, name in enumerate(schema.SITE_TYPES)},
            "contigs": list(table.contigs),
            "windows": num_windows,
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
        "genetic_map": NO_MAP if options.genetic_map is None else options.genetic_map.name,
        "seed": options.seed,
        "options": options.as_json(),
    }


def _haploid(collector: SiteCollector, samples: Samples) -> dict[str, Any]:
    """Haploid samples, if the panel has some."""
    if collector.ploidy is None or samples.haploid is None:
        return {}
    count = int(samples.haploid.is_haploid.any(axis=0).sum())
    return {"haploid": count, "ploidy": collector.ploidy.record()}


def joined(qcs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was read and dropped of all files of a panel, and what of each.

    qcs  as `counts` makes them; a file with several contigs occurs several times
    """
    files: list[dict[str, Any]] = []
    for qc in qcs:
        if qc and qc not in files:
            files.append(qc)
    whole = copy.deepcopy(files[0])
    if len(files) > 1:
        for name in ("records", "sites"):
            whole["read"][name] = sum(qc["read"][name] for qc in files)
        for reason in whole["dropped"]:
            whole["dropped"][reason] = sum(qc["dropped"].get(reason, 0) for qc in files)
        for name in ("filled_genotypes", "input_bytes"):
            whole[name] = sum(qc[name] for qc in files)
        whole["panel"] = [qc["panel"] for qc in files]
        whole["warnings"] = [text for qc in files for text in qc["warnings"]]
        whole |= _joined_phase([qc["phased"] for qc in files if "phased" in qc])
    return whole | {"files": files}


def _joined_phase(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was phased in all files; empty if nothing was.

    >>> one = {"samples": 2, "heterozygotes": 30, "expected_switch_error": 0.02}
    >>> two = {"samples": 3, "heterozygotes": 10, "expected_switch_error": 0.06}
    >>> _joined_phase([one, two])
    {'phased': {'samples': 3, 'heterozygotes': 40, 'expected_switch_error': 0.03}}
    """
    if not found:
        return {}
    counts = [one["heterozygotes"] for one in found]
    errors = [
        one["expected_switch_error"] * count for one, count in zip(found, counts, strict=True)
    ]
    return {
        "phased": {
            "samples": max(one["samples"] for one in found),
            "heterozygotes": sum(counts),
            "expected_switch_error": round(sum(errors) / sum(counts), 5),
        }
    }


def store_bytes(store: Path) -> int:
    """Bytes of the files of a store."""
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
