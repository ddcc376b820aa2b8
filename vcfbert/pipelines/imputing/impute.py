"""`vcfbert impute`: a target VCF and a prepared panel in; imputed VCF or BCF and QC files out.

S sites in the panel, T typed ones, N samples of the target. Chunks are imputed and written one
after another, so memory does not grow with the panel. PyTorch is imported for a GPU, and for a
run of `mosaic-large`, only.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.copying import mosaic, network
from vcfbert.copying.network import Answer
from vcfbert.domain import matching, tokens
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.sites import Sites, haplotypes_of
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import locks
from vcfbert.pipelines.chunks import chunk_imputation, chunk_plan, duplicates
from vcfbert.pipelines.chunks.chunk_imputation import Source, TargetSamples
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.duplicates import Lookalikes
from vcfbert.pipelines.imputing import qc_files
from vcfbert.pipelines.imputing.qc_files import ImputeSummary, Tally
from vcfbert.progress import Progress
from vcfbert.storage.vcf import prediction_writer
from vcfbert.storage.vcf.output_header import FIELDS, CellLayout, HeaderFacts
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.vcf.target import Target, read_target
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import mosaic_runs, weight_files

if TYPE_CHECKING:
    from vcfbert.training.devices import Device

logger = logging.getLogger(__name__)

DECIMALS = 3
"""Of probabilities and dosages in the output, as Minimac4 writes them: r2 is the same to the fourth
digit, the file a third of that with six."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImputeOptions:
    """Whom to impute, from what, and what to write."""

    run: str | None = None
    """Network of a run of mosaic in the workspace; None is the one that comes with vcfbert."""

    heads_only: bool = False
    """Use no network: the mean of the copying heads."""

    genetic_map: Path | None = None
    """PLINK map in place of the panel's."""

    region: str | None = None
    """Write the sites of this region only; genotypes around it are still read."""

    threads: int | None = None
    """CPU threads; None is all cores. The output is the same for any number."""

    seed: int = 1
    """Seeds the fit of the switch rates."""

    chunk_cm: float = 10.0
    """Longest stretch imputed at a time, in cM."""

    overlap_cm: float = 2.0
    """How far beyond a chunk genotypes are read, in cM."""

    min_typed: int = 5
    """Fewest typed sites of a contig, and of a chunk, which looks further where it has fewer."""

    fields: tuple[str, ...] = FIELDS
    """FORMAT fields to write."""

    sites: Path | None = None
    """List of the panel's sites to write; None writes all."""

    unphased: Literal["error", "missing", "as-written"] = "error"
    """What becomes of heterozygotes without phase."""

    er2: bool = False
    """Write INFO/ER2 of typed sites."""

    qc: Path | None = None
    """Folder of the QC files; None is beside the output."""

    device: str = "cpu"
    """cpu, cuda, cuda:N, or auto for a GPU where there is one; all but cpu load PyTorch."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.heads_only and self.run is not None:
            raise ConfigError("--heads-only uses no network and --run names one. Give one of them.")
        if not (np.isfinite(self.chunk_cm) and self.chunk_cm > 0):
            raise ConfigError(f"--chunk-cm must be greater than 0, got {self.chunk_cm:g}.")
        if not (np.isfinite(self.overlap_cm) and self.overlap_cm >= 0):
            raise ConfigError(f"--overlap-cm must be at least 0, got {self.overlap_cm:g}.")
        for name in ("min_typed", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")
        CellLayout.of(self.fields)


@dataclass(frozen=True)
class _Job:
    """What there is to do, once the target is read.

    num_wanted  sites that would be written if every contig had typed ones
    warnings    sentences that were logged
    """

    source: Source
    chunks: list[ChunkPlan]
    read: Target
    num_wanted: int
    warnings: list[str]


def impute(
    workspace: Workspace,
    target: Path,
    out: Path,
    options: ImputeOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> ImputeSummary:
    """Impute the samples of a VCF or BCF; the output and the QC files appear together at the end.

    target  phased genotypes, .vcf, .vcf.gz or .bcf
    out     .vcf.gz or .bcf

    Raises InputError where the target or another file cannot be used, by the policy in
    docs/policy.md; StoreError where the panel or the network is missing, the output exists or
    cannot be written.
    """
    begun = time.perf_counter()
    qc = options.qc or qc_files.qc_folder(out)
    _check_output(target, out, qc, overwrite=overwrite)
    answer = _network(workspace, options)
    with ExitStack() as stack:
        stack.enter_context(locks.hold(out))
        panel = stack.enter_context(open_panel(workspace.panel))
        sites = chunk_plan.with_map(panel.sites, options.genetic_map)
        job = _plan(panel, sites, target, answer, options, progress)
        seconds = {"reading": round(time.perf_counter() - begun, 3)}
        written = chunk_plan.take(sites, np.concatenate([one.written for one in job.chunks]))
        beside = stack.enter_context(ExitStack())
        folder = beside.enter_context(
            stores.create_folder(qc, overwrite=overwrite or not out.exists(), sealed=False)
        )
        writer = stack.enter_context(
            prediction_writer.create_predictions(
                out,
                written,
                job.source.samples.names,
                header=_header(panel, answer, options),
                fields=options.fields,
                decimals=DECIMALS,
                threads=job.source.threads,
                overwrite=overwrite,
                before_renaming=beside.close,
            )
        )
        tally, seen = _write(writer, job, options, progress)
        seconds["total"] = round(time.perf_counter() - begun, 3)
        report = {
            "panel": str(workspace.panel),
            "target_file": str(target),
            "out": str(out),
            **_report(job, tally, seen, options),
            "seconds": seconds,
        }
        for message in report["warnings"][len(job.warnings) :]:
            logger.warning("%s", message)
        qc_files.write_files(folder, job.read.report, tally.rows, report)
    return ImputeSummary(out, qc, report)


def _check_output(target: Path, out: Path, qc: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, what cannot be written in the end."""
    prediction_writer.check_path(out, overwrite=overwrite)
    if out.exists() and target.exists() and out.samefile(target):
        raise InputError(f"{out} is the target itself. Give the output another name.")
    # QC files without their output are what an interrupted command left.
    qc_files.check_folder(qc, overwrite=overwrite or not out.exists())


def _network(workspace: Workspace, options: ImputeOptions) -> Answer:
    if options.heads_only:
        return network.heads_only()
    if options.run is None:
        return weight_files.shipped()
    run = workspace.run(options.run)
    if not run.is_dir():
        raise StoreError(
            f"There is no run {run}. Train one with: vcfbert train --preset mosaic --run "
            f"{options.run}; or leave out --run to use the network that comes with vcfbert."
        )
    if mosaic_runs.system_of(run) != "mosaic":
        raise StoreError(
            f"The run {run} is of another system, which eval uses; impute needs one of mosaic. "
            "Train it with: vcfbert train --preset mosaic; or leave out --run."
        )
    return mosaic_runs.read(run).network


def _plan(
    panel: PanelReader,
    sites: Sites,
    path: Path,
    answer: Answer,
    options: ImputeOptions,
    progress: Progress,
) -> _Job:
    """Read the target, and work out the chunks."""
    device = _device(options.device)
    name = str(panel.path)
    is_wanted = chunk_plan.wanted_sites(sites, options.region, options.sites, source=name)
    progress.start("reading the target", None)
    cores, read = _read(panel, sites, is_wanted, path, options)
    observed = tokens.is_observed(read.alleles).any(axis=(1, 2))
    typed, alleles = read.site_index[observed], read.alleles[observed]
    planned = chunk_plan.plan(sites, cores, is_wanted, typed, options.min_typed)
    if not planned:
        raise InputError(
            f"{path} types {len(typed):,} of the panel's {len(sites):,} sites there, but "
            f"{options.min_typed:,} are needed to impute from. Give a target with more sites of "
            "the panel, or take what there is with --min-typed."
        )
    samples = _samples(panel, read, typed, alleles)
    warnings = read.report.notes()
    warnings += qc_files.shared_samples(samples.names, panel.samples.names)
    warnings += qc_files.few_typed(sites, planned, is_wanted)
    for message in warnings:
        logger.warning("%s", message)
    threads = options.threads or len(os.sched_getaffinity(0))
    source = Source(panel, sites, samples, answer, options.seed, threads, device)
    return _Job(source, planned, read, int(is_wanted.sum()), warnings)


def _device(name: str) -> Device | None:
    """The GPU to use; None for the compiled path, which needs no PyTorch."""
    if name == "cpu":
        return None
    from vcfbert.training.mosaic import torch_engine

    return torch_engine.choose(name)


def _read(
    panel: PanelReader,
    sites: Sites,
    is_wanted: NDArray[np.bool_],
    path: Path,
    options: ImputeOptions,
) -> tuple[chunk_plan.Cores, Target]:
    """The target, and the cores: how long they may be depends on the number of samples."""
    with VcfFile(path) as file:
        most = chunk_plan.most_core_sites(2 * len(panel.samples), len(file.samples))
        cores = chunk_plan.cut(sites, is_wanted, options.chunk_cm, options.overlap_cm, most)
        frequency = sites.alt_count.sum(axis=1) / (2 * len(panel.samples))
        read = read_target(
            file,
            sites,
            TargetPolicy(unphased=options.unphased),
            region=None if options.region is None else chunk_plan.region_to_read(sites, cores),
            panel_frequency=frequency,
        )
    return cores, read


def _samples(
    panel: PanelReader, read: Target, typed: NDArray[np.int64], alleles: NDArray[np.uint8]
) -> TargetSamples:
    """The target's samples, and which haplotypes of the panel are their own."""
    shared = matching.shared_samples(read.names, panel.samples.names)
    if len(panel.samples) == 1 and (shared == 0).any():
        raise InputError(
            f"{panel.path} has nobody but {panel.samples.names[0]}, who is to be imputed. Prepare "
            "a panel of other samples."
        )
    nobody = np.empty(0, dtype=np.int64)
    related = panel.samples.relatives_of
    own = [
        haplotypes_of(np.append(number, related(np.array([number])))) if number >= 0 else nobody
        for number in np.repeat(shared, 2).tolist()
    ]
    return TargetSamples(read.names, typed, alleles, own)


def _write(
    writer: prediction_writer.PredictionWriter,
    job: _Job,
    options: ImputeOptions,
    progress: Progress,
) -> tuple[Tally, Lookalikes]:
    """Impute and write one chunk after another."""
    source = job.source
    seen = Lookalikes(source.sites, len(source.panel.samples), source.samples.own)
    tally, first = Tally.empty(), 0
    if not _is_compiled():
        progress.note("Compiling for this machine, once; it takes about half a minute ...")
    progress.start("imputing", len(job.chunks) * len(source.samples.names))
    for chunk in job.chunks:
        begun = time.perf_counter()
        core = chunk_imputation.impute(source, chunk, progress.advance, seen)
        writer.write_haplotypes(
            first,
            core.alt,
            core.is_imputed,
            dr2=core.dr2,
            er2=core.er2 if options.er2 else None,
        )
        first += len(chunk.written)
        tally.add(source.sites, chunk, core, time.perf_counter() - begun)
    return tally, seen


def _is_compiled() -> bool:
    """True where the kernels are kept from an earlier run; a guess by the largest of them."""
    try:
        return bool(mosaic.impute_haplotype._cache._cache_file._load_index())
    except AttributeError:  # another version of numba, or nothing is kept
        return True


def _header(panel: PanelReader, answer: Answer, options: ImputeOptions) -> HeaderFacts:
    chosen = f"chunk_cm={options.chunk_cm:g} overlap_cm={options.overlap_cm:g} seed={options.seed}"
    return HeaderFacts(
        checkpoint=answer.name,
        checkpoint_fingerprint=answer.fingerprint or None,
        panel_fingerprint=panel.fingerprint,
        extra=(f"##vcfbert_impute={chosen}",),
    )


def _report(job: _Job, tally: Tally, seen: Lookalikes, options: ImputeOptions) -> dict[str, Any]:
    """What was read, imputed and written, as JSON types."""
    panel, samples, answer = job.source.panel, job.source.samples, job.source.network
    sums = tally.report()
    warnings = job.warnings + qc_files.much_out_of_range(sums["out_of_range"])
    names = set(panel.samples.names)
    same = seen.found(samples.names, panel.samples.names)
    warnings += duplicates.warnings(same)
    return {
        "samples": {
            "target": len(samples.names),
            "panel": len(panel.samples),
            "in_panel": [name for name in samples.names if name in names],
            "under_another_name": duplicates.record(seen, same),
        },
        "references": 2 * len(panel.samples),
        "target": job.read.report.counts(),
        "sites": {
            "written": tally.typed + tally.imputed,
            "typed": tally.typed,
            "imputed": tally.imputed,
            "left_out": job.num_wanted - tally.typed - tally.imputed,
            "missing_genotypes": int((samples.alleles > tokens.ALT).any(axis=2).sum()),
        },
        "chunks": sums["chunks"],
        "candidates": sums["candidates"],
        "network": {
            "name": answer.name,
            "fingerprint": answer.fingerprint,
            "open_share": sums["open_share"],
            "out_of_range": sums["out_of_range"],
        },
        "panel_fingerprint": panel.fingerprint,
        "versions": versions.packages() | {k: str(v) for k, v in versions.machine().items()},
        "warnings": warnings,
        "genetic_map": str(options.genetic_map or "the panel's"),
        "options": {
            "region": options.region,
            "sites": None if options.sites is None else str(options.sites),
            "chunk_cm": options.chunk_cm,
            "overlap_cm": options.overlap_cm,
            "min_typed": options.min_typed,
            "unphased": options.unphased,
            "seed": options.seed,
            "threads": job.source.threads,
            "device": options.device,
        },
    }
