"""The vocabulary of the network, and alleles packed as bits.

H haplotypes, L sites in a window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REF = 0
ALT = 1
MASK = 2
"""The allele is known but masked."""
PAD = 3
"""There is no site: the window is shorter than L."""
MISSING = 4
"""The allele was not observed."""

NAMES = ("REF", "ALT", "MASK", "PAD", "MISSING")
VOCABULARY_SIZE = len(NAMES)


def pack(alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack eight alleles into a byte, the first site in the lowest bit.

    alleles  (..., L) 0 REF, 1 ALT
    returns  (..., ceil(L / 8)); the unused high bits of the last byte are 0

    >>> pack(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1]], dtype=np.uint8))
    array([[1, 1]], dtype=uint8)
    """
    return np.packbits(alleles, axis=-1, bitorder="little")


def unpack(packed: NDArray[np.uint8], num_sites: int) -> NDArray[np.uint8]:
    """The inverse of `pack`.

    packed   (..., ceil(num_sites / 8))
    returns  (..., num_sites) 0 REF, 1 ALT
    """
    return np.unpackbits(packed, axis=-1, count=num_sites, bitorder="little")


def count_alt(packed: NDArray[np.uint8], groups: NDArray[np.uint8]) -> NDArray[np.int32]:
    """ALT copies at each site in groups of haplotypes.

    packed   (S, ceil(H / 8)) packed alleles of the haplotypes at each site
    groups   (G, ceil(H / 8)) packed in the same way, 1 if a haplotype belongs to the group
    returns  (S, G)

    >>> count_alt(pack(np.array([[1, 0, 1]], np.uint8)), pack(np.array([[1, 1, 0]], np.uint8)))
    array([[1]], dtype=int32)
    """
    # Words of 64 haplotypes: a hundred times faster than adding bytes.
    spare = -packed.shape[1] % 8
    words = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, spare)))).view(np.uint64)
    masks = np.ascontiguousarray(np.pad(groups, ((0, 0), (0, spare)))).view(np.uint64)
    counts = np.empty((len(packed), len(groups)), dtype=np.int32)
    for group, mask in enumerate(masks):
        counts[:, group] = np.bitwise_count(words & mask).sum(axis=1, dtype=np.int32)
    return counts


def pad(alleles: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """Alleles as tokens, with PAD after the last site.

    alleles  (..., n) with n <= length
    returns  (..., length)
    """
    padding = [(0, 0)] * (alleles.ndim - 1) + [(0, length - alleles.shape[-1])]
    return np.pad(alleles, padding, constant_values=PAD)


def hide(tokens: NDArray[np.uint8], is_masked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace observed alleles under the mask by MASK; PAD and MISSING do not change.

    tokens     (..., L)
    is_masked  broadcastable to tokens
    returns    (..., L)

    >>> hide(np.array([0, 1, 3, 4], dtype=np.uint8), np.array([False, True, True, True]))
    array([0, 2, 3, 4], dtype=uint8)
    """
    return np.where(is_masked & is_observed(tokens), np.uint8(MASK), tokens)


def is_observed(tokens: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True where the token is REF or ALT."""
    return tokens <= ALT


def is_heterozygous(alleles: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True for genotypes with a REF and an ALT allele.

    alleles  (..., 2, T) of both haplotypes
    returns  (..., T)

    >>> is_heterozygous(np.array([[0, 1, 0], [1, 1, 4]], np.uint8)).tolist()
    [True, False, False]
    """
    first, second = alleles[..., 0, :], alleles[..., 1, :]
    return np.asarray((first ^ second == ALT) & is_observed(first), dtype=np.bool_)
