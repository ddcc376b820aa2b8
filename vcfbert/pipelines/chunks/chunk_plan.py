"""Plan of an imputation: which sites each chunk reads, imputes and writes.

S sites in the panel, T typed sites, C chunks. A chunk imputes the sites of its core. Around the
core it reads typed sites only, so context costs very little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import chunks, genetic_map, tokens
from vcfbert.domain.sites import Region, Sites
from vcfbert.errors import ConfigError, InputError
from vcfbert.storage import map_files, site_lists

CHUNK_CM, OVERLAP_CM = 10.0, 2.0
"""Longest core, and how far around it typed sites are read."""

MIN_TYPED = 5
"""Fewest typed sites of a contig that is imputed, and of a chunk."""

CORE_BYTES = 1_000_000_000
"""Memory for the alleles of a core's references."""

NO_BORDERS = np.empty(0, np.int64)

MOST_CORE_SITES = 100_000
FEWEST_CORE_SITES = 1_000


@dataclass(frozen=True)
class ChunkPlan:
    """One chunk.

    number   index among the chunks of the whole panel
    core     panel sites that it imputes
    around   panel sites of the core and within the overlap on either side
    written  (n,) sites of the core that are written
    typed    (T,) typed panel sites in and around the core, rising
    """

    number: int
    core: slice
    around: slice
    written: NDArray[np.int64]
    typed: NDArray[np.int64]

    @cached_property
    def sites(self) -> NDArray[np.int64]:
        """Panel sites that the copying model imputes, rising.

        Both ends of `around` are always included, because matches are measured from them.
        """
        ends = np.array([self.around.start, self.around.stop - 1])
        return np.union1d(np.union1d(self.written, self.typed), ends)

    @cached_property
    def is_typed(self) -> NDArray[np.bool_]:
        """(n,) True for written sites that are typed."""
        return np.isin(self.written, self.typed)


@dataclass(frozen=True)
class Cores:
    """Cores with sites to write.

    number       (C,) index among the chunks of the whole panel
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


def check_lengths(chunk_cm: float, overlap_cm: float) -> None:
    """Raise ConfigError for lengths of chunks and overlaps that cannot be."""
    if not (np.isfinite(chunk_cm) and chunk_cm > 0):
        raise ConfigError(f"--chunk-cm must be greater than 0, got {chunk_cm:g}.")
    if not (np.isfinite(overlap_cm) and overlap_cm >= 0):
        raise ConfigError(f"--overlap-cm must be at least 0, got {overlap_cm:g}.")


def with_map(sites: Sites, path: Path | None) -> Sites:
    """The same sites at the genetic positions of another map; None keeps the panel's."""
    if path is None:
        return sites
    maps = map_files.read_for(path, sites.contigs)
    cm = genetic_map.of_sites(maps, sites.contigs, sites.contig, sites.position, source=str(path))
    return replace(sites, cm=cm)


def wanted_sites(
    sites: Sites, region: str | None, listed: Path | None, *, source: str
) -> NDArray[np.bool_]:
    """(S,) True for the sites to write: in the region, and in the list.

    Raises InputError if there are none; `source` is the path of the panel.
    """
    is_wanted = np.ones(len(sites), dtype=np.bool_)
    if region is not None:
        parsed = Region.parse(region, sites.contigs, source=source)
        is_wanted &= sites.contig == sites.contigs.index(parsed.contig)
        is_wanted &= (sites.position >= parsed.start) & (sites.position <= parsed.end)
        if not is_wanted.any():
            raise InputError(f"{source} has no sites in {parsed}. Give another --region.")
    if listed is None:
        return is_wanted
    lines = set(site_lists.read_list(listed))
    if not lines:
        raise InputError(f"{listed} lists no sites. Give a chromosome and a position on each line.")
    is_listed = site_lists.match(lines, sites).is_typed & is_wanted
    if not is_listed.any():
        first = min(lines, key=lambda site: (site.contig, site.position))
        raise InputError(
            f"None of the {plurals.of(len(lines), 'site')} in {listed} (such as "
            f"{first.contig}:{first.position}) is in the "
            f"panel{' within the region' if region else ''}. Give a list for the panel's region "
            "and genome build."
        )
    return is_listed


def most_core_sites(num_haplotypes: int) -> int:
    """Sites of a core that fit into memory: a bit per reference.

    It depends on the panel alone, so a sample is cut in the same places in any company.
    """
    each = num_haplotypes / 8 + 200
    return int(np.clip(CORE_BYTES / each, FEWEST_CORE_SITES, MOST_CORE_SITES))


def cut(
    sites: Sites,
    is_wanted: NDArray[np.bool_],
    chunk_cm: float,
    overlap_cm: float,
    most_sites: int,
    borders: NDArray[np.int64] = NO_BORDERS,
) -> Cores:
    """The cores with a wanted site.

    The panel is always cut in the same places, so that the result at a site does not depend on
    which other sites are written. Sites at one position are in one core.

    borders  (n,) first sites of ranges with another ploidy; a chunk lies within one of them
    """
    stretch = sites.contig + np.searchsorted(borders, np.arange(len(sites)), side="right")
    edges = chunks.cut(sites.cm, stretch, chunk_cm, most_sites)
    edges = np.unique(_first_of_position(sites, edges[:-1]))
    edges = np.append(edges, len(sites))
    before = np.concatenate([[0], np.cumsum(is_wanted)])
    number = np.flatnonzero(np.diff(before[edges]))
    start, stop = edges[number], edges[number + 1]
    low, high = np.empty_like(start), np.empty_like(stop)
    for row, (first, last) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        begin, end = ploidy_range(sites, borders, first)
        cm = sites.cm[begin:end]
        low[row] = begin + np.searchsorted(cm, sites.cm[first] - overlap_cm, side="left")
        high[row] = begin + np.searchsorted(cm, sites.cm[last - 1] + overlap_cm, side="right")
    return Cores(number, start, stop, low, high)


def _first_of_position(sites: Sites, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first site at the position of each chosen site."""
    is_first = np.diff(sites.position, prepend=0) != 0
    is_first |= np.diff(sites.contig, prepend=-1) != 0
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(sites)), 0))
    return np.asarray(first[chosen], dtype=np.int64)


def whole_panel(
    sites: Sites, num_haplotypes: int, borders: NDArray[np.int64] = NO_BORDERS
) -> Cores:
    """The cores of all sites with the default options of `impute`; borders as for `cut`."""
    most = most_core_sites(num_haplotypes)
    everywhere = np.ones(len(sites), dtype=np.bool_)
    return cut(sites, everywhere, CHUNK_CM, OVERLAP_CM, most, borders)


def contig_range(sites: Sites, site: int) -> tuple[int, int]:
    """Half-open range of the sites on the contig of a site."""
    contig = sites.contig[site]
    here = np.flatnonzero(sites.contig == contig)
    return int(here[0]), int(here[-1]) + 1


def ploidy_range(sites: Sites, borders: NDArray[np.int64], site: int) -> tuple[int, int]:
    """The part of `contig_range` between the borders around a site."""
    begin, end = contig_range(sites, site)
    number = int(np.searchsorted(borders, site, side="right"))
    before = int(borders[number - 1]) if number else begin
    after = int(borders[number]) if number < len(borders) else end
    return max(begin, before), min(end, after)


def region_to_read(sites: Sites, cores: Cores, region: str | None = None) -> Region:
    """The region of one contig with all genotypes that its cores read.

    region  that is written; a whole contig is read as a whole
    """
    if region is not None:
        whole = contig_to_read(sites, cores)
        if Region.parse(region, sites.contigs, source="the panel") == whole:
            return whole
    first, last = int(cores.low.min()), int(cores.high.max()) - 1
    name = sites.contigs[sites.contig[first]]
    return Region(name, int(sites.position[first]), int(sites.position[last]))


def contig_to_read(sites: Sites, cores: Cores) -> Region:
    """The contig of cores that are all on one."""
    return Region(sites.contigs[sites.contig[cores.start[0]]])


def are_typed(
    cores: Cores, typed: NDArray[np.int64], alleles: NDArray[np.uint8], least: int
) -> bool:
    """True if every sample has `least` typed sites within the overlap of every core.

    typed    (T,) panel sites, rising
    alleles  (T, N, 2) REF, ALT or MISSING of `tokens`
    """
    for low, high in zip(cores.low.tolist(), cores.high.tolist(), strict=True):
        rows = slice(*np.searchsorted(typed, [low, high]).tolist())
        if tokens.is_observed(alleles[rows]).any(axis=2).sum(axis=0).min() < least:
            return False
    return True


def plan(
    sites: Sites,
    cores: Cores,
    is_wanted: NDArray[np.bool_],
    typed: NDArray[np.int64],
    min_typed: int,
    borders: NDArray[np.int64] = NO_BORDERS,
) -> list[ChunkPlan]:
    """The chunks to impute; contigs with fewer than `min_typed` typed sites have none.

    typed    (T,) panel sites with genotypes, rising
    borders  as for `cut`
    """
    planned = []
    for row in range(len(cores)):
        begin, end = contig_range(sites, int(cores.start[row]))
        on_contig = typed[slice(*np.searchsorted(typed, [begin, end]))]
        if len(on_contig) < min_typed:
            continue
        begin, end = ploidy_range(sites, borders, int(cores.start[row]))
        on_contig = typed[slice(*np.searchsorted(typed, [begin, end]))]
        core = slice(int(cores.start[row]), int(cores.stop[row]))
        low, high = np.searchsorted(on_contig, [cores.low[row], cores.high[row]]).tolist()
        low, high = widened(sites.cm[on_contig], low, high, sites.cm[core], min_typed)
        written = core.start + np.flatnonzero(is_wanted[core])
        around = slice(int(cores.low[row]), int(cores.high[row]))
        number = int(cores.number[row])
        planned.append(ChunkPlan(number, core, around, written, on_contig[low:high]))
    return planned


class TooFewTypedError(InputError):
    """No contig of a target has enough typed sites to be imputed."""


def plan_target(
    sites: Sites,
    cores: Cores,
    is_wanted: NDArray[np.bool_],
    typed: NDArray[np.int64],
    min_typed: int,
    borders: NDArray[np.int64],
    *,
    source: Path,
) -> list[ChunkPlan]:
    """The plan for a target of a user, `source`; InputError if no contig has enough typed sites."""
    planned = plan(sites, cores, is_wanted, typed, min_typed, borders)
    if not planned:
        raise TooFewTypedError(
            f"{source} types {len(typed):,} of the panel's {plurals.of(len(sites), 'site')}, but "
            f"at least {min_typed:,} are needed on a contig. Give a target with more sites of the "
            "panel and of its genome build, or lower --min-typed."
        )
    return planned


def widened(
    typed_cm: NDArray[np.floating],
    low: int,
    high: int,
    core_cm: NDArray[np.floating],
    least: int,
) -> tuple[int, int]:
    """Extend a range of typed sites by the nearest ones until it has `least`, or all.

    >>> widened(np.array([0.0, 5.0, 9.0, 20.0]), 1, 1, np.array([6.0, 7.0]), 2)
    (1, 3)
    """
    while high - low < min(least, len(typed_cm)):
        left = core_cm[0] - typed_cm[low - 1] if low > 0 else np.inf
        right = typed_cm[high] - core_cm[-1] if high < len(typed_cm) else np.inf
        low, high = (low - 1, high) if left <= right else (low, high + 1)
    return low, high


def take(sites: Sites, chosen: NDArray[np.int64]) -> Sites:
    """A table of some of the sites.

    chosen  (n,) rising
    """
    if len(chosen) == len(sites):
        return sites
    rows = chosen.tolist()
    return replace(
        sites,
        contig=sites.contig[chosen],
        position=sites.position[chosen],
        record=sites.record[chosen],
        identifier=[sites.identifier[row] for row in rows],
        ref=[sites.ref[row] for row in rows],
        alt=[sites.alt[row] for row in rows],
        info=[sites.info[row] for row in rows],
        site_type=sites.site_type[chosen],
        cm=sites.cm[chosen],
        alt_count=sites.alt_count[chosen],
        population_alt_count=sites.population_alt_count[chosen],
    )
