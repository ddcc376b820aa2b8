"""People taken out of a panel, and what the rest of it says of them.

Everything that is said of a person - frequencies, groups, switch rates, candidates - is made from
the references alone, and of the person's own alleles only the typed ones are looked at.

H haplotypes of the panel, S sites of a chunk, R references among H, n people to be imputed,
T typed sites, F inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups
from vcfbert.copying.engine import ImputedChunk, Prepared
from vcfbert.copying.inputs import NUM_INPUTS
from vcfbert.copying.network import Network
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.pipelines.imputation_chunks import fitted_rates
from vcfbert.retrieval import along
from vcfbert.storage import haplotypes
from vcfbert.storage.panel import PanelReader
from vcfbert.training.mosaic import OpenData

PEOPLE_OF_DESIGN = 1_000
"""References that designs look at; makers of arrays see other people than are typed."""

_ROWS_AT_ONCE = 1_024


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
    """People who are not among the references, over one stretch.

    references  (R,) haplotypes; both of each person, side by side
    bits        (R, ceil(S / 64)) their alleles
    group       (R,)
    people      (n,)
    """

    stretch: Stretch
    references: NDArray[np.int64]
    bits: NDArray[np.uint64]
    group: NDArray[np.int64]
    people: NDArray[np.int64]

    def truth(self) -> NDArray[np.uint8]:
        """(2 n, S) all alleles of the people, for scores and labels alone."""
        return self.stretch.alleles(site_tables.haplotypes_of(self.people))


@dataclass(frozen=True)
class Ready:
    """People taken out who are typed at some sites, ready for the engine.

    sites       (S',) of the stretch that the engine passes: its core, and the typed around it
    queries     (n, 2, T) alleles at the typed sites
    candidates  2 n arrays of rows of the references
    """

    prepared: Prepared
    sites: NDArray[np.int64]
    queries: NDArray[np.uint8]
    candidates: list[NDArray[np.int64]]

    def impute(self, answer: Network, *, threads: int) -> ImputedChunk:
        """Answers for all of the sites; without a network none needs a closer look."""
        return engine.impute_people(
            self.prepared,
            answer,
            self.queries,
            self.candidates,
            threads=threads,
            low=engine.LOW if answer.weights is not None else 1.0,
        )


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
    stretch: Stretch, references: NDArray[np.int64], people: NDArray[np.int64]
) -> TakenOut:
    """Group the references; `people` must not be among them."""
    own = site_tables.haplotypes_of(people)
    assert not np.isin(own, references).any(), "a person would be copied from themselves"
    frequency = _frequency(stretch, references)
    chosen = groups.sites_for(frequency)
    group = groups.of_references(stretch.alleles(references, chosen))
    return TakenOut(stretch, references, stretch.bits[references], group, people)


def make_ready(taken: TakenOut, typed: NDArray[np.int64], *, seed: int, threads: int) -> Ready:
    """Prepare the references for people who are typed at these sites of the stretch.

    typed  (T,) rising, at least one
    """
    stretch = taken.stretch
    sites = np.union1d(np.flatnonzero(stretch.is_core), typed)
    bits = taken.bits if len(sites) == len(stretch.cm) else engine.take_bits(taken.bits, sites)
    typed_bits = engine.take_bits(taken.bits, typed)
    rates = fitted_rates(typed_bits, stretch.cm[typed], seed=seed, threads=threads)
    places = np.searchsorted(sites, typed)
    prepared = engine.prepare(bits, places, stretch.cm[sites], taken.group, rates, typed_bits)
    asked = stretch.alleles(site_tables.haplotypes_of(taken.people), typed)
    return Ready(
        prepared,
        sites,
        asked.reshape(len(taken.people), 2, len(typed)),
        along.candidates(typed_bits, asked, threads=threads),
    )


def open_data(
    ready: Ready,
    taken: TakenOut,
    *,
    most: int,
    rng: np.random.Generator,
    threads: int,
    truth: NDArray[np.uint8] | None = None,
) -> OpenData:
    """Undecided sites of the stretch's core with their true alleles, `most` of them at random.

    truth  (2 n, S) labels where they are not what the stretch has, which may hold false calls
    """
    truth = taken.truth() if truth is None else truth
    is_core = taken.stretch.is_core
    rows, labels = [np.empty((0, NUM_INPUTS), np.float32)], [np.empty(0, np.uint8)]
    for number, sites, found in _open_sites(ready, threads):
        wanted = is_core[sites]
        rows.append(found[wanted])
        labels.append(truth[number, sites[wanted]])
    data = OpenData(np.concatenate(rows), np.concatenate(labels))
    if len(data.rows) <= most:
        return data
    chosen = np.sort(rng.permutation(len(data.rows))[:most])
    return OpenData(data.rows[chosen], data.labels[chosen])


def design_panel(
    taken: TakenOut, population: NDArray[np.integer], rng: np.random.Generator
) -> DesignPanel:
    """Some of the references, whom designs of typed sites are made for.

    population  (N,) number of each person's population in the whole panel
    """
    people = taken.references[0::2] // 2
    if len(people) > PEOPLE_OF_DESIGN:
        people = np.sort(rng.permutation(people)[:PEOPLE_OF_DESIGN])
    return DesignPanel(
        position=taken.stretch.position,
        references=taken.stretch.alleles(site_tables.haplotypes_of(people)),
        population_of_reference=population[people].astype(np.int16),
    )


def joined(parts: Sequence[OpenData]) -> OpenData:
    """All rows of several."""
    empty = OpenData(np.empty((0, NUM_INPUTS), np.float32), np.empty(0, np.uint8))
    return OpenData(
        np.concatenate([empty.rows, *(part.rows for part in parts)]),
        np.concatenate([empty.labels, *(part.labels for part in parts)]),
    )


def _open_sites(
    ready: Ready, threads: int
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Number of each query haplotype, its open sites in the stretch, their rows; in order."""

    def run(person: int) -> list[engine.OpenSites]:
        pair = engine.open_sites(
            ready.prepared, ready.queries[person], ready.candidates[2 * person : 2 * person + 2]
        )
        # A copy, because what is returned is a view into room for every site.
        return [engine.OpenSites(side.open.rows.copy(), side.open.sites.copy()) for side in pair]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for person, sides in enumerate(pool.map(run, range(len(ready.queries)))):
            for side, found in enumerate(sides):
                yield 2 * person + side, ready.sites[found.sites], found.rows


def _frequency(stretch: Stretch, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(S,) of ALT among some haplotypes, unpacked a few at a time."""
    count = np.zeros(len(stretch.cm), np.int64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        count += stretch.alleles(rows[first : first + _ROWS_AT_ONCE]).sum(axis=0, dtype=np.int64)
    return count / max(len(rows), 1)
