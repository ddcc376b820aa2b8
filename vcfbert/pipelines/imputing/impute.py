"""`vcfbert impute`: from a target VCF and a prepared panel to an imputed VCF or BCF and QC files.

S sites in the panel, T typed sites, N samples of the target. Chunks are imputed and written one
after another, so memory does not grow with the panel. PyTorch is imported for a GPU only.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.copying import compiled
from vcfbert.copying.network import Network
from vcfbert.domain import pseudoautosomal
from vcfbert.domain.genome import Genome
from vcfbert.domain.matching import TargetPolicy, UnphasedTarget
from vcfbert.domain.sites import Region, Sites, whole_frequency
from vcfbert.errors import ConfigError, InputError
from vcfbert.files import locks
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import (
    array_profile,
    chunk_imputation,
    chunk_plan,
    switch_rates,
    target_ploidy,
    target_samples,
)
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_phasing import KnownPhase, Trust
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.imputing import (
    duplicates,
    engines,
    output_files,
    qc_files,
    sample_quality,
)
from vcfbert.pipelines.imputing.duplicates import DuplicateSearch
from vcfbert.pipelines.imputing.output_files import EmpiricalWriter, OutputContent
from vcfbert.pipelines.imputing.qc_files import ChunkTally, ImputeSummary
from vcfbert.pipelines.imputing.sample_quality import CallRates, ExpectedAccuracy
from vcfbert.progress import Progress
from vcfbert.storage.profiles import Profiles
from vcfbert.storage.vcf import genome_header, output_file, prediction_writer
from vcfbert.storage.vcf.output_header import FIELDS, CellLayout, HeaderFacts
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.vcf.target import Target, read_target
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace

logger = logging.getLogger(__name__)

DECIMALS = 3
"""Of probabilities and dosages in the output, as in Minimac4: compared with six, r2 is the same to
the fourth digit and the file a third as large."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImputeOptions:
    """Options of `impute`."""

    run: str | None = None
    """Run of mosaic whose network is used; None is the network that comes with vcfbert."""

    no_network: bool = False
    """Use the copying model alone."""

    genetic_map: Path | None = None
    """Genetic map (forms in docs/policy.md) to use instead of the panel's."""

    region: str | None = None
    """Write only the sites of this region; genotypes around it are still used."""

    threads: int | None = None
    """CPU threads; None is all cores. The output is the same for any number."""

    seed: int = switch_rates.FIT_SEED
    """Seed of the fit of the switch rates."""

    chunk_cm: float = chunk_plan.CHUNK_CM
    """Longest chunk, in cM."""

    overlap_cm: float = chunk_plan.OVERLAP_CM
    """Genotypes are used up to this far outside a chunk, in cM."""

    min_typed: int = chunk_plan.MIN_TYPED
    """Contigs with fewer typed sites are not imputed; chunks use sites further away to reach it."""

    fields: tuple[str, ...] = FIELDS
    """FORMAT fields to write."""

    sites: Path | None = None
    """List of panel sites to write; None writes all."""

    unphased: UnphasedTarget = "phase"
    """Unphased heterozygotes: phase them, stop, impute the order of a few, or take the order as the
    phase."""

    phase: Trust = "keep"
    """Keep the phase of the file, take it as a hint, or do without it."""

    phase_draws: int = 32
    """Phases drawn by their probability if the phase is uncertain, all imputed in one pass; 0
    imputes only the most likely one."""

    strand: Literal["fix", "drop", "error"] = "fix"
    """Strand flips: repair, leave out, or stop."""

    sex: Path | None = None
    """Table of samples and their sex: males are haploid outside the pseudo-autosomal regions."""

    par: str | None = None
    """Pseudo-autosomal regions of X, FROM-TO,FROM-TO or none; None is those of the build."""

    er2: bool = False
    """Write INFO/ER2 at typed sites."""

    all_typed_sites: bool = False
    """Write the target's records that the panel lacks, too."""

    empirical: bool = False
    """Write NAME.empiricalDose.vcf.gz: typed sites as if they were not typed."""

    qc: Path | None = None
    """Folder of the QC files; None is a folder next to the output."""

    device: str = "cpu"
    """cpu, cuda, cuda:N, or auto for a GPU if there is one; all but cpu load PyTorch."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.no_network and self.run is not None:
            raise ConfigError("--no-network and --run cannot be combined. Give one of them.")
        chunk_plan.check_lengths(self.chunk_cm, self.overlap_cm)
        for name in ("min_typed", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")
        if self.par is not None:
            pseudoautosomal.parse(self.par)
        CellLayout.of(self.fields)


@dataclass(frozen=True)
class _Job:
    """The planned imputation.

    num_wanted  sites to write if every contig had enough typed sites
    warnings    sentences that were logged
    """

    source: ImputationSource
    chunks: list[ChunkPlan]
    read: Target
    rates: CallRates
    genome: Genome
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

    target  genotypes, phased or not: .vcf, .vcf.gz or .bcf
    out     .vcf.gz, .vcf.bgz or .bcf

    Raises InputError if the target or another file cannot be used (see docs/policy.md), StoreError
    if the panel or the network is missing, or the output exists or cannot be written.
    """
    begun = time.perf_counter()
    qc = options.qc or qc_files.qc_folder(out)
    _check_output(target, out, qc, options, overwrite=overwrite)
    network = engines.network(workspace, options.run, no_network=options.no_network)
    with ExitStack() as stack:
        stack.enter_context(locks.hold(out))
        panel = stack.enter_context(open_panel(workspace.panel, takes_haploid=True))
        sites = chunk_plan.with_map(panel.sites, options.genetic_map)
        profiles = array_profile.of_panel(workspace, panel)
        job = _plan(panel, sites, target, network, profiles, options, progress)
        seconds = {"reading": round(time.perf_counter() - begun, 3)}
        content = _content(job, options)
        qc_stack = stack.enter_context(ExitStack())
        folder = qc_stack.enter_context(
            stores.create_folder(qc, overwrite=overwrite or not out.exists(), sealed=False)
        )
        empirical = None
        if options.empirical:
            empirical = qc_stack.enter_context(
                output_files.create_empirical(
                    out, content, threads=job.source.threads, overwrite=overwrite
                )
            )
        writer = stack.enter_context(
            prediction_writer.create_predictions(
                out,
                content.sites,
                content.names,
                header=content.header,
                kept=content.kept,
                fields=options.fields,
                decimals=DECIMALS,
                threads=job.source.threads,
                overwrite=overwrite,
                before_renaming=qc_stack.close,
            )
        )
        tally, search, accuracy = _write(writer, empirical, job, options, progress)
        seconds["total"] = round(time.perf_counter() - begun, 3)
        report = {
            "panel": str(workspace.panel),
            "target_file": str(target),
            "out": str(out),
            "empirical": str(output_files.empirical_path(out)) if options.empirical else None,
            **_report(job, tally, search, len(content.kept), options),
            "seconds": seconds,
        }
        for message in report["warnings"][len(job.warnings) :]:
            logger.warning("%s", message)
        samples = sample_quality.table(content.names, job.rates, accuracy.r2())
        qc_files.write_files(folder, job.read.report, tally.rows, samples, report)
    return ImputeSummary(out, qc, report)


def _check_output(
    target: Path, out: Path, qc: Path, options: ImputeOptions, *, overwrite: bool
) -> None:
    """Refuse an output that cannot be written, before any work is done."""
    output_file.check_path(out, overwrite=overwrite)
    if out.exists() and target.exists() and out.samefile(target):
        raise InputError(f"{out} is the target itself. Give the output another name.")
    if options.empirical:
        output_file.check_path(output_files.empirical_path(out), overwrite=overwrite)
    # QC files without an output were left by an interrupted command.
    qc_files.check_folder(qc, overwrite=overwrite or not out.exists())


def _plan(
    panel: PanelReader,
    sites: Sites,
    path: Path,
    network: Network,
    profiles: Profiles,
    options: ImputeOptions,
    progress: Progress,
) -> _Job:
    """Read the target and plan the chunks."""
    device = engines.device(options.device)
    name = str(panel.path)
    is_wanted = chunk_plan.wanted_sites(sites, options.region, options.sites, source=name)
    progress.start("reading the target", None)
    cores, read, of_target, borders = _read(panel, sites, is_wanted, path, options)
    samples = target_samples.of_target(panel, read, borders)
    planned = chunk_plan.plan_target(
        sites, cores, is_wanted, samples.typed, options.min_typed, borders, source=path
    )
    warnings = read.report.notes()
    warnings += qc_files.shared_samples(samples.names, panel.samples.names)
    warnings += qc_files.few_typed(sites, planned, is_wanted)
    rates = CallRates.of(samples, sites)
    warnings += rates.warnings(samples.names)
    warnings += output_files.other_builds(sites, panel.genome, of_target)
    for message in warnings:
        logger.warning("%s", message)
    threads = options.threads or versions.num_cores()
    source = ImputationSource(
        panel, sites, samples, network, options.seed, threads, options.min_typed,
        PhasingOptions(draws=options.phase_draws, seed=options.seed), options.phase, device,
        profiles,
    )  # fmt: skip
    return _Job(source, planned, read, rates, of_target, int(is_wanted.sum()), warnings)


def _read(
    panel: PanelReader,
    sites: Sites,
    is_wanted: NDArray[np.bool_],
    path: Path,
    options: ImputeOptions,
) -> tuple[chunk_plan.Cores, Target, Genome, NDArray[np.int64]]:
    """The cores, the target, the facts in its header, and sites at which a chunk begins.

    Cores get shorter with many samples. If a sample has too few typed sites around the region, the
    whole contig is read, because the chunks use the nearest ones; if samples are haploid, because
    their ploidy is that of all their genotypes.
    """
    frequency = whole_frequency(sites, panel.samples)

    found: Target | None

    def read(file: VcfFile, region: Region | None) -> Target:
        policy = TargetPolicy(unphased=options.unphased, strand=options.strand, ploidy=known)
        return read_target(
            file,
            sites,
            policy,
            region=region,
            panel_frequency=frequency,
            panel_alleles=partial(target_ploidy.panel_alleles, panel),
            keep_others=options.all_typed_sites,
        )

    def cut(borders: NDArray[np.int64]) -> chunk_plan.Cores:
        lengths = options.chunk_cm, options.overlap_cm
        return chunk_plan.cut(sites, is_wanted, *lengths, most, borders)

    with VcfFile(path) as file:
        most = chunk_plan.most_core_sites(2 * len(panel.samples), len(file.samples))
        of_target = genome_header.read(file.header.text)
        known = target_ploidy.rules(
            sites, panel, of_target, file.samples,
            sex=options.sex, par=options.par, source=str(path),
        )  # fmt: skip
        borders = target_ploidy.chunk_borders(sites, known, panel.samples.haploid)
        cores = cut(borders)
        if options.region is None:
            found = read(file, None)
            borders = target_ploidy.chunk_borders(
                sites, known, panel.samples.haploid, found.haploid
            )
            return cut(borders), found, of_target, borders
        try:
            found = read(file, chunk_plan.region_to_read(sites, cores))
        except InputError:  # if the rest of the contig does not help, it is raised again
            found = None
    if (
        found is None
        or (found.haploid is not None and not found.haploid.is_diploid)
        or not chunk_plan.are_typed(cores, found.site_index, found.alleles, options.min_typed)
    ):
        with VcfFile(path) as file:
            found = read(file, chunk_plan.contig_to_read(sites, cores))
        borders = target_ploidy.chunk_borders(sites, known, panel.samples.haploid, found.haploid)
        cores = cut(borders)
    return cores, found, of_target, borders


def _write(
    writer: prediction_writer.PredictionWriter,
    empirical: EmpiricalWriter | None,
    job: _Job,
    options: ImputeOptions,
    progress: Progress,
) -> tuple[ChunkTally, DuplicateSearch, ExpectedAccuracy]:
    """Impute and write one chunk after another."""
    source = job.source
    accuracy = ExpectedAccuracy(len(source.samples.names))
    frequency = whole_frequency(source.sites, source.panel.samples)
    has_dr2 = len(source.samples.names) >= output_files.FEWEST_FOR_DR2
    search = DuplicateSearch(source.sites, frequency, source.samples.own)
    tally, first = ChunkTally(), 0
    progress.start("imputing", len(job.chunks) * len(source.samples.names))
    note = partial(
        progress.note, "Compiling for this machine, once; it takes about half a minute ..."
    )
    with compiled.announcing_compilation(note):
        before: KnownPhase | None = None
        for chunk in job.chunks:
            begun = time.perf_counter()
            on_typed = partial(search.add, chunk.typed, chunk.core)
            core = chunk_imputation.impute(source, chunk, progress.advance, on_typed, before)
            before = core.phase
            writer.write_haplotypes(
                first,
                core.alt,
                core.is_imputed,
                dr2=core.dr2 if has_dr2 else None,
                pr2=core.pr2,
                er2=core.er2 if options.er2 else None,
                is_haploid=core.is_haploid,
            )
            if empirical is not None:
                empirical.write(core)
            accuracy.add(core, frequency[chunk.written])
            first += len(chunk.written)
            tally.add(source.sites, chunk, core, time.perf_counter() - begun)
    return tally, search, accuracy


def _content(job: _Job, options: ImputeOptions) -> OutputContent:
    """The sites, samples and header of the output."""
    source, chosen = job.source, np.concatenate([one.written for one in job.chunks])
    written = chunk_plan.take(output_files.with_ids(source.sites, job.read), chosen)
    return OutputContent(
        sites=written,
        typed=np.flatnonzero(np.isin(chosen, source.samples.typed)),
        kept=output_files.records_to_keep(job.read.others, written, options.region),
        names=source.samples.names,
        header=_header(written, job, options),
    )


def _header(written: Sites, job: _Job, options: ImputeOptions) -> HeaderFacts:
    panel, network = job.source.panel, job.source.network
    chosen = f"chunk_cm={options.chunk_cm:g} overlap_cm={options.overlap_cm:g} seed={options.seed}"
    return HeaderFacts(
        checkpoint=network.name,
        checkpoint_fingerprint=network.fingerprint or None,
        panel_fingerprint=panel.fingerprint,
        genome=target_ploidy.genome_of(written, panel.genome, job.genome),
        extra=(f"##vcfbert_impute={chosen}", *output_files.about_dr2(job.source.samples.names)),
        has_haploids=not job.source.samples.ploidy.is_diploid,
    )


def _report(
    job: _Job, tally: ChunkTally, search: DuplicateSearch, num_kept: int, options: ImputeOptions
) -> dict[str, Any]:
    """Counts, network, warnings and options for summary.json."""
    panel, samples, network = job.source.panel, job.source.samples, job.source.network
    sums = tally.report()
    warnings = job.warnings + qc_files.much_out_of_range(sums["out_of_range"])
    names = set(panel.samples.names)
    found = search.found(samples.names, panel.samples.names)
    warnings += duplicates.warnings(found)
    return {
        "samples": {
            "target": len(samples.names),
            "panel": len(panel.samples),
            "in_panel": [name for name in samples.names if name in names],
            "duplicates": duplicates.record(search, found),
        },
        "reference_haplotypes": panel.samples.most_haplotypes,
        "target": job.read.report.counts(),
        "sites": {
            "written": tally.typed + tally.imputed,
            "typed": tally.typed,
            "imputed": tally.imputed,
            "typed_only": num_kept,
            "skipped": job.num_wanted - tally.typed - tally.imputed,
            "missing_genotypes": samples.num_missing,
            "phased_genotypes": int(samples.is_free.sum()),
            "unordered_genotypes": len(samples.unordered.site),
        },
        "chunks": sums["chunks"],
        "candidates": sums["candidates"],
        "network": {
            "name": network.name,
            "fingerprint": network.fingerprint,
            "undecided": sums["undecided"],
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
            "phase": options.phase,
            "phase_draws": options.phase_draws,
            "strand": options.strand,
            "seed": options.seed,
            "threads": job.source.threads,
            "device": options.device,
        },
    }
