"""Inputs of the network (`inputs.NAMES`) at many undecided sites of many queries, in PyTorch.

n pairs of a query and a site, I intervals between clusters, B queries, K candidates, A parameter
sets, G groups of references, F inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vcfbert.copying import inputs
from vcfbert.copying.inputs import LOGIT_LIMIT, NUM_INPUTS, NUM_SETS, SMALLEST_PROBABILITY
from vcfbert.copying.mosaic import SHORTEST_MATCH_CM
from vcfbert.copying.torch_chunk import DeviceChunk

_TOTAL = 2  # index of the measure that votes


@dataclass(frozen=True)
class UndecidedSites:
    """Undecided sites of queries.

    query     (n,)
    site      (n,) of the chunk
    interval  (n,) index among the I intervals of a block
    alleles   (n, K) float, 1 if a candidate carries ALT
    present   (n, K) 0 for padding
    """

    query: Tensor
    site: Tensor
    interval: Tensor
    alleles: Tensor
    present: Tensor


def log_odds(probability: Tensor) -> Tensor:
    """`inputs.log_odds` of tensors."""
    inside = probability.clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return torch.log(inside / (1 - inside)).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def log_length(length: Tensor) -> Tensor:
    """`inputs.log_length` of tensors."""
    return torch.log(length.clamp(min=0) + 1e-2)


def measures(left: Tensor, right: Tensor, chunk: DeviceChunk, span: slice) -> Tensor:
    """Length of every candidate's match around intervals, (5, I, B, K).

    In order: left, right, total, total across one mismatch, in cM; typed sites.

    left   (I, 2, B, K) clusters of the last two mismatches before an interval, nearest first; -1
           if there is none
    right  (I, 2, B, K) the same after it, counted from the last cluster
    span   the I intervals
    """
    start, stop = chunk.left_ends[span, None, None], chunk.right_ends[span, None, None]
    before, after = left.long() + 1, right.long() + 1
    left_cm, right_cm = chunk.left_ends[before], chunk.right_ends.flip(0)[after]
    nearest = right_cm[:, 0] - left_cm[:, 0]
    bridged = torch.maximum(right_cm[:, 1] - left_cm[:, 0], right_cm[:, 0] - left_cm[:, 1])
    typed = chunk.right_marks.flip(0)[after[:, 0]] - chunk.left_marks[before[:, 0]]
    return torch.stack([start - left_cm[:, 0], right_cm[:, 0] - stop, nearest, bridged, typed])


def describe(
    chunk: DeviceChunk,
    pairs: UndecidedSites,
    probabilities: Tensor,
    lengths: Tensor,
    weight: Tensor,
    states: Tensor,
) -> Tensor:
    """All inputs but those of ancestry and the other haplotype, (n, F).

    probabilities  (n, A)
    lengths        (5, I, B, K) of `measures`, 0 for padding
    weight         (I, B, K) under the first parameter set, mean of both ends
    states         (2, I, B, A) effective number of candidates at the ends of the intervals
    """
    rows = probabilities.new_zeros(len(pairs.site), NUM_INPUTS)
    rows[:, :NUM_SETS] = log_odds(probabilities)
    rows[:, NUM_SETS] = chunk.frequency[pairs.site]
    rows[:, NUM_SETS + 1] = chunk.minor[pairs.site]
    rows[:, inputs.PANEL : inputs.PANEL + 2] = chunk.panel[:, pairs.site].T
    rows[:, NUM_SETS + 2 : NUM_SETS + 4] = log_length(chunk.unit * chunk.distance[:, pairs.site]).T
    rows[:, inputs.CARRIER - 1] = torch.log1p(pairs.alleles.sum(dim=1))
    for number, measure in enumerate(lengths):
        both = _best(measure[pairs.interval, pairs.query], pairs.alleles)
        if number < len(lengths) - 1:
            first = inputs.CARRIER + 2 * number
            rows[:, first : first + 2] = log_length(chunk.unit * both)
        else:
            rows[:, inputs.CARRIER + 10 : inputs.CARRIER + 12] = torch.log1p(both)
    both = _best(weight[pairs.interval, pairs.query], pairs.alleles)
    rows[:, inputs.CARRIER + 8 : inputs.CARRIER + 10] = torch.log(both + 1e-4)
    cube = (lengths[_TOTAL][pairs.interval, pairs.query] + SHORTEST_MATCH_CM) ** 3
    cube = cube * pairs.present
    for place, votes in enumerate((cube, cube**2)):
        share = (votes * pairs.alleles).sum(dim=1) / votes.sum(dim=1)
        rows[:, inputs.VOTES + place] = log_odds(share)
    ends = states[:, pairs.interval, pairs.query]  # (2, n, A)
    mixed = torch.lerp(ends[0], ends[1], chunk.part[pairs.site, None])
    rows[:, inputs.STATES : inputs.STATES + NUM_SETS] = torch.log(mixed)
    return rows


def _best(values: Tensor, alleles: Tensor) -> Tensor:
    """Largest value among carriers and among the others, 0 if there are none: (n, 2)."""
    carried = values * alleles
    return torch.stack([carried.amax(dim=1), (values - carried).amax(dim=1)], dim=1)


def complete(
    chunk: DeviceChunk,
    rows: Tensor,
    query: Tensor,
    site: Tensor,
    shares: Tensor,
    probabilities: Tensor,
) -> None:
    """Fill in the inputs that need the whole chunk or the sample's other haplotype.

    rows           (n, F) written
    query, site    (n,)
    shares         (B, C, G) weight of each group of references at each cluster
    probabilities  (B, S, A)
    """
    both = shares.unflatten(0, (-1, 2)).sum(dim=1)  # of the sample's two haplotypes
    around = torch.einsum("pcg,c->pg", both, chunk.width)
    around = around / around.sum(dim=1, keepdim=True)
    interval = chunk.interval[site]
    left, right = (interval - 1).clamp(min=0), interval.clamp(max=shares.shape[1] - 1)
    share = torch.lerp(shares[query, left], shares[query, right], chunk.part[site, None])
    frequency = chunk.group_frequency[site]
    here = (share * frequency).sum(dim=1) / (share.sum(dim=1) + 1e-9)
    rows[:, inputs.ANCESTRY] = log_odds(here)
    rows[:, inputs.ANCESTRY + 1] = log_odds((around[query // 2] * frequency).sum(dim=1))
    rows[:, inputs.OTHER_HAPLOTYPE : inputs.OTHER_HAPLOTYPE + 2] = log_odds(
        probabilities[query ^ 1, site, :2]
    )
