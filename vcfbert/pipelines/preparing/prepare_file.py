"""From one phased VCF to a panel store for each of its contigs.

S sites, W windows, N samples, H = 2 N haplotypes. The VCF is read once, in blocks: the main thread
reads while another turns the previous block into sites. Memory grows with the table of sites only;
alleles go to disk, one bit each.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import joined_panels, records, windows
from vcfbert.domain.genetic_map import ContigMap
from vcfbert.domain.genome import Genome
from vcfbert.domain.haploid_calls import PloidyDecision
from vcfbert.domain.sites import Region, Samples, Sites
from vcfbert.domain.windows import Segment, Windows
from vcfbert.pipelines.preparing import (
    losses,
    panel_phase,
    panel_ploidy,
    panel_samples,
    qc_report,
)
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.panel_phase import PanelPhase
from vcfbert.pipelines.preparing.site_collector import SiteCollector
from vcfbert.progress import Progress, Silent
from vcfbert.storage import map_files, tables
from vcfbert.storage.vcf import genome_header
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.zarr import panel, transposing
from vcfbert.storage.zarr.transposing import AlleleSpool

logger = logging.getLogger(__name__)

READING = "reading records"
"""The stage whose steps are records."""


@dataclass(frozen=True)
class PreparedFile:
    """The stores that were made of one file.

    folder    with a store for each contig, named as in the panel
    contigs   in the order of the file
    warnings  about what was dropped or filled in
    """

    source: Path
    folder: Path
    contigs: list[str]
    warnings: list[str]


def prepare_file(
    source: Path,
    folder: Path,
    options: PrepareOptions,
    progress: Progress,
    *,
    is_diploid: bool = False,
) -> PreparedFile:
    """Write the stores of one file into an empty folder.

    is_diploid  True if the file is known to have no X chromosome, so that `sex` and `par` do not
                concern it

    Raises InputError if the file or a table cannot be used, by the policy in docs/policy.md.
    """
    if is_diploid:
        options = replace(options, par=None)
    try:
        first = None
        if (options.sex is not None and not is_diploid) or options.par is not None:
            first = _scan(source, options, progress, notes=progress)
        return _make(source, folder, options, progress, first)
    except panel_ploidy.HaploidGenotypesError:
        ploidy = _scan(source, options, progress, notes=Silent())
        return _make(source, folder, options, progress, ploidy)


def _scan(
    source: Path, options: PrepareOptions, progress: Progress, *, notes: Progress
) -> PloidyDecision:
    """The ploidy of the samples; `notes` tells which samples are left out."""
    with VcfFile(source) as file:
        region = None if options.region is None else file.find_region(options.region)
        columns, samples, _ = panel_samples.choose(file, options, notes)
    return panel_ploidy.scan(source, region, columns, samples.names, options, progress)


@dataclass(frozen=True)
class _FileContig:
    """The sites of a contig, its windows, and what the header says of it.

    first  its first site in the file
    """

    first: int
    table: Sites
    samples: Samples
    cut: Windows
    genome: Genome

    @property
    def name(self) -> str:
        return self.table.contigs[0]


def _make(
    source: Path,
    folder: Path,
    options: PrepareOptions,
    progress: Progress,
    ploidy: PloidyDecision | None,
) -> PreparedFile:
    """Write the stores of a file.

    Raises HaploidGenotypesError if there are haploid genotypes and `ploidy` is None.
    """
    with VcfFile(source) as file:
        region = None if options.region is None else file.find_region(options.region)
        if region is not None and region.contig.removeprefix("chr") not in str(options.region):
            logger.warning("The region %s is on contig %s.", options.region, region.contig)
        file.count(region)  # an empty file is refused before the tables are read
        notes = progress if ploidy is None else Silent()  # they were shown before the scan
        columns, samples, left_out = panel_samples.choose(file, options, notes)
        maps = _maps(options, file)
        segments = None if options.windows is None else tables.read_segments(options.windows)
        with ExitStack() as stack:
            alleles, free = _spools(stack, folder, samples, options, str(source))
            collector = SiteCollector(
                str(source), samples, options, segments, alleles, ploidy, free
            )
            _read(file, region, columns, collector, progress)
            if maps is None and options.genetic_map is not None:
                maps = map_files.read_for(options.genetic_map, list(collector.contigs))
            table = collector.table(maps)
            warnings = losses.check(collector, samples.names, options)
            header = genome_header.read(file.header.text)
            contigs = [
                _contig(table, number, samples, ploidy, segments, header, options)
                for number in np.unique(table.contig).tolist()
            ]
            warnings += _without_sites(source, table)
            if ploidy is None:
                for one in contigs:
                    read = partial(_alleles, alleles, one.first)
                    warnings += panel_ploidy.like_males(one.table, samples, one.genome, read)
            phased = _phase(
                table, _with_ploidy(samples, table, ploidy), alleles, free, options.seed, progress
            )
            warnings += phased.warnings(str(source))
            qc = _report(collector, table, contigs, options) | phased.setting()
            qc = qc | {
                "panel": source.name,  # no folder, so that a store does not depend on it
                "region": None if region is None else str(region),
                "input_bytes": source.stat().st_size,
                "warnings": [text.replace(str(source), source.name) for text in warnings],
            }
            qc["read"]["samples"] = len(file.samples)
            qc["samples"] |= left_out
            settings = options.as_json() | phased.setting()
            _write(folder, contigs, alleles, qc, settings, progress)
    return PreparedFile(source, folder, [one.name for one in contigs], warnings)


def _maps(options: PrepareOptions, file: VcfFile) -> dict[str, ContigMap] | None:
    """The maps, if they can be read before the contigs of the file are known; else None."""
    if options.genetic_map is None:
        return None
    if map_files.PLACEHOLDER not in str(options.genetic_map):
        return map_files.read(options.genetic_map)
    contigs = file.contigs_with_records() if options.region is None else None
    return None if contigs is None else map_files.read_for(options.genetic_map, contigs)


def _contig(
    table: Sites,
    number: int,
    samples: Samples,
    ploidy: PloidyDecision | None,
    segments: list[Segment] | None,
    header: Genome,
    options: PrepareOptions,
) -> _FileContig:
    """One contig of a file."""
    first, sites = joined_panels.of_contig(table, number)
    samples = _with_ploidy(samples, sites, ploidy)
    cut = _cut(sites, segments, options)
    return _FileContig(first, sites, samples, cut, header.of(sites.last_positions()))


def _with_ploidy(samples: Samples, sites: Sites, ploidy: PloidyDecision | None) -> Samples:
    """The samples with their ploidy at these sites."""
    if ploidy is None or not ploidy.is_haploid.any():
        return samples
    haploid = ploidy.of_sites(sites)
    return replace(samples, haploid=None if haploid.is_diploid else haploid)


def _spools(
    stack: ExitStack, folder: Path, samples: Samples, options: PrepareOptions, source: str
) -> tuple[AlleleSpool, AlleleSpool | None]:
    """Files of alleles, and of heterozygotes to phase if they are to be phased."""
    alleles = stack.enter_context(transposing.open_spool(folder, 2 * len(samples)))
    if not options.phase_panel:
        return alleles, None
    panel_phase.check_samples(samples, source)
    return alleles, stack.enter_context(transposing.open_spool(folder, len(samples), "unphased"))


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

    with compiled.announcing_compilation(progress.note):
        return panel_phasing.phase(table, samples, alleles, free, seed=seed, progress=progress)


def _report(
    collector: SiteCollector, table: Sites, contigs: list[_FileContig], options: PrepareOptions
) -> dict[str, Any]:
    """What was read, kept and dropped of the file."""
    samples = joined_panels.samples(
        [one.samples for one in contigs], [len(one.table) for one in contigs]
    )
    num_windows = sum(len(one.cut) for one in contigs)
    return qc_report.counts(collector, table, samples, num_windows, options)


def _without_sites(source: Path, table: Sites) -> list[str]:
    """A warning that names contigs of which no site is kept."""
    kept = set(np.unique(table.contig).tolist())
    empty = [name for number, name in enumerate(table.contigs) if number not in kept]
    if not empty:
        return []
    named = ", ".join(empty[:5]) + (" ..." if empty[5:] else "")
    return [
        f"{source}: no site is kept of "
        f"{plurals.of(len(empty), 'contig, which is', 'contigs, which are')} left out: {named}."
    ]


def _read(
    file: VcfFile,
    region: Region | None,
    columns: NDArray[np.int64],
    collector: SiteCollector,
    progress: Progress,
) -> None:
    """Read every block; parsing releases the interpreter lock, so filtering runs meanwhile."""
    progress.start(READING, file.count(region))
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
    of_contig = windows.of_contig(segments, table.contigs[0])
    return windows.from_segments(
        [of_contig], table.contig, table.position, options.window_size, options.flank
    )


def _alleles(alleles: AlleleSpool, first: int, sites: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, H) alleles at sites of a contig that begins at site `first`."""
    return alleles.alleles(sites + first)


def _write(
    folder: Path,
    contigs: list[_FileContig],
    alleles: AlleleSpool,
    qc: dict[str, Any],
    settings: dict[str, Any],
    progress: Progress,
) -> None:
    """Write a store for each contig."""
    progress.start("writing windows", sum(len(one.cut) for one in contigs))
    for one in contigs:

        def packed(window: int, one: _FileContig = one) -> NDArray[np.uint8]:
            progress.advance()
            start, stop = int(one.cut.start[window]), int(one.cut.stop[window])
            return alleles.window(one.first + start, one.first + stop, one.cut.length)

        panel.write_panel(
            folder / panel.store_name(one.name),
            one.table,
            one.samples,
            one.cut,
            packed,
            settings=settings,
            genome=one.genome,
            qc=qc,
        )
