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

from vcfbert.copying import engine, groups, heads
from vcfbert.copying.engine import Prepared
from vcfbert.copying.inputs import NUM_INPUTS
from vcfbert.domain import chunks, tokens
from vcfbert.domain import sites as site_tables
from vcfbert.domain.chunks import Chunks
from vcfbert.domain.sites import Sites
from vcfbert.retrieval import along
from vcfbert.storage.panel import PanelReader
from vcfbert.training.mosaic import OpenData

CHUNK_CM, OVERLAP_CM, MAX_SITES = 10.0, 2.0, 60_000
"""See `domain.chunks.cut`."""

PEOPLE_OF_FIT = 8
"""References that the switch rates are fitted on."""

PEOPLE_OF_DESIGN = 1_000
"""References that designs look at; makers of arrays see other people than are typed."""

_ROWS_AT_ONCE = 1_024


@dataclass(frozen=True)
class Stretch:
    """A chunk of the panel with everyone's alleles.

    first     panel index of its first site
    core      the sites it answers for, counted from the first
    bits      (H, ceil(S / 64)) uint64, the first site in the lowest bit
    position  (S,) and `cm` (S,)
    """

    first: int
    core: slice
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

    queries     (n, 2, T) alleles at the typed sites
    candidates  2 n arrays of rows of the references
    """

    prepared: Prepared
    queries: NDArray[np.uint8]
    candidates: list[NDArray[np.int64]]


@dataclass(frozen=True)
class DesignPanel:
    """What `designs` reads: some of the references, unpacked."""

    position: NDArray[np.int32]
    references: NDArray[np.uint8]
    population_of_reference: NDArray[np.int16]


def cut(sites: Sites) -> Chunks:
    """The chunks that a panel is imputed in."""
    return chunks.cut(sites.cm, sites.contig, CHUNK_CM, OVERLAP_CM, MAX_SITES)


def read_stretch(panel: PanelReader, sites: slice, core: slice) -> Stretch:
    """Everyone's alleles over a chunk.

    sites, core  ranges of panel sites, the core within the sites
    """
    parts = []
    for window in range(len(panel.windows)):
        here = panel.windows.core_start[window], panel.windows.core_stop[window]
        start, stop = max(sites.start, here[0]), min(sites.stop, here[1])
        if start < stop:
            offset = panel.windows.start[window]
            alleles = tokens.unpack(panel.packed(window), panel.windows.num_sites(window))
            parts.append(alleles[:, start - offset : stop - offset])
    return Stretch(
        first=sites.start,
        core=slice(core.start - sites.start, core.stop - sites.start),
        bits=packed(np.concatenate(parts, axis=1)),
        position=panel.sites.position[sites],
        cm=panel.sites.cm[sites],
    )


def packed(alleles: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(H, S) to (H, ceil(S / 64))."""
    spare = -alleles.shape[1] % 64
    return tokens.pack(np.pad(alleles, ((0, 0), (0, spare)))).view(np.uint64)


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
    typed_bits = engine.take_bits(taken.bits, typed)
    rates = heads.initial(len(taken.bits))
    prepared = engine.prepare(taken.bits, typed, stretch.cm, taken.group, rates, typed_bits)
    prepared = _fitted(prepared, seed=seed, threads=threads)
    asked = stretch.alleles(site_tables.haplotypes_of(taken.people), typed)
    return Ready(
        prepared,
        asked.reshape(len(taken.people), 2, len(typed)),
        along.candidates(typed_bits, asked, threads=threads),
    )


def _fitted(prepared: Prepared, *, seed: int, threads: int) -> Prepared:
    """Switch rates that suit some of the references, imputed without their own person."""
    typed_bits, num_typed = prepared.chunk.typed_bits, len(prepared.chunk.typed)
    num_people = len(typed_bits) // 2
    people = np.unique(np.linspace(0, num_people - 1, PEOPLE_OF_FIT).astype(np.int64))
    rows = site_tables.haplotypes_of(people)
    known = tokens.unpack(typed_bits[rows].view(np.uint8), num_typed)
    own = list(np.repeat(rows.reshape(-1, 2), 2, axis=0))
    found = along.candidates(typed_bits, known, own, threads=threads)
    return engine.fit_rates(
        prepared, known.reshape(len(people), 2, num_typed), found, seed=seed, threads=threads
    )


def open_data(
    ready: Ready,
    taken: TakenOut,
    *,
    most: int,
    rng: np.random.Generator,
    threads: int,
) -> OpenData:
    """Undecided sites of the stretch's core with their true alleles, `most` of them at random."""
    truth, core = taken.truth(), taken.stretch.core
    rows, labels = [np.empty((0, NUM_INPUTS), np.float32)], [np.empty(0, np.uint8)]
    for number, sites, found in _open_sites(ready, threads):
        is_core = (sites >= core.start) & (sites < core.stop)
        rows.append(found[is_core])
        labels.append(truth[number, sites[is_core]])
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
    """Number of each query haplotype, its open sites and their rows, in order."""

    def run(person: int) -> list[engine.OpenSites]:
        pair = engine.open_sites(
            ready.prepared, ready.queries[person], ready.candidates[2 * person : 2 * person + 2]
        )
        # A copy, because what is returned is a view into room for every site.
        return [engine.OpenSites(side.open.rows.copy(), side.open.sites.copy()) for side in pair]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for person, sides in enumerate(pool.map(run, range(len(ready.queries)))):
            for side, found in enumerate(sides):
                yield 2 * person + side, found.sites, found.rows


def _frequency(stretch: Stretch, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(S,) of ALT among some haplotypes, unpacked a few at a time."""
    count = np.zeros(len(stretch.cm), np.int64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        count += stretch.alleles(rows[first : first + _ROWS_AT_ONCE]).sum(axis=0, dtype=np.int64)
    return count / max(len(rows), 1)
