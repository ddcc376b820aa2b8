"""Samples taken out of a panel, and what the rest of it says of them.

Everything that is said of a sample - frequencies, groups, switch rates, candidates - is made from
the references alone, and of the sample's own alleles only the typed ones are looked at.

H haplotypes of the panel, S sites of a chunk, R references among H, n samples to be imputed,
T typed sites, F inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups
from vcfbert.copying.engine import ImputedChunk, OpenSites, Prepared
from vcfbert.copying.network import Answer
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.pipelines.chunks.chunk_imputation import fitted_rates
from vcfbert.retrieval import along
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.devices import Device
from vcfbert.training.mosaic import fitting, mosaic_large, torch_engine
from vcfbert.training.mosaic.fitting import OpenData
from vcfbert.training.mosaic.mosaic_large import OpenSequences

SAMPLES_OF_DESIGN = 1_000
"""References that designs look at; makers of arrays see other samples than are typed."""

_ROWS_AT_ONCE = 1_024
_SAMPLES_AT_ONCE = 16  # whose open sites are found before it is seen whether they are enough


@dataclass(frozen=True)
class Stretch:
    """Some sites of the panel with everyone's alleles.

    sites     (S,) panel indexes, rising, of one contig
    is_core   (S,) the sites to answer for; of the others only the typed are of use
    bits      (H, ceil(S / 64)) uint64, the first site in the lowest bit
    position  (S,) and `cm` (S,)
    """

    sites: NDArray[np.int64]
    is_core: NDArray[np.bool_]
    bits: NDArray[np.uint64]
    position: NDArray[np.int32]
    cm: NDArray[np.float64]

    def alleles(
        self, rows: NDArray[np.int64], sites: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """(len(rows), S), or the sites that are named, 0 REF and 1 ALT."""
        bits, count = self.bits[rows], len(self.cm)
        if sites is not None:
            bits, count = engine.take_bits(bits, sites), len(sites)
        return tokens.unpack(np.ascontiguousarray(bits).view(np.uint8), count)


@dataclass(frozen=True)
class TakenOut:
    """Samples who are not among the references, over one stretch.

    references  (R,) haplotypes; both of each sample, side by side
    bits        (R, ceil(S / 64)) their alleles
    group       (R,)
    samples      (n,)
    """

    stretch: Stretch
    references: NDArray[np.int64]
    bits: NDArray[np.uint64]
    group: NDArray[np.int64]
    samples: NDArray[np.int64]

    def truth(self) -> NDArray[np.uint8]:
        """(2 n, S) all alleles of the samples, for scores and labels alone."""
        return self.stretch.alleles(site_tables.haplotypes_of(self.samples))


@dataclass(frozen=True)
class Ready:
    """Samples taken out who are typed at some sites, ready for the engine.

    sites       (S',) of the stretch that the engine passes: its core, and the typed around it
    queries     (n, 2, T) alleles at the typed sites
    candidates  2 n arrays of rows of the references
    """

    prepared: Prepared
    sites: NDArray[np.int64]
    queries: NDArray[np.uint8]
    candidates: list[NDArray[np.int64]]

    def impute(self, answer: Answer, *, threads: int, device: Device | None = None) -> ImputedChunk:
        """Answers for all of the sites; without a network none needs a closer look.

        device  None is the CPU, compiled
        """
        low = 1.0 if answer.is_heads else engine.LOW
        given = (self.prepared, answer, self.queries, self.candidates)
        if device is None:
            return engine.impute_samples(*given, threads=threads, low=low)
        return torch_engine.impute_samples(*given, device=device, low=low)


@dataclass(frozen=True)
class DesignPanel:
    """What `designs` reads: some of the references, unpacked."""

    position: NDArray[np.int32]
    references: NDArray[np.uint8]
    population_of_reference: NDArray[np.int16]


def read_stretch(panel: PanelReader, sites: NDArray[np.int64], core: slice) -> Stretch:
    """Everyone's alleles at some sites.

    sites  (S,) panel indexes, rising
    core   range of the panel's sites
    """
    return Stretch(
        sites=sites,
        is_core=(sites >= core.start) & (sites < core.stop),
        bits=haplotypes.read_sites(panel, sites),
        position=panel.sites.position[sites],
        cm=panel.sites.cm[sites],
    )


def take_out(
    stretch: Stretch, references: NDArray[np.int64], samples: NDArray[np.int64]
) -> TakenOut:
    """Group the references; `samples` must not be among them."""
    own = site_tables.haplotypes_of(samples)
    assert not np.isin(own, references).any(), "a sample would be copied from themselves"
    frequency = _frequency(stretch, references)
    chosen = groups.sites_for(frequency)
    group = groups.of_references(stretch.alleles(references, chosen))
    return TakenOut(stretch, references, stretch.bits[references], group, samples)


def make_ready(taken: TakenOut, typed: NDArray[np.int64], *, seed: int, threads: int) -> Ready:
    """Prepare the references for samples who are typed at these sites of the stretch.

    typed  (T,) rising, at least one
    """
    stretch = taken.stretch
    sites = np.union1d(np.flatnonzero(stretch.is_core), typed)
    bits = taken.bits if len(sites) == len(stretch.cm) else engine.take_bits(taken.bits, sites)
    typed_bits = engine.take_bits(taken.bits, typed)
    rates = fitted_rates(typed_bits, stretch.cm[typed], seed=seed, threads=threads)
    places = np.searchsorted(sites, typed)
    prepared = engine.prepare(bits, places, stretch.cm[sites], taken.group, rates, typed_bits)
    asked = stretch.alleles(site_tables.haplotypes_of(taken.samples), typed)
    return Ready(
        prepared,
        sites,
        asked.reshape(len(taken.samples), 2, len(typed)),
        along.candidates(typed_bits, asked, threads=threads),
    )


def open_data(
    ready: Ready,
    taken: TakenOut,
    most: int,
    rng: np.random.Generator,
    threads: int,
    *,
    truth: NDArray[np.uint8] | None = None,
) -> OpenData:
    """Undecided sites of the stretch's core with their true alleles, `most` of them at random.

    truth  (2 n, S) labels where they are not what the stretch has, which may hold false calls
    """
    truth = taken.truth() if truth is None else truth
    is_core = taken.stretch.is_core
    everyone = np.arange(len(ready.queries))
    parts = []
    for number, found in _open_sites(ready, everyone, threads):
        sites = ready.sites[found.sites]
        wanted = is_core[sites]
        parts.append(OpenData(found.rows[wanted], truth[number, sites[wanted]]))
    data = fitting.joined(parts)
    if len(data.rows) <= most:
        return data
    chosen = np.sort(rng.permutation(len(data.rows))[:most])
    return OpenData(data.rows[chosen], data.labels[chosen])


def open_sequences(
    ready: Ready, taken: TakenOut, most: int, rng: np.random.Generator, threads: int
) -> OpenSequences:
    """Undecided sites of the stretch's core in the order of the genome, with their true alleles.

    most  samples are taken at random until they have so many; both haplotypes of each are whole
    """
    truth, is_core = taken.truth(), taken.stretch.is_core
    place = engine.places(ready.prepared)
    samples = rng.permutation(len(ready.queries))
    parts, total = [], 0
    for number, found in _open_sites(ready, samples, threads):
        if number % 2 == 0 and total >= most:
            break
        order = np.argsort(found.sites)
        order = order[is_core[ready.sites[found.sites[order]]]]
        sites = found.sites[order]
        data = OpenData(found.rows[order], truth[number, ready.sites[sites]])
        parts.append(OpenSequences(data, place[sites], np.array([0, len(sites)])))
        total += len(sites)
    return mosaic_large.joined(parts)


def design_panel(
    taken: TakenOut, population: NDArray[np.integer], rng: np.random.Generator
) -> DesignPanel:
    """Some of the references, whom designs of typed sites are made for.

    population  (N,) number of each sample's population in the whole panel
    """
    samples = taken.references[0::2] // 2
    if len(samples) > SAMPLES_OF_DESIGN:
        samples = np.sort(rng.permutation(samples)[:SAMPLES_OF_DESIGN])
    return DesignPanel(
        position=taken.stretch.position,
        references=taken.stretch.alleles(site_tables.haplotypes_of(samples)),
        population_of_reference=population[samples].astype(np.int16),
    )


def _open_sites(
    ready: Ready, samples: NDArray[np.int64], threads: int
) -> Iterator[tuple[int, OpenSites]]:
    """Number of each query haplotype of some samples, and its open sites; in their order."""

    def run(sample: int) -> list[OpenSites]:
        pair = engine.open_sites(
            ready.prepared, ready.queries[sample], ready.candidates[2 * sample : 2 * sample + 2]
        )
        # A copy, because what is returned is a view into room for every site.
        return [OpenSites(side.open.rows.copy(), side.open.sites.copy()) for side in pair]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for few in np.array_split(samples, -(-len(samples) // _SAMPLES_AT_ONCE)):
            for sample, sides in zip(few.tolist(), pool.map(run, few.tolist()), strict=True):
                for side, found in enumerate(sides):
                    yield 2 * sample + side, found


def _frequency(stretch: Stretch, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(S,) of ALT among some haplotypes, unpacked a few at a time."""
    count = np.zeros(len(stretch.cm), np.int64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        count += stretch.alleles(rows[first : first + _ROWS_AT_ONCE]).sum(axis=0, dtype=np.int64)
    return count / max(len(rows), 1)
