"""What the phases of a sample do at each cluster of typed sites, and how probable it is.

A *track* is a haplotype of the likeliest phase. In another phase the haplotypes exchange tracks on
the way into some clusters, a *turn*, and some heterozygotes have their alleles exchanged, a *flip*.
A heterozygote whose order differs from those of both its neighbours, which agree, is a flip and not
two turns: it says nothing about the sites around it.

T typed sites in C clusters (`forward_backward.clusters`), H heterozygotes, M phases, B branches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.domain import tokens

_F = np.float32


class Branches(NamedTuple):
    """The different ways in which phases pass through the clusters.

    first   (C + 1,) int64 first branch of each cluster; a cluster that all phases pass like the
            likeliest one has none
    turned  (B,) uint8 1 if the tracks are exchanged on the way into the cluster
    flips   (B,) uint64 bits set for exchanged alleles; a typed site has bit number site % 64
    weight  (B,) float32 probability; those of a cluster sum to 1
    """

    first: NDArray[np.int64]
    turned: NDArray[np.uint8]
    flips: NDArray[np.uint64]
    weight: NDArray[np.float32]


def of_phases(
    phases: NDArray[np.uint8], likeliest: NDArray[np.uint8], stops: NDArray[np.int64]
) -> Branches:
    """Count the branches of equally probable phases.

    phases     (M, 2, T) REF, ALT or MISSING
    likeliest  (2, T)
    stops      (C,) typed sites up to the end of each cluster

    >>> likeliest = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.uint8)
    >>> turned = np.array([[0, 0, 1, 1], [1, 1, 0, 0]], np.uint8)
    >>> found = of_phases(np.stack([likeliest, turned]), likeliest, np.arange(1, 5))
    >>> found.first.tolist(), found.turned.tolist(), found.weight.tolist()
    ([0, 0, 0, 2, 2], [0, 1], [0.5, 0.5])
    """
    hets = np.flatnonzero(tokens.is_heterozygous(likeliest))
    orders = (phases[:, 0, hets] != likeliest[0, hets]).astype(np.uint8)
    most = len(phases) * len(hets)
    found = Branches(
        np.zeros(len(stops) + 1, np.int64),
        np.zeros(most, np.uint8),
        np.zeros(most, np.uint64),
        np.zeros(most, np.float32),
    )
    count = _count(orders, _without_flips(orders), hets, stops, found) if most else 0
    return Branches(found.first, found.turned[:count], found.flips[:count], found.weight[:count])


def _without_flips(orders: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Orders in which a heterozygote between two that agree agrees with them.

    orders  (M, H)

    >>> _without_flips(np.array([[0, 1, 0, 0, 1, 1]], np.uint8)).tolist()
    [[0, 0, 0, 0, 1, 1]]
    """
    before, after = orders[:, :-2], orders[:, 2:]
    smooth = orders.copy()
    smooth[:, 1:-1] = np.where(before == after, before, orders[:, 1:-1])
    return smooth


@kernel(fastmath=False)
def _count(orders, smooth, hets, stops, found):
    """Fill in the branches of all clusters; returns their number.

    orders  (M, H) 1 if a heterozygote is not in the order of the likeliest phase
    smooth  (M, H) the same, without flips
    hets    (H,) typed sites
    """
    share = _F(1.0) / _F(len(orders))
    count, stop = 0, 0
    for c in range(stops.size):
        found.first[c] = start = count
        first = stop
        while stop < hets.size and hets[stop] < stops[c]:
            stop += 1
        if stop == first:
            continue
        for phase in range(len(orders)):
            order = smooth[phase, stop - 1]
            turned, flips = order ^ smooth[phase, max(first - 1, 0)], np.uint64(0)
            for het in range(first, stop):
                flips |= np.uint64(orders[phase, het] ^ order) << np.uint64(hets[het] & 63)
            branch = start
            while branch < count and (
                found.turned[branch] != turned or found.flips[branch] != flips
            ):
                branch += 1
            if branch == count:
                found.turned[branch], found.flips[branch], found.weight[branch] = turned, flips, 0
                count += 1
            found.weight[branch] += share
        if count == start + 1 and found.turned[start] == 0 and found.flips[start] == 0:
            count = start
    found.first[stops.size] = count
    return count
