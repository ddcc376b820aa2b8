"""Training data of `mosaic`: undecided sites of left-out samples with their true alleles.

S sites of a chunk, R references, n left-out samples, F inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine
from vcfbert.copying.engine import OpenSites
from vcfbert.domain import sites as site_tables
from vcfbert.domain.ploidy import existing
from vcfbert.pipelines.chunks.panel_samples import LeftOut, TypedSamples
from vcfbert.pipelines.mosaic.designs import DesignPanel
from vcfbert.training.mosaic import fitting
from vcfbert.training.mosaic.fitting import OpenData

SAMPLES_OF_DESIGN = 1_000
"""References that a design is made from: not all, because arrays are designed on other samples."""


def open_data(
    typed: TypedSamples,
    left_out: LeftOut,
    most: int,
    rng: np.random.Generator,
    threads: int,
    *,
    truth: NDArray[np.uint8] | None = None,
) -> OpenData:
    """Undecided sites of the chunk's core with their true alleles, `most` of them at random.

    truth  (2 n, S) labels, if the alleles of the chunk have genotyping errors
    """
    truth = left_out.truth() if truth is None else truth
    is_core = left_out.chunk.is_core
    parts = []
    for number, found in _open_sites(typed, threads):
        sites = typed.sites[found.sites]
        wanted = is_core[sites]
        parts.append(OpenData(found.rows[wanted], truth[number, sites[wanted]]))
    data = fitting.joined(parts)
    if len(data.rows) <= most:
        return data
    chosen = np.sort(rng.permutation(len(data.rows))[:most])
    return OpenData(data.rows[chosen], data.labels[chosen])


def design_panel(
    left_out: LeftOut, population: NDArray[np.integer], rng: np.random.Generator
) -> DesignPanel:
    """Some of the references, to make designs of typed sites from.

    population  (N,) index of each sample's population in the whole panel
    """
    samples = np.unique(left_out.references // 2)
    if len(samples) > SAMPLES_OF_DESIGN:
        samples = np.sort(rng.permutation(samples)[:SAMPLES_OF_DESIGN])
    rows = site_tables.haplotypes_of(samples)
    rows = rows[existing(left_out.chunk.is_haploid)[rows]]
    return DesignPanel(
        position=left_out.chunk.position,
        references=left_out.chunk.alleles(rows),
        population=population[rows // 2].astype(np.int16),
    )


def _open_sites(typed: TypedSamples, threads: int) -> Iterator[tuple[int, OpenSites]]:
    """Index of each query haplotype, and its undecided sites."""

    def run(sample: int) -> list[OpenSites]:
        count = 1 if typed.is_haploid[sample] else 2
        pair = engine.open_sites(
            typed.prepared,
            typed.queries[sample, :count],
            typed.candidates[2 * sample : 2 * sample + count],
        )
        # A copy, because the result is a view of an array with room for all sites.
        return [OpenSites(side.open.rows.copy(), side.open.sites.copy()) for side in pair]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for sample, sides in enumerate(pool.map(run, range(len(typed.queries)))):
            for side, found in enumerate(sides):
                yield 2 * sample + side, found
