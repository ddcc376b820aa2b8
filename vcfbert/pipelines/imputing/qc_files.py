"""What an imputation did: the printed table and the QC files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.match_report import MatchReport
from vcfbert.domain.sites import Sites
from vcfbert.errors import StoreError
from vcfbert.pipelines.chunks.chunk_imputation import ImputedCore
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.storage.zarr import stores

SUMMARY, CHUNKS = "summary.json", "chunks.tsv"
FEW_TYPED = 50
"""Below this many typed sites a chunk's answers are little better than frequencies; noted."""

MUCH_OUT_OF_RANGE = 0.05
"""Above this share of undecided sites with inputs out of range, the network is a stranger here."""

_NAMED = 5  # samples or contigs in a warning

FILES = frozenset({SUMMARY, CHUNKS, "only_in_target.tsv", "dropped.tsv", "noted.tsv"})
"""The files of a QC folder."""


@dataclass(frozen=True)
class ImputeSummary:
    """What was written; `report` is what summary.json holds."""

    out: Path
    qc: Path
    report: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The report as a table."""
        report = self.report
        target, sites, network = report["target"], report["sites"], report["network"]
        heads, seconds = report["candidates"], report["seconds"]
        rows: list[tuple[str, object]] = [
            ("samples", report["samples"]["target"]),
            ("  also in the panel", len(report["samples"]["in_panel"])),
            ("  there under another name", len(report["samples"]["under_another_name"]["pairs"])),
            ("records read", target["records"]),
            ("  only in the target", target["only_in_target"]),
            *((f"  dropped: {reason}", count) for reason, count in target["dropped"].items()),
            ("  REF and ALT exchanged, repaired", target["swapped_sites"]),
            ("  strand in doubt, kept", target["suspicious_sites"]),
            ("sites written", sites["written"]),
            ("  typed", sites["typed"]),
            ("  imputed", sites["imputed"]),
            ("sites of contigs without typed sites", sites["left_out"]),
            ("missing genotypes imputed", sites["missing_genotypes"]),
            ("chunks", report["chunks"]),
            ("reference haplotypes", report["references"]),
            ("candidates of a haplotype", f"{heads['mean']:.0f} ({heads['least']:,} to "
             f"{heads['most']:,})"),
            ("network", network["name"]),
            ("  sites it decided", f"{network['open_share']:.1%}"),
            ("  with inputs out of range", f"{network['out_of_range']:.2%}"),
            ("seconds", f"{seconds['total']:.1f}"),
        ]  # fmt: skip
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        shown += [("imputed file", str(self.out)), ("QC files", str(self.qc))]
        width = max(len(name) for name, _ in shown)
        return [f"{name:<{width}}  {value}" for name, value in shown if value != "0"]


@dataclass
class Tally:
    """Sums over the chunks that are done."""

    rows: list[str]
    candidates: list[Any]
    cells: float = 0.0
    open_cells: float = 0.0
    strange_cells: float = 0.0
    typed: int = 0
    imputed: int = 0

    @classmethod
    def empty(cls) -> Tally:
        """Nothing done yet."""
        return cls(rows=[], candidates=[])

    def add(self, sites: Sites, chunk: ChunkPlan, core: ImputedCore, seconds: float) -> None:
        """One chunk is written."""
        cells = core.alt.shape[1] * 2.0 * len(chunk.sites)
        self.cells += cells
        self.open_cells += core.open_share * cells
        self.strange_cells += core.out_of_range * core.open_share * cells
        self.candidates.append(core.candidates)
        self.imputed += int(core.is_imputed.sum())
        self.typed += int((~core.is_imputed).sum())
        first, last = chunk.core.start, chunk.core.stop - 1
        in_core = int(((chunk.typed >= first) & (chunk.typed <= last)).sum())
        fields = {
            "#contig": sites.contigs[sites.contig[first]],
            "start": sites.position[first],
            "end": sites.position[last],
            "cm": f"{sites.cm[last] - sites.cm[first]:.4f}",
            "sites": last + 1 - first,
            "written": len(chunk.written),
            "typed": in_core,
            "typed_with_context": len(chunk.typed),
            "candidates": f"{core.candidates.mean():.1f}",
            "rate_factor": f"{core.rate_factor:.4g}",
            "open_share": f"{core.open_share:.4f}",
            "out_of_range": f"{core.out_of_range:.4f}",
            "seconds": f"{seconds:.2f}",
        }
        if not self.rows:
            self.rows.append("\t".join(fields))
        self.rows.append("\t".join(map(str, fields.values())))

    def report(self) -> dict[str, Any]:
        """The parts of the summary that the chunks decide, as JSON types."""
        counts = np.concatenate(self.candidates)
        return {
            "chunks": len(self.rows) - 1,
            "candidates": {
                "mean": round(float(counts.mean()), 1),
                "least": int(counts.min()),
                "most": int(counts.max()),
            },
            "open_share": self.open_cells / self.cells,
            "out_of_range": self.strange_cells / self.open_cells if self.open_cells else 0.0,
        }


def shared_samples(names: Sequence[str], of_panel: Sequence[str]) -> list[str]:
    """A warning that samples of the target are in the panel."""
    known = set(of_panel)
    found = [name for name in names if name in known]
    if not found:
        return []
    return [
        f"{len(found):,} of the target's samples are in the panel, too, and are not imputed from "
        f"their own haplotypes there: {_some(found)}."
    ]


def few_typed(
    sites: Sites, planned: Sequence[ChunkPlan], is_wanted: NDArray[np.bool_]
) -> list[str]:
    """Warnings of where there is little or nothing to impute from.

    is_wanted  (S,) True for the sites that are to be written
    """
    messages = []
    done = {int(sites.contig[chunk.core.start]) for chunk in planned}
    lost = [n for n in np.unique(sites.contig[is_wanted]).tolist() if n not in done]
    if lost:
        names = _some([sites.contigs[n] for n in lost])
        messages.append(
            f"{len(lost):,} contigs of the panel have too few typed sites and are not written: "
            f"{names}."
        )
    few = [chunk for chunk in planned if len(chunk.typed) < FEW_TYPED]
    if few:
        worst = min(few, key=lambda chunk: len(chunk.typed))
        place = f"{sites.contigs[sites.contig[worst.core.start]]}:"
        place += f"{sites.position[worst.core.start]}-{sites.position[worst.core.stop - 1]}"
        messages.append(
            f"{len(few):,} of {len(planned):,} chunks have fewer than {FEW_TYPED} typed sites in "
            f"reach, {place} only {len(worst.typed)}: expect little there, and look at DR2."
        )
    return messages


def much_out_of_range(share: float) -> list[str]:
    """A warning that the network sees what it has not seen in training."""
    if share <= MUCH_OUT_OF_RANGE:
        return []
    return [
        f"{share:.1%} of the sites that the network decided have inputs beyond what it saw in "
        "training; it falls back towards the heads there. A network of this panel may do better: "
        "vcfbert train --preset mosaic, then impute with --run mosaic."
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def qc_folder(out: Path) -> Path:
    """Where QC files go unless told: beside the output.

    >>> qc_folder(Path("a/imputed.vcf.gz")).as_posix()
    'a/imputed.qc'
    """
    name = out.name.removesuffix(".vcf.gz").removesuffix(".bcf")
    return out.with_name(f"{name}.qc")


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """StoreError where something stands there that may not be replaced.

    A folder with other files than FILES is never replaced: it was made for something else.
    """
    if not folder.exists():
        return
    strangers = (
        sorted(entry.name for entry in folder.iterdir() if entry.name not in FILES)
        if folder.is_dir()
        else [folder.name]
    )
    if strangers:
        raise StoreError(
            f"{folder} holds {strangers[0]}, which is no QC file of impute, so it is not replaced. "
            "Choose another folder with --qc."
        )
    if not overwrite:
        raise StoreError.exists(folder)


def write_files(
    folder: Path, matched: MatchReport, rows: Sequence[str], report: Mapping[str, Any]
) -> None:
    """Write all QC files into an existing folder."""
    texts = matched.tables() | {
        CHUNKS: "".join(f"{row}\n" for row in rows),
        SUMMARY: json.dumps(report, indent=2) + "\n",
    }
    assert texts.keys() == FILES
    for name, text in texts.items():
        stores.write_file(folder / name, text.encode())
