"""Duplicates: samples of the target with the genotypes of a panel sample of another name.

Their accuracy is not that of new samples, because the panel contains their genotypes. Each chunk
adds a few common typed sites to the comparison while its alleles are in memory.

M typed sites to compare, N samples of the target, P of the panel, n pairs, R = 2 P.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import kinship, tokens
from vcfbert.domain.sites import Sites

SITES_OF_CHUNK = 300
_NOT_YET = 3 * kinship.MAX_DIFFERENT  # more, because errors may cluster in the first sites
_UNKNOWN = 3
_NAMED = 5


@dataclass(frozen=True)
class Duplicate:
    """A sample of the target and one of the panel with the same genotypes.

    sites       number of compared sites
    discordant  share of them at which the genotypes differ
    """

    target: str
    panel: str
    sites: int
    discordant: float


class DuplicateSearch:
    """Compares genotypes, chunk by chunk.

    The first kinship.MIN_SITES sites are collected, then all pairs are compared at them; after that
    only pairs that still agree.
    """

    def __init__(
        self, sites: Sites, frequency: NDArray[np.floating], own: list[NDArray[np.int64]]
    ) -> None:
        """Nothing is compared yet.

        frequency  (S,) of ALT in the panel
        own        for each target haplotype, panel haplotypes that are not its references
        """
        self._is_common = np.minimum(frequency, 1 - frequency) >= kinship.COMMON_MAF
        self._sites = sites
        self._own = own[0::2]
        self._collected: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] | None = []
        self._target, self._panel = np.empty((2, 0), np.int64)
        self._known, self._different = np.empty((2, 0), np.int64)
        self._chosen: list[NDArray[np.int64]] = []

    def sites(self, typed: NDArray[np.int64], core: slice) -> NDArray[np.int64]:
        """(M,) some common sites among the typed ones of a chunk, to compare.

        typed  (T,) panel sites, rising
        core   panel sites of the chunk's core; the others belong to its neighbours
        """
        is_chosen = (typed >= core.start) & (typed < core.stop) & self._is_common[typed]
        rows = np.flatnonzero(is_chosen)
        if len(rows) > SITES_OF_CHUNK:
            rows = rows[np.linspace(0, len(rows) - 1, SITES_OF_CHUNK).astype(np.int64)]
        return typed[rows]

    def add(
        self, sites: NDArray[np.int64], bits: NDArray[np.uint64], alleles: NDArray[np.uint8]
    ) -> None:
        """Compare the genotypes of the next chunk.

        sites    (M,) of the method `sites`
        bits     (R, ceil(M / 64)) alleles of the panel; those of a haploid sample are there twice
        alleles  (M, N, 2) of the target; more than 1 if missing, and those of haploid samples twice
        """
        if len(sites) == 0:
            return
        self._chosen.append(sites)
        if self._collected is None and len(self._target) == 0:
            return
        of_panel = tokens.unpack(np.ascontiguousarray(bits).view(np.uint8), len(sites)).T
        panel = of_panel[:, 0::2] + of_panel[:, 1::2]
        is_known = (alleles <= tokens.ALT).all(axis=2)
        target = np.where(is_known, alleles.sum(axis=2, dtype=np.uint8), np.uint8(_UNKNOWN))
        if self._collected is None:
            self._follow(target, panel)
            return
        self._collected.append((target, panel))
        if self.num_sites >= kinship.MIN_SITES:
            target, panel = (np.concatenate(side) for side in zip(*self._collected, strict=True))
            self._collected = None
            self._begin(target, panel)

    @property
    def num_sites(self) -> int:
        """Compared sites."""
        return sum(map(len, self._chosen))

    @property
    def is_conclusive(self) -> bool:
        """False if unrelated samples may agree at all compared sites by chance."""
        if not self._chosen:
            return False
        chosen = np.concatenate(self._chosen)
        length = kinship.length_cm(self._sites.contig[chosen], self._sites.cm[chosen])
        return kinship.can_tell_same(len(chosen), length)

    def found(self, target: list[str], panel: list[str]) -> list[Duplicate]:
        """Duplicates by name; none if the comparison is not conclusive."""
        if not self.is_conclusive:
            return []
        share = self._different / np.maximum(self._known, 1)
        is_same = (self._known >= kinship.MIN_SITES) & (share <= kinship.MAX_DIFFERENT)
        return [
            Duplicate(
                target[self._target[n]],
                panel[self._panel[n]],
                int(self._known[n]),
                round(float(share[n]), 5),
            )
            for n in np.flatnonzero(is_same).tolist()
        ]

    def _begin(self, target: NDArray[np.uint8], panel: NDArray[np.uint8]) -> None:
        first, second = kinship.alike(target, panel, _NOT_YET)
        is_own = np.array(
            [two in self._own[one] // 2 for one, two in zip(first, second, strict=True)], np.bool_
        )
        self._target, self._panel = first[~is_own], second[~is_own]
        self._known, self._different = np.zeros((2, len(self._target)), np.int64)
        self._follow(target, panel)

    def _follow(self, target: NDArray[np.uint8], panel: NDArray[np.uint8]) -> None:
        """Count differences at these sites, (M, N) and (M, P); drop pairs that differ too often."""
        one, another = target[:, self._target], panel[:, self._panel]
        is_known = one != _UNKNOWN
        self._known = self._known + is_known.sum(axis=0)
        self._different = self._different + (is_known & (one != another)).sum(axis=0)
        stay = self._different <= _NOT_YET * self._known
        self._target, self._panel = self._target[stay], self._panel[stay]
        self._known, self._different = self._known[stay], self._different[stay]


def record(search: DuplicateSearch, found: list[Duplicate]) -> dict[str, Any]:
    """The comparison as JSON types, for summary.json."""
    return {
        "compared_sites": search.num_sites,
        "is_conclusive": search.is_conclusive,
        "pairs": [
            {
                "target": one.target,
                "panel": one.panel,
                "sites": one.sites,
                "discordant": one.discordant,
            }
            for one in found
        ],
    }


def warnings(found: list[Duplicate]) -> list[str]:
    """A warning that names the duplicates."""
    if not found:
        return []
    shown = ", ".join(f"{one.target} as {one.panel}" for one in found[:_NAMED])
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return [
        plurals.of(
            len({one.target for one in found}),
            "sample of the target has the same genotypes as a panel sample of another name, and is",
            "samples of the target have the same genotypes as a panel sample of another name, and "
            "are",
        )
        + f" imputed from its haplotypes: {shown}{more}. The accuracy is not that of new "
        "samples."
    ]
