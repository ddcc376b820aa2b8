"""Candidates of a sample without a phase: references that its homozygotes do not contradict.

At each of several places along the chunk, the references with the longest such stretch around the
place are taken. Eagle 2 (Loh et al. 2016, Nature Genetics 48:1443) starts from such stretches, too.

T typed sites in W words of 64, R reference haplotypes, P places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import trailing_zeros
from vcfbert.domain import tokens
from vcfbert.phasing import steps

BEYOND = np.float32(0.5)
"""The part of the stretch behind one contradiction counts this much: genotypes may be wrong."""


def candidates(
    bits: NDArray[np.uint64],
    alleles: NDArray[np.uint8],
    cm: NDArray[np.float32],
    places: NDArray[np.int64],
    hits: int,
    excluded: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Rows of the references, rising: at most `hits` for each place.

    bits      (R, W) alleles of the references
    alleles   (2, T) of the sample, in any order
    cm        (T,) never falling
    places    (P,) indexes of typed sites, rising
    excluded  rows that are no candidates
    """
    genotype = steps.genotypes(alleles)
    asked = words((genotype == 0) | (genotype == 2))
    lengths = np.empty((len(places), len(bits)), np.float32)
    _stretches(bits, words(genotype == 2), asked, cm, places, lengths)
    lengths[:, excluded] = -1.0
    hits = min(hits, len(bits) - len(np.unique(excluded)))
    if hits < 1:
        return np.empty(0, np.int64)
    top = np.argpartition(-lengths, hits - 1, axis=1)[:, :hits]
    return np.unique(top).astype(np.int64)


def words(values: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Zeros and ones as words of 64, the first in the lowest bit.

    values   (..., T)
    returns  (..., W)
    """
    packed = tokens.pack(values.astype(np.uint8))
    spare = [(0, 0)] * (packed.ndim - 1) + [(0, -packed.shape[-1] % 8)]
    return np.ascontiguousarray(np.pad(packed, spare)).view(np.uint64)


@kernel()
def _stretches(bits, wanted, asked, cm, places, out):
    """Length in cM around each place over which a reference contradicts no homozygote, (P, R).

    wanted, asked  (W,) uint64 alleles of the homozygotes, and which sites are homozygous
    """
    num_typed = cm.size
    spots = np.empty(num_typed + 4, np.int64)
    for row in range(bits.shape[0]):
        n = 2
        spots[0] = spots[1] = -1
        for word in range(wanted.size):
            contradicted = (bits[row, word] ^ wanted[word]) & asked[word]
            while contradicted:
                spots[n] = 64 * word + trailing_zeros(contradicted)
                n += 1
                contradicted &= contradicted - np.uint64(1)
        spots[n] = spots[n + 1] = num_typed
        i = 2  # first contradiction at or behind the place
        for p in range(places.size):
            while i < n and spots[i] < places[p]:
                i += 1
            low, high = cm[max(spots[i - 1], 0)], cm[min(spots[i], num_typed - 1)]
            lower = cm[max(spots[i - 2], 0)]
            higher = cm[min(spots[i + 1], num_typed - 1)]
            out[p, row] = high - low + BEYOND * max(higher - high, low - lower)
