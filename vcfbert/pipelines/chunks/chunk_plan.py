"""What an imputation reads, works on and writes, chunk by chunk; worked out before it begins.

S sites in the panel, T typed ones, C chunks. A chunk answers for the sites of its core. Beyond the
core it looks at typed sites alone, so context costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import chunks, genetic_map
from vcfbert.domain.genetic_map import ContigMap
from vcfbert.domain.sites import Region, Sites
from vcfbert.errors import InputError
from vcfbert.storage import site_lists, tables

CORE_BYTES = 1_000_000_000
"""Memory that the alleles of a core's references and the answers of its samples may take."""

MOST_CORE_SITES = 100_000
FEWEST_CORE_SITES = 1_000


@dataclass(frozen=True)
class ChunkPlan:
    """One chunk.

    number   counted over the whole panel, from 0
    core     panel sites that it answers for
    around   panel sites within the overlap of the core, and the core
    written  (n,) those of them that are written
    typed    (T,) panel sites that it reads genotypes of, rising: in the core and around it
    """

    number: int
    core: slice
    around: slice
    written: NDArray[np.int64]
    typed: NDArray[np.int64]

    @property
    def sites(self) -> NDArray[np.int64]:
        """Panel sites that the heads pass, rising.

        The ends of the stretch are among them whatever is written, because matches are measured
        from there.
        """
        return self._with_context(self.written)

    @property
    def all_sites(self) -> NDArray[np.int64]:
        """The same with the whole core, for a network whose answers depend on its other sites."""
        return self._with_context(np.arange(self.core.start, self.core.stop))

    def _with_context(self, sites: NDArray[np.int64]) -> NDArray[np.int64]:
        ends = np.array([self.around.start, self.around.stop - 1])
        return np.union1d(np.union1d(sites, self.typed), ends)


@dataclass(frozen=True)
class Cores:
    """The cores that are to be written, and how far around them genotypes are looked for.

    number       (C,) of the core, counted over the whole panel
    start, stop  (C,) panel sites
    low, high    (C,) panel sites, half-open, within the overlap of the core
    """

    number: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)


def with_map(sites: Sites, path: Path | None) -> Sites:
    """The same sites at the genetic positions of another map; None leaves them."""
    if path is None:
        return sites
    maps: dict[str, ContigMap] = tables.read_genetic_map(path)
    cm = np.empty(len(sites))
    for number in np.unique(sites.contig).tolist():
        here = sites.contig == number
        name = sites.contigs[number]
        cm[here] = genetic_map.centimorgans(maps, name, sites.position[here], source=str(path))
    return replace(sites, cm=cm)


def wanted_sites(
    sites: Sites, region: str | None, listed: Path | None, *, source: str
) -> NDArray[np.bool_]:
    """(S,) True for the sites to write: those of a region, and of a list.

    Raises InputError where there are none; `source` is the panel.
    """
    is_wanted = np.ones(len(sites), dtype=np.bool_)
    if region is not None:
        stretch = Region.parse(region).among(sites.contigs, source=source)
        is_wanted &= sites.contig == sites.contigs.index(stretch.contig)
        is_wanted &= (sites.position >= stretch.start) & (sites.position <= stretch.end)
        if not is_wanted.any():
            raise InputError(f"{source} has no sites in {stretch}. Give another --region.")
    if listed is None:
        return is_wanted
    lines = set(site_lists.read_list(listed))
    if not lines:
        raise InputError(f"{listed} lists no sites. Give one a line: chromosome and position.")
    is_listed = site_lists.match(lines, sites).is_typed & is_wanted
    if not is_listed.any():
        first = min(lines, key=lambda site: (site.contig, site.position))
        raise InputError(
            f"None of the {len(lines):,} sites in {listed} (such as {first.contig}:"
            f"{first.position}) is among the panel's{' of the region' if region else ''}. "
            "Give a list of the panel's region and genome build."
        )
    return is_listed


def most_core_sites(num_haplotypes: int, num_samples: int) -> int:
    """Sites of a core that memory has room for: a bit a reference, two probabilities a sample."""
    each = num_haplotypes / 8 + 8 * num_samples + 200
    return int(np.clip(CORE_BYTES / each, FEWEST_CORE_SITES, MOST_CORE_SITES))


def cut(
    sites: Sites,
    is_wanted: NDArray[np.bool_],
    chunk_cm: float,
    overlap_cm: float,
    most_sites: int,
) -> Cores:
    """The cores that hold a wanted site, of a panel that is always cut in the same places.

    So what is written of a site does not depend on which others are.
    """
    whole = chunks.cut(sites.cm, sites.contig, chunk_cm, 0.0, most_sites)
    before = np.concatenate([[0], np.cumsum(is_wanted)])
    number = np.flatnonzero(before[whole.core_stop] > before[whole.core_start])
    start, stop = whole.core_start[number], whole.core_stop[number]
    low, high = np.empty_like(start), np.empty_like(stop)
    for row, (first, last) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        begin, end = contig_range(sites, first)
        cm = sites.cm[begin:end]
        low[row] = begin + np.searchsorted(cm, sites.cm[first] - overlap_cm, side="left")
        high[row] = begin + np.searchsorted(cm, sites.cm[last - 1] + overlap_cm, side="right")
    return Cores(number, start, stop, low, high)


def contig_range(sites: Sites, site: int) -> tuple[int, int]:
    """The half-open range of the sites on a site's contig."""
    contig = sites.contig[site]
    here = np.flatnonzero(sites.contig == contig)
    return int(here[0]), int(here[-1]) + 1


def region_to_read(sites: Sites, cores: Cores) -> str:
    """The stretch of one contig that holds all genotypes that its cores look at."""
    first, last = int(cores.low.min()), int(cores.high.max()) - 1
    name = sites.contigs[sites.contig[first]]
    return f"{name}:{sites.position[first]}-{sites.position[last]}"


def plan(
    sites: Sites,
    cores: Cores,
    is_wanted: NDArray[np.bool_],
    typed: NDArray[np.int64],
    min_typed: int,
) -> list[ChunkPlan]:
    """The chunks to impute; those of contigs with fewer than `min_typed` typed sites are left out.

    typed  (T,) panel sites with genotypes, rising
    """
    planned = []
    for row in range(len(cores)):
        begin, end = contig_range(sites, int(cores.start[row]))
        on_contig = typed[slice(*np.searchsorted(typed, [begin, end]))]
        if len(on_contig) < min_typed:
            continue
        core = slice(int(cores.start[row]), int(cores.stop[row]))
        low, high = np.searchsorted(on_contig, [cores.low[row], cores.high[row]]).tolist()
        low, high = widened(sites.cm[on_contig], low, high, sites.cm[core], min_typed)
        written = core.start + np.flatnonzero(is_wanted[core])
        around = slice(int(cores.low[row]), int(cores.high[row]))
        number = int(cores.number[row])
        planned.append(ChunkPlan(number, core, around, written, on_contig[low:high]))
    return planned


def widened(
    typed_cm: NDArray[np.floating],
    low: int,
    high: int,
    core_cm: NDArray[np.floating],
    least: int,
) -> tuple[int, int]:
    """A range of typed sites with the nearest ones added until it has `least`, if there are.

    >>> widened(np.array([0.0, 5.0, 9.0, 20.0]), 1, 1, np.array([6.0, 7.0]), 2)
    (1, 3)
    """
    while high - low < min(least, len(typed_cm)):
        left = core_cm[0] - typed_cm[low - 1] if low > 0 else np.inf
        right = typed_cm[high] - core_cm[-1] if high < len(typed_cm) else np.inf
        low, high = (low - 1, high) if left <= right else (low, high + 1)
    return low, high


def take(sites: Sites, chosen: NDArray[np.int64]) -> Sites:
    """Some of the sites, as a table of their own.

    chosen  (n,) rising
    """
    if len(chosen) == len(sites):
        return sites
    rows = chosen.tolist()
    return replace(
        sites,
        contig=sites.contig[chosen],
        position=sites.position[chosen],
        identifier=[sites.identifier[row] for row in rows],
        ref=[sites.ref[row] for row in rows],
        alt=[sites.alt[row] for row in rows],
        site_type=sites.site_type[chosen],
        cm=sites.cm[chosen],
        alt_count=sites.alt_count[chosen],
        population_alt_count=sites.population_alt_count[chosen],
    )
