"""Samples of a target who are in the panel under another name, by their genotypes at typed sites.

What is imputed for them says nothing of new samples: the panel holds their answers. The comparison
goes along with the chunks, whose alleles are in memory anyway, on a few common typed sites of each.

M typed sites that are looked at, N samples of the target, P of the panel, n pairs, R = 2 P.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine
from vcfbert.domain import kinship, tokens
from vcfbert.domain.sites import Sites

SITES_OF_CHUNK = 300
_NOT_YET = 3 * kinship.MAX_DIFFERENT  # while errors may have come together in the first sites
_UNKNOWN = 3
_NAMED = 5


@dataclass(frozen=True)
class Found:
    """A sample of the target and one of the panel with the same genotypes.

    different  share of the compared sites where they differ
    """

    target: str
    panel: str
    sites: int
    different: float


class Lookalikes:
    """Goes along with the chunks.

    The first sites are kept until there are kinship.MIN_SITES of them, where everyone is compared
    with everyone; from then on only the pairs that agree so far are looked at.
    """

    def __init__(self, sites: Sites, num_panel: int, own: list[NDArray[np.int64]]) -> None:
        """`own` has, for each target haplotype, those of the panel known to be of that sample."""
        frequency = sites.alt_count.sum(axis=1) / (2 * num_panel)
        self._is_common = np.minimum(frequency, 1 - frequency) >= kinship.COMMON_MAF
        self._sites = sites
        self._own = own[0::2]
        self._waiting: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] | None = []
        self._target, self._panel = np.empty((2, 0), np.int64)
        self._known, self._different = np.empty((2, 0), np.int64)
        self._chosen: list[NDArray[np.int64]] = []

    def add(
        self,
        typed: NDArray[np.int64],
        core: slice,
        typed_bits: NDArray[np.uint64],
        queries: NDArray[np.uint8],
    ) -> None:
        """Look at the next chunk.

        typed       (T,) panel sites, rising
        core        panel sites that the chunk answers for; others are looked at by its neighbours
        typed_bits  (R, ceil(T / 64)) the panel's alleles at the typed sites
        queries     (N, 2, T) the target's, more than 1 where unknown
        """
        is_mine = (typed >= core.start) & (typed < core.stop) & self._is_common[typed]
        rows = np.flatnonzero(is_mine)
        if len(rows) > SITES_OF_CHUNK:
            rows = rows[np.linspace(0, len(rows) - 1, SITES_OF_CHUNK).astype(np.int64)]
        if len(rows) == 0:
            return
        self._chosen.append(typed[rows])
        if self._waiting is None and len(self._target) == 0:
            return
        bits = np.ascontiguousarray(engine.take_bits(typed_bits, rows))
        alleles = tokens.unpack(bits.view(np.uint8), len(rows)).T
        panel = alleles[:, 0::2] + alleles[:, 1::2]
        asked = queries[:, :, rows]
        is_known = (asked <= tokens.ALT).all(axis=1)
        target = np.where(is_known, asked.sum(axis=1, dtype=np.uint8), np.uint8(_UNKNOWN)).T
        if self._waiting is None:
            self._follow(target, panel)
            return
        self._waiting.append((target, panel))
        if self.num_sites >= kinship.MIN_SITES:
            target, panel = (np.concatenate(side) for side in zip(*self._waiting, strict=True))
            self._waiting = None
            self._begin(target, panel)

    @property
    def num_sites(self) -> int:
        """Sites that were looked at."""
        return sum(map(len, self._chosen))

    @property
    def can_tell(self) -> bool:
        """False where strangers may agree at all typed sites by chance."""
        if not self._chosen:
            return False
        chosen = np.concatenate(self._chosen)
        length = kinship.length_cm(self._sites.contig[chosen], self._sites.cm[chosen])
        return kinship.can_tell_same(len(chosen), length)

    def found(self, target: list[str], panel: list[str]) -> list[Found]:
        """Pairs that are the same, by name; nobody where that cannot be told."""
        if not self.can_tell:
            return []
        share = self._different / np.maximum(self._known, 1)
        is_same = (self._known >= kinship.MIN_SITES) & (share <= kinship.MAX_DIFFERENT)
        return [
            Found(
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
        """Count at these sites, (M, N) and (M, P), and drop who differs too often by now."""
        one, another = target[:, self._target], panel[:, self._panel]
        is_known = one != _UNKNOWN
        self._known = self._known + is_known.sum(axis=0)
        self._different = self._different + (is_known & (one != another)).sum(axis=0)
        stay = self._different <= _NOT_YET * self._known
        self._target, self._panel = self._target[stay], self._panel[stay]
        self._known, self._different = self._known[stay], self._different[stay]


def record(lookalikes: Lookalikes, found: list[Found]) -> dict[str, Any]:
    """For the summary, as JSON types."""
    return {
        "compared_sites": lookalikes.num_sites,
        "can_tell": lookalikes.can_tell,
        "pairs": [
            {
                "target": one.target,
                "panel": one.panel,
                "sites": one.sites,
                "different": one.different,
            }
            for one in found
        ],
    }


def warnings(found: list[Found]) -> list[str]:
    """A sentence naming those who are the same."""
    if not found:
        return []
    shown = ", ".join(f"{one.target} as {one.panel}" for one in found[:_NAMED])
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return [
        f"{len({one.target for one in found}):,} of the target's samples have the genotypes of a "
        f"sample of the panel under another name, and are imputed from those haplotypes: "
        f"{shown}{more}. Their accuracy is not that of new samples."
    ]
