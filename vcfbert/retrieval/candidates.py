"""Nearest neighbours of queries: exclusion of references, ties, and the number of candidates.

R reference haplotypes, B query haplotypes, K neighbours, E excluded rows, C candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.errors import ConfigError
from vcfbert.retrieval.query import Query, Search, WindowIndex

# Haplotypes often tie, and a second search costs more than extra candidates (benchmarks/retrieval).
_SPARE = 32
_WIDEN = 8


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

    FAISS proposes candidates. Their distances are recomputed in float64 and rounded to float32;
    equal float32 distances are ties. A query whose last neighbour may tie with a row that FAISS
    did not propose is searched again with more candidates, in the end with all rows.

    excluded_rows  (B, E) rows each query must not find, -1 for none; None excludes nothing

    Raises ConfigError if fewer than k references are allowed or the query contains NaN, StoreError
    if a dense index is searched under a mask other than its own.
    """
    search = index.search(query)
    num_queries, num_references = len(query.tokens), index.num_references
    if excluded_rows is None:
        excluded_rows = np.full((num_queries, 0), -1, dtype=np.int64)
    _check_count(k, num_references, excluded_rows)
    count = min(num_references, 2 * k + excluded_rows.shape[1] + _SPARE)
    rows, distances, is_final = _nearest_of(search, count, k, excluded_rows, None)
    while not is_final.all():
        count = min(num_references, _WIDEN * count)
        open_queries = np.flatnonzero(~is_final)
        rows[open_queries], distances[open_queries], is_final[open_queries] = _nearest_of(
            search, count, k, excluded_rows[open_queries], open_queries
        )
    return Hits(rows=rows, distances=distances)


def _check_count(k: int, num_references: int, excluded_rows: NDArray[np.int64]) -> None:
    most_excluded = max((len(set(row) - {-1}) for row in excluded_rows.tolist()), default=0)
    allowed = num_references - most_excluded
    if k > allowed:
        raise ConfigError(
            f"retrieval.num_neighbours is {k}, but a query may only use {allowed} of "
            f"{plurals.of(num_references, 'reference')}. Index more references, or train a run "
            "with fewer neighbours."
        )


def _nearest_of(
    search: Search,
    count: int,
    k: int,
    excluded_rows: NDArray[np.int64],
    queries: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """The k nearest among `count` candidates, (n, k) twice, and (n,) whether they are final."""
    candidates, floor = search.candidates(count, queries)
    distances = search.distances(candidates, queries).astype(np.float32)
    for column in excluded_rows.T:
        distances[candidates == column[:, None]] = np.inf
    order = np.lexsort((candidates, distances))[:, :k]
    rows = np.take_along_axis(candidates, order, axis=1)
    distances = np.take_along_axis(distances, order, axis=1)
    # Not <=: a row exactly at the floor could tie and win by its lower number.
    is_final = (distances[:, -1] < floor.astype(np.float32)) | np.isinf(floor)
    return rows, distances, is_final
