"""Nearest references of a few queries by Hamming distance, without codes and an index.

The differences between a query and all references are counted once, byte by byte, and each search
takes its distances from these counts. FAISS needs the codes of all references for each search, and
making them takes most of the time if there are few queries.

R references of m bytes, Q queries, F searches, K nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

_ROWS = 16_384  # compared at once

Distance = Callable[[NDArray[np.uint16]], NDArray[np.uint16]]
"""(R,) distances of a search from the differences before each byte, (m + 1, R) modulo 2^16."""


def nearest(
    references: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    count: int,
    searches: Sequence[Distance],
    *,
    threads: int,
) -> NDArray[np.int64]:
    """(F, Q, K) rows by distance, ties by row.

    references  (R, m)
    queries     (Q, m)
    count       K, at most R
    searches    F
    """
    num_bits = 16 if len(references) <= 1 << 16 else 32  # of a row
    row = np.arange(len(references), dtype=np.uint32 if num_bits == 16 else np.uint64)
    blocks = [slice(first, first + _ROWS) for first in range(0, len(references), _ROWS)]

    def smallest(distance: NDArray[np.uint16]) -> NDArray[np.int64]:
        keys = np.left_shift(distance, num_bits, dtype=row.dtype) | row
        found = np.sort(np.partition(keys, count - 1)[:count])
        return (found & ((1 << num_bits) - 1)).astype(np.int64)

    with ThreadPoolExecutor(threads) as pool:

        def search(query: NDArray[np.uint8]) -> NDArray[np.int64]:
            found = np.empty((len(searches), len(references)), np.uint16)
            fill = partial(_distances, references, query, searches, found)
            list(pool.map(fill, blocks))
            return np.stack(list(pool.map(smallest, found)))

        return np.stack([search(query) for query in queries], axis=1)


def _distances(
    references: NDArray[np.uint8],
    query: NDArray[np.uint8],
    searches: Sequence[Distance],
    found: NDArray[np.uint16],
    rows: slice,
) -> None:
    """Write the distances of some references.

    found  (F, R) of all references
    """
    columns = np.ascontiguousarray(references[rows].T)
    before = np.zeros((len(columns) + 1, columns.shape[1]), np.uint16)
    for number, (column, byte) in enumerate(zip(columns, query, strict=True)):
        np.add(before[number], np.bitwise_count(column ^ byte), out=before[number + 1])
    for number, distance in enumerate(searches):
        found[number, rows] = distance(before)
