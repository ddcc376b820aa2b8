"""Nearest references by Hamming distance, searched once for all that have the same code.

In a large panel few segments are distinct: of 200,000 simulated haplotypes, 3,200 over 64 typed
sites of an array. So a search is a sort of the references and a comparison with the distinct ones.

R references of m bytes, Q queries, K nearest, U distinct codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

FEWEST_QUERIES = 32
"""With fewer queries, the sort takes longer than the search that it saves."""

MOST_NEAREST = 64
"""With more, the members of the nearest codes are too many to sort."""

MOST_SHARE = 0.5
"""If more of the references are distinct, all are searched."""

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio


@dataclass(frozen=True)
class DistinctCodes:
    """References with the same code.

    order  (R,) rows, those of a code together and rising; codes in the order of their first row
    start  (U + 1,) where the rows of each code begin in `order`
    """

    order: NDArray[np.int64]
    start: NDArray[np.int64]


Encode = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""(n, w) bytes as (n, m) codes."""


def nearest(
    references: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    count: int,
    encode: Encode,
    used: slice,
) -> NDArray[np.int64]:
    """(Q, K) rows by Hamming distance of codes, ties by row; the same whether or not any is shared.

    references  (R, w)
    queries     (Q, w)
    count       K, at most R
    used        the bytes that the code is made from
    """
    found = None
    if len(queries) >= FEWEST_QUERIES and count <= MOST_NEAREST:
        found = distinct(references[:, used])
    asked = encode(queries)
    if found is None or len(found.start) - 1 > MOST_SHARE * len(references):
        return _search(encode(references), asked, count)[1]
    firsts = found.order[found.start[:-1]]
    distance, code = _search(encode(references[firsts]), asked, min(count, len(firsts)))
    # The K nearest rows are among the first K of the K nearest codes.
    place = found.start[code][:, :, None] + np.arange(count)
    is_member = place < found.start[code + 1][:, :, None]
    rows = found.order[np.minimum(place, len(references) - 1)]
    farthest = np.int64(8 * asked.shape[1] + 1)
    rank = np.where(is_member, distance[:, :, None], farthest) * len(references) + rows
    best = np.sort(rank.reshape(len(queries), -1), axis=1)[:, :count]
    return best % len(references)


def distinct(references: NDArray[np.uint8]) -> DistinctCodes | None:
    """Group references by their bytes; None in the unlikely case that two have the same hash.

    references  (R, m)
    """
    spare = -references.shape[1] % 8
    padded = np.pad(references, [(0, 0), (0, spare)]) if spare else references
    words = np.ascontiguousarray(padded).view(np.uint64)
    value = words[:, 0]
    for word in words.T[1:]:
        value = (value ^ (value >> np.uint64(29))) * _ODD ^ word
    by_value = np.argsort(value)
    is_first = np.diff(value[by_value], prepend=~value[by_value[:1]]) != 0
    number = np.empty(len(words), np.int64)
    number[by_value] = np.cumsum(is_first) - 1
    order = np.argsort(_narrow(number), kind="stable")
    start = np.flatnonzero(np.diff(number[order], prepend=-1))
    size = np.diff(start, append=len(words))
    if words.shape[1] > 1 and (words[order] != words[np.repeat(order[start], size)]).any():
        return None
    by_first = np.argsort(order[start])
    begin = np.cumsum(size[by_first]) - size[by_first]
    moved = np.repeat(start[by_first] - begin, size[by_first]) + np.arange(len(words))
    return DistinctCodes(order[moved], np.append(begin, len(words)))


def _narrow(number: NDArray[np.int64]) -> NDArray[np.integer]:
    """The numbers in 16 bits if they fit, which NumPy sorts faster."""
    return number.astype(np.uint16) if number.max() < 1 << 16 else number


def _search(
    references: NDArray[np.uint8], queries: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(Q, K) distances and rows by Hamming distance, ties by row."""
    index = faiss.IndexBinaryFlat(8 * references.shape[1])
    index.add(np.ascontiguousarray(references))
    distance, rows = index.search(queries, count)
    return distance.astype(np.int64), rows
