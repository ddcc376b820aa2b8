"""Conversion of base positions to centimorgans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import contig_names
from vcfbert.errors import InputError

CM_PER_BASE = 1e-6
"""Rate without a map: 1 cM per Mb, about the human average."""

ANY_CONTIG = "*"
"""Key of a map that does not name its contig."""

HUMAN_RATE = 1.2
"""Mean cM per Mb of the human genome."""

LEAST_RATE, MOST_RATE = 0.03, 50.0
"""Mean cM per Mb beyond which a map is not in cM. Conifers and salamanders have about 0.1, the
honeybee has 20 to 26. Chromosomes of yeast and Plasmodium have more, and can do without a map."""

BASES_RATE = 100_000.0
"""Mean cM per Mb from which on the column is a position in bases, however short the map is."""

LEAST_SPAN = 100_000
"""Bases below which a map may be a hotspot or a desert alone."""

BASES_PER_MB = 1_000_000

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


def of_sites(
    maps: Mapping[str, ContigMap],
    contigs: Sequence[str],
    contig: NDArray[np.integer],
    position: NDArray[np.integer],
    *,
    source: str,
) -> NDArray[np.float64]:
    """(S,) genetic positions of sites, each contig by its own map.

    contig    (S,) index into contigs
    position  (S,) 1-based
    source    path for the InputError if a map is absent or cannot be in cM
    """
    used = np.unique(contig).tolist()
    if ANY_CONTIG in maps and len(used) > 1:
        raise InputError(
            f"{source} does not name its contig, but there are sites on {len(used)} contigs. Add a "
            "column with the contig to the map."
        )
    cm = np.empty(len(position))
    for number in used:
        here = contig == number
        cm[here] = centimorgans(maps, contigs[number], position[here], source=source)
    return cm


def centimorgans(
    maps: Mapping[str, ContigMap], contig: str, position: NDArray[np.integer], *, source: str
) -> NDArray[np.float64]:
    """Genetic positions on one contig: linear between the points of the map.

    Beyond the first and last point, the mean rate of the contig's map is used, because the
    outermost interval may be a hotspot; before the first point, cM may be negative.

    maps      by contig; `chr20` and `20` are the same contig, and so are `X` and `23`
    position  (n,) 1-based
    source    path for the InputError if the map lacks the contig or cannot be in cM
    returns   (n,)

    >>> straight = ContigMap(np.array([100, 200]), np.array([1.0, 2.0]))
    >>> centimorgans({"20": straight}, "chr20", np.array([150, 300, 0]), source="a map")
    array([1.5, 3. , 0. ])
    """
    name = _find(maps, contig)
    if name is None:
        known = ", ".join(list(maps)[:5])
        raise InputError(
            f"{source} has no contig {contig}, which the panel has; it has {known}. Give a map of "
            "that contig, or none to use 1 cM per Mb."
        )
    points = maps[name]
    _refuse_units(points, contig, source)
    cm = np.interp(position, points.position, points.cm)
    rate = (points.cm[-1] - points.cm[0]) / (points.position[-1] - points.position[0])
    cm += rate * np.minimum(position - points.position[0], 0)
    cm += rate * np.maximum(position - points.position[-1], 0)
    return _rounded(cm)


def is_plausible(points: ContigMap) -> bool:
    """True if the mean rate of the map is that of a genome."""
    return LEAST_RATE <= _rate(points) <= MOST_RATE


def _refuse_units(points: ContigMap, contig: str, source: str) -> None:
    """Raise InputError if no genome has the mean rate of the map, saying what it probably is."""
    rate = _rate(points)
    if rate == 0:
        raise InputError(
            f"{source}: the centimorgans of contig {contig} never rise, which means no "
            "recombination (PLINK writes 0 if cM are not known). Give another map, or none to use "
            "1 cM per Mb."
        )
    is_long = points.position[-1] - points.position[0] >= LEAST_SPAN
    if rate < BASES_RATE and (is_plausible(points) or not is_long):
        return
    raise InputError(
        f"{source}: contig {contig} has {rate:.3g} cM per Mb on average, but the human genome has "
        f"{HUMAN_RATE}, and other animals and plants have 0.1 to 30. {_unit(rate)} If it is "
        "right, leave the map out: the switch rates of the copying model are fitted to the panel."
    )


def _unit(rate: float) -> str:
    """What a column with this many cM per Mb probably is."""
    if rate >= BASES_RATE:
        return "The column read as cM is probably a position in bases. Give one in cM."
    factor = 10 ** round(abs(math.log10(rate / HUMAN_RATE)))
    if rate > MOST_RATE:
        return f"The values are probably {factor:,} times too large. Divide them by {factor:,}."
    if factor == 100:
        return "The values are probably in Morgans. Multiply them by 100."
    return f"The values are probably {factor:,} times too small. Multiply them by {factor:,}."


def _rate(points: ContigMap) -> float:
    """Mean rate of a map in cM per Mb."""
    span = float(points.position[-1] - points.position[0])
    return float(points.cm[-1] - points.cm[0]) / span * BASES_PER_MB


def _find(maps: Mapping[str, ContigMap], contig: str) -> str | None:
    """The name of a contig in the maps: PLINK writes 23 for X."""
    if ANY_CONTIG in maps:
        return ANY_CONTIG
    return contig_names.find_contig(contig, list(maps))


def uniform(position: NDArray[np.integer]) -> NDArray[np.float64]:
    """Genetic positions (n,) at 1 cM per Mb."""
    return _rounded(position * CM_PER_BASE)


def _rounded(cm: NDArray[np.floating]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.round(cm * STEPS_PER_CM) / STEPS_PER_CM
    return rounded
