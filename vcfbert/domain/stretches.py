"""Cutting rows of several haplotypes into stretches of a few hundred for a network that reads them.

n rows, those of a haplotype one after another; m haplotypes; W stretches; L the longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stretches:
    """Ranges of rows. Each row is answered for by exactly one stretch; others may read it.

    start, stop          (W,) what the network reads
    own_start, own_stop  (W,) what it answers for
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    own_start: NDArray[np.int64]
    own_stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def take(self, part: slice) -> Stretches:
        """Some of them."""
        return Stretches(
            self.start[part], self.stop[part], self.own_start[part], self.own_stop[part]
        )

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of each, (W, longest of these), and where they are no padding."""
        places = np.arange(int((self.stop - self.start).max(initial=0)))
        rows = self.start[:, None] + places
        return np.minimum(rows, self.stop[:, None] - 1), rows < self.stop[:, None]

    def is_own(self) -> NDArray[np.bool_]:
        """True where a stretch answers for the row that `rows` has there."""
        rows, is_row = self.rows()
        return is_row & (rows >= self.own_start[:, None]) & (rows < self.own_stop[:, None])


def cut(bounds: NDArray[np.int64], length: int, overlap: int) -> Stretches:
    """Stretches of `length`, or of the whole haplotype where it is shorter.

    bounds   (m + 1,) first row of each haplotype, then n
    overlap  rows that a stretch reads beyond those it answers for, at least, where there are any

    >>> found = cut(np.array([0, 10]), 6, 1)
    >>> found.start.tolist(), found.own_start.tolist(), found.own_stop.tolist()
    ([0, 4], [0, 5], [5, 10])
    """
    assert 0 <= 2 * overlap < length, "a stretch would answer for nothing"
    parts = []
    for first, after in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if after == first:
            continue
        last = max(after - length, first)
        start = np.append(np.arange(first, last, length - 2 * overlap), last)
        stop = np.minimum(start + length, after)
        own_stop = np.append(stop[:-1] - overlap, after)
        parts.append(np.stack([start, stop, np.append(first, own_stop[:-1]), own_stop]))
    whole = np.concatenate([np.empty((4, 0), np.int64), *parts], axis=1)
    return Stretches(*whole)


def around(rows: NDArray[np.int64], bounds: NDArray[np.int64], length: int) -> Stretches:
    """A stretch around each of some rows, which answers for all it reads.

    rows    (W,)
    bounds  as in `cut`
    """
    haplotype = np.searchsorted(bounds, rows, side="right") - 1
    first, after = bounds[haplotype], bounds[haplotype + 1]
    start = np.clip(rows - length // 2, first, np.maximum(after - length, first))
    stop = np.minimum(start + length, after)
    return Stretches(start, stop, start, stop)
