"""Windows of the sites of a panel, each with a core and flanks.

S sites in the panel, W windows, L sites in a window. Ranges are half-open.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain.contig_names import find_contig
from vcfbert.errors import ConfigError, InputError


@dataclass(frozen=True)
class Windows:
    """Ranges of sites. Each site is in the core of exactly one window; flanks are context only.

    start, stop            (W,) sites that the model reads
    core_start, core_stop  (W,) sites that the window predicts
    length                 L, at least the longest stop - start; shorter windows are padded
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    core_start: NDArray[np.int64]
    core_stop: NDArray[np.int64]
    length: int

    def __len__(self) -> int:
        return len(self.start)

    def sites(self, window: int) -> slice:
        """The sites that the model reads."""
        return slice(int(self.start[window]), int(self.stop[window]))

    def num_sites(self, window: int) -> int:
        """Number of sites that the model reads, which is L minus the padding."""
        return int(self.stop[window] - self.start[window])

    def is_core(self, window: int) -> NDArray[np.bool_]:
        """(L,) True where the site is in the core."""
        index = np.arange(self.length) + self.start[window]
        is_core: NDArray[np.bool_] = (index >= self.core_start[window]) & (
            index < self.core_stop[window]
        )
        return is_core


def faults(windows: Windows, num_sites: int) -> list[str]:
    """What is wrong with the windows of a panel; empty if each site is in exactly one core.

    >>> faults(cut(np.zeros(5), 3, 0), 6)
    ['the cores of the windows end before the last of 6 sites']
    """
    first = np.concatenate([[0], windows.core_stop[:-1]])
    is_right = (
        (windows.core_start == first)
        & (windows.core_start < windows.core_stop)
        & (windows.start >= 0)
        & (windows.start <= windows.core_start)
        & (windows.core_stop <= windows.stop)
        & (windows.stop <= num_sites)
        & (windows.stop - windows.start <= windows.length)
    )
    found = [
        f"window {window} (sites {windows.start[window]} to {windows.stop[window]}, core "
        f"{windows.core_start[window]} to {windows.core_stop[window]}) does not continue the one "
        f"before it within {windows.length} sites"
        for window in np.flatnonzero(~is_right).tolist()
    ]
    if len(windows) == 0 or windows.core_stop[-1] != num_sites:
        found.append(f"the cores of the windows end before the last of {num_sites} sites")
    return found


@dataclass(frozen=True)
class Segment:
    """A given core of a window; start and end are 1-based positions, both included."""

    contig: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.contig}:{self.start}-{self.end}"


def cut(contig_of_site: NDArray[np.integer], length: int, flank: int) -> Windows:
    """Windows of at most `length` sites including flanks, each within one contig.

    The cores of a contig have nearly equal sizes, so that no window is too short to find matches.

    contig_of_site  (S,) contig number of each site; sites of a contig are consecutive
    """
    check_size(length, flank)
    core_size = length - 2 * flank
    bounds = _contig_bounds(contig_of_site)
    starts, stops = [], []
    for first, last in bounds:
        count = -(-(last - first) // core_size)
        edges = first + (np.arange(count + 1) * (last - first)) // count
        starts.append(edges[:-1])
        stops.append(edges[1:])
    core_start, core_stop = np.concatenate(starts), np.concatenate(stops)
    return with_flanks(core_start, core_stop, contig_of_site, length, flank)


def check_size(length: int, flank: int) -> None:
    """Raise ConfigError if windows of `length` sites have no room for a core between flanks."""
    if length < 1:
        raise ConfigError(f"The window size must be at least 1 site, got {length}.")
    if flank < 0 or 2 * flank >= length:
        raise ConfigError(
            f"The flank must be at least 0 and less than half of the window size ({length}), "
            f"got {flank}."
        )


def of_contig(segments: Sequence[Segment], contig: str) -> list[Segment]:
    """The segments of a contig, named with or without `chr`."""
    return [segment for segment in segments if find_contig(contig, [segment.contig])]


def is_inside(segments: Sequence[Segment], position: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True where a position is in one of the segments.

    segments  of one contig, in increasing order, not overlapping
    position  (n,)

    >>> is_inside([Segment("1", 5, 9), Segment("1", 20, 20)], np.array([4, 5, 9, 10, 20, 21]))
    array([False,  True,  True, False,  True, False])
    """
    starts = np.array([segment.start for segment in segments], dtype=np.int64)
    ends = np.array([0, *(segment.end for segment in segments)], dtype=np.int64)
    inside: NDArray[np.bool_] = position <= ends[np.searchsorted(starts, position, side="right")]
    return inside


def from_segments(
    segments: Sequence[Sequence[Segment]],
    contig_of_site: NDArray[np.integer],
    position: NDArray[np.integer],
    length: int,
    flank: int,
) -> Windows:
    """Windows with given cores; a segment without sites makes no window.

    segments        by contig number, in increasing order, not overlapping
    contig_of_site  (S,) contig number of each site; sites of a contig are consecutive
    position        (S,) 1-based, in increasing order in each contig; each is in a segment
    length, flank   as in `cut`

    Raises InputError naming a segment with more than length - 2 * flank sites.
    """
    check_size(length, flank)
    core_start, core_stop = [], []
    for first, last in _contig_bounds(contig_of_site):
        for segment in segments[int(contig_of_site[first])]:
            inside = position[first:last]
            start = first + int(np.searchsorted(inside, segment.start, side="left"))
            stop = first + int(np.searchsorted(inside, segment.end, side="right"))
            if stop - start > length - 2 * flank:
                raise InputError(
                    f"The segment {segment} has {plurals.of(stop - start, 'site')}, but a window "
                    f"of {length} sites with flanks of {flank} has room for {length - 2 * flank}. "
                    "Split the segment, or raise --window-size."
                )
            if stop > start:
                core_start.append(start)
                core_stop.append(stop)
    return with_flanks(np.array(core_start), np.array(core_stop), contig_of_site, length, flank)


def with_flanks(
    core_start: NDArray[np.int64],
    core_stop: NDArray[np.int64],
    contig_of_site: NDArray[np.integer],
    length: int,
    flank: int,
) -> Windows:
    """Add flanks to given cores until a window is full or its contig ends.

    A flank has at least `flank` sites, unless the contig ends, and more if there is room, because
    a padded site costs as much as a real one.

    core_start, core_stop  (W,) half-open, each in one contig, of at most length - 2 * flank sites
    contig_of_site         (S,)
    """
    bounds = {int(contig_of_site[a]): (a, b) for a, b in _contig_bounds(contig_of_site)}
    limits = np.array([bounds[int(contig_of_site[first])] for first in core_start])
    spare = length - (core_stop - core_start)
    assert (spare >= 2 * flank).all(), "a core leaves no room for its flanks"
    start = np.clip(core_start - spare // 2, limits[:, 0], None)
    stop = np.minimum(start + length, limits[:, 1])
    start = np.clip(stop - length, limits[:, 0], None)
    return Windows(
        start=start.astype(np.int64),
        stop=stop.astype(np.int64),
        core_start=core_start.astype(np.int64),
        core_stop=core_stop.astype(np.int64),
        length=length,
    )


def _contig_bounds(contig_of_site: NDArray[np.integer]) -> list[tuple[int, int]]:
    """Half-open site range of each contig, in order."""
    changes = np.flatnonzero(np.diff(contig_of_site)) + 1
    edges = [0, *changes.tolist(), len(contig_of_site)]
    return list(itertools.pairwise(edges))
