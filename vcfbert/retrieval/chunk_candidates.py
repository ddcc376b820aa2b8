"""Candidates of query haplotypes over a chunk: the nearest references at many positions.

Each position is searched at two scales. At each scale, a mismatch near the position counts NEARBY
times as much as one in the segment around it, which is AROUND times as long: of the many references
that are equal nearby, those that keep matching come first. On real haplotypes this needs a third
fewer candidates for the same accuracy than the plain distance, and the order of the samples in the
panel hardly matters (docs/decisions/mosaic.md).

T typed sites, R reference haplotypes, Q query haplotypes, K candidates. Search in the main process
or one of its threads: FAISS hangs after `fork`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.retrieval import distinct_codes, few_queries

HITS = 8
"""Fewest references that each search returns."""

MIN_TOTAL = 500
"""Fewest hits of all searches together, because few typed sites make few searches."""

MOST, LEAST = 400, 250
"""K is at most MOST, because later work is proportional to K; the best hits of every search come
first. With many typed sites fewer candidates are enough: down to LEAST at MANY_TYPED."""

FEW_TYPED, MANY_TYPED = 1_000, 4_000

STEP = 10
"""Fewest typed sites between positions; more if MAX_POSITIONS would not cover the chunk."""

MIN_POSITIONS, MAX_POSITIONS = 8, 64

SPARSE, DENSE = (2, 8), (4, 16)
"""Bytes, of eight typed sites each, near a position at the two scales. With more than 32,768 typed
sites the larger scale grows, so that the segments around the positions leave no gaps."""

NEARBY = 4
AROUND = 4

_DENSE_STEP = 24  # typed sites between positions, from which SPARSE would leave gaps
_QUERIES_PER_BLOCK = 1_024

MOST_FEW, MOST_FEW_BYTES = 6, 1_000
"""So many queries of so many bytes are compared with all references, because codes for FAISS would
take longer."""


@dataclass(frozen=True)
class PositionSearch:
    """One position at one scale: bytes [near, near_stop) within [start, stop) around them."""

    near: int
    near_stop: int
    start: int
    stop: int

    def code(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bytes whose Hamming distance is that of this search.

        packed   (n, at least `stop`)
        returns  (n, m), where FAISS has fast code for m bytes
        """
        near, around = packed[:, self.near : self.near_stop], packed[:, self.start : self.stop]
        parts = [near] * NEARBY + [around]
        width = sum(part.shape[1] for part in parts)
        spare = -width % (4 if width <= 4 else 8)
        return np.concatenate([*parts, np.zeros((len(packed), spare), np.uint8)], axis=1)

    def distance(self, before: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The Hamming distance of this search; see `few_queries.Distance`."""
        distance: NDArray[np.uint16] = before[self.near_stop] - before[self.near]
        distance *= np.uint16(NEARBY)
        distance += before[self.stop] - before[self.start]
        return distance


@dataclass(frozen=True)
class SearchPlan:
    """All searches of a chunk, the hits of each, and the most candidates of a query."""

    searches: tuple[PositionSearch, ...]
    hits: int
    most: int


def plan(num_typed: int) -> SearchPlan:
    """The searches of a chunk with that many typed sites.

    >>> plan(20).searches[0], plan(20).hits
    (PositionSearch(near=0, near_stop=2, start=0, stop=3), 167)
    >>> [(len(plan(typed).searches), plan(typed).hits, plan(typed).most) for typed in (900, 9_000)]
    [(125, 8, 400), (128, 8, 250)]
    """
    width = -(-num_typed // 8)
    count = int(np.clip(num_typed // STEP, MIN_POSITIONS, MAX_POSITIONS))
    centres = [width * (number + 0.5) / count for number in range(count)]
    small, large = SPARSE if num_typed < _DENSE_STEP * count else DENSE
    scales = (small, max(large, -(-width // (AROUND * count))))
    searches = dict.fromkeys(
        PositionSearch(*_segment(centre, scale, width), *_segment(centre, AROUND * scale, width))
        for scale in scales
        for centre in centres
    )
    most = int(np.interp(num_typed, (FEW_TYPED, MANY_TYPED), (MOST, LEAST)))
    return SearchPlan(tuple(searches), min(most, max(HITS, -(-MIN_TOTAL // len(searches)))), most)


def find(
    typed_bits: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    excluded: Sequence[NDArray[np.int64]] | None = None,
    *,
    threads: int = 1,
) -> list[NDArray[np.int64]]:
    """Rows of the references to copy from, rising, for each query; the same for any `threads`.

    Ties are resolved in the order of the references. A missing allele is searched as the major
    allele of the panel. If a query has at most MOST references, all of them are its candidates.

    typed_bits  (R, ceil(T / 64)) alleles at typed sites, the first in the lowest bit
    queries     (Q, T) 0 REF, 1 ALT, more if missing
    excluded    Q arrays of rows that are no candidates of this query: its own and its relatives'
    """
    none = np.empty(0, np.int64)
    banned = [np.unique(rows) for rows in excluded or [none] * len(queries)]
    references = np.arange(len(typed_bits), dtype=np.int64)
    is_few = [len(references) - len(rows) <= MOST for rows in banned]
    found = [
        np.setdiff1d(references, rows, assume_unique=True) if few else none
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


def _segment(centre: float, length: int, width: int) -> tuple[int, int]:
    """`length` bytes around a centre, moved to lie within [0, width)."""
    length = min(length, width)
    start = int(np.clip(centre - length / 2, 0, width - length))
    return start, start + length


def _filled(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Queries with missing alleles replaced by the major allele of the panel; 0 in a tie."""
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
    chosen: SearchPlan,
    threads: int,
) -> list[NDArray[np.int64]]:
    """The union of all searches' hits for each query.

    queries  (Q, ceil(T / 8)) packed as `codes` is
    banned   Q arrays of distinct rows
    """
    count = min(chosen.hits + max(len(rows) for rows in banned), len(codes))
    offset = len(codes) * np.arange(len(queries))[:, None]
    banned_keys = np.concatenate([rows + place for rows, place in zip(banned, offset, strict=True)])

    def allowed(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(banned_keys):
            is_banned = np.isin(rows + offset, banned_keys)
            rows = np.take_along_axis(rows, np.argsort(is_banned, axis=1, kind="stable"), axis=1)
        return rows[:, : chosen.hits]

    found: Iterable[NDArray[np.int64]]
    if len(queries) <= MOST_FEW and (width := queries.shape[1]) <= MOST_FEW_BYTES:
        distances = [search.distance for search in chosen.searches]
        found = few_queries.nearest(codes[:, :width], queries, count, distances, threads=threads)
    else:
        found = _by_code(codes, queries, count, chosen.searches, threads)
    by_rank = np.stack([allowed(rows) for rows in found], axis=2)
    union = []
    for row in by_rank.reshape(len(queries), -1):  # the first hit of each search comes first
        places = np.sort(np.unique(row, return_index=True)[1])
        union.append(np.sort(row[places[: chosen.most]]))
    return union


def _by_code(
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    count: int,
    searches: Sequence[PositionSearch],
    threads: int,
) -> list[NDArray[np.int64]]:
    """(Q, count) rows by distance of each search, ties by row, with FAISS."""
    import faiss

    def search(one: PositionSearch) -> NDArray[np.int64]:
        used = slice(one.start, one.stop)
        return distinct_codes.nearest(codes, queries, count, one.code, used)

    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(search, searches))
