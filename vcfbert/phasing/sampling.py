"""Phases drawn from a lattice, so that the draws share out its alternatives evenly.

M draws, H heterozygotes, B hypotheses at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.phasing.lattice import Lattice


def turns(lattice: Lattice, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turns of each heterozygote in `count` phases; each phase has its probability.

    returns  (M, H) 1 if turned
    """
    num_hets, beam = len(lattice.turned), len(lattice.final)
    out = np.empty((count, num_hets), np.uint8)
    if count and num_hets:
        shuffled = rng.random((num_hets + 1, count)).argsort(axis=1, kind="stable")
        _trace(lattice, shuffled, rng.random((num_hets + 1, beam)), out)
    return out


@kernel(fastmath=False)
def _trace(lattice, shuffled, offsets, out):
    """Follow the draws from the last heterozygote to the first.

    shuffled  (H + 1, M) the draws in random orders
    offsets   (H + 1, B) uniform numbers, where the systematic resampling of a node starts
    """
    count, num_hets = out.shape
    at, chosen = np.zeros(count, np.int64), np.zeros(count, np.int64)
    here = np.empty(count, np.int64)
    last = lattice.node[num_hets - 1, lattice.children[num_hets - 1] - 1] + 1
    _share_out(lattice.final, 0, last, shuffled[num_hets], count, offsets[num_hets, 0], at)
    for het in range(num_hets - 1, -1, -1):
        first = 0
        while first < lattice.children[het]:
            node, stop = lattice.node[het, first], first
            while stop < lattice.children[het] and lattice.node[het, stop] == node:
                stop += 1
            num_here = 0
            for draw in shuffled[het]:
                if at[draw] == node:
                    here[num_here] = draw
                    num_here += 1
            offset = offsets[het, node]
            _share_out(lattice.weight[het], first, stop, here, num_here, offset, chosen)
            first = stop
        for draw in range(count):
            out[draw, het] = lattice.turned[het, chosen[draw]]
            at[draw] = lattice.parent[het, chosen[draw]]


@kernel(fastmath=False)
def _share_out(weights, first, stop, draws, num_draws, offset, out):
    """Choices of some draws in proportion to weights[first:stop], by systematic resampling."""
    total = 0.0
    for choice in range(first, stop):
        total += weights[choice]
    choice, reached = first, weights[first] / total
    for place in range(num_draws):
        wanted = (place + offset) / num_draws
        while choice < stop - 1 and wanted > reached:
            choice += 1
            reached += weights[choice] / total
        out[draws[place]] = choice
