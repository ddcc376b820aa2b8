"""Typed genotypes whose alleles are known and whose order is not, such as an unphased `0/1`.

Phasing finds the order of a heterozygote. Without it, the copying model takes such a genotype as
missing, because it needs ordered alleles. The output keeps the typed alleles: only their order is
imputed, so a typed heterozygote is never written as a homozygote. The same holds for `./1`, which
has an ALT on an unknown haplotype.

T typed sites, N samples; n genotypes or n written sites.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.row_blocks import blocks

UNORDERED = 8
"""Added to REF or ALT of `tokens` if the haplotype of the allele is unknown."""

_LEAST = 1e-6  # probabilities are at least this far from 0 and 1 when they decide an order


@dataclass(frozen=True)
class UnorderedGenotypes:
    """Genotypes to keep, in the order of the file, sorted by site.

    site     (n,) indexes of panel sites, rising
    sample   (n,)
    alleles  (n, 2) REF, ALT or MISSING of `tokens`; one of the two at least is not MISSING
    """

    site: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    sample: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    alleles: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 2), np.uint8))

    @classmethod
    def among(cls, site_index: NDArray[np.int64], alleles: NDArray[np.uint8]) -> Self:
        """The unordered genotypes of a target.

        site_index  (T,) rising
        alleles     (T, N, 2) REF, ALT or MISSING of `tokens`; UNORDERED is added to some

        >>> found = UnorderedGenotypes.among(np.array([7]), np.array([[[8, 9], [1, 0], [4, 9]]]))
        >>> found.site.tolist(), found.sample.tolist(), found.alleles.tolist()
        ([7, 7], [0, 2], [[0, 1], [4, 1]])
        """
        found = [cls()]
        for rows in blocks(alleles.shape):
            row, sample = np.nonzero((alleles[rows] >= UNORDERED).any(axis=2))
            some = alleles[rows][row, sample] & np.uint8(UNORDERED - 1)
            found.append(cls(site_index[rows][row], sample, some))
        return cls(
            *(
                np.concatenate([getattr(one, name) for one in found])
                for name in ("site", "sample", "alleles")
            )
        )

    def of_samples(self, first: int, stop: int) -> Self:
        """Those of a range of samples, which are numbered from 0."""
        is_chosen = (self.sample >= first) & (self.sample < stop)
        return type(self)(
            self.site[is_chosen], self.sample[is_chosen] - first, self.alleles[is_chosen]
        )


def without_order(alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark known alleles as unordered; missing ones stay missing.

    alleles  (..., 2) REF, ALT or MISSING of `tokens`

    >>> without_order(np.array([[0, 1], [4, 1]], dtype=np.uint8))
    array([[8, 9],
           [4, 9]], dtype=uint8)
    """
    return np.where(tokens.is_observed(alleles), alleles | UNORDERED, alleles).astype(np.uint8)


def plain(alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alleles without the mark of an unknown order.

    >>> plain(np.array([0, 9, 4], dtype=np.uint8)).tolist()
    [0, 1, 4]
    """
    return np.asarray(alleles & np.uint8(UNORDERED - 1), dtype=np.uint8)


def to_phase(alleles: NDArray[np.uint8], is_free: NDArray[np.bool_]) -> None:
    """Take heterozygotes of unknown order out of the unordered genotypes, for phasing, in place.

    alleles  (T, N, 2) REF, ALT or MISSING of `tokens`; UNORDERED is added to some, and taken away
             at heterozygotes that have both alleles
    is_free  (T, N) becomes True there

    >>> alleles = np.array([[[8, 9], [0, 1], [4, 9]]], dtype=np.uint8)
    >>> is_free = np.zeros((1, 3), np.bool_)
    >>> to_phase(alleles, is_free)
    >>> alleles.tolist(), is_free.tolist()
    ([[[0, 1], [0, 1], [4, 9]]], [[True, False, False]])
    """
    for rows in blocks(alleles.shape):
        found = (alleles[rows] >= UNORDERED).all(axis=2)
        if found.any():
            is_free[rows] = found
            alleles[rows][found] &= np.uint8(UNORDERED - 1)


def settle(
    alt: NDArray[np.float32],
    written: NDArray[np.int64],
    position: NDArray[np.integer],
    genotypes: UnorderedGenotypes,
) -> NDArray[np.int64]:
    """Put typed alleles into imputed probabilities, in the more probable order.

    A known allele becomes certain; the other allele of a half-missing genotype stays as imputed.
    Two ALT of one sample at one position, as of `1/2`, are put on different haplotypes.

    alt       (n, N, 2) probability of ALT on each haplotype; changed in place
    written   (n,) panel sites of one contig, rising
    position  (n,) 1-based
    returns   (k, 2) index among the written sites, and sample, of each genotype that was put in
    """
    chosen = np.flatnonzero(np.isin(genotypes.site, written))
    if len(chosen) == 0:
        return np.empty((0, 2), np.int64)
    row = np.searchsorted(written, genotypes.site[chosen])
    sample = genotypes.sample[chosen]
    alleles = genotypes.alleles[chosen].copy()
    imputed = alt[row, sample].astype(np.float64)
    places = np.stack([position[row].astype(np.int64), sample], axis=1)
    _, group = np.unique(places, axis=0, return_inverse=True)
    group = group.reshape(-1)
    _separate(alleles, group)
    evidence = np.bincount(group, weights=_evidence(imputed, alleles))[group]
    ordered = np.where((evidence < 0)[:, None], alleles[:, ::-1], alleles)
    alt[row, sample] = np.where(ordered == tokens.MISSING, imputed, ordered)
    return np.stack([row, sample], axis=1)


def _separate(alleles: NDArray[np.uint8], group: NDArray[np.int64]) -> None:
    """Turn heterozygotes round whose ALT is where an earlier one of the same group has its own.

    alleles  (n, 2) changed in place
    group    (n,) genotypes of one sample at one position have the same
    """
    is_shared = np.bincount(group)[group] > 1
    rows = np.flatnonzero(is_shared & (np.sort(alleles, axis=1) == (tokens.REF, tokens.ALT)).all(1))
    taken: dict[int, int] = {}
    for row in rows.tolist():
        place, number = int(alleles[row, 1] == tokens.ALT), int(group[row])
        if taken.get(number) == place:
            alleles[row] = alleles[row, ::-1].copy()
        taken.setdefault(number, place)


def _evidence(imputed: NDArray[np.float64], alleles: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n,) log odds of the order in the file against the other order.

    imputed  (n, 2) probability of ALT on each haplotype
    alleles  (n, 2)
    """
    near = np.clip(imputed, _LEAST, 1 - _LEAST)
    is_alt_first = np.log(near[:, 0]) - np.log(near[:, 1])
    is_ref_first = np.log1p(-near[:, 0]) - np.log1p(-near[:, 1])
    sign = np.array([[is_ref_first, is_alt_first], [-is_ref_first, -is_alt_first]])
    evidence = np.zeros(len(alleles))
    for place in range(2):
        for allele in (tokens.REF, tokens.ALT):
            here = alleles[:, place] == allele
            evidence[here] += sign[place, allele][here]
    return evidence
