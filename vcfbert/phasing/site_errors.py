"""How often an allele differs from the copied one at each typed site, from the panel alone.

At a few sites, many genotypes are wrong, and samples seem to be out of phase there: of 5,793 sites
of the 1000 Genomes on chr20, 50 have nearly half of the turns of a single heterozygote. At such a
site, haplotypes of the panel that are equal on both sides of it often differ.

T typed sites in W words of 64, R reference haplotypes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.phasing.prefix_order import count_zeros, sort_on

MATCH_CM = 0.2
FEWEST_EQUAL = 10
"""A pair of haplotypes counts if they are equal over MATCH_CM and so many sites on both sides."""

PRIOR_PAIRS = 300.0
"""Pairs that the error rate without any is worth."""

LARGEST = 0.2
"""Largest error rate of a site."""


def estimate(
    bits: NDArray[np.uint64], cm: NDArray[np.floating], error: float
) -> NDArray[np.float64]:
    """Error rate of each typed site, at least `error`.

    bits     (R, W) alleles of the references
    cm       (T,) never falling
    returns  (T,)
    """
    num_typed = len(cm)
    sites = np.arange(num_typed)
    before = np.searchsorted(cm, cm - MATCH_CM, side="left")
    after = np.searchsorted(cm, cm + MATCH_CM, side="right") - 1
    first = np.minimum(before, sites - FEWEST_EQUAL)
    last = np.maximum(after, sites + FEWEST_EQUAL)
    pairs, differ = np.zeros(num_typed), np.zeros(num_typed)
    _count(bits, first, last, pairs, differ)
    rate = (differ + error * PRIOR_PAIRS) / (pairs + PRIOR_PAIRS)
    return np.clip(rate, error, max(error, LARGEST))


@kernel(fastmath=False)
def _count(bits, first, last, pairs, differ):
    """Count neighbours in the order of the panel that are equal before and behind each site.

    first, last    (T,) the sites between which they must be equal
    pairs, differ  (T,) all such pairs, and those that differ at the site
    """
    num_rows, num_typed = bits.shape[0], first.size
    order, starts = np.arange(num_rows), np.zeros(num_rows, np.int64)
    spare = (np.empty_like(order), np.empty_like(starts))
    zeros = np.empty(num_rows + 1, np.int64)
    alleles = np.empty(num_rows, np.uint8)
    for site in range(num_typed):
        for row in range(num_rows):
            alleles[row] = (bits[row, site >> 6] >> np.uint64(site & 63)) & np.uint64(1)
        if first[site] >= 0 and last[site] < num_typed:
            for i in range(1, num_rows):
                one, other = order[i - 1], order[i]
                if starts[i] > first[site]:
                    continue
                if alleles[one] == alleles[other]:
                    pairs[site] += 1.0
                elif _is_equal(bits, one, other, site + 1, last[site] + 1):
                    pairs[site] += 1.0
                    differ[site] += 1.0
        count_zeros(order, alleles, zeros)
        sort_on(order, starts, alleles, zeros[num_rows], site, spare)


@kernel(fastmath=False)
def _is_equal(bits, one, other, start, stop):
    """True if two rows have the same alleles at the sites [start, stop)."""
    for site in range(start, stop):
        word = bits[one, site >> 6] ^ bits[other, site >> 6]
        if (word >> np.uint64(site & 63)) & np.uint64(1):
            return False
    return True
