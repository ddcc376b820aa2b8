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

from vcfbert import plurals, versions
from vcfbert.copying import compiled
from vcfbert.domain import contig_names, pseudoautosomal
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.phased_calls import PhasedCalls
from vcfbert.domain.sites import Region, Sites, whole_frequency
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import locks
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import (
    array_profile,
    chunk_plan,
    excluded_samples,
    family_phase,
    switch_rates,
    target_ploidy,
    target_references,
    target_samples,
)
from vcfbert.pipelines.chunks.chunk_phasing import Trust
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.family_phase import FamilyReport
from vcfbert.pipelines.chunks.target_references import TargetReferences
from vcfbert.pipelines.chunks.target_samples import TargetSamples
from vcfbert.pipelines.phasing.filling import MissingFiller
from vcfbert.pipelines.phasing.phased_target import PhasedTarget, PhasingSource
from vcfbert.progress import Progress
from vcfbert.storage.profiles import Profiles
from vcfbert.storage.vcf import genome_header, output_file, phased_writer
from vcfbert.storage.vcf.phased_writer import PhasedFile
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.vcf.target import Target, read_target
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import weight_files

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

    target_references: TargetReferences = "auto"
    """Phase with the other samples of the target, too; `auto` if it has more than the panel."""

    phasing_passes: int = PhasingOptions.passes
    """Passes: the first finds candidates by genotype, the others by haplotype."""

    fill_missing: bool = False
    """Fill missing genotypes with their most probable alleles."""

    seed: int | None = None
    """Seed of the fit of the switch rates for filling; None is that of `impute`. The rest of
    phasing is not random."""
    sex: Path | None = None
    """Table of samples and their sex: males are haploid outside the pseudo-autosomal regions."""

    par: str | None = None
    """Pseudo-autosomal regions of X, FROM-TO,FROM-TO or none; None is those of the build."""

    trios: Path | None = None
    """Pedigree: children are phased by their parents, and parents by their children."""

    mendel: bool = False
    """Set genotypes of trios missing at Mendelian errors."""

    strand: Literal["fix", "drop", "error"] = "fix"
    """Strand flips: compare the other strand with the panel, leave unphased, or stop."""

    exclude_samples: str | None = None
    """Samples of the panel to do without: a file of names, or names separated by commas."""

    force_samples: bool = False
    """Ignore excluded samples that the panel lacks."""

    def __post_init__(self) -> None:
        chunk_plan.check_lengths(self.chunk_cm, self.overlap_cm)
        family_phase.check_options(self.trios, mendel=self.mendel)
        if self.par is not None:
            pseudoautosomal.parse(self.par)
        for name in ("threads", "min_typed", "phasing_passes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
        if self.seed is not None and not self.fill_missing:
            raise ConfigError("--seed is for --fill-missing only: nothing else here is random.")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")

    @property
    def fill_seed(self) -> int:
        """Seed of the fit of the switch rates for filling."""
        return switch_rates.FIT_SEED if self.seed is None else self.seed


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
            ("  not in the panel", target["only_in_target"]),
            *((f"  not used: {reason}", count) for reason, count in target["dropped"].items()),
            ("heterozygotes phased", hets["phased"]),
            ("heterozygotes left unphased", hets["unphased"]),
            ("  of records not matched to the panel", hets["unphased_not_in_panel"]),
            ("mean confidence", "." if confidence is None else f"{confidence:.4f}"),
            ("phase sets", report["phase_sets"]),
            ("missing genotypes filled", report["filled"]),
            ("missing genotypes", report["missing"]),
            *family_phase.summary_rows(report["families"]),
            ("chunks", report["chunks"]),
            ("reference haplotypes", report["reference_haplotypes"]),
            ("target samples are references", "yes" if report["target_references"] else "0"),
            ("seconds", f"{report['seconds']:.1f}"),
        ]
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        if report["mendelian_errors_file"] is not None:
            shown.append(("Mendelian errors", report["mendelian_errors_file"]))
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
    errors = None if options.trios is None else mendel_path(out)
    _check_output(target, out, errors, overwrite=overwrite)
    with locks.hold(out), excluded_samples.open_without(workspace.panel, options) as panel:
        sites = chunk_plan.with_map(panel.sites, options.genetic_map)
        progress.start("reading the target", None)
        read, borders = _read(panel, sites, target, options)
        read, orders, families = family_phase.of_target(
            read, sites, options.trios, source=str(target), trust=options.phase,
            mendel=options.mendel,
        )  # fmt: skip
        samples = target_samples.of_target(panel, read, borders, orders)
        profiles = array_profile.of_panel(workspace, panel)
        source, chunks = _plan(panel, sites, read, samples, target, profiles, options)
        for message in [] if families is None else families.warnings():
            logger.warning("%s", message)
        typed = samples.typed
        record = read.record[np.searchsorted(read.site_index, typed)]
        phased = PhasedTarget(source, record)
        if source.is_joint:
            counts = len(read.names), len(panel.samples)
            progress.note(target_references.note(options.target_references, *counts))
        filler = None
        if options.fill_missing:
            filler = MissingFiller(source, read, weight_files.shipped(), options.fill_seed)
        _phase_chunks(phased, filler, chunks, len(read.names), progress)
        progress.start("writing", None)
        written = phased_writer.write(
            target,
            out,
            _calls(phased, read, families),
            lines=_header_lines(panel, options, is_joint=source.is_joint),
            region=_region(sites, options, str(panel.path)),
            threads=source.threads,
            overwrite=overwrite,
            filled=None if filler is None else filler.result(),
            contigs=read.report.contigs,
            keeps_sets=options.phase != "redo" and phased.has_order,
            before_renaming=partial(_write_errors, errors, families, sites),
        )
        report = _report(panel, read, phased, written, len(chunks))
        report |= {
            "target_references": source.is_joint,
            "families": None if families is None else families.record(),
            "mendelian_errors_file": None if errors is None else str(errors),
        }
    report["seconds"] = round(time.perf_counter() - begun, 3)
    return PhaseSummary(out, report)


def _phase_chunks(
    phased: PhasedTarget,
    filler: MissingFiller | None,
    chunks: list[ChunkPlan],
    num_samples: int,
    progress: Progress,
) -> None:
    """Phase the chunks one after another, and fill missing genotypes if that is asked for."""
    progress.start("phasing", len(chunks) * num_samples)
    with compiled.announcing_compilation(progress.note):
        for chunk in chunks:
            phase = phased.add(chunk, progress.advance)
            if filler is not None:
                filler.add(chunk, phase, phased.calls)


def _check_output(target: Path, out: Path, errors: Path | None, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done."""
    output_file.check_path(out, overwrite=overwrite)
    if errors is not None and errors.exists() and not overwrite:
        raise StoreError.exists(errors)
    if out.exists() and target.exists() and out.samefile(target):
        raise InputError(f"{out} is the target itself. Give the output another name.")


def _read(
    panel: PanelReader, sites: Sites, path: Path, options: PhaseOptions
) -> tuple[Target, NDArray[np.int64]]:
    """The target, and panel sites at which a chunk begins because the ploidy may change.

    The whole file is read, since its records are counted from the first.
    """
    with VcfFile(path) as file:
        known = target_ploidy.rules(
            sites, panel, genome_header.read(file.header.text), file.samples,
            sex=options.sex, par=options.par, source=str(path), trios=options.trios,
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
    samples: TargetSamples,
    path: Path,
    profiles: Profiles,
    options: PhaseOptions,
) -> tuple[PhasingSource, list[ChunkPlan]]:
    """What is phased, and the chunks."""
    borders = samples.borders
    is_wanted = chunk_plan.wanted_sites(sites, options.region, None, source=str(panel.path))
    most = chunk_plan.most_core_sites(2 * len(panel.samples))
    cores = chunk_plan.cut(sites, is_wanted, options.chunk_cm, options.overlap_cm, most, borders)
    chunks = chunk_plan.plan_target(
        sites, cores, is_wanted, samples.typed, options.min_typed, borders, source=path
    )
    for message in _warnings(panel, sites, read, chunks):
        logger.warning("%s", message)
    is_joint = target_references.are_used(
        options.target_references, samples, len(panel.samples), options.phase
    )
    source = PhasingSource(
        panel, sites, samples, options.min_typed, PhasingOptions(passes=options.phasing_passes),
        options.phase, options.threads or versions.num_cores(), profiles, is_joint,
    )  # fmt: skip
    return source, chunks


def mendel_path(out: Path) -> Path:
    """The table of Mendelian errors, next to the output.

    >>> mendel_path(Path("a/phased.vcf.gz")).as_posix()
    'a/phased.mendel.tsv'
    """
    ending = next(ending for ending in output_file.SUFFIXES if out.name.endswith(ending))
    return out.with_name(f"{out.name.removesuffix(ending)}.{family_phase.MENDEL}")


def _calls(phased: PhasedTarget, read: Target, families: FamilyReport | None) -> PhasedCalls:
    """The order of the genotypes relative to the file."""
    if families is None:
        return phased.calls
    samples = phased.samples
    return family_phase.restored(phased.calls, samples.typed, read, samples.families, families)


def _write_errors(path: Path | None, families: FamilyReport | None, sites: Sites) -> None:
    if path is not None and families is not None:
        stores.write_file(path, families.tables(sites)[family_phase.MENDEL].encode())


def _warnings(panel: PanelReader, sites: Sites, read: Target, chunks: list[ChunkPlan]) -> list[str]:
    """Sentences about samples of the panel, strand flips and contigs that are not phased."""
    of_ploidy = [] if read.report.ploidy is None else read.report.ploidy.warnings
    messages = [text.replace("set to missing", "not used and stay unphased") for text in of_ploidy]
    known = set(panel.samples.names)
    shared = [name for name in read.names if name in known]
    if shared:
        messages.append(
            plurals.of(
                len(shared),
                "sample of the target is also in the panel and is not phased by its own haplotypes",
                "samples of the target are also in the panel and are not phased by their own "
                "haplotypes",
            )
            + f"; the first is {shared[0]}."
        )
    messages += contig_names.notes(read.report.contigs)
    flips = read.report.strand()["flips_repaired"]
    if flips:
        about = plurals.of(
            flips,
            "record is a strand flip and keeps its",
            "records are strand flips and keep their",
        )
        messages.append(f"{about} alleles.")
    done = {int(sites.contig[chunk.core.start]) for chunk in chunks}
    typed = {int(contig) for contig in np.unique(sites.contig[read.site_index])}
    if lost := sorted(typed - done):
        messages.append(
            plurals.of(
                len(lost),
                "contig has too few typed sites and is not phased",
                "contigs have too few typed sites and are not phased",
            )
            + f"; the first is {sites.contigs[lost[0]]}."
        )
    return messages


def _region(sites: Sites, options: PhaseOptions, source: str) -> Region | None:
    if options.region is None:
        return None
    return Region.parse(options.region, sites.contigs, source=source)


def _header_lines(panel: PanelReader, options: PhaseOptions, *, is_joint: bool) -> list[str]:
    chosen = (
        f"chunk_cm={options.chunk_cm:g} overlap_cm={options.overlap_cm:g} phase={options.phase} "
        f"phasing_passes={options.phasing_passes}"
    )
    if options.fill_missing:
        chosen += f" fill_missing=yes seed={options.fill_seed}"
    chosen += target_references.header_text(is_used=is_joint)
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
        "heterozygotes": {
            "phased": tally.phased,
            "unphased": tally.unphased,
            "unphased_not_in_panel": tally.unmatched,
        },
        "mean_confidence": phased.calls.confidence(),
        "phase_sets": tally.sets,
        "missing": tally.missing,
        "filled": tally.filled,
        "chunks": num_chunks,
        "reference_haplotypes": panel.samples.most_haplotypes,
        "panel_fingerprint": panel.fingerprint,
        "excluded": excluded_samples.record(panel),
    }
