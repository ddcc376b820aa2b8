"""`vcfbert impute`: from a target VCF and a prepared panel to an imputed VCF or BCF and QC files.

S sites in the panel, T typed sites, N samples of the target. Chunks are imputed and written one
after another, each in batches of samples, so memory does not grow with the panel or the target.
PyTorch is imported for a GPU only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.copying.network import Network
from vcfbert.domain.genome import Genome
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.sites import Region, Sites, whole_frequency
from vcfbert.errors import InputError
from vcfbert.files import locks
from vcfbert.files.spill import Spill
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import (
    array_profile,
    chunk_plan,
    excluded_samples,
    family_phase,
    target_ploidy,
    target_references,
    target_samples,
)
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.family_phase import FamilyReport
from vcfbert.pipelines.imputing import (
    chunk_output,
    contig_messages,
    duplicates,
    engines,
    output_files,
    planned_parts,
    qc_files,
    sample_quality,
)
from vcfbert.pipelines.imputing.duplicates import DuplicateSearch
from vcfbert.pipelines.imputing.impute_options import ImputeOptions as ImputeOptions
from vcfbert.pipelines.imputing.output_files import OutputContent
from vcfbert.pipelines.imputing.qc_files import ChunkTally, ImputeSummary
from vcfbert.pipelines.imputing.sample_quality import CallRates
from vcfbert.pipelines.parts import batches
from vcfbert.pipelines.parts.part_runs import PartRuns
from vcfbert.progress import Progress
from vcfbert.storage.profiles import Profiles
from vcfbert.storage.vcf import genome_header, output_file, prediction_writer
from vcfbert.storage.vcf.output_header import HeaderFacts
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.vcf.target import Target, read_target
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace

logger = logging.getLogger(__name__)

DECIMALS = 3
"""Of probabilities and dosages in the output, as in Minimac4: compared with six, r2 is the same to
the fourth digit and the file a third as large."""


@dataclass(frozen=True)
class Job:
    """The planned imputation.

    families    what was found about trios; None without a pedigree
    num_wanted  sites to write if every contig had enough typed sites
    warnings    sentences that were logged
    contig      if the panel is one contig of a genome: its name, for messages
    begun       of `time.perf_counter`
    """

    target: Path
    source: ImputationSource
    chunks: list[ChunkPlan]
    read: Target
    families: FamilyReport | None
    rates: CallRates
    genome: Genome
    num_wanted: int
    warnings: list[str]
    contig: str | None
    begun: float


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
    check_output(target, out, options, overwrite=overwrite)
    with locks.hold(out), opened(workspace, target, options, out.parent, progress) as job:
        runs = planned_parts.of(job.source, job.chunks, target, out, options, job.contig)
        try:
            summary = written(job, runs, out, options, progress, overwrite=overwrite)
        except BaseException:
            if runs.folder is not None:
                runs.folder.discard_empty()
            raise
    if runs.folder is not None and not options.keep_parts:
        runs.folder.remove()
    return summary


@contextmanager
def opened(
    workspace: Workspace,
    target: Path,
    options: ImputeOptions,
    scratch: Path,
    progress: Progress,
) -> Iterator[Job]:
    """Open the panel, read the target, and plan the chunks. Raises as `impute` does.

    scratch  folder for the genotypes of a large target, in files without a name
    """
    begun = time.perf_counter()
    network = engines.network(workspace, options.run, no_network=options.no_network)
    with excluded_samples.open_without(workspace.panel, options) as panel:
        sites = chunk_plan.with_map(panel.sites, options.genetic_map)
        profiles = array_profile.of_panel(workspace, panel)
        spill = batches.spill(scratch, options.memory)
        contig = None if workspace.contig_store is None else sites.contigs[0]
        yield _plan(
            panel, sites, target, network, profiles, spill, options, contig, progress, begun
        )


def written(
    job: Job,
    runs: PartRuns,
    out: Path,
    options: ImputeOptions,
    progress: Progress,
    *,
    overwrite: bool,
) -> ImputeSummary:
    """Impute what is not done yet, and write the output and the QC files."""
    qc = options.qc or qc_files.qc_folder(out)
    seconds = {"reading": round(time.perf_counter() - job.begun, 3)}
    content = _content(job, options)
    with ExitStack() as stack:
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
        found = chunk_output.write_all(runs, writer, empirical, progress, er2=options.er2)
        seconds["total"] = round(time.perf_counter() - job.begun, 3)
        report = {
            "panel": str(job.source.panel.path),
            "target_file": str(job.target),
            "out": str(out),
            "empirical": str(output_files.empirical_path(out)) if options.empirical else None,
            **_report(job, found.tally, found.search, len(content.kept), options),
            "seconds": seconds,
        }
        for message in report["warnings"][len(job.warnings) :]:
            logger.warning("%s", message)
        samples = sample_quality.table(content.names, job.rates, found.accuracy.r2())
        tables = {} if job.families is None else job.families.tables(job.source.sites)
        qc_files.write_files(folder, job.read.report, found.tally.rows, samples, report, tables)
    return ImputeSummary(out, qc, report)


def check_output(target: Path, out: Path, options: ImputeOptions, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done."""
    qc = options.qc or qc_files.qc_folder(out)
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
    spill: Spill,
    options: ImputeOptions,
    contig: str | None,
    progress: Progress,
    begun: float,
) -> Job:
    """Read the target and plan the chunks."""
    device = engines.device(options.device)
    name = str(panel.path)
    is_wanted = chunk_plan.wanted_sites(sites, options.region, options.sites, source=name)
    progress.start("reading the target", None)
    cores, read, of_target, borders = _read(panel, sites, is_wanted, path, spill, options)
    read, orders, families = family_phase.of_target(
        read, sites, options.trios, source=str(path), trust=options.phase, mendel=options.mendel
    )
    samples = target_samples.of_target(panel, read, borders, orders)
    planned = chunk_plan.plan_target(
        sites, cores, is_wanted, samples.typed, options.min_typed, borders, source=path
    )
    rates = CallRates.of(samples, sites)
    of_trios = [] if families is None else families.warnings()
    of_contig = [*read.report.notes(), *of_trios, *rates.warnings(samples.names)]
    warnings = contig_messages.named(contig, of_contig) + read.report.notes_with_contigs()
    warnings += qc_files.shared_samples(samples.names, panel.samples.names)
    warnings += qc_files.few_typed(sites, planned, is_wanted)
    warnings += output_files.other_builds(sites, panel.genome, of_target)
    for message in warnings:
        logger.warning("%s", message)
    threads = options.threads or versions.num_cores()
    chosen, num_panel = options.target_references, len(panel.samples)
    is_joint = target_references.are_used(chosen, samples, num_panel, options.phase)
    if is_joint:
        progress.note(target_references.note(chosen, len(samples.names), num_panel))
    source = ImputationSource(
        panel, sites, samples, network, options.seed, threads, options.min_typed,
        _phasing(options), options.phase, device,
        profiles, is_joint,
    )  # fmt: skip
    num_wanted = int(is_wanted.sum())
    return Job(
        path, source, planned, read, families, rates, of_target, num_wanted, warnings, contig, begun
    )


def _phasing(options: ImputeOptions) -> PhasingOptions:
    return PhasingOptions(
        passes=options.phasing_passes, draws=options.phase_draws, seed=options.seed
    )


def _read(
    panel: PanelReader,
    sites: Sites,
    is_wanted: NDArray[np.bool_],
    path: Path,
    spill: Spill,
    options: ImputeOptions,
) -> tuple[chunk_plan.Cores, Target, Genome, NDArray[np.int64]]:
    """The cores, the target, the facts in its header, and sites at which a chunk begins.

    If a sample has too few typed sites around the region, the whole contig is read, because the
    chunks use the nearest ones; if samples are haploid, because their ploidy is that of all their
    genotypes.
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
            spill=spill,
        )

    def cut(borders: NDArray[np.int64]) -> chunk_plan.Cores:
        lengths = options.chunk_cm, options.overlap_cm
        return chunk_plan.cut(sites, is_wanted, *lengths, most, borders)

    with VcfFile(path) as file:
        most = chunk_plan.most_core_sites(2 * len(panel.samples))
        of_target = genome_header.read(file.header.text)
        known = target_ploidy.rules(
            sites, panel, of_target, file.samples,
            sex=options.sex, par=options.par, source=str(path), trios=options.trios,
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
            found = read(file, chunk_plan.region_to_read(sites, cores, options.region))
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


def _content(job: Job, options: ImputeOptions) -> OutputContent:
    """The sites, samples and header of the output."""
    source, chosen = job.source, np.concatenate([one.written for one in job.chunks])
    written = chunk_plan.take(output_files.with_ids(source.sites, job.read), chosen)
    return OutputContent(
        sites=written,
        typed=np.flatnonzero(np.isin(chosen, source.samples.typed)),
        kept=output_files.records_to_keep(
            job.read.others,
            written,
            options.region,
            source.samples.keep_order(trusted=options.phase == "keep"),
        ),
        names=source.samples.names,
        header=_header(written, job, options),
    )


def _header(written: Sites, job: Job, options: ImputeOptions) -> HeaderFacts:
    panel, network = job.source.panel, job.source.network
    chosen = f"chunk_cm={options.chunk_cm:g} overlap_cm={options.overlap_cm:g} seed={options.seed}"
    chosen += target_references.header_text(is_used=job.source.is_joint)
    return HeaderFacts(
        checkpoint=network.name,
        checkpoint_fingerprint=network.fingerprint or None,
        panel_fingerprint=panel.fingerprint,
        genome=target_ploidy.genome_of(written, panel.genome, job.genome),
        extra=(
            *excluded_samples.header_lines(panel),
            f"##vcfbert_impute={chosen}",
            *output_files.about_dr2(job.source.samples.names),
        ),
        has_haploids=not job.source.samples.ploidy.is_diploid,
    )


def _report(
    job: Job, tally: ChunkTally, search: DuplicateSearch, num_kept: int, options: ImputeOptions
) -> dict[str, Any]:
    """Counts, network, warnings and options for summary.json."""
    panel, samples, network = job.source.panel, job.source.samples, job.source.network
    sums = tally.report()
    names = set(panel.samples.names)
    found = search.found(samples.names, panel.samples.names)
    of_result = qc_files.much_out_of_range(sums["out_of_range"]) + duplicates.warnings(found)
    warnings = job.warnings + contig_messages.named(job.contig, of_result)
    return {
        "samples": {
            "target": len(samples.names),
            "panel": len(panel.samples),
            "in_panel": [name for name in samples.names if name in names],
            "duplicates": duplicates.record(search, found),
            "excluded": excluded_samples.record(panel),
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
        "target_references": job.source.is_joint,
        "families": None if job.families is None else job.families.record(),
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
            "target_references": options.target_references,
            "phasing_passes": options.phasing_passes,
            "strand": options.strand,
            "seed": options.seed,
            "threads": job.source.threads,
            "device": options.device,
        },
    }
