"""`prepare`: from a phased VCF to a panel store, mask version 0 and a QC report.

S sites, W windows, N samples, H = 2 N haplotypes. The VCF is read once, in blocks: the main thread
reads while another turns the previous block into sites. Memory grows with the table of sites only;
alleles go to disk, one bit each.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import MaskConfig
from vcfbert.domain import masks, records, relatedness, windows
from vcfbert.domain.genome import Genome
from vcfbert.domain.haploid_calls import PloidyDecision
from vcfbert.domain.relatedness import Relatedness
from vcfbert.domain.sites import Region, Samples, Sites
from vcfbert.domain.windows import Segment, Windows
from vcfbert.errors import StoreError
from vcfbert.files import digests, replacing
from vcfbert.pipelines.preparing import (
    losses,
    panel_phase,
    panel_ploidy,
    panel_samples,
    qc_report,
)
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.panel_phase import PanelPhase
from vcfbert.pipelines.preparing.qc_report import PrepareSummary
from vcfbert.pipelines.preparing.site_collector import SiteCollector
from vcfbert.progress import Progress, Silent
from vcfbert.storage import map_files, profiles, tables
from vcfbert.storage.vcf import genome_header
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.zarr import masks as mask_store
from vcfbert.storage.zarr import panel, stores, transposing
from vcfbert.storage.zarr.transposing import AlleleSpool
from vcfbert.storage.zarr.workspace import Workspace

__all__ = ["PrepareOptions", "PrepareSummary", "prepare"]

logger = logging.getLogger(__name__)


def prepare(
    panel_vcf: Path,
    workspace: Workspace,
    options: PrepareOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> PrepareSummary:
    """Read a phased panel and write the panel store, mask version 0 and the QC report.

    Raises InputError if the file or a table cannot be used, by the policy in docs/policy.md.
    """
    started = time.perf_counter()
    with (
        workspace.writing("panel", "masks"),
        stores.staging(workspace.root / "prepare") as folder,
    ):
        if workspace.panel.exists() and not overwrite:
            raise StoreError.exists(workspace.panel)
        staged = Workspace(folder)
        try:
            first = None
            if options.sex is not None or options.par is not None:
                first = _scan(panel_vcf, options, progress, notes=progress)
            fingerprint, report, related = _make(panel_vcf, staged, options, progress, first)
        except panel_ploidy.HaploidGenotypesError:
            ploidy = _scan(panel_vcf, options, progress, notes=Silent())
            fingerprint, report, related = _make(panel_vcf, staged, options, progress, ploidy)
        report |= {"fingerprint": fingerprint, "seconds": round(time.perf_counter() - started, 3)}
        stores.write_file(staged.qc, digests.sealed_json(report, indent=2))
        stores.write_file(staged.relatives, related.table().encode())
        # The panel last: if it is there, everything else is.
        made = (staged.version("masks", 0), staged.qc, staged.relatives, staged.panel)
        names = [str(path.relative_to(folder)) for path in made]
        replacing.put_all(folder, names, workspace.root)
        profiles.remove(workspace.profiles)
    for message in report["warnings"]:
        logger.warning("%s", message)
    for message in related.warnings(str(workspace.relatives)):
        logger.warning("%s", message)
    return PrepareSummary(workspace.panel, workspace.qc, fingerprint, report, related)


def _scan(
    panel_vcf: Path, options: PrepareOptions, progress: Progress, *, notes: Progress
) -> PloidyDecision:
    """The ploidy of the samples; `notes` tells which samples are left out."""
    with VcfFile(panel_vcf) as file:
        region = None if options.region is None else file.find_region(options.region)
        columns, samples, _ = panel_samples.choose(file, options, notes)
    return panel_ploidy.scan(panel_vcf, region, columns, samples.names, options, progress)


def _make(
    panel_vcf: Path,
    staged: Workspace,
    options: PrepareOptions,
    progress: Progress,
    ploidy: PloidyDecision | None,
) -> tuple[str, dict[str, Any], Relatedness]:
    """Write the panel and its masks; returns its fingerprint, the QC report and related pairs.

    Raises HaploidGenotypesError if there are haploid genotypes and `ploidy` is None.
    """
    with VcfFile(panel_vcf) as file:
        region = None if options.region is None else file.find_region(options.region)
        if region is not None and region.contig.removeprefix("chr") not in str(options.region):
            logger.warning("The region %s is on contig %s.", options.region, region.contig)
        file.count(region)  # an empty file is refused before the tables are read
        notes = progress if ploidy is None else Silent()  # they were shown before the scan
        columns, samples, left_out = panel_samples.choose(file, options, notes)
        maps = None if options.genetic_map is None else map_files.read(options.genetic_map)
        segments = None if options.windows is None else tables.read_segments(options.windows)
        with ExitStack() as stack:
            alleles, free = _spools(stack, staged, samples, options, str(panel_vcf))
            collector = SiteCollector(
                str(panel_vcf), samples, options, segments, alleles, ploidy, free
            )
            _read(file, region, columns, collector, progress)
            table = collector.table(maps)
            if ploidy is not None and ploidy.is_haploid.any():
                haploid = ploidy.of_sites(table)
                samples = replace(samples, haploid=None if haploid.is_diploid else haploid)
            warnings = losses.check(collector, samples.names, options)
            cut = _cut(table, segments, options)
            genome = genome_header.read(file.header.text).of(table.last_positions())
            if ploidy is None:
                warnings += panel_ploidy.like_males(table, samples, genome, alleles.alleles)
            phased = _phase(table, samples, alleles, free, options.seed, progress)
            warnings += phased.warnings(str(panel_vcf))
            settings = options.as_json() | phased.setting()
            fingerprint = _write(staged, table, samples, cut, genome, alleles, settings, progress)
            related = relatedness.measure(table, samples, alleles.alleles)
    _write_masks(staged, cut, fingerprint, options.seed)
    report = qc_report.counts(collector, table, samples, cut, options)
    report["warnings"] = warnings
    report["read"]["samples"] = len(file.samples)
    report["samples"] |= left_out
    report |= phased.setting() | {
        "panel": str(panel_vcf),
        "region": None if region is None else str(region),
        "bytes": qc_report.sizes(staged.panel, panel_vcf),
        "relatedness": related.record(),
    }
    return fingerprint, report, related


def _spools(
    stack: ExitStack, staged: Workspace, samples: Samples, options: PrepareOptions, source: str
) -> tuple[AlleleSpool, AlleleSpool | None]:
    """Files of alleles, and of heterozygotes to phase if they are to be phased."""
    alleles = stack.enter_context(transposing.open_spool(staged.root, 2 * len(samples)))
    if not options.phase_panel:
        return alleles, None
    panel_phase.check_samples(samples, source)
    return alleles, stack.enter_context(
        transposing.open_spool(staged.root, len(samples), "unphased")
    )


def _phase(
    table: Sites,
    samples: Samples,
    alleles: AlleleSpool,
    free: AlleleSpool | None,
    seed: int,
    progress: Progress,
) -> PanelPhase:
    """Phase the panel by its own samples, if that is asked for; only then is it imported."""
    if free is None:
        return PanelPhase()
    from vcfbert.copying import compiled
    from vcfbert.pipelines.preparing import panel_phasing

    note = partial(
        progress.note, "Compiling for this machine, once; it takes about half a minute ..."
    )
    with compiled.announcing_compilation(note):
        return panel_phasing.phase(table, samples, alleles, free, seed=seed, progress=progress)


def _read(
    file: VcfFile,
    region: Region | None,
    columns: NDArray[np.int64],
    collector: SiteCollector,
    progress: Progress,
) -> None:
    """Read every block; parsing releases the interpreter lock, so filtering runs meanwhile."""
    progress.start("reading records", file.count(region))
    pending: Future[int] | None = None
    with ThreadPoolExecutor(max_workers=1) as filtering:
        for block in file.blocks(columns, region=region):
            if pending is not None:
                progress.advance(pending.result())
                if collector.dropped[records.PLOIDY] and collector.ploidy is None:
                    raise panel_ploidy.HaploidGenotypesError
            pending = filtering.submit(collector.add, block)
        if pending is not None:
            progress.advance(pending.result())
    if collector.dropped[records.PLOIDY] and collector.ploidy is None:
        raise panel_ploidy.HaploidGenotypesError


def _cut(table: Sites, segments: list[Segment] | None, options: PrepareOptions) -> Windows:
    if segments is None:
        return windows.cut(table.contig, options.window_size, options.flank)
    by_contig = [windows.of_contig(segments, contig) for contig in table.contigs]
    return windows.from_segments(
        by_contig, table.contig, table.position, options.window_size, options.flank
    )


def _write(
    workspace: Workspace,
    table: Sites,
    samples: Samples,
    cut: Windows,
    genome: Genome,
    alleles: AlleleSpool,
    settings: dict[str, Any],
    progress: Progress,
) -> str:
    """Write the panel store; returns its fingerprint."""
    progress.start("writing windows", len(cut))

    def packed(window: int) -> NDArray[np.uint8]:
        progress.advance()
        return alleles.window(int(cut.start[window]), int(cut.stop[window]), cut.length)

    return panel.write_panel(
        workspace.panel, table, samples, cut, packed, settings=settings, genome=genome
    )


def _write_masks(workspace: Workspace, cut: Windows, fingerprint: str, seed: int) -> None:
    """Write mask version 0."""
    rate = MaskConfig().start_rate
    first = mask_store.MaskVersion(
        version=0,
        policy="random",
        rate=rate,
        seed=seed,
        role="train",
        panel_fingerprint=fingerprint,
        is_masked=masks.draw_masks(cut, seed=seed, role="train", version=0, rate=rate),
    )
    mask_store.write_masks(workspace.version("masks", 0), first)
