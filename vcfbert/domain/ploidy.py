"""Which samples are haploid at which sites.

Sample n has the haplotypes 2 n and 2 n + 1; if it is haploid, the second is absent. On the X
chromosome this holds for males outside the pseudo-autosomal regions (PAR).

S sites, N samples, H = 2 N haplotypes, P ranges of sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ploidy:
    """Ranges of sites at which each sample has the same ploidy.

    start       (P,) first site of each range, rising from 0
    is_haploid  (P, N)
    """

    start: NDArray[np.int64]
    is_haploid: NDArray[np.bool_]

    @classmethod
    def diploid(cls, num_samples: int) -> Self:
        """All samples are diploid at all sites."""
        return cls(np.zeros(1, np.int64), np.zeros((1, num_samples), np.bool_))

    @classmethod
    def joined(cls, start: Sequence[int], is_haploid: Sequence[NDArray[np.bool_]]) -> Self:
        """Ranges in order, without empty ones, and equal neighbours as one.

        start  first site of each range; the last of several that start at one site counts
        """
        firsts: list[int] = []
        rows: list[NDArray[np.bool_]] = []
        for first, row in zip(start, is_haploid, strict=True):
            if firsts and firsts[-1] == first:
                firsts.pop()
                rows.pop()
            if not rows or not np.array_equal(rows[-1], row):
                firsts.append(first)
                rows.append(row)
        return cls(np.array(firsts, np.int64), np.stack(rows))

    @property
    def is_diploid(self) -> bool:
        """True if no sample is haploid anywhere."""
        return not self.is_haploid.any()

    def ranges_of(self, site: NDArray[np.integer]) -> NDArray[np.int64]:
        """(n,) the range of each site."""
        return np.asarray(np.searchsorted(self.start, site, side="right") - 1, dtype=np.int64)

    def at(self, site: int) -> NDArray[np.bool_]:
        """(N,) True if a sample is haploid at a site."""
        row: NDArray[np.bool_] = self.is_haploid[self.ranges_of(np.array([site]))[0]]
        return row

    def of_sites(self, site: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(n, N) True if a sample is haploid at these sites."""
        rows: NDArray[np.bool_] = self.is_haploid[self.ranges_of(site)]
        return rows

    def haplotypes_at(self, site: int) -> NDArray[np.int64]:
        """(R,) the haplotypes that exist at a site, rising."""
        return np.flatnonzero(existing(self.at(site))).astype(np.int64)

    def num_haplotypes(
        self, num_sites: int, samples: NDArray[np.integer] | None = None
    ) -> NDArray[np.int64]:
        """(S,) number of haplotypes of all samples, or of some, at each site.

        >>> ploidy = Ploidy(np.array([0, 2]), np.array([[False, False], [False, True]]))
        >>> ploidy.num_haplotypes(3).tolist()
        [4, 4, 3]
        """
        rows = self.is_haploid if samples is None else self.is_haploid[:, samples]
        each = 2 * rows.shape[1] - rows.sum(axis=1)
        return np.repeat(each, np.diff(np.append(self.start, num_sites))).astype(np.int64)

    def within(self, start: int, stop: int) -> tuple[int, int]:
        """The part of a range of sites that has the ploidy of its first site."""
        later = self.start[self.start > start]
        return start, min(stop, int(later[0])) if len(later) else stop

    def around(self, site: int, start: int, stop: int) -> tuple[int, int]:
        """The part of a range of sites, around one of them, that has its ploidy."""
        number = int(self.ranges_of(np.array([site]))[0])
        ends = np.append(self.start, stop)
        return max(start, int(ends[number])), min(stop, int(ends[number + 1]))

    def as_json(self) -> dict[str, Any]:
        """JSON types: the first sites, and the indexes of the haploid samples of each range."""
        return {
            "start": self.start.tolist(),
            "haploid": [np.flatnonzero(row).tolist() for row in self.is_haploid],
        }

    @classmethod
    def from_json(cls, record: Any, num_samples: int) -> Self:
        """Read what `as_json` made. Raises TypeError, KeyError, ValueError or IndexError."""
        start = np.array(record["start"], np.int64)
        is_haploid = np.zeros((len(start), num_samples), np.bool_)
        for row, samples in zip(is_haploid, record["haploid"], strict=True):
            row[np.array(samples, np.int64)] = True
        if len(start) == 0 or start[0] != 0 or (np.diff(start) <= 0).any():
            raise ValueError("the ranges of sites with one ploidy are not in order")
        return cls(start, is_haploid)


def rows_among(haplotypes: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of some haplotypes among those that exist; absent ones have none.

    haplotypes  (R,) rising

    >>> rows_among(np.array([0, 1, 2, 4]), np.array([2, 3])).tolist()
    [2]
    """
    rows = np.searchsorted(haplotypes, wanted)
    is_there = haplotypes[np.minimum(rows, len(haplotypes) - 1)] == wanted
    return np.asarray(rows[is_there], dtype=np.int64)


def existing(is_haploid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(..., 2 N) True for haplotypes that exist.

    is_haploid  (..., N)

    >>> existing(np.array([False, True])).tolist()
    [True, True, True, False]
    """
    pairs = np.ones((*is_haploid.shape, 2), np.bool_)
    pairs[..., 1] = ~is_haploid
    return pairs.reshape(*is_haploid.shape[:-1], -1)


def as_homozygotes(alleles: NDArray[np.uint8], is_haploid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy in which haploid samples have their allele twice, to compare genotypes.

    alleles     (n, 2 N)
    is_haploid  (n, N) or (N,)

    >>> as_homozygotes(np.array([[1, 0, 1, 0]], np.uint8), np.array([False, True])).tolist()
    [[1, 0, 1, 1]]
    """
    pairs = alleles.reshape(len(alleles), -1, 2)
    second = np.where(is_haploid, pairs[:, :, 0], pairs[:, :, 1])
    return np.stack([pairs[:, :, 0], second], axis=2).reshape(alleles.shape)
