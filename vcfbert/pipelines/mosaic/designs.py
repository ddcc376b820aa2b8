"""Designs of typed sites: simulated genotyping arrays, and random shares of the sites.

Frequencies are those of the references, because arrays are designed on other samples than are
typed. Families, and how often each is drawn:

    array      45 %  50 to 1,500 sites per Mb, nearly all with MAF >= 5 % in one population or in
                     all, from evenly spaced to clustered: the gaps of the OmniExpress on chr20
                     (879 sites in 2.2 Mb) have a coefficient of variation of 1.3, more than random
                     gaps, and its median MAF is .26, against .22 of all common sites; one array in
                     three has gaps of 50 to 200 kb
    sparse     13 %  the same with one site in 20 to 100 kb
    share      27 %  20 to 70 % of the sites with MAF >= 1 %, independently
    thinned     8 %  30 to 95 % of all sites with at least two copies of the minor allele
    clusters    7 %  dense typing in spots of 2 to 20 kb and few sites between them, as of exons

S sites, R reference haplotypes, T typed sites.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites

COMMON = 0.05
SHARED = 0.01
FEWEST = 3  # typed sites of a design, if the panel has as many that vary


@dataclass(frozen=True)
class DesignPanel:
    """Reference haplotypes that designs are made from.

    position    (S,) 1-based, rising
    references  (R, S) 0 REF, 1 ALT
    population  (R,) index of the population of each haplotype
    """

    position: NDArray[np.int32]
    references: NDArray[np.uint8]
    population: NDArray[np.int16]


@dataclass(frozen=True)
class TypedDesign:
    """A set of typed sites.

    sites  (T,) rising indexes of sites that vary among the references
    """

    name: str
    sites: NDArray[np.int64]


@dataclass(frozen=True)
class _Variation:
    """Positions and allele frequencies of a panel.

    position  (S,)
    minor     (S,) minor allele frequency among the references
    local     (S,) the same in one population, or in all: what the array is designed on
    copies    (S,) of the minor allele
    """

    position: NDArray[np.int32]
    minor: NDArray[np.float64]
    local: NDArray[np.float64]
    copies: NDArray[np.int64]

    @property
    def megabases(self) -> float:
        return max(float(self.position[-1] - self.position[0]) / 1e6, 1e-6)


def designs(panel: DesignPanel, rng: np.random.Generator, n: int) -> list[TypedDesign]:
    """`n` designs of randomly drawn families."""
    count = panel.references.sum(axis=0, dtype=np.int64)
    minor = sites.minor(count / len(panel.references))
    families = list(FAMILIES)
    weights = np.array(list(FAMILIES.values()))
    drawn = []
    for _ in range(n):
        seen = _Variation(
            position=panel.position,
            minor=minor,
            local=_local_minor(panel, minor, rng),
            copies=np.minimum(count, len(panel.references) - count),
        )
        family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
        name, wanted = family(seen, rng)
        drawn.append(TypedDesign(name, _enough(wanted, seen, rng)))
    return drawn


def array(panel: _Variation, rng: np.random.Generator) -> tuple[str, NDArray[np.int64]]:
    """An array of 50 to 1,500 sites per Mb, sometimes with gaps."""
    per_mb = float(np.exp(rng.uniform(np.log(50), np.log(1_500))))
    chosen = _chosen(panel, per_mb, rng)
    if rng.random() < 0.35:
        return f"array-{per_mb:.0f}-gaps", _without_gaps(panel, chosen, rng)
    return f"array-{per_mb:.0f}", chosen


def sparse(panel: _Variation, rng: np.random.Generator) -> tuple[str, NDArray[np.int64]]:
    """An array with one site in 20 to 100 kb."""
    per_mb = float(np.exp(rng.uniform(np.log(10), np.log(50))))
    return f"sparse-{per_mb:.0f}", _chosen(panel, per_mb, rng)


def share(panel: _Variation, rng: np.random.Generator) -> tuple[str, NDArray[np.int64]]:
    """A random share of the sites with MAF >= 1 %."""
    part = float(rng.uniform(0.2, 0.7))
    return f"share-{part:.2f}", _part(np.flatnonzero(panel.minor >= SHARED), part, rng)


def thinned(panel: _Variation, rng: np.random.Generator) -> tuple[str, NDArray[np.int64]]:
    """A random share of all sites except singletons."""
    part = float(rng.uniform(0.3, 0.95))
    return f"thinned-{part:.2f}", _part(np.flatnonzero(panel.copies >= 2), part, rng)


def clusters(panel: _Variation, rng: np.random.Generator) -> tuple[str, NDArray[np.int64]]:
    """Most sites in spots of 2 to 20 kb, few between them."""
    spots = rng.uniform(panel.position[0], panel.position[-1], size=rng.integers(3, 25))
    widths = np.exp(rng.uniform(np.log(2e3), np.log(2e4), size=len(spots)))
    is_near = np.zeros(len(panel.position), dtype=bool)
    for spot, width in zip(spots, widths, strict=True):
        is_near |= np.abs(panel.position - spot) < width / 2
    part = float(rng.uniform(0.3, 0.9))
    inside = _part(np.flatnonzero(is_near & (panel.copies >= 2)), part, rng)
    outside = _chosen(panel, float(rng.uniform(5, 80)), rng)
    return f"clusters-{len(spots)}", np.union1d(inside, outside)


FAMILIES: dict[
    Callable[[_Variation, np.random.Generator], tuple[str, NDArray[np.int64]]], float
] = {
    array: 0.45,
    sparse: 0.13,
    share: 0.27,
    thinned: 0.08,
    clusters: 0.07,
}


def _local_minor(
    panel: DesignPanel, minor: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """MAF in one population of the references in half of the cases, otherwise in all."""
    populations, sizes = np.unique(panel.population, return_counts=True)
    if rng.random() < 0.5 or len(populations) == 1:
        return minor
    chosen = rng.choice(populations, p=sizes / sizes.sum())
    return sites.minor(panel.references[panel.population == chosen].mean(axis=0, dtype=np.float64))


def _chosen(panel: _Variation, per_mb: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """About `per_mb` sites per Mb: mostly common ones, some evenly spaced, some at random."""
    wanted = max(int(per_mb * panel.megabases), FEWEST)
    rare_share = float(rng.choice([0.0, rng.uniform(0.0, 0.12)]))
    is_common = (panel.local >= COMMON) & (panel.copies > 0)
    is_rare = ~is_common & (panel.copies >= 2)
    weight = np.where(is_common, panel.local ** rng.uniform(0.0, 0.8), 0.0)
    weight *= _clumps(panel.position, rng)
    common = np.flatnonzero(is_common)
    num_common = min(round(wanted * (1 - rare_share)), len(common))
    key = np.full(len(weight), np.inf)
    key[common] = rng.exponential(size=len(common)) / weight[common]
    even = _evenly(panel.position, key, int(num_common * rng.uniform(0.0, 0.8)))
    key[even] = np.inf
    rest = np.argsort(key, kind="stable")[: num_common - len(even)]
    rare = rng.permutation(np.flatnonzero(is_rare))[: wanted - num_common]
    return np.sort(np.concatenate([even, rest, rare])).astype(np.int64)


def _evenly(position: NDArray[np.int32], key: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The site with the smallest finite key in each of `bins` equal bins."""
    if bins < 1:
        return np.zeros(0, dtype=np.int64)
    edges = np.linspace(position[0], position[-1] + 1, bins + 1)
    bin_of_site = np.searchsorted(edges, position, side="right")
    order = np.lexsort((key, bin_of_site))
    first = np.flatnonzero(np.diff(bin_of_site[order], prepend=-1))
    best = order[first]
    return np.sort(best[np.isfinite(key[best])])


def _clumps(position: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    """A density that varies over tens of kb, up to as much as on real arrays."""
    knots = np.arange(position[0], position[-1] + 30_000, 15_000)
    spread = rng.uniform(0.0, 1.2)
    return np.exp(np.interp(position, knots, rng.normal(0.0, spread, size=len(knots))))


def _without_gaps(
    panel: _Variation, chosen: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Remove the sites in 1 to 3 gaps of 50 to 200 kb."""
    place = panel.position[chosen]
    is_kept = np.ones(len(chosen), dtype=bool)
    for _ in range(int(rng.integers(1, 4))):
        width = rng.uniform(50_000, 200_000)
        start = rng.uniform(panel.position[0] - width / 2, panel.position[-1])
        is_kept &= (place < start) | (place >= start + width)
    return chosen[is_kept]


def _part(
    candidates: NDArray[np.int64], part: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    count = round(part * len(candidates))
    return np.sort(rng.permutation(candidates)[:count])


def _enough(
    chosen: NDArray[np.int64], panel: _Variation, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Add sites at random up to FEWEST, or all that vary."""
    if len(chosen) >= FEWEST:
        return chosen
    others = np.setdiff1d(np.flatnonzero(panel.copies > 0), chosen)
    more = rng.permutation(others)[: FEWEST - len(chosen)]
    return np.sort(np.concatenate([chosen, more])).astype(np.int64)
