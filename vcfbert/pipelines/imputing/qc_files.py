"""Summary and QC files of `impute`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain.match_report import MatchReport
from vcfbert.domain.sites import Sites
from vcfbert.errors import StoreError
from vcfbert.pipelines.chunks import family_phase
from vcfbert.pipelines.chunks.chunk_imputation import out_of_range_warnings
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.imputing import output_files
from vcfbert.pipelines.parts.joined_chunk import JoinedChunk
from vcfbert.storage.zarr import stores

SUMMARY, CHUNKS, SAMPLES = "summary.json", "chunks.tsv", "samples.tsv"
FEW_TYPED = 50
"""With fewer typed sites a chunk is imputed little better than from frequencies."""

_NAMED = 5  # samples or contigs in a warning

FILES = frozenset({SUMMARY, CHUNKS, SAMPLES, "only_in_target.tsv", "dropped.tsv", "noted.tsv"})
"""Files of a QC folder."""

KNOWN_FILES = FILES | {family_phase.MENDEL}
"""Also those that only some options write."""


@dataclass(frozen=True)
class ImputeSummary:
    """Paths of the output, and the content of summary.json."""

    out: Path
    qc: Path
    report: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The summary as a table."""
        report = self.report
        target, sites, network = report["target"], report["sites"], report["network"]
        candidates, seconds = report["candidates"], report["seconds"]
        ploidy = target.get("ploidy", {})
        rows: list[tuple[str, object]] = [
            ("samples", report["samples"]["target"]),
            ("  haploid at some sites", ploidy.get("haploid_samples", 0)),
            ("  also in the panel", len(report["samples"]["in_panel"])),
            ("  duplicates of other panel samples", len(report["samples"]["duplicates"]["pairs"])),
            ("records read", target["records"]),
            ("  only in the target", target["only_in_target"]),
            ("    written as they are", sites["typed_only"]),
            *((f"  dropped: {reason}", count) for reason, count in target["dropped"].items()),
            ("  swapped alleles, repaired", target["swapped_sites"]),
            ("  strand flips, repaired", target["strand"]["flips_repaired"]),
            ("  palindromic strand flips, repaired",
             target["strand"]["palindromic_flips_repaired"]),
            ("  strand uncertain, kept", target["suspicious_sites"]),
            ("sites written", sites["written"]),
            ("  typed", sites["typed"]),
            ("  imputed", sites["imputed"]),
            ("sites of contigs with too few typed sites", sites["skipped"]),
            ("missing genotypes imputed", sites["missing_genotypes"]),
            ("heterozygotes phased", sites["phased_genotypes"]),
            ("unphased genotypes, order imputed", sites["unordered_genotypes"]),
            ("heterozygotes of haploid samples, imputed",
             ploidy.get("haploid_heterozygotes_set_missing", 0)),
            ("homozygotes of haploid samples, taken as one allele",
             ploidy.get("homozygotes_taken_as_haploid", 0)),
            ("haploid genotypes of diploid samples, imputed",
             ploidy.get("haploid_genotypes_of_diploid_samples_set_missing", 0)),
            *family_phase.summary_rows(report["families"]),
            ("chunks", report["chunks"]),
            ("reference haplotypes", report["reference_haplotypes"]),
            ("target samples are references", "yes" if report["target_references"] else "0"),
            ("candidates per haplotype", f"{candidates['mean']:.0f} ({candidates['min']:,} to "
             f"{candidates['max']:,})"),
            ("network", network["name"]),
            ("  sites it decides", f"{network['undecided']:.1%}"),
            ("  with inputs out of range", f"{network['out_of_range']:.2%}"),
            ("seconds", f"{seconds['total']:.1f}"),
        ]  # fmt: skip
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        shown.append(("imputed file", str(self.out)))
        if report["empirical"] is not None:
            shown.append(("left-out typed sites", report["empirical"]))
        shown.append(("QC files", str(self.qc)))
        width = max(len(name) for name, _ in shown)
        return [f"{name:<{width}}  {value}" for name, value in shown if value != "0"]


@dataclass
class ChunkTally:
    """Sums over the finished chunks."""

    rows: list[str] = field(default_factory=list)
    candidates: list[tuple[int, int, int, int]] = field(default_factory=list)
    cells: float = 0.0
    open_cells: float = 0.0
    cells_out_of_range: float = 0.0
    typed: int = 0
    imputed: int = 0

    def add(self, sites: Sites, chunk: ChunkPlan, joined: JoinedChunk, seconds: float) -> None:
        """Add a chunk."""
        cells = float(joined.num_haplotypes) * len(chunk.sites)
        open_cells, outside = joined.cells
        self.cells += cells
        self.open_cells += open_cells
        self.cells_out_of_range += outside
        self.candidates.append(joined.candidates)
        self.imputed += int(joined.is_imputed.sum())
        self.typed += int((~joined.is_imputed).sum())
        count, total, _, _ = joined.candidates
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
            "candidates": f"{total / count:.1f}",
            "rate_factor": f"{joined.rate_factor:.4g}",
            "undecided": f"{open_cells / cells:.4f}",
            "out_of_range": f"{outside / open_cells if open_cells else 0:.4f}",
            "seconds": f"{seconds:.2f}",
        }
        if not self.rows:
            self.rows.append("\t".join(fields))
        self.rows.append("\t".join(map(str, fields.values())))

    def report(self) -> dict[str, Any]:
        """The sums as JSON types."""
        count, total, least, most = zip(*self.candidates, strict=True)
        outside = self.cells_out_of_range / self.open_cells if self.open_cells else 0.0
        return {
            "chunks": len(self.rows) - 1,
            "candidates": {
                "mean": round(sum(total) / sum(count), 1),
                "min": min(least),
                "max": max(most),
            },
            "undecided": round(self.open_cells / self.cells, 9),
            "out_of_range": round(outside, 9),
        }


def shared_samples(names: Sequence[str], of_panel: Sequence[str]) -> list[str]:
    """A warning if samples of the target are in the panel, by name."""
    known = set(of_panel)
    found = [name for name in names if name in known]
    if not found:
        return []
    return [
        plurals.of(
            len(found),
            "sample of the target is also in the panel and is not imputed from its own haplotypes",
            "samples of the target are also in the panel and are not imputed from their own "
            "haplotypes",
        )
        + f": {_some(found)}."
    ]


def few_typed(
    sites: Sites, planned: Sequence[ChunkPlan], is_wanted: NDArray[np.bool_]
) -> list[str]:
    """Warnings of contigs and chunks with too few typed sites.

    is_wanted  (S,) True for the sites to write
    """
    messages = []
    done = {int(sites.contig[chunk.core.start]) for chunk in planned}
    lost = [n for n in np.unique(sites.contig[is_wanted]).tolist() if n not in done]
    if lost:
        names = _some([sites.contigs[n] for n in lost])
        messages.append(
            plurals.of(
                len(lost),
                "contig of the panel has too few typed sites and is not written: ",
                "contigs of the panel have too few typed sites and are not written: ",
            )
            + f"{names}."
        )
    few = [chunk for chunk in planned if len(chunk.typed) < FEW_TYPED]
    if few:
        worst = min(few, key=lambda chunk: len(chunk.typed))
        place = f"{sites.contigs[sites.contig[worst.core.start]]}:"
        place += f"{sites.position[worst.core.start]}-{sites.position[worst.core.stop - 1]}"
        messages.append(
            f"{len(few):,} of {plurals.of(len(planned), 'chunk')} "
            f"{plurals.word(len(few), 'has', 'have')} fewer than {FEW_TYPED} typed sites in reach; "
            f"{place} has {len(worst.typed)}. Accuracy is low there: filter on PR2."
        )
    return messages


def much_out_of_range(share: float) -> list[str]:
    """A warning if much of the data differs from what the network was trained on."""
    advice = (
        "A network trained on this panel may do better: vcfbert train --preset mosaic, then impute"
    )
    return [f"{text} {advice} with --run mosaic." for text in out_of_range_warnings(share)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def qc_folder(out: Path) -> Path:
    """Default folder of the QC files, next to the output.

    >>> qc_folder(Path("a/imputed.vcf.gz")).as_posix()
    'a/imputed.qc'
    """
    return out.with_name(f"{output_files.stem(out)}.qc")


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise StoreError if the folder must not be replaced.

    A folder with other files than KNOWN_FILES is never replaced.
    """
    if not folder.exists():
        return
    others = (
        sorted(entry.name for entry in folder.iterdir() if entry.name not in KNOWN_FILES)
        if folder.is_dir()
        else [folder.name]
    )
    if others:
        raise StoreError(
            f"{folder} contains {others[0]}, which is not a QC file of impute, so it is not "
            "replaced. Choose another folder with --qc."
        )
    if not overwrite:
        raise StoreError.exists(folder)


def summary_text(report: Mapping[str, Any]) -> str:
    """The content of summary.json."""
    return json.dumps(report, indent=2) + "\n"


def write_files(
    folder: Path,
    matched: MatchReport,
    rows: Sequence[str],
    samples: str,
    report: Mapping[str, Any],
    more: Mapping[str, str],
) -> None:
    """Write all QC files into an existing folder.

    samples  the text of samples.tsv
    more     texts of further files by name
    """
    texts = matched.tables() | {
        SAMPLES: samples,
        CHUNKS: "".join(f"{row}\n" for row in rows),
        SUMMARY: summary_text(report),
    }
    assert texts.keys() == FILES
    for name, text in {**texts, **more}.items():
        stores.write_file(folder / name, text.encode())
