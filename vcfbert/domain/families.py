"""Order of heterozygotes that a sample's parents decide or its children suggest.

T typed sites, C children.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.mendel import NOT_SEEN

LEAST_RECOMBINATION = 2e-3
"""Probability that two alleles which a child seems to have from one haplotype of a parent are of
both, although there is no crossover: one of the genotypes is wrong."""


@dataclass(frozen=True)
class FamilyOrder:
    """What the family of one sample says of its heterozygotes.

    is_decided   (T,) True for heterozygotes in the order father, mother
    transmitted  (C, T) which of its two alleles it gave each child: 0, 1 or NOT_SEEN
    """

    is_decided: NDArray[np.bool_]
    transmitted: NDArray[np.int8]

    @classmethod
    def unknown(cls, num_sites: int) -> FamilyOrder:
        """No heterozygote is decided and there is no child."""
        return cls(np.zeros(num_sites, np.bool_), np.empty((0, num_sites), np.int8))

    def at(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> FamilyOrder:
        """At some of the sites."""
        return FamilyOrder(self.is_decided[rows], self.transmitted[:, rows])


@dataclass(frozen=True)
class Families:
    """All samples with a parent or a child in the file.

    orders  by sample
    turned  (T,) True for genotypes whose alleles were exchanged since they were read, by sample
    """

    orders: Mapping[int, FamilyOrder] = field(default_factory=dict)
    turned: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)

    def at(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Families:
        """At some of the sites."""
        return Families(
            {sample: order.at(rows) for sample, order in self.orders.items()},
            {sample: turned[rows] for sample, turned in self.turned.items()},
        )


def recombination(cm: float) -> float:
    """Probability that alleles so far apart are inherited from different haplotypes.

    It is that of an odd number of crossovers by Haldane (1919), with LEAST_RECOMBINATION.

    >>> round(recombination(0.0), 4), round(recombination(1.0), 4), round(recombination(1e6), 4)
    (0.002, 0.0119, 0.5)
    """
    crossed = (1.0 - math.exp(-max(cm, 0.0) / 50.0)) / 2.0
    return crossed + LEAST_RECOMBINATION * (1.0 - 2.0 * crossed)


class Transmissions:
    """Evidence of one sample's children for the order of each heterozygote, one after another."""

    def __init__(self, transmitted: NDArray[np.int8], cm: NDArray[np.floating]) -> None:
        """`transmitted` (C, T) and `cm` (T,) of the sample's typed sites."""
        self._cm = cm
        self._seen: dict[int, list[tuple[int, int]]] = {}  # child and place, by site
        children, sites = np.nonzero(transmitted != NOT_SEEN)
        places = transmitted[children, sites]
        for child, site, place in zip(
            children.tolist(), sites.tolist(), places.tolist(), strict=True
        ):
            self._seen.setdefault(site, []).append((child, place))
        # Of each child: number, site and place of the last heterozygote it says something of.
        self._last: dict[int, tuple[int, int, int]] = {}

    def take(self, number: int, het: int, most_back: int) -> tuple[float, int]:
        """Log odds that a heterozygote is in the other order, and relative to which earlier one.

        Children that say something of the same earlier heterozygote add up; of several, the latest
        counts.

        number   of the heterozygote among those of the sample
        het      its site
        returns  log odds, and how many heterozygotes before the earlier one is; 0 and 1 if no child
                 says anything
        """
        seen = self._seen.get(het, [])
        latest = max((self._last[child][0] for child, _ in seen if child in self._last), default=-1)
        odds, back = 0.0, number - latest
        is_near = latest >= 0 and back <= most_back
        for child, place in seen:
            before = self._last.get(child)
            if is_near and before is not None and before[0] == latest:
                share = recombination(float(self._cm[het] - self._cm[before[1]]))
                odds += math.log(share / (1 - share)) * (1 if place == before[2] else -1)
            self._last[child] = (number, het, place)
        return (odds, back) if is_near else (0.0, 1)
