"""Parameter sets of the copying model: switch and error rates, and the fit of the former."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZES_AND_ERRORS = ((1e6, 1e-3), (3e5, 3e-3), (3e6, 1e-3))
"""Effective population size and error rate of each parameter set: Beagle's default pair, one that
copies for longer, and one that switches sooner. More sets gain less than two seeds differ
(docs/decisions/mosaic.md)."""

POWERS = (-6, 5)
"""Lowest and highest power of two by which the fit may scale the switch rates."""

PRIOR_POWERS = 2.0
"""Standard deviation of the prior of the factor, as a power of two, around 1."""

OVER_FIT = 1.8
"""The fitted factor times this imputes best (measured on chr20 with and without its map): the fit
sees typed sites only, which are more common than those to impute, so their haplotypes are
longer."""

_OVER_POWER = math.log2(OVER_FIT)


@dataclass(frozen=True)
class ParameterSets:
    """rates (A,) switches per cM, errors (A,) probabilities that an allele is miscopied."""

    rates: NDArray[np.float32]
    errors: NDArray[np.float32]


def initial(num_references: int) -> ParameterSets:
    """Rates of Li and Stephens 2003: 4 Ne / H a Morgan, so 0.04 Ne / H a centimorgan."""
    sizes = np.array([size for size, _ in SIZES_AND_ERRORS])
    errors = np.array([error for _, error in SIZES_AND_ERRORS], dtype=np.float32)
    return ParameterSets((0.04 * sizes / max(num_references, 1)).astype(np.float32), errors)


def best_factor(likelihood: Callable[[float], float]) -> float:
    """Best factor of the switch rates: hill climbing by powers of two, then a parabola at the top.

    likelihood  log likelihood of a factor, in nats; if it is flat, the best factor is 1

    >>> best_factor(lambda factor: 0.0)
    1.0
    """
    known: dict[int, float] = {}

    def at(power: int) -> float:
        if power not in known:
            prior = 0.5 * ((power + _OVER_POWER) / PRIOR_POWERS) ** 2
            known[power] = likelihood(2.0**power) - prior
        return known[power]

    top, way = 0, -1 if at(-1) > at(0) else 1
    while POWERS[0] < top < POWERS[1] and at(top + way) > at(top):
        top += way
    if top in POWERS:
        return OVER_FIT * 2.0**top
    places = np.array([top - 1.0, top, top + 1.0])
    heights = np.array([at(top - 1), at(top), at(top + 1)])
    return 2.0 ** (_OVER_POWER + _peak(places, heights))


def _peak(places: NDArray[np.float64], heights: NDArray[np.float64]) -> float:
    """Position of the maximum, from the parabola through the largest height and its neighbours.

    >>> _peak(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 2.0]))
    1.25
    """
    top = int(np.argmax(heights))
    if top in (0, len(heights) - 1):
        return float(places[top])
    before, here, after = heights[top - 1 : top + 2]
    bend = before - 2 * here + after
    shift = 0.0 if bend == 0 else 0.5 * (before - after) / bend
    return float(places[top] + shift * (places[top + 1] - places[top]))
