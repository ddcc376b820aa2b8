"""Candidates of phased haplotypes: neighbours in the positional Burrows-Wheeler order of the panel.

Durbin 2014 (Bioinformatics 30:1266): at each site the references are sorted by their alleles read
backwards from it, so the references with the longest match that ends there are next to each other.
A query has a place in this order without being inserted, so what it finds does not depend on other
queries. The panel is read in both directions.

T typed sites in W words of 64, R reference haplotypes, Q queries, P places.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.domain import tokens
from vcfbert.phasing import longest_matches
from vcfbert.phasing.genotype_search import words
from vcfbert.phasing.prefix_order import count_zeros, match_start, sort_on

_QUERIES_AT_ONCE = 1_024  # or an eighth of the references, so that these are seldom sorted again


def find(
    bits: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    places: NDArray[np.int64],
    hits: int,
    excluded: Sequence[NDArray[np.int64]],
    *,
    threads: int,
) -> NDArray[np.int32]:
    """The references with the longest matches that end at each place, or start there.

    A missing allele is that of the reference with the longest match.

    bits      (R, W) alleles of the references
    queries   (Q, T) 0 REF, 1 ALT, more if missing
    places    (P,) indexes of typed sites, rising
    excluded  Q arrays of rows that a query must not find
    returns   (Q, 2 P, hits) rows; -1 if there are fewer
    """
    found = np.full((len(queries), 2, len(places), hits), -1, np.int32)
    is_missing = queries > tokens.ALT
    # The result is the same. For a few queries, a sweep takes longer.
    is_few = 2 * len(queries) * len(places) <= queries.shape[1] and not is_missing.any()
    most = bits.shape[0] * queries.shape[1] // (2 * max(len(queries), 1))
    if not (is_few and _compare(bits, queries, places, excluded, found, threads, most)):
        found[:] = -1  # a comparison that was given up may have filled some in
        _sweep_both(bits, queries, places, excluded, found, threads)
    return found.reshape(len(queries), 2 * len(places), hits)


def _compare(
    bits: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    places: NDArray[np.int64],
    excluded: Sequence[NDArray[np.int64]],
    found: NDArray[np.int32],
    threads: int,
    most: int,
) -> bool:
    """Fill in (Q, 2, P, hits) rows by comparing each query with each reference.

    most  words to read for a query; returns False if one needs more, so that a sweep is faster
    """

    def search(number: int) -> bool:
        is_own = np.isin(np.arange(len(bits)), excluded[number])
        query = words(queries[number])
        here, num_typed = found[number], queries.shape[1]
        return bool(longest_matches.find(bits, query, num_typed, places, is_own, here, most))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return all(pool.map(search, range(len(queries))))


def _sweep_both(
    bits: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    places: NDArray[np.int64],
    excluded: Sequence[NDArray[np.int64]],
    found: NDArray[np.int32],
    threads: int,
) -> None:
    """Fill in (Q, 2, P, hits) rows by reading the panel in both directions."""
    at_once = max(_QUERIES_AT_ONCE, len(bits) // 8)

    def search(part: tuple[int, bool]) -> None:
        first, is_reverse = part
        block = slice(first, first + at_once)
        banned = excluded[block]
        offsets = np.cumsum([0, *(len(rows) for rows in banned)])
        _sweep(
            bits, queries[block].copy(), places, np.concatenate(banned).astype(np.int64),
            offsets.astype(np.int64), is_reverse, found[block, int(is_reverse)],
        )  # fmt: skip

    firsts = range(0, len(queries), at_once)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(search, [(first, way) for first in firsts for way in (False, True)]))


def filled(bits: NDArray[np.uint64], alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Haplotypes whose missing alleles are those of the reference with the longest match before.

    bits     (R, W) alleles of the references
    alleles  (Q, T) 0 REF, 1 ALT, more if missing
    """
    out = alleles.copy()
    gaps = np.flatnonzero((alleles > tokens.ALT).any(axis=1))
    none = np.empty(0, np.int64)
    for first in range(0, len(gaps), max(_QUERIES_AT_ONCE, len(bits) // 8)):
        rows = gaps[first : first + max(_QUERIES_AT_ONCE, len(bits) // 8)]
        queries = out[rows]
        found = np.empty((len(rows), 0, 1), np.int32)
        _sweep(bits, queries, none, none, np.zeros(len(rows) + 1, np.int64), False, found)
        out[rows] = queries
    return out


@kernel(fastmath=False)
def _sweep(bits, queries, places, banned, offsets, is_reverse, found):
    """Read the panel in one direction; missing alleles of the queries are filled in.

    banned, offsets  excluded rows of all queries, and where those of each query start
    found            (Q, P, hits)
    """
    num_rows, num_typed = bits.shape[0], queries.shape[1]
    order, starts = np.arange(num_rows), np.zeros(num_rows, np.int64)
    spare = (np.empty_like(order), np.empty_like(starts))
    zeros = np.empty(num_rows + 1, np.int64)
    alleles = np.empty(num_rows, np.uint8)
    at = np.zeros(len(queries), np.int64)
    place = places.size - 1 if is_reverse else 0
    for step in range(num_typed):
        site = num_typed - 1 - step if is_reverse else step
        for row in range(num_rows):
            alleles[row] = (bits[row, site >> 6] >> np.uint64(site & 63)) & np.uint64(1)
        count_zeros(order, alleles, zeros)
        for q in range(len(queries)):
            if queries[q, site] > tokens.ALT:
                own = banned[offsets[q] : offsets[q + 1]]
                near = _nearest(bits, queries[q], order, at[q], step, is_reverse, own)
                queries[q, site] = alleles[near]
            before = zeros[at[q]]
            at[q] = zeros[num_rows] + at[q] - before if queries[q, site] else before
        sort_on(order, starts, alleles, zeros[num_rows], step, spare)
        if 0 <= place < places.size and places[place] == site:
            for q in range(len(queries)):
                own = banned[offsets[q] : offsets[q + 1]]
                _walk(
                    bits, queries[q], order, starts, at[q], step, is_reverse, own, found[q, place]
                )
            place += -1 if is_reverse else 1


@kernel(fastmath=False)
def _nearest(bits, query, order, at, step, is_reverse, own):
    """The row next to a query, of those that it may find, whose match is longer."""
    up, down = at - 1, at
    while up >= 0 and _is_among(own, order[up]):
        up -= 1
    while down < order.size and _is_among(own, order[down]):
        down += 1
    if up < 0 or down == order.size:
        return order[max(up, 0)] if down == order.size else order[down]
    above = match_start(bits, query, order[up], step, is_reverse)
    below = match_start(bits, query, order[down], step, is_reverse)
    return order[up] if above <= below else order[down]


@kernel(fastmath=False)
def _is_among(rows, row):
    """True if a row is one of some rows."""
    for i in range(rows.size):
        if rows[i] == row:
            return True
    return False


@kernel(fastmath=False)
def _walk(bits, query, order, starts, at, step, is_reverse, own, out):
    """Rows with the longest matches that end with this step; rows without any are left out."""
    end = step + 1
    up, down = at - 1, at
    up_start = down_start = end
    if up >= 0:
        up_start = match_start(bits, query, order[up], end, is_reverse)
    if down < order.size:
        down_start = match_start(bits, query, order[down], end, is_reverse)
    count = 0
    while count < out.size and min(up_start, down_start) < end:
        if up_start <= down_start:
            row = order[up]
            up_start = max(up_start, starts[up]) if up > 0 else end
            up -= 1
        else:
            row = order[down]
            down += 1
            down_start = max(down_start, starts[down]) if down < order.size else end
        if not _is_among(own, row):
            out[count] = row
            count += 1
