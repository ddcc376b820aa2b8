"""The rules on hits: who may not be found, how ties are broken, how many there must be.

R reference haplotypes, B query haplotypes, K neighbours, E excluded rows, C candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import ConfigError
from vcfbert.retrieval.query import Query, Search, WindowIndex

_SPARE = 32  # candidates beyond what is asked: haplotypes often tie, and a scan costs far more


@dataclass(frozen=True)
class Hits:
    """Neighbours of each query, nearest first, ties by row.

    rows       (B, K) rows of the index
    distances  (B, K) squared L2 distance
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


def nearest(
    index: WindowIndex, query: Query, k: int, excluded_rows: NDArray[np.int64] | None = None
) -> Hits:
    """The k nearest references of each query that are not excluded; the same in every run.

    FAISS proposes candidates; their distances are computed again in float64 and rounded to
    float32, where equal means tied. A query whose last neighbour may tie with a row that was not
    proposed is answered from all rows.

    excluded_rows  (B, E) rows each query must not find, -1 for none; None excludes nothing

    Raises ConfigError where fewer than k references are allowed or the query holds NaN, StoreError
    where a dense index is asked under another mask than its own.
    """
    search = index.search(query)
    num_queries, num_references = len(query.tokens), index.num_references
    if excluded_rows is None:
        excluded_rows = np.full((num_queries, 0), -1, dtype=np.int64)
    _check_count(k, num_references, excluded_rows)
    count = min(num_references, 2 * k + excluded_rows.shape[1] + _SPARE)
    candidates, floor = search.candidates(count)
    distances = _allowed_distances(search, candidates, excluded_rows)
    rows, distances = _first(candidates, distances, k)
    # Not <=: a row at the floor itself could tie, and win by its number.
    is_open = ~(distances[:, -1] < floor.astype(np.float32))
    if is_open.any():
        _rescan(search, np.flatnonzero(is_open), excluded_rows, rows, distances)
    return Hits(rows=rows, distances=distances)


def _check_count(k: int, num_references: int, excluded_rows: NDArray[np.int64]) -> None:
    most_excluded = max((len(set(row) - {-1}) for row in excluded_rows.tolist()), default=0)
    allowed = num_references - most_excluded
    if k > allowed:
        raise ConfigError(
            f"{k} neighbours were asked for, but only {allowed} of {num_references} references "
            "are allowed for a query. Lower retrieval.num_neighbours, or index more references."
        )


def _allowed_distances(
    search: Search,
    rows: NDArray[np.int64],
    excluded_rows: NDArray[np.int64],
    query: int | None = None,
) -> NDArray[np.float32]:
    """Distances of candidates, inf where they are excluded; shapes as in `Search.distances`."""
    distances = search.distances(rows, query).astype(np.float32)
    chosen = excluded_rows if query is None else excluded_rows[query : query + 1]
    for column in chosen.T:
        distances[rows == column[:, None]] = np.inf
    return distances


def _first(
    rows: NDArray[np.int64], distances: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k smallest by (distance, row), line by line."""
    order = np.lexsort((rows, distances))[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _rescan(
    search: Search,
    queries: NDArray[np.int64],
    excluded_rows: NDArray[np.int64],
    rows: NDArray[np.int64],
    distances: NDArray[np.float32],
) -> None:
    """Answer some queries from all rows, in place.

    What was found so far bounds the radius: k allowed rows lie within it.
    """
    radius = np.nextafter(distances[queries, -1], np.float32(np.inf)).astype(np.float64)
    k = rows.shape[1]
    for query, near in zip(queries.tolist(), search.within(queries, radius), strict=True):
        everything = near[None]
        measured = _allowed_distances(search, everything, excluded_rows, query)
        found = _first(everything, measured, k)
        rows[query], distances[query] = found[0][0], found[1][0]
