"""How often an allele differs from the copied one at each typed site, from the panel alone.

At a few sites, many genotypes are wrong, and samples seem to be out of phase there: of 5,793 sites
of the 1000 Genomes on chr20, 50 have nearly half of the turns of a single heterozygote. At such a
site, haplotypes of the panel that are equal on both sides of it often differ.

T asked sites and F landmarks in W words of 64, R reference haplotypes.
"""

from __future__ import annotations

from typing import NamedTuple

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


class Asked(NamedTuple):
    """Sites whose error rates are wanted, in order.

    bits           (R, W) alleles of the references
    cm             (T,)
    before, after  (T,) landmarks before each site; the first landmark after it
    """

    bits: NDArray[np.uint64]
    cm: NDArray[np.floating]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def estimate(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    error: float,
    asked: Asked | None = None,
) -> NDArray[np.float64]:
    """Error rate of each asked site, at least `error`.

    bits     (R, W) alleles of the references at landmarks, by which they are compared
    cm       (F,) never falling
    asked    None is the landmarks themselves
    returns  (T,)
    """
    if asked is None:
        asked = Asked(bits, cm, np.arange(len(cm)), np.arange(1, len(cm) + 1))
    near = np.searchsorted(cm, asked.cm - MATCH_CM, side="left")
    far = np.searchsorted(cm, asked.cm + MATCH_CM, side="right") - 1
    first = np.minimum(near, asked.before - FEWEST_EQUAL)
    last = np.maximum(far, asked.after + FEWEST_EQUAL - 1)
    pairs, differ = np.zeros(len(asked.cm)), np.zeros(len(asked.cm))
    _count(bits, len(cm), asked, first, last, pairs, differ)
    rate = (differ + error * PRIOR_PAIRS) / (pairs + PRIOR_PAIRS)
    return np.clip(rate, error, max(error, LARGEST))


@kernel(fastmath=False)
def _count(bits, num_landmarks, asked, first, last, pairs, differ):
    """Count neighbours in the order of the panel that are equal before and behind each site.

    first, last    (T,) the landmarks between which they must be equal
    pairs, differ  (T,) all such pairs, and those that differ at the site
    """
    num_rows = bits.shape[0]
    order, starts = np.arange(num_rows), np.zeros(num_rows, np.int64)
    spare = (np.empty_like(order), np.empty_like(starts))
    zeros = np.empty(num_rows + 1, np.int64)
    alleles = np.empty(num_rows, np.uint8)
    site = 0
    for landmark in range(num_landmarks + 1):
        while site < first.size and asked.before[site] == landmark:
            if first[site] >= 0 and last[site] < num_landmarks:
                _read(asked.bits, site, alleles)
                after, stop = asked.after[site], last[site] + 1
                for i in range(1, num_rows):
                    one, other = order[i - 1], order[i]
                    if starts[i] > first[site]:
                        continue
                    if alleles[one] == alleles[other]:
                        pairs[site] += 1.0
                    elif _is_equal(bits, one, other, after, stop):
                        pairs[site] += 1.0
                        differ[site] += 1.0
            site += 1
        if landmark < num_landmarks:
            _read(bits, landmark, alleles)
            count_zeros(order, alleles, zeros)
            sort_on(order, starts, alleles, zeros[num_rows], landmark, spare)


@kernel(fastmath=False)
def _read(bits, site, alleles):
    """Alleles of all rows at a site."""
    for row in range(alleles.size):
        alleles[row] = (bits[row, site >> 6] >> np.uint64(site & 63)) & np.uint64(1)


@kernel(fastmath=False)
def _is_equal(bits, one, other, start, stop):
    """True if two rows have the same alleles at the sites [start, stop)."""
    for site in range(start, stop):
        word = bits[one, site >> 6] ^ bits[other, site >> 6]
        if (word >> np.uint64(site & 63)) & np.uint64(1):
            return False
    return True
