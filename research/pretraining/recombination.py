"""Recombination landscapes of a sequence, and the genetic maps supplied with it.

Human maps (HapMap, International HapMap Consortium 2007) put 60 % of all crossovers into about a
tenth of the sequence, in hotspots of 1 to 2 kb every 50 to 100 kb (Myers et al. 2005, Science
310:321) on a background that varies over hundreds of kb. Supplied maps
are estimates: correct on a large scale, smoothed and uneven on a small one, sometimes of another
population, sometimes missing (1 cM per Mb is then assumed).

    n intervals of a landscape   S sites
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import genetic_map

STEP = 500  # bases of an interval
BLOCK = 150_000  # bases over which the rate varies on the large scale
PER_CM_PER_MB = 1e-8  # crossovers a base and generation in 1 cM per Mb
MAP_KINDS = {"true": 0.3, "estimated": 0.4, "scaled": 0.12, "uniform": 0.18}
"""Kinds of supplied maps, and their frequencies."""


@dataclass(frozen=True)
class Landscape:
    """Crossovers a base and generation.

    position  (n + 1,) breakpoints, from 0 to the length
    rate      (n,)
    """

    position: NDArray[np.float64]
    rate: NDArray[np.float64]

    def cm(self, position: NDArray[np.integer]) -> NDArray[np.float64]:
        """Genetic positions (S,) of sites."""
        total = np.concatenate([[0.0], np.cumsum(self.rate * np.diff(self.position))])
        cm: NDArray[np.float64] = np.interp(position, self.position, 100 * total)
        return cm


def landscape(length: int, cm_per_mb: float, rng: np.random.Generator) -> Landscape:
    """Hotspots on a varying background, with the mean rate `cm_per_mb`; rarely a flat one."""
    edges = np.append(np.arange(0, length, STEP), length).astype(np.float64)
    if rng.random() < 0.06:
        return Landscape(edges, np.full(len(edges) - 1, cm_per_mb * PER_CM_PER_MB))
    centres = (edges[:-1] + edges[1:]) / 2
    large = _large_scale(length, centres, rng)
    hot = np.zeros(len(centres))
    place = 0.0
    spacing = rng.uniform(15_000, 60_000)
    while (place := place + rng.exponential(spacing)) < length:
        width = max(float(np.exp(rng.normal(np.log(2_500), 0.6))), STEP)
        heat = float(np.exp(rng.normal(0.0, 0.9)))
        hot += heat * np.exp(-0.5 * ((centres - place) / (width / 2.4)) ** 2)
    background = large * np.exp(rng.normal(0.0, 0.4, size=len(centres)))
    share = rng.uniform(0.15, 0.6) if hot.any() else 1.0
    hot *= large
    rate = share * background / background.mean()
    if hot.any():
        rate += (1 - share) * hot / hot.mean()
    lengths = np.diff(edges)
    rate *= cm_per_mb * PER_CM_PER_MB * length / (rate * lengths).sum()
    return Landscape(edges, rate)


def supplied_map(
    truth: Landscape, position: NDArray[np.integer], kind: str, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Genetic positions (S,) as a user's map of the `kind` has them, never falling."""
    cm = truth.cm(position)
    if kind == "uniform":
        return genetic_map.uniform(position)
    if kind == "scaled":
        return cm * float(np.exp(rng.uniform(-np.log(3), np.log(3))))
    if kind == "estimated":
        return _estimated(truth, position, rng)
    return cm


def draw_kind(rng: np.random.Generator) -> str:
    """Draw the kind of the supplied map."""
    return str(rng.choice(list(MAP_KINDS), p=list(MAP_KINDS.values())))


def _estimated(
    truth: Landscape, position: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Points every 0.5 to 20 kb, each interval wrong by a random factor, straight between them."""
    length = truth.position[-1]
    spacing = float(np.exp(rng.uniform(np.log(500), np.log(20_000))))
    inner = rng.uniform(0, length, size=max(int(length / spacing), 1))
    points = np.concatenate([[0.0], np.sort(inner), [length]])
    steps = np.diff(truth.cm(points.astype(np.int64)))
    shape = float(rng.uniform(0.7, 8.0))
    noisy = steps * rng.gamma(shape, 1 / shape, size=len(steps))
    noisy *= steps.sum() * np.exp(rng.normal(0.0, 0.15)) / max(noisy.sum(), 1e-30)
    cm: NDArray[np.float64] = np.interp(position, points, np.append(0.0, np.cumsum(noisy)))
    return cm


def _large_scale(
    length: int, centres: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A smooth positive factor with a log standard deviation of 0.2 to 0.8."""
    knots = np.arange(-BLOCK, length + 2 * BLOCK, BLOCK, dtype=np.float64)
    heights = rng.normal(0.0, rng.uniform(0.2, 0.8), size=len(knots))
    smooth: NDArray[np.float64] = np.interp(centres, knots + rng.uniform(0, BLOCK), heights)
    return np.exp(smooth)
