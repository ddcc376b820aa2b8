"""Duplicates and close relatives by genotypes alone.

Kinship is the between-family estimator of KING-robust (Manichaikul et al. 2010, Bioinformatics
26:2867), which needs no allele frequencies and so no homogeneous population:

    kinship(i, j) = 1/2 - sum over sites of (x_i - x_j)^2 / (4 min(h_i, h_j))

with x the ALT copies of a sample and h the number of sites where that sample is heterozygous. It is
1/2 for one sample twice, 1/4 for parents, children and siblings, 0 for strangers of one population.

What a region can tell depends on its genetic length, not on its number of sites. Unrelated samples
share haplotypes of megabases, and close relatives share all or nothing over a few centimorgans: two
siblings agree entirely in a quarter of such regions and nowhere in another quarter. In one short
region only identical genotypes from end to end are conclusive (the same sample, a twin, or a
sibling with the same haplotypes, which leaks as much). On 7.7 cM of the 1000 Genomes, 1 pair of
3.1 million is identical, and hundreds of pairs pass the threshold for first-degree relatives, far
too many to be real (benchmarks/kinship.py). Hence MIN_CM for duplicates and RELATIVES_CM for close
relatives.

N samples, M sites, n pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MIN_SITES, MIN_CM = 100, 2.0
"""Below these strangers agree everywhere by chance. Measured on the 1000 Genomes: 100 neighbouring
sites of an array over 1 cM are the same in up to 11 pairs, 200 over 2 cM in the one that is."""

MAX_DIFFERENT = 0.01
"""Of one sample typed twice, at most this share of the sites differs."""

FIRST_DEGREE = 0.177
"""Kinship from here on is that of parents, children and siblings (2 ** -2.5)."""

RELATIVES_CM = 300.0
"""Relatives are told from strangers where so much of the genome is seen."""

COMMON_MAF = 0.05
SPACING_CM = 0.01
MAX_SITES_OF_SAME, MAX_SITES = 1_000, 4_000
"""Sites that are looked at: to find who is the same, and to estimate kinship."""

_CELLS = 1 << 23  # of distances at a time
_EARLY_SITES = 64  # of `alike`


@dataclass(frozen=True)
class Pairs:
    """Pairs of samples; `first` and `second` count in the two lists that were compared.

    different  (n,) share of the sites where they differ
    kinship    (n,) NaN where either is nowhere heterozygous
    is_same    (n,) True where the genotypes are of one sample, up to MAX_DIFFERENT
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    different: NDArray[np.float64]
    kinship: NDArray[np.float64]
    is_same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)

    def taken(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return Pairs(
            self.first[chosen],
            self.second[chosen],
            self.different[chosen],
            self.kinship[chosen],
            self.is_same[chosen],
        )

    def renamed(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Pairs:
        """The same pairs, numbered as `first` and `second` number the samples of either list."""
        return replace(self, first=first[self.first], second=second[self.second])


def no_pairs() -> Pairs:
    """No pairs."""
    none, share = np.empty(0, np.int64), np.empty(0, np.float64)
    return Pairs(none, none, share, share, np.empty(0, np.bool_))


def thinned(
    frequency: NDArray[np.floating], contig: NDArray[np.integer], cm: NDArray[np.floating]
) -> NDArray[np.int64]:
    """(M,) common sites that are SPACING_CM apart, evenly thinned to what is worth looking at.

    frequency  (S,) of ALT
    contig     (S,) and `cm` (S,) in their order
    """
    sites = spaced(frequency, contig, cm)
    most = MAX_SITES if length_cm(contig[sites], cm[sites]) >= RELATIVES_CM else MAX_SITES_OF_SAME
    if len(sites) > most:
        sites = sites[np.linspace(0, len(sites) - 1, most).astype(np.int64)]
    return sites


def spaced(
    frequency: NDArray[np.floating], contig: NDArray[np.integer], cm: NDArray[np.floating]
) -> NDArray[np.int64]:
    """(n,) all common sites that are SPACING_CM apart; arguments as of `thinned`."""
    is_common = np.minimum(frequency, 1 - frequency) >= COMMON_MAF
    common = np.flatnonzero(is_common)
    cells = np.floor(cm[common] / SPACING_CM)
    is_new = np.ones(len(common), np.bool_)
    is_new[1:] = (np.diff(cells) != 0) | (np.diff(contig[common]) != 0)
    return common[is_new].astype(np.int64)


def length_cm(contig: NDArray[np.integer], cm: NDArray[np.floating]) -> float:
    """Genetic length from the first site of each contig to its last.

    >>> length_cm(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 0.0, 5.0]))
    7.0
    """
    steps = np.diff(cm)[np.diff(contig) == 0]
    return float(steps.sum())


def can_tell_same(num_sites: int, length: float) -> bool:
    """True where samples whose genotypes agree are the same, and not strangers by chance."""
    return num_sites >= MIN_SITES and length >= MIN_CM


def close_pairs(
    genotypes: NDArray[np.uint8], others: NDArray[np.uint8] | None, least_kinship: float | None
) -> Pairs:
    """Pairs that are the same or, where `least_kinship` is given, at least so closely related.

    genotypes      (M, N) ALT copies
    others         (M, N') compared with all of `genotypes`; None compares those among
                   themselves, each pair once
    least_kinship  None for pairs that are the same alone
    """
    one = genotypes.astype(np.float32)
    another = one if others is None else others.astype(np.float32)
    squares, het = _sums(one), (one == 1).sum(axis=0)
    squares_too, het_too = _sums(another), (another == 1).sum(axis=0)
    same = 4 * MAX_DIFFERENT * len(one)  # a site that differs adds 4 at most
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    step = max(1, _CELLS // max(another.shape[1], 1))
    for start in range(0, one.shape[1], step):
        block = slice(start, start + step)
        from_ = start if others is None else 0
        distance = -2.0 * (one[:, block].T @ another[:, from_:])
        distance += squares[block, None]
        distance += squares_too[None, from_:]
        limit = np.float32(same)
        if least_kinship is not None:
            least_het = np.minimum(het[block, None], het_too[None, from_:]).astype(np.float32)
            limit = np.maximum(limit, (2 - 4 * least_kinship) * least_het)
        first, second = np.nonzero(distance <= limit)
        first, second = first + start, second + from_
        if others is None:
            is_once = first < second
            first, second = first[is_once], second[is_once]
        found.append((first, second))
    if not found:
        return no_pairs()
    first, second = (np.concatenate(side).astype(np.int64) for side in zip(*found, strict=True))
    pairs = _measured(one[:, first], another[:, second], first, second)
    is_meant = pairs.is_same
    if least_kinship is not None:
        is_meant = is_meant | (pairs.kinship >= least_kinship)
    return pairs.taken(is_meant)


def alike(
    genotypes: NDArray[np.uint8], others: NDArray[np.uint8], most_different: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs whose genotypes are about the same where both are known, as two lists of indexes.

    genotypes       (M, N) ALT copies, more than 2 where unknown
    others          (M, N') ALT copies
    most_different  largest sum of squared differences, as a share of the sites known
    """
    is_known = genotypes <= 2
    copies = np.where(is_known, genotypes, 0).astype(np.float32)
    limit = most_different * is_known.sum(axis=0)
    # A sum over some sites is at most that over all, and few pairs are below the limit even there.
    early = slice(0, _EARLY_SITES)
    few, another = copies[early], others[early].astype(np.float32)
    squares = _sums(few)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    step = max(1, _CELLS // max(another.shape[1], 1))
    for start in range(0, copies.shape[1], step):
        block = slice(start, start + step)
        distance = -2.0 * (few[:, block].T @ another)
        distance += squares[block, None]
        if is_known[early, block].all():
            distance += _sums(another)
        else:
            distance += is_known[early, block].T.astype(np.float32) @ another**2
        first, second = np.nonzero(distance <= limit[block, None])
        found.append(_close(copies, is_known, others, first + start, second, limit))
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def _close(
    copies: NDArray[np.float32],
    is_known: NDArray[np.bool_],
    others: NDArray[np.uint8],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    limit: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those of some pairs whose sum of squared differences over all sites is within the limit.

    copies, is_known  (M, N) 0 where unknown
    limit             (N,)
    """
    step = max(1, _CELLS // max(len(copies), 1))
    stays = np.zeros(len(first), np.bool_)
    for start in range(0, len(first), step):
        one, two = first[start : start + step], second[start : start + step]
        difference = (copies[:, one] - others[:, two]) * is_known[:, one]
        stays[start : start + step] = _sums(difference) <= limit[one]
    return first[stays], second[stays]


def _sums(genotypes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) of squares over the sites."""
    squares: NDArray[np.float32] = np.einsum("mn,mn->n", genotypes, genotypes)
    return squares


def _measured(
    one: NDArray[np.float32],
    another: NDArray[np.float32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> Pairs:
    """What is said of each pair; `one` and `another` (M, n) are the two sides."""
    gap = one - another
    different = (gap != 0).sum(axis=0) / max(len(gap), 1)
    het = np.minimum((one == 1).sum(axis=0), (another == 1).sum(axis=0))
    kinship = np.full(len(first), np.nan)
    np.divide((gap**2).sum(axis=0), 4.0 * het, out=kinship, where=het > 0)
    return Pairs(first, second, different, 0.5 - kinship, different <= MAX_DIFFERENT)
