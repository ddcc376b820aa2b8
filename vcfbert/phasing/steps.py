"""Steps of the copying model along the typed sites of a sample.

A step is a heterozygote, or a run of homozygotes that are so close together that a switch between
them is unlikely, with the same error rate. A missing genotype says nothing and is in no step.

T typed sites in W words of 64, H heterozygotes, n steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.domain import tokens

HET = 1
UNKNOWN = 3
"""Genotype codes: copies of ALT, or UNKNOWN if an allele is missing."""

MOST_ALIKE = 2.0
"""A site joins a run if its error rate is at most so many times the least."""

_HOMOZYGOUS = -1
_SHORTEST_CM = 1e-7


class Steps(NamedTuple):
    """What the model reads at each step.

    word    (n,) int64 which word of the panel's alleles
    mask    (n,) uint64 the sites of the step in this word
    wanted  (n,) uint64 ALT alleles of homozygotes, and of the first haplotype as in the file
    switch  (n,) float32 probability of a switch on the way from the step before
    ratio   (n,) float32 likelihood of an allele that differs, relative to one that is equal
    het     (n,) int64 index of the heterozygote, or -1
    """

    word: NDArray[np.int64]
    mask: NDArray[np.uint64]
    wanted: NDArray[np.uint64]
    switch: NDArray[np.float32]
    ratio: NDArray[np.float32]
    het: NDArray[np.int64]


def genotypes(alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copies of ALT, or UNKNOWN.

    alleles  (..., 2, T) 0 REF, 1 ALT, more if missing
    returns  (..., T)

    >>> genotypes(np.array([[0, 1, 0, 4], [0, 1, 1, 1]], dtype=np.uint8))
    array([0, 2, 1, 3], dtype=uint8)
    """
    copies = alleles.sum(axis=-2, dtype=np.uint8)
    return np.where((alleles > tokens.ALT).any(axis=-2), np.uint8(UNKNOWN), copies)


def along(
    alleles: NDArray[np.uint8],
    cm: NDArray[np.floating],
    rate: float,
    errors: NDArray[np.floating],
    longest: float,
) -> Steps:
    """The steps of one sample.

    alleles  (2, T) in the order of the file
    cm       (T,) never falling
    rate     switches per cM
    errors   (T,) probability that an allele differs from the copied one
    longest  most switches expected in a run of homozygotes
    """
    genotype = genotypes(alleles)
    size = len(genotype)
    word, het = np.empty(size, np.int64), np.empty(size, np.int64)
    mask, wanted = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    switch, ratio = np.empty(size, np.float32), np.empty(size, np.float32)
    distance = np.diff(cm.astype(np.float64), prepend=cm[:1])
    expected = rate * np.maximum(distance, _SHORTEST_CM)
    n = _lay_out(
        *(genotype, alleles[0], expected, errors, longest),
        *(word, mask, wanted, switch, ratio, het),
    )
    return Steps(word[:n], mask[:n], wanted[:n], switch[:n], ratio[:n], het[:n])


@kernel(fastmath=False)
def _lay_out(genotype, first, expected, errors, longest, word, mask, wanted, switch, ratio, het):
    """Fill the fields of Steps; returns n.

    genotype  (T,) see `genotypes`
    first     (T,) allele of the first haplotype
    expected  (T,) switches on the way to each site
    """
    n, hets, is_open, travelled = 0, 0, False, 0.0
    plain = MOST_ALIKE * errors.min()
    for t in range(genotype.size):
        travelled += expected[t]
        if genotype[t] == UNKNOWN:
            continue
        is_het = genotype[t] == HET
        is_run = not is_het and errors[t] <= plain
        joins = is_open and is_run and word[n - 1] == t >> 6 and travelled <= longest
        if not joins:
            word[n], het[n] = t >> 6, hets if is_het else _HOMOZYGOUS
            n += 1
            hets += is_het
            is_open = is_run
            ratio[n - 1] = errors[t] / (1.0 - errors[t])
            switch[n - 1] = 1.0 - np.exp(-travelled) if n > 1 else 0.0
            travelled = 0.0
        bit = np.uint64(1) << np.uint64(t & 63)
        mask[n - 1] |= bit
        if (first[t] if is_het else genotype[t] >> 1) == 1:
            wanted[n - 1] |= bit
    return n
