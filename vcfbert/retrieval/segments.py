"""Neighbours of segments of a window, so that a recombinant query finds all its sources.

A haplotype of the panel seldom matches a query over a whole window; several match a part of it.
A segment is searched by lowering the weights outside it, which an exact index needs no rebuilding
for.

B query haplotypes, K neighbours, L sites in a window, E excluded rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.retrieval.candidates import Hits, nearest
from vcfbert.retrieval.query import OtherMask, Query, WindowIndex

_OUTSIDE = 1e-3  # of two haplotypes equal within the segment, the better match outside it wins


def nearest_in_segments(
    index: WindowIndex,
    query: Query,
    k: int,
    num_segments: int,
    excluded_rows: NDArray[np.int64] | None = None,
) -> Hits:
    """K different references of each query: the nearest of each segment, then of the window.

    num_segments   segments that overlap by half; 1 searches the window alone. At most k are
                   used, so that each has a neighbour
    excluded_rows  (B, E) as in `candidates.nearest`
    returns        rows by their distance over the whole window, ties by row

    Raises what `candidates.nearest` raises.
    """
    whole = nearest(index, query, k, excluded_rows)
    num_segments = min(num_segments, k)
    if num_segments == 1:
        return whole
    share = -(-k // num_segments)
    num_sites = int((query.tokens != tokens.PAD).any(axis=0).sum())  # padding comes after the sites
    found = [
        nearest(index, _within(query, segment), share, excluded_rows).rows
        for segment in overlapping(num_sites, num_segments)
    ]
    by_rank = np.stack(found, axis=2).reshape(len(whole.rows), -1)  # best of every segment first
    rows = first_distinct(np.concatenate([by_rank, whole.rows], axis=1), k)
    distances = index.search(query).distances(rows).astype(np.float32)
    order = np.lexsort((rows, distances))
    return Hits(
        rows=np.take_along_axis(rows, order, axis=1),
        distances=np.take_along_axis(distances, order, axis=1),
    )


def overlapping(length: int, num_segments: int) -> list[slice]:
    """Equal segments that cover a window and overlap by half.

    >>> overlapping(12, 3)
    [slice(0, 6, None), slice(3, 9, None), slice(6, 12, None)]
    """
    width = max(1, 2 * length // (num_segments + 1))
    starts = [number * (length - width) // (num_segments - 1) for number in range(num_segments)]
    return [slice(start, start + width) for start in starts]


def first_distinct(rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The first k different values of each line, in order.

    rows  (B, n) with at least k different values in each line

    >>> first_distinct(np.array([[4, 4, 2, 4, 9]]), 3)
    array([[4, 2, 9]])
    """
    by_value = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, by_value, axis=1)
    is_repeat = np.zeros(rows.shape, dtype=np.bool_)
    np.put_along_axis(is_repeat[:, :], by_value[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    keep = np.argsort(is_repeat, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, keep, axis=1)


def _within(query: Query, segment: slice) -> Query:
    weights = query.weights * np.float32(_OUTSIDE)
    weights[segment] = query.weights[segment]
    other = query.other_mask
    if other is not None:
        costs = other.costs * np.float32(_OUTSIDE)
        costs[:, segment] = other.costs[:, segment]
        other = OtherMask(other.is_masked, costs)
    return Query(query.tokens, weights, other_mask=other)
