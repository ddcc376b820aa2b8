"""Nearest references by Hamming distance, searched once for all that have the same code.

In a large panel few segments are distinct: of 200,000 simulated haplotypes, 3,200 over 64 typed
sites of an array. So a search finds the distinct ones with a hash table, and compares with these.

R references of m bytes, Q queries, K nearest, U distinct codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.compiling import compiled

FEWEST_QUERIES = 32
"""With fewer queries, finding distinct codes takes longer than the search that it saves."""

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
        found = distinct(references, used, most=int(MOST_SHARE * len(references)))
    asked = encode(queries)
    if found is None:
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


def distinct(
    references: NDArray[np.uint8], used: slice = slice(None), *, most: int | None = None
) -> DistinctCodes | None:
    """Group references by some of their bytes; None if more than `most` codes are distinct.

    references  (R, w)
    used        the bytes
    """
    start, stop, _ = used.indices(references.shape[1])
    most = len(references) if most is None else most
    number = np.empty(len(references), np.int64)
    count = _number_codes(_words(references), start, stop, most, number)
    if count > most:
        return None
    begin = np.zeros(count + 1, np.int64)
    begin[1:] = np.cumsum(np.bincount(number, minlength=count))
    order = np.empty(len(references), np.int64)
    _place(number, begin[:-1].copy(), order)
    return DistinctCodes(order, begin)


def _words(references: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(R, ceil(w / 8)) the bytes as words, the first in the lowest bits."""
    spare = -references.shape[1] % 8
    padded = np.pad(references, [(0, 0), (0, spare)]) if spare else references
    return np.ascontiguousarray(padded).view("<u8").astype(np.uint64, copy=False)


@compiled
def _number_codes(
    words: NDArray[np.uint64], start: int, stop: int, most: int, number: NDArray[np.int64]
) -> int:
    """Number codes in the order of their first row; returns how many, and stops after `most`.

    words        (R, n)
    start, stop  bytes of a code
    number       (R,) written
    """
    width, base = (stop - start + 7) >> 3, start >> 3
    low, high = np.uint64(8 * (start & 7)), np.uint64(64 - 8 * (start & 7))
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(8 * (8 * width - (stop - start)))
    size = 16
    while size < 2 * min(most + 1, len(words)):
        size *= 2
    table = np.full(size, -1, np.int32)
    codes = np.empty((min(most + 1, len(words)), width), np.uint64)
    code = np.empty(width, np.uint64)
    count = 0
    for row in range(len(words)):
        value = np.uint64(0)
        for place in range(width):
            at = base + place
            word = words[row, at] >> low
            if low and at + 1 < words.shape[1]:
                word |= words[row, at + 1] << high
            if place == width - 1:
                word &= mask
            code[place] = word
            value = (value ^ (value >> np.uint64(29)) ^ word) * _ODD
        slot = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(size - 1))
        while True:
            found = table[slot]
            if found < 0:
                if count == most:
                    return count + 1
                codes[count] = code
                table[slot], number[row] = count, count
                count += 1
                break
            is_same = True
            for place in range(width):
                is_same &= codes[found, place] == code[place]
            if is_same:
                number[row] = found
                break
            slot = (slot + 1) & (size - 1)
    return count


@compiled
def _place(number: NDArray[np.int64], begin: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    """Write the rows of each code together, from its `begin` on, which is changed."""
    for row in range(len(number)):
        order[begin[number[row]]] = row
        begin[number[row]] += 1


def _search(
    references: NDArray[np.uint8], queries: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(Q, K) distances and rows by Hamming distance, ties by row."""
    import faiss

    index = faiss.IndexBinaryFlat(8 * references.shape[1])
    index.add(np.ascontiguousarray(references))
    distance, rows = index.search(queries, count)
    return distance.astype(np.int64), rows
