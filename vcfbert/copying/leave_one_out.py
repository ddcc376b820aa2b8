"""How well a panel predicts its own sites: each reference from its most similar haplotypes.

The positional Burrows-Wheeler transform (Durbin 2014, Bioinformatics 30:1266) keeps haplotypes
sorted by their alleles up to a typed site, so that those with the longest match are adjacent. In
one pass from left to right and one from right to left, each reference is compared with its two
neighbours in the order at the sites that follow, up to the next typed site, which is compared as
well before the order takes it in.

R references, S sites, T typed sites.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import trailing_zeros

MOST_TYPED = 5_000
"""Typed sites that are sorted by, thinned evenly if there are more. With 1,500 of 2,345 typed sites
on 2 Mb, the estimated r2 of a site is too low (.896 against .939) and correlates less with the true
one (.77 against .87)."""

_WORDS = 8  # of 64 sites: a cache line
_PRIOR = 0.5  # weight of the frequency, in neighbours
_F = np.float32
_LONGER = _F(3e38)  # than any match; not infinity, which fastmath may assume never to occur


def predictions(
    bits: NDArray[np.uint64],
    typed: NDArray[np.int64],
    cm: NDArray[np.floating],
    frequency: NDArray[np.floating],
    rate: float,
    sample: NDArray[np.int64] | None = None,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Share of ALT among the neighbours of ALT carriers, and among those of the others.

    A neighbour counts x / (1 + x) if the shared match is x switches long.

    bits       (R, ceil(S / 64))
    typed      (T,) indexes among the S
    cm         (S,)
    frequency  (S,) of ALT
    rate       switches per cM
    sample     (R,) of each reference, whose haplotypes are no neighbours; None if the two
               haplotypes of each are adjacent
    threads    the numbers do not depend on it; more than 2 have nothing to do
    returns    (2, S); the frequency where no neighbour counts
    """
    sample = np.arange(len(bits)) >> 1 if sample is None else sample
    stride = -(-len(typed) // MOST_TYPED)
    place = (cm - cm[0]).astype(np.float32)

    def sweep(order: NDArray[np.int64]) -> NDArray[np.float64]:
        found = np.zeros((4, len(cm)), np.float64)
        _sweep(bits, order.copy(), place, _F(rate), sample, found[:3], found[3])
        return found

    thinned = typed[::stride]
    with ThreadPoolExecutor(min(2, threads)) as pool:
        rightwards, leftwards = pool.map(sweep, (thinned, thinned[::-1]))
    prior = _PRIOR * frequency
    both, carriers, missed, total = rightwards + leftwards
    among_carriers = (both + prior) / (carriers + _PRIOR)
    among_others = (missed + prior) / (np.maximum(total - carriers, 0.0) + _PRIOR)
    return np.stack([among_carriers, among_others])


def estimated_r2(
    among_carriers: NDArray[np.floating],
    among_others: NDArray[np.floating],
    alt_count: NDArray[np.integer],
    num_references: int,
) -> NDArray[np.float64]:
    """Squared correlation of imputed and true alleles at each site, for these typed sites.

    The difference c of the two shares is the correlation of a reference's allele with that of one
    neighbour. The estimate is 1 - (1 - c)^2, an empirical choice: docs/decisions/site-quality.md
    compares it with other forms and with the true r2.

    among_carriers, among_others  (S,) as `predictions` returns them
    alt_count                     (S,) copies of ALT among the references
    returns                       (S,) 0 to 1; NaN if fewer than two references have the rarer
                                  allele, because a single one has no other to be imputed from

    >>> estimated_r2(np.array([0.9, 0.9]), np.array([0.4, 0.4]), np.array([5, 1]), 10)
    array([0.75,  nan])
    """
    correlation = np.clip(among_carriers - among_others, 0.0, 1.0).astype(np.float64)
    is_known = np.minimum(alt_count, num_references - alt_count) >= 2
    return np.where(is_known, 1 - (1 - correlation) ** 2, np.nan)


@kernel()
def _sweep(bits, typed, cm, rate, sample, sums, total):
    """One pass: add up the weights of neighbours.

    typed  (T,) in the order of the sweep
    sums   (3, S): of carriers' neighbours that carry ALT, of carriers' neighbours, of others'
           neighbours that carry ALT
    total  (S,): of all neighbours
    """
    is_backward = typed[0] > typed[-1]
    count, num_sites = bits.shape[0], cm.size
    order = np.arange(count)
    start = np.full(count, cm[typed[0]], np.float32)  # of the match with the previous in the order
    room, starts = np.empty_like(order), np.empty_like(start)
    weight = np.empty(count + 1, np.float32)
    weight[0] = weight[count] = _F(0)
    columns, held = np.empty((_WORDS, count), np.uint64), -1
    for t in range(typed.size):
        site = typed[t]
        held = _hold(bits, site >> 6, columns, held)
        column = columns[(site >> 6) % _WORDS]
        _sort(column, site & 63, cm[site], order, start, room, starts)
        if is_backward:
            first, stop = (typed[t + 1] if t + 1 < typed.size else 0), site
        else:
            first, stop = site + 1, (typed[t + 1] + 1 if t + 1 < typed.size else num_sites)
        if stop <= first:
            continue
        whole = _F(0)
        for rank in range(1, count):
            length = rate * abs(cm[site] - start[rank])
            own = sample[order[rank]] == sample[order[rank - 1]]
            weight[rank] = _F(0) if own else length / (_F(1) + length)
            whole += _F(2) * weight[rank]
        for place in range(first, stop):
            total[place] += whole
        for number in range(first >> 6, ((stop - 1) >> 6) + 1):
            keep = _inside(first - 64 * number, stop - 64 * number)
            held = _hold(bits, number, columns, held)
            _compare(columns[number % _WORDS], 64 * number, keep, order, weight, sums)


@kernel()
def _hold(bits, number, columns, held):
    """Copy the words around a word of all haplotypes, unless they are there; returns their block.

    The haplotypes are visited in an order that makes each visit a miss of the cache, so words of
    one haplotype that share a cache line are copied together, and kept for the next sites.
    """
    block = number // _WORDS
    if block != held:
        first = block * _WORDS
        for row in range(bits.shape[0]):
            for word in range(min(_WORDS, bits.shape[1] - first)):
                columns[word, row] = bits[row, first + word]
    return block


@kernel()
def _sort(column, bit, place, order, start, room, starts):
    """Update the order at a typed site: a stable sort by its allele.

    column  (R,) the word of the site
    bit     of the site in its word
    start   (R,) cM at which the match with the previous haplotype in the order begins
    """
    shift = np.uint64(bit)
    zeros, ones = 0, 0
    # Since the last haplotype with each allele: the shortest match, and where it begins.
    short0, short1, begin0, begin1 = _F(0), _F(0), place, place
    for rank in range(order.size):
        row, begin = order[rank], start[rank]
        length = abs(place - begin)
        if length < short0:
            short0, begin0 = length, begin
        if length < short1:
            short1, begin1 = length, begin
        if (column[row] >> shift) & np.uint64(1):
            room[ones], starts[ones] = row, begin1
            ones += 1
            short1 = _LONGER
        else:
            order[zeros], start[zeros] = row, begin0
            zeros += 1
            short0 = _LONGER
    for rank in range(ones):
        order[zeros + rank], start[zeros + rank] = room[rank], starts[rank]


@kernel()
def _inside(first, stop):
    """A word with the bits [first, stop) set, clipped to 0 to 64."""
    word = ~np.uint64(0)
    if first > 0:
        word = (word >> np.uint64(first)) << np.uint64(first)
    if stop < 64:
        word &= (np.uint64(1) << np.uint64(stop)) - np.uint64(1)
    return word


@kernel()
def _compare(column, base, keep, order, weight, sums):
    """Compare adjacent haplotypes at the sites of one word.

    column  (R,) the word
    base    its first site
    """
    before = column[order[0]] & keep
    here = before
    for rank in range(order.size):
        after = column[order[rank + 1]] & keep if rank + 1 < order.size else np.uint64(0)
        left, right = weight[rank], weight[rank + 1]
        word = here
        while word:
            site = base + trailing_zeros(word)
            bit = word & (~word + np.uint64(1))
            sums[1, site] += left + right
            if before & bit:
                sums[0, site] += left
            if after & bit:
                sums[0, site] += right
            word ^= bit
        word = before & ~here
        while word:
            sums[2, base + trailing_zeros(word)] += left
            word &= word - np.uint64(1)
        word = after & ~here
        while word:
            sums[2, base + trailing_zeros(word)] += right
            word &= word - np.uint64(1)
        before, here = here, after
