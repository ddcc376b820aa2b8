"""Li-Stephens forward and backward steps for many queries at once, in PyTorch for a GPU.

The same model and, up to rounding, the same numbers as `forward_backward`, which is for one query
on the CPU. B query haplotypes, K candidates (padded if a query has fewer), T typed sites in C
clusters, n typed sites of a block in c clusters, A parameter sets. Only clusters are looped over in
Python; each step is a few operations over (B, A, K).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vcfbert.copying.forward_backward import MIN_STEP_CM, SMALLEST_EMISSION

BLOCK = 64
"""Typed sites of a word. Forward weights are kept before each block and recomputed inside it."""


@dataclass(frozen=True)
class QueryBatch:
    """Query haplotypes and their candidates.

    queries     (B, T) uint8: 0 REF, 1 ALT, more if missing
    candidates  (B, K) rows of the references; any row if `is_present` is False
    is_present  (B, K) at least one True for each query
    """

    queries: Tensor
    candidates: Tensor
    is_present: Tensor

    @property
    def share(self) -> Tensor:
        """(B, 1, 1) weight of one candidate if all have the same."""
        return 1.0 / self.is_present.sum(dim=1, dtype=torch.float32)[:, None, None]


@dataclass(frozen=True)
class Rates:
    """The hidden Markov model's constants.

    rho     (C, A, 1) probability of a switch between a cluster and the previous one
    errors  (A, 1)
    """

    rho: Tensor
    errors: Tensor


def rates_of(step_cm: Tensor, rates: Tensor, errors: Tensor) -> Rates:
    """Constants of the clusters.

    step_cm        (C,) distance from the previous cluster; the first is not read
    rates, errors  (A,)
    """
    rho = -torch.expm1(-rates * step_cm.clamp(min=MIN_STEP_CM)[:, None])
    rho[0] = 0
    return Rates(rho[:, :, None], errors[:, None])


def typed_alleles(typed_bits: Tensor, batch: QueryBatch, block: int) -> Tensor:
    """Alleles of the candidates at the sites of a block: (n, B, K), 0 or 1.

    typed_bits  (R, ceil(T / 64)) int64, the first site in the lowest bit
    """
    count = min(BLOCK, batch.queries.shape[1] - BLOCK * block)
    words = typed_bits[:, block][batch.candidates]
    return (words >> torch.arange(count, device=words.device)[:, None, None]) & 1


def mismatches(
    alleles: Tensor, batch: QueryBatch, block: int, cluster: Tensor, num_clusters: int
) -> Tensor:
    """Mismatches of each candidate with the query in each cluster: (c, B, K).

    alleles  (n, B, K) of `typed_alleles`
    cluster  (n,) cluster of each site, from 0 in the block
    """
    query = batch.queries[:, BLOCK * block : BLOCK * (block + 1)].T[:, :, None]
    differ = ((alleles != query) & (query <= 1)).to(torch.int32)
    count = differ.new_zeros(num_clusters, *differ.shape[1:])
    return count.index_add_(0, cluster, differ)


def emission(mismatched: Tensor, is_present: Tensor, errors: Tensor) -> Tensor:
    """Probability of the query's alleles, relative to the best candidate's: (c, B, A, K).

    0 for padding.

    mismatched  (c, B, K) of `mismatches`
    """
    present = mismatched.masked_fill(~is_present, BLOCK)
    number = (present - present.amin(dim=-1, keepdim=True))[:, :, None]
    hit = ((errors / (1 - errors)) ** number).clamp(min=SMALLEST_EMISSION)
    return hit * is_present[:, None]


def forward_block(
    before: Tensor, total: Tensor, emissions: Tensor, rho: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward weights of a block's clusters, (c, B, A, K), and the sum of the last, (B, A, 1).

    before     (B, A, K) of the cluster before the block; `total` (B, A, 1) is its sum
    emissions  (c, B, A, K)
    rho        (c, A, 1)
    """
    weights = torch.empty_like(emissions)
    stay, switch = 1 - rho, rho * share[:, None]  # (c, A, 1); (B, c, A, 1)
    for t, row in enumerate(weights):
        torch.addcmul(switch[:, t], before, stay[t] / total, out=row)
        row *= emissions[t]
        before, total = row, row.sum(dim=-1, keepdim=True)
    return weights, total


def backward_block(
    beta: Tensor, emissions: Tensor, rho: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Backward weights of a block's clusters, (c, B, A, K), and of the one before, (B, A, K).

    beta  (B, A, K) of the block's last cluster
    """
    weights = torch.empty_like(emissions)
    stay, switch = 1 - rho, rho * share[:, None]
    for t in range(len(weights) - 1, -1, -1):
        weights[t] = beta
        onward = beta * emissions[t]
        factor = stay[t] / onward.sum(dim=-1, keepdim=True)
        beta = torch.addcmul(switch[:, t], onward, factor)
    return weights, beta


def start(batch: QueryBatch, num_sets: int) -> tuple[Tensor, Tensor]:
    """Weights before the first cluster, (B, A, K), and their sum, (B, A, 1)."""
    weights = batch.share * batch.is_present[:, None]
    weights = weights.expand(-1, num_sets, -1)
    return weights, torch.ones_like(weights[:, :, :1])


def normalised(forward: Tensor, beta: Tensor) -> Tensor:
    """Posterior weights, summing to 1 over the candidates; overwrites `forward`."""
    forward *= beta
    forward /= forward.sum(dim=-1, keepdim=True)
    return forward


def last_mismatches(mismatched: Tensor, first: int, carry: Tensor) -> Tensor:
    """Clusters of each candidate's last two mismatches, the latest first: (c, 2, B, K).

    mismatched  (c, B, K) of clusters first, first + 1, ...
    carry       (2, B, K) int32, the last two before cluster `first`; -1 if there is none
    """
    places = torch.arange(len(mismatched), dtype=torch.int32, device=mismatched.device) + first
    missed = torch.where(mismatched == 0, -1, places[:, None, None])
    latest = torch.maximum(torch.cummax(missed, dim=0).values, carry[0])
    before = torch.cat([carry[:1], latest[:-1]])  # the latest before this cluster
    before = torch.where(mismatched >= 2, latest, before)
    inside = (latest - first).clamp(min=0).long()
    second = torch.where(latest < first, carry[1], before.gather(0, inside))
    return torch.stack([latest, second], dim=1)
