"""Candidates of a sample without a phase: references that its homozygotes do not contradict.

At each of several places along the chunk, the references with the longest such stretch around the
place are taken. Eagle 2 (Loh et al. 2016, Nature Genetics 48:1443) starts from such stretches, too.

T typed sites in W words of 64, R reference haplotypes, P places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import leading_zeros, trailing_zeros
from vcfbert.domain import tokens
from vcfbert.phasing import steps

BEYOND = np.float32(0.5)
"""The part of the stretch behind one contradiction counts this much: genotypes may be wrong."""

_ONE = np.uint64(1)


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
    last = cm.size - 1
    # All ones beyond both ends, so that there are two contradictions on either side of any place.
    wrong = np.full(wanted.size + 2, np.uint64(0xFFFFFFFFFFFFFFFF))
    for row in range(bits.shape[0]):
        for word in range(wanted.size):
            wrong[word + 1] = (bits[row, word] ^ wanted[word]) & asked[word]
        for p in range(places.size):
            word, bit = (places[p] >> 6) + 1, np.uint64(places[p] & 63)
            rest = wrong[word] & ((_ONE << bit) - _ONE)
            low, word, rest = _last_of(wrong, word, rest)
            lower, word, rest = _last_of(wrong, word, rest)
            word = (places[p] >> 6) + 1
            rest = (wrong[word] >> bit) << bit
            high, word, rest = _first_of(wrong, word, rest)
            higher, word, rest = _first_of(wrong, word, rest)
            start, stop = cm[max(low, 0)], cm[min(high, last)]
            before, after = start - cm[max(lower, 0)], cm[min(higher, last)] - stop
            out[p, row] = stop - start + BEYOND * max(after, before)


@kernel()
def _last_of(words, word, rest):
    """The last of the bits that are left in a word or set in those before it, and what is left."""
    while rest == 0:
        word -= 1
        rest = words[word]
    bit = np.uint64(63) - leading_zeros(rest)
    return 64 * (word - 1) + np.int64(bit), word, rest ^ (_ONE << bit)


@kernel()
def _first_of(words, word, rest):
    """The first of the bits that are left in a word or set in those after it, and what is left."""
    while rest == 0:
        word += 1
        rest = words[word]
    return 64 * (word - 1) + np.int64(trailing_zeros(rest)), word, rest & (rest - _ONE)
