"""`vcfbert phase`: from a target VCF and a prepared panel to the target with phased genotypes.

S sites in the panel, T typed sites, N samples of the target. The target is read, all of its chunks
are phased, and its records are copied with the order that was found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.copying import compiled
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.sites import Region, Sites, whole_frequency
from vcfbert.errors import ConfigError, InputError
from vcfbert.files import locks
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import chunk_plan, excluded_samples, target_ploidy, target_samples
from vcfbert.pipelines.chunks.chunk_phasing import Trust
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.phasing.phased_target import PhasedTarget, PhasingSource
from vcfbert.progress import Progress
from vcfbert.storage.vcf import genome_header, output_file, phased_writer
from vcfbert.storage.vcf.phased_writer import PhasedFile
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.vcf.target import Target, read_target
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseOptions:
    """Options of `phase`."""

    genetic_map: Path | None = None
    """Genetic map (forms in docs/policy.md) to use instead of the panel's."""

    region: str | None = None
    """Write only the records of this region; genotypes around it are still used."""

    threads: int | None = None
    """CPU threads; None is all cores. The output is the same for any number."""

    chunk_cm: float = chunk_plan.CHUNK_CM
    """Longest chunk, in cM."""

    overlap_cm: float = chunk_plan.OVERLAP_CM
    """Genotypes are used up to this far outside a chunk, in cM."""

    min_typed: int = chunk_plan.MIN_TYPED
    """Contigs with fewer typed sites are not phased; chunks use sites further away to reach it."""

    phase: Trust = "keep"
    """Keep the phase of the file, take it as a hint (`refine`), or do without it (`redo`)."""

    strand: Literal["fix", "drop", "error"] = "fix"
    """Strand flips: compare the other strand with the panel, leave unphased, or stop."""

    exclude_samples: str | None = None
    """Samples of the panel to do without: a file of names, or names separated by commas."""

    force_samples: bool = False
    """Ignore excluded samples that the panel lacks."""

    def __post_init__(self) -> None:
        chunk_plan.check_lengths(self.chunk_cm, self.overlap_cm)
        for name in ("threads", "min_typed"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")


@dataclass(frozen=True)
class PhaseSummary:
    """Path of the output, and what was found."""

    out: Path
    report: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The summary as a table."""
        report = self.report
        target, hets = report["target"], report["heterozygotes"]
        confidence = report["mean_confidence"]
        rows: list[tuple[str, object]] = [
            ("samples", report["samples"]),
            ("  phased in the file, kept", report["samples_kept"]),
            ("records written", report["records"]),
            ("records that type a site of the panel", report["typed_records"]),
            *((f"  not used: {reason}", count) for reason, count in target["dropped"].items()),
            ("heterozygotes phased", hets["phased"]),
            ("heterozygotes left unphased", hets["unphased"]),
            ("mean confidence", "." if confidence is None else f"{confidence:.4f}"),
            ("phase sets", report["phase_sets"]),
            ("missing genotypes", report["missing"]),
            ("chunks", report["chunks"]),
            ("reference haplotypes", report["reference_haplotypes"]),
            ("seconds", f"{report['seconds']:.1f}"),
        ]
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        shown.append(("phased file", str(self.out)))
        width = max(len(name) for name, _ in shown)
        return [f"{name:<{width}}  {value}" for name, value in shown if value != "0"]


def phase(
    workspace: Workspace,
    target: Path,
    out: Path,
    options: PhaseOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> PhaseSummary:
    """Phase the samples of a VCF or BCF; the output appears when it is complete.

    target  .vcf, .vcf.gz or .bcf
    out     .vcf.gz, .vcf.bgz or .bcf

    Raises InputError if the target or another file cannot be used (see docs/policy.md), StoreError
    if the panel is missing, or the output exists or cannot be written.
    """
    begun = time.perf_counter()
    output_file.check_path(out, overwrite=overwrite)
    if out.exists() and target.exists() and out.samefile(target):
        raise InputError(f"{out} is the target itself. Give the output another name.")
    with locks.hold(out), excluded_samples.open_without(workspace.panel, options) as panel:
        sites = chunk_plan.with_map(panel.sites, options.genetic_map)
        progress.start("reading the target", None)
        read, borders = _read(panel, sites, target, options)
        source, chunks = _plan(panel, sites, read, borders, target, options)
        typed = source.samples.typed
        record = read.record[np.searchsorted(read.site_index, typed)]
        phased = PhasedTarget(source, record)
        progress.start("phasing", len(chunks) * len(read.names))
        note = partial(
            progress.note, "Compiling for this machine, once; it takes about half a minute ..."
        )
        with compiled.announcing_compilation(note):
            for chunk in chunks:
                phased.add(chunk, progress.advance)
        progress.start("writing", None)
        written = phased_writer.write(
            target,
            out,
            phased.calls,
            lines=_header_lines(panel, options),
            region=_region(sites, options, str(panel.path)),
            threads=source.threads,
            overwrite=overwrite,
        )
        report = _report(panel, read, phased, written, len(chunks))
    report["seconds"] = round(time.perf_counter() - begun, 3)
    return PhaseSummary(out, report)


def _read(
    panel: PanelReader, sites: Sites, path: Path, options: PhaseOptions
) -> tuple[Target, NDArray[np.int64]]:
    """The target, and panel sites at which a chunk begins because the ploidy may change.

    The whole file is read, since its records are counted from the first.
    """
    with VcfFile(path) as file:
        known = target_ploidy.rules(
            sites, panel, genome_header.read(file.header.text), file.samples,
            sex=None, par=None, source=str(path),
        )  # fmt: skip
        read = read_target(
            file,
            sites,
            TargetPolicy(unphased="phase", strand=options.strand, ploidy=known),
            panel_frequency=whole_frequency(sites, panel.samples),
            panel_alleles=partial(target_ploidy.panel_alleles, panel),
        )
    return read, target_ploidy.chunk_borders(sites, known, panel.samples.haploid, read.haploid)


def _plan(
    panel: PanelReader,
    sites: Sites,
    read: Target,
    borders: NDArray[np.int64],
    path: Path,
    options: PhaseOptions,
) -> tuple[PhasingSource, list[ChunkPlan]]:
    """The samples to phase, and the chunks."""
    samples = target_samples.of_target(panel, read, borders)
    is_wanted = chunk_plan.wanted_sites(sites, options.region, None, source=str(panel.path))
    most = chunk_plan.most_core_sites(2 * len(panel.samples), len(read.names))
    cores = chunk_plan.cut(sites, is_wanted, options.chunk_cm, options.overlap_cm, most, borders)
    chunks = chunk_plan.plan_target(
        sites, cores, is_wanted, samples.typed, options.min_typed, borders, source=path
    )
    for message in _warnings(panel, sites, read, chunks):
        logger.warning("%s", message)
    source = PhasingSource(
        panel, sites, samples, options.min_typed, PhasingOptions(),
        options.phase, options.threads or versions.num_cores(),
    )  # fmt: skip
    return source, chunks


def _warnings(panel: PanelReader, sites: Sites, read: Target, chunks: list[ChunkPlan]) -> list[str]:
    """Sentences about samples of the panel, strand flips and contigs that are not phased."""
    messages = []
    known = set(panel.samples.names)
    shared = [name for name in read.names if name in known]
    if shared:
        messages.append(
            f"{len(shared):,} samples of the target are also in the panel and are not phased by "
            f"their own haplotypes; the first is {shared[0]}."
        )
    flips = read.report.strand()["flips_repaired"]
    if flips:
        messages.append(f"{flips:,} records are strand flips; they keep their alleles.")
    done = {int(sites.contig[chunk.core.start]) for chunk in chunks}
    typed = {int(contig) for contig in np.unique(sites.contig[read.site_index])}
    if lost := sorted(typed - done):
        messages.append(
            f"{len(lost):,} contigs have too few typed sites and are not phased; the first "
            f"is {sites.contigs[lost[0]]}."
        )
    return messages


def _region(sites: Sites, options: PhaseOptions, source: str) -> Region | None:
    if options.region is None:
        return None
    return Region.parse(options.region, sites.contigs, source=source)


def _header_lines(panel: PanelReader, options: PhaseOptions) -> list[str]:
    chosen = (
        f"chunk_cm={options.chunk_cm:g} overlap_cm={options.overlap_cm:g} phase={options.phase}"
    )
    return [
        f"##source=vcfbert {versions.__version__}",
        f"##vcfbert_panel={panel.fingerprint}",
        *excluded_samples.header_lines(panel),
        f"##vcfbert_phase={chosen}",
    ]


def _report(
    panel: PanelReader,
    read: Target,
    phased: PhasedTarget,
    written: PhasedFile,
    num_chunks: int,
) -> dict[str, Any]:
    """Counts, as JSON types."""
    tally = written.genotypes
    return {
        "samples": len(read.names),
        "samples_kept": int(phased.calls.is_kept.sum()),
        "target": read.report.counts(),
        "records": written.records,
        "typed_records": len(np.unique(phased.calls.record)),
        "heterozygotes": {"phased": tally.phased, "unphased": tally.unphased},
        "mean_confidence": phased.calls.confidence(),
        "phase_sets": tally.sets,
        "missing": tally.missing,
        "chunks": num_chunks,
        "reference_haplotypes": panel.samples.most_haplotypes,
        "panel_fingerprint": panel.fingerprint,
        "excluded": excluded_samples.record(panel),
    }
