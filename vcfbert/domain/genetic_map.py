"""Conversion of base positions to centimorgans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites
from vcfbert.errors import InputError

CM_PER_BASE = 1e-6
"""Rate without a map: 1 cM per Mb, about the human average."""

STEPS_PER_CM = 2**20
"""Results are multiples of 1 / STEPS_PER_CM cM, about one base at the human rate. PLINK maps have
six decimals, so nothing is lost, and the numbers compress four times better."""


@dataclass(frozen=True)
class ContigMap:
    """The map of one contig, with at least two points.

    position  (n,) 1-based, rising
    cm        (n,) not falling
    """

    position: NDArray[np.int64]
    cm: NDArray[np.float64]


def centimorgans(
    maps: Mapping[str, ContigMap], contig: str, position: NDArray[np.integer], *, source: str
) -> NDArray[np.float64]:
    """Genetic positions on one contig: linear between the points of the map.

    Beyond the first and last point, the mean rate of the contig's map is used, because the
    outermost interval may be a hotspot; before the first point, cM may be negative.

    maps      by contig; `chr20` and `20` are the same contig
    position  (n,) 1-based
    source    path for the InputError if the map lacks the contig
    returns   (n,)

    >>> straight = ContigMap(np.array([100, 200]), np.array([1.0, 2.0]))
    >>> centimorgans({"20": straight}, "chr20", np.array([150, 300, 0]), source="a map")
    array([1.5, 3. , 0. ])
    """
    name = sites.find_contig(contig, list(maps))
    if name is None:
        known = ", ".join(list(maps)[:5])
        raise InputError(
            f"{source} has no contig {contig}, which the panel has; it has {known}. Give a map of "
            "that contig, or none to use 1 cM per Mb."
        )
    points = maps[name]
    cm = np.interp(position, points.position, points.cm)
    rate = (points.cm[-1] - points.cm[0]) / (points.position[-1] - points.position[0])
    cm += rate * np.minimum(position - points.position[0], 0)
    cm += rate * np.maximum(position - points.position[-1], 0)
    return _rounded(cm)


def uniform(position: NDArray[np.integer]) -> NDArray[np.float64]:
    """Genetic positions (n,) at 1 cM per Mb."""
    return _rounded(position * CM_PER_BASE)


def _rounded(cm: NDArray[np.floating]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.round(cm * STEPS_PER_CM) / STEPS_PER_CM
    return rounded
