"""Candidates of query haplotypes along a chunk: the nearest references around many of its places.

Each place is searched at two scales. At either, a mismatch near the place counts NEARBY times as
much as one in the stretch around it, four times as long: of the many references that are equal
nearby, those that go on matching come first. On real haplotypes this takes a third fewer
candidates for the same accuracy than the plain distance does, and the order of the panel's samples,
who come by population, hardly matters (docs/decisions/mosaic.md).

T typed sites, R reference haplotypes, Q query haplotypes, K candidates. Search in the main process
or in a thread of it: FAISS hangs after `fork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens

HITS = 8
"""References that the search of a place gives, at least."""

MIN_TOTAL = 500
"""Hits of all searches together, at least: where few sites are typed there are few places."""

MOST, LEAST = 400, 250
"""K is at most MOST, the best hits of every place first, because the later work is in proportion to
K. Many typed sites tell references apart, and few good ones do: down to LEAST at MANY_TYPED."""

FEW_TYPED, MANY_TYPED = 1_000, 4_000

STEP = 10
"""Typed sites from place to place, at least; more where MAX_PLACES would not reach."""

MIN_PLACES, MAX_PLACES = 8, 64

SPARSE, DENSE = (2, 8), (4, 16)
"""Bytes, of eight typed sites each, that are near a place at the two scales."""

NEARBY = 4
AROUND = 4  # the stretch is so many times as long as what is near

_DENSE_STEP = 24  # typed sites from place to place, beyond which SPARSE would leave gaps
_QUERIES_PER_BLOCK = 1_024


@dataclass(frozen=True)
class Search:
    """One place at one scale: bytes [near, near_stop) and, around them, [start, stop)."""

    near: int
    near_stop: int
    start: int
    stop: int

    def code(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bytes whose Hamming distance is that of this search.

        packed   (n, at least `stop`)
        returns  (n, m) m a multiple of what FAISS has fast code for
        """
        near, around = packed[:, self.near : self.near_stop], packed[:, self.start : self.stop]
        parts = [near] * NEARBY + [around]
        width = sum(part.shape[1] for part in parts)
        spare = -width % (4 if width <= 4 else 8)
        return np.concatenate([*parts, np.zeros((len(packed), spare), np.uint8)], axis=1)


@dataclass(frozen=True)
class Plan:
    """All searches of a chunk, the hits of each, and the most candidates of a query."""

    searches: tuple[Search, ...]
    hits: int
    most: int


def plan(num_typed: int) -> Plan:
    """Where to search.

    >>> plan(20).searches[0], plan(20).hits
    (Search(near=0, near_stop=2, start=0, stop=3), 167)
    >>> [(len(plan(typed).searches), plan(typed).hits, plan(typed).most) for typed in (900, 9_000)]
    [(125, 8, 400), (128, 8, 250)]
    """
    width = -(-num_typed // 8)
    count = int(np.clip(num_typed // STEP, MIN_PLACES, MAX_PLACES))
    centres = [width * (number + 0.5) / count for number in range(count)]
    scales = SPARSE if num_typed < _DENSE_STEP * count else DENSE
    searches = dict.fromkeys(
        Search(*_stretch(centre, scale, width), *_stretch(centre, AROUND * scale, width))
        for scale in scales
        for centre in centres
    )
    most = int(np.interp(num_typed, (FEW_TYPED, MANY_TYPED), (MOST, LEAST)))
    return Plan(tuple(searches), min(most, max(HITS, -(-MIN_TOTAL // len(searches)))), most)


def candidates(
    typed_bits: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    excluded: Sequence[NDArray[np.int64]] | None = None,
    *,
    threads: int = 1,
) -> list[NDArray[np.int64]]:
    """Rows of the references to copy from, rising, for each query; the same for any `threads`.

    Of references equally far from a query the first are taken. Where its allele is missing, the
    search takes the panel's major one for it. Up to MOST references are all taken.

    typed_bits  (R, ceil(T / 64)) alleles at typed sites, the first in the lowest bit
    queries     (Q, T) 0 REF, 1 ALT, more where nothing was observed
    excluded    Q arrays of rows that are not for this query, its own and its relatives'
    """
    nobody = np.empty(0, np.int64)
    banned = [np.unique(rows) for rows in excluded or [nobody] * len(queries)]
    everyone = np.arange(len(typed_bits), dtype=np.int64)
    is_few = [len(everyone) - len(rows) <= MOST for rows in banned]
    found = [
        np.setdiff1d(everyone, rows, assume_unique=True) if few else nobody
        for rows, few in zip(banned, is_few, strict=True)
    ]
    searched = np.flatnonzero(~np.array(is_few, dtype=np.bool_))
    codes = typed_bits.view(np.uint8)
    packed = tokens.pack(_filled(queries, codes))
    chosen = plan(queries.shape[1])
    for first in range(0, len(searched), _QUERIES_PER_BLOCK):
        block = searched[first : first + _QUERIES_PER_BLOCK]
        hits = _nearest(codes, packed[block], [banned[n] for n in block], chosen, threads)
        for query, rows in zip(block.tolist(), hits, strict=True):
            found[query] = rows
    return found


def _stretch(centre: float, length: int, width: int) -> tuple[int, int]:
    """`length` bytes around a centre, moved to lie within [0, width)."""
    length = min(length, width)
    start = int(np.clip(centre - length / 2, 0, width - length))
    return start, start + length


def _filled(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Queries with the panel's major allele where they have none; 0 where both are as frequent."""
    is_missing = queries > tokens.ALT
    sites = np.flatnonzero(is_missing.any(axis=0))
    if len(sites) == 0:
        return queries
    alleles = (codes[:, sites >> 3] >> (sites & 7).astype(np.uint8)) & 1
    major = np.zeros(queries.shape[1], np.uint8)
    major[sites] = 2 * alleles.sum(axis=0, dtype=np.int64) > len(codes)
    return np.where(is_missing, major, queries)


def _nearest(
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    banned: Sequence[NDArray[np.int64]],
    chosen: Plan,
    threads: int,
) -> list[NDArray[np.int64]]:
    """The union of all searches' hits for each query.

    queries  (Q, ceil(T / 8)) packed as `codes` is
    banned   Q arrays of different rows
    """
    count = min(chosen.hits + max(len(rows) for rows in banned), len(codes))
    offset = len(codes) * np.arange(len(queries))[:, None]
    banned_keys = np.concatenate([rows + place for rows, place in zip(banned, offset, strict=True)])

    def hits(search: Search) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = _nearest_codes(search.code(codes), search.code(queries), count)
        if len(banned_keys):
            is_banned = np.isin(rows + offset, banned_keys)
            rows = np.take_along_axis(rows, np.argsort(is_banned, axis=1, kind="stable"), axis=1)
        return rows[:, : chosen.hits]

    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        by_rank = np.stack(list(pool.map(hits, chosen.searches)), axis=2)
    union = []
    for row in by_rank.reshape(len(queries), -1):  # the first hit of each search comes first
        places = np.sort(np.unique(row, return_index=True)[1])
        union.append(np.sort(row[places[: chosen.most]]))
    return union


def _nearest_codes(
    references: NDArray[np.uint8], queries: NDArray[np.uint8], count: int
) -> NDArray[np.int64]:
    """(Q, count) rows by Hamming distance, ties by row."""
    index = faiss.IndexBinaryFlat(8 * references.shape[1])
    index.add(references)
    rows: NDArray[np.int64] = index.search(queries, count)[1]
    return rows
