"""Writes the chunks of an imputation one after another, and adds up what the QC files say.

N samples.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import compiled
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.chunk_references import ChunkReferences
from vcfbert.pipelines.imputing.duplicates import DuplicateSearch
from vcfbert.pipelines.imputing.output_files import EmpiricalWriter
from vcfbert.pipelines.imputing.qc_files import ChunkTally
from vcfbert.pipelines.imputing.sample_quality import ExpectedAccuracy
from vcfbert.pipelines.parts import joined_chunk
from vcfbert.pipelines.parts.joined_chunk import Continuation, JoinedChunk
from vcfbert.pipelines.parts.part_runs import PartRuns
from vcfbert.progress import Progress
from vcfbert.storage.vcf.prediction_writer import PredictionWriter
from vcfbert.storage.zarr import haplotypes as stored_haplotypes
from vcfbert.storage.zarr.panel import PanelReader


@dataclass
class Findings:
    """What is known after all chunks."""

    search: DuplicateSearch
    accuracy: ExpectedAccuracy
    tally: ChunkTally = field(default_factory=ChunkTally)


def write_all(
    runs: PartRuns,
    writer: PredictionWriter,
    empirical: EmpiricalWriter | None,
    progress: Progress,
    *,
    er2: bool,
) -> Findings:
    """Impute and write all chunks, from finished parts if there are some."""
    progress.start("imputing", len(runs.chunks) * runs.num_samples)
    with compiled.announcing_compilation(progress.note):
        return _write_all(runs, writer, empirical, progress, er2=er2)


def _write_all(
    runs: PartRuns,
    writer: PredictionWriter,
    empirical: EmpiricalWriter | None,
    progress: Progress,
    *,
    er2: bool,
) -> Findings:
    source = runs.source
    found = Findings(
        DuplicateSearch(source.sites, runs.frequency, source.samples.own),
        ExpectedAccuracy(runs.num_samples),
    )
    continuation, first = Continuation(runs.num_samples), 0
    for number, chunk in enumerate(runs.chunks):
        begun = time.perf_counter()
        parts, references = runs.run(number, progress.advance)
        is_turned = continuation.add(runs.shared(number), parts)
        joined = joined_chunk.join(source, chunk, parts, is_turned)
        _write(writer, empirical, joined, first, er2=er2)
        first += len(chunk.written)
        _compare(found.search, runs, chunk, references)
        source.samples.release()
        found.accuracy.add(joined.accuracy)
        found.tally.add(source.sites, chunk, joined, time.perf_counter() - begun)
    return found


def _write(
    writer: PredictionWriter,
    empirical: EmpiricalWriter | None,
    joined: JoinedChunk,
    first: int,
    *,
    er2: bool,
) -> None:
    """Write the sites of a chunk from site `first` of the output on."""
    for block in joined.blocks(left_out=empirical is not None):
        rows = block.rows
        writer.write_haplotypes(
            first + rows.start,
            block.alt,
            joined.is_imputed[rows],
            frequency=joined.frequency[rows],
            dr2=None if joined.dr2 is None else joined.dr2[rows],
            pr2=joined.pr2[rows],
            er2=joined.er2[rows] if er2 and joined.er2 is not None else None,
            is_haploid=joined.is_haploid,
        )
        if empirical is not None:
            empirical.write(joined, block)


def _compare(
    search: DuplicateSearch, runs: PartRuns, chunk: ChunkPlan, references: ChunkReferences | None
) -> None:
    """Compare the target's genotypes with the panel's, to find duplicates."""
    sites = search.sites(chunk.typed, chunk.core)
    if len(sites) == 0:
        return
    panel, target = runs.source.panel, runs.source.samples
    if references is None:
        haplotypes = panel.samples.ploidy.haplotypes_at(chunk.core.start)
        bits = stored_haplotypes.read_sites(panel, sites, haplotypes)
    else:
        haplotypes = references.haplotypes
        bits = references.alleles.at(sites)
    alleles = target.alleles_at(sites)
    is_haploid = target.ploidy.at(chunk.core.start)
    alleles[:, is_haploid, 1] = alleles[:, is_haploid, 0]
    search.add(sites, _as_homozygotes(panel, chunk, haplotypes, bits), alleles)


def _as_homozygotes(
    panel: PanelReader,
    chunk: ChunkPlan,
    haplotypes: NDArray[np.int64],
    bits: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Alleles of the panel; those of haploid samples are there twice."""
    num_samples = len(panel.samples)
    if len(bits) == 2 * num_samples:
        return bits
    first = np.searchsorted(haplotypes, 2 * np.arange(num_samples))
    last = first + ~panel.samples.ploidy.at(chunk.core.start)
    return bits[np.stack([first, last], axis=1).ravel()]
