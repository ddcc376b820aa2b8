"""Cutting the sites of a panel into chunks by genetic length.

S sites in the panel, C chunks. Ranges are half-open. A chunk is what `impute` works on at a time:
the copying weights need context of centimorgans, far beyond one window.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import ConfigError, InputError


@dataclass(frozen=True)
class Chunks:
    """Site ranges. Each site is in the core of exactly one chunk; the rest is context only.

    start, stop            (C,) what the chunk reads
    core_start, core_stop  (C,) what the chunk answers for
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    core_start: NDArray[np.int64]
    core_stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def sites(self, chunk: int) -> slice:
        """The sites the chunk reads."""
        return slice(int(self.start[chunk]), int(self.stop[chunk]))

    def core(self, chunk: int) -> slice:
        """The sites the chunk answers for."""
        return slice(int(self.core_start[chunk]), int(self.core_stop[chunk]))


def cut(
    cm: NDArray[np.floating],
    contig: NDArray[np.integer],
    chunk_cm: float,
    overlap_cm: float,
    max_sites: int,
) -> Chunks:
    """Chunks that answer for at most `chunk_cm` and read `overlap_cm` more at each side.

    The cores of a contig are of equal genetic length, so that no chunk is a runt; where sites are
    so dense that a chunk would read more than `max_sites`, its core is cut again into parts of
    equal numbers of sites, and context gives way last.

    cm          (S,) centimorgans, never falling in a contig
    contig      (S,) contig number of each site, each contig one run
    chunk_cm    longest core
    overlap_cm  context at each side, less where the contig ends; 0 for none
    max_sites   most sites that a chunk reads, context included

    Raises ConfigError for a length or number out of range, InputError where there are no sites or
    `cm` falls.

    >>> chunks = cut(np.array([0.0, 1.0, 2.0, 3.0]), np.zeros(4, int), 1.5, 1.0, 100)
    >>> [(chunks.sites(c), chunks.core(c)) for c in range(len(chunks))]
    [(slice(0, 3, None), slice(0, 2, None)), (slice(1, 4, None), slice(2, 4, None))]
    """
    _check_lengths(chunk_cm, overlap_cm, max_sites)
    _check_sites(cm, contig)
    rows = [
        row
        for first, last in _runs(contig)
        for core in _equal_lengths(cm[first:last], chunk_cm)
        for row in _fitted(cm[first:last], *core, overlap_cm, max_sites) + first
    ]
    start, stop, core_start, core_stop = np.array(rows, dtype=np.int64).T
    return Chunks(start, stop, core_start, core_stop)


def _check_lengths(chunk_cm: float, overlap_cm: float, max_sites: int) -> None:
    if not (np.isfinite(chunk_cm) and chunk_cm > 0):
        raise ConfigError(f"A chunk must be longer than 0 cM (--chunk-cm), got {chunk_cm:g}.")
    if not (np.isfinite(overlap_cm) and overlap_cm >= 0):
        raise ConfigError(
            f"The overlap of chunks must be at least 0 cM (--overlap-cm), got {overlap_cm:g}."
        )
    if max_sites < 1:
        raise ConfigError(f"A chunk must have room for at least 1 site, got {max_sites}.")


def _check_sites(cm: NDArray[np.floating], contig: NDArray[np.integer]) -> None:
    if len(cm) == 0:
        raise InputError("There are no sites to cut into chunks. Give another panel or region.")
    if not np.isfinite(cm).all():
        site = int(np.argmin(np.isfinite(cm)))
        raise InputError(f"Site {site} has no genetic position ({cm[site]}). Give another map.")
    falls = (np.diff(cm) < 0) & (np.diff(contig) == 0)
    if falls.any():
        site = int(np.argmax(falls))
        raise InputError(
            f"The genetic position falls from {cm[site]:g} to {cm[site + 1]:g} cM after site "
            f"{site}. Sort the map and the panel by position."
        )


def _runs(contig: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Half-open site range of each contig, in order."""
    edges = [0, *(np.flatnonzero(np.diff(contig)) + 1).tolist(), len(contig)]
    yield from itertools.pairwise(edges)


def _equal_lengths(cm: NDArray[np.floating], chunk_cm: float) -> Iterator[tuple[int, int]]:
    """Cores of one contig, equally long in cM; a stretch without sites makes none."""
    span = float(cm[-1] - cm[0])
    count = max(np.ceil(span / chunk_cm), 1.0)
    stretch = np.floor((cm - cm[0]) * (count / max(span, chunk_cm)))
    stretch = np.minimum(stretch, count - 1)  # the last site ends the last stretch
    edges = [0, *(np.flatnonzero(np.diff(stretch)) + 1).tolist(), len(cm)]
    yield from itertools.pairwise(edges)


def _fitted(
    cm: NDArray[np.floating], first: int, last: int, overlap_cm: float, max_sites: int
) -> NDArray[np.int64]:
    """The core [first, last) in as few parts as fit, with their context.

    returns  (parts, 4) start, stop, core start, core stop
    """
    smallest = max(1, max_sites // 2)  # below this it is the context that is too much
    parts = 1
    while True:
        edges = first + np.arange(parts + 1) * (last - first) // parts
        core_start, core_stop = edges[:-1], edges[1:]
        start = np.searchsorted(cm, cm[core_start] - overlap_cm, side="left")
        stop = np.searchsorted(cm, cm[core_stop - 1] + overlap_cm, side="right")
        if overlap_cm == 0:
            start, stop = core_start, core_stop
        if (stop - start <= max_sites).all():
            break
        if (core_stop - core_start <= smallest).all():
            start, stop = _trimmed(start, stop, core_start, core_stop, max_sites)
            break
        parts += 1
    return np.stack([start, stop, core_start, core_stop], axis=1).astype(np.int64)


def _trimmed(
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    core_start: NDArray[np.int64],
    core_stop: NDArray[np.int64],
    max_sites: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Less context, the same at both sides where both have it."""
    room = max_sites - (core_stop - core_start)
    left, right = core_start - start, stop - core_stop
    kept_left = np.minimum(left, np.maximum(room // 2, room - right))
    return core_start - kept_left, core_stop + np.minimum(right, room - kept_left)
