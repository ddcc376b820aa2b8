"""Li-Stephens forward and backward steps for many queries at once, in PyTorch for a GPU.

The same model as `forward_backward`, which is for one query on the CPU, and the same numbers up to
rounding. B query haplotypes, K candidates (those of a query with fewer are padded), T typed sites,
n typed sites of a block, A heads. Python loops over typed sites alone; each step is a few
operations over (B, A, K).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vcfbert.copying.forward_backward import MIN_STEP_CM

BLOCK = 64
"""Typed sites of a word; forward weights are kept before each block and made again inside it."""


@dataclass(frozen=True)
class Batch:
    """Queries and what they may copy.

    queries     (B, T) uint8: 0 REF, 1 ALT, more where nothing was observed
    candidates  (B, K) rows of the references; any row where `is_present` is False
    is_present  (B, K) at least one True for each query
    """

    queries: Tensor
    candidates: Tensor
    is_present: Tensor

    @property
    def share(self) -> Tensor:
        """(B, 1, 1) weight of one candidate where all weigh alike."""
        return 1.0 / self.is_present.sum(dim=1, dtype=torch.float32)[:, None, None]


@dataclass(frozen=True)
class Rates:
    """The hidden Markov model's constants.

    rho     (T, A, 1) probability of a switch between a typed site and the one before it
    errors  (A, 1)
    """

    rho: Tensor
    errors: Tensor


def rates_of(step_cm: Tensor, rates: Tensor, errors: Tensor) -> Rates:
    """Constants of the typed sites.

    step_cm        (T,) distance from the typed site before; the first is not read
    rates, errors  (A,)
    """
    rho = -torch.expm1(-rates * step_cm.clamp(min=MIN_STEP_CM)[:, None])
    rho[0] = 0
    return Rates(rho[:, :, None], errors[:, None])


def typed_alleles(typed_bits: Tensor, batch: Batch, block: int) -> Tensor:
    """Alleles of the candidates at the sites of a block: (n, B, K), 0 or 1.

    typed_bits  (R, ceil(T / 64)) int64, the first site in the lowest bit
    """
    count = min(BLOCK, batch.queries.shape[1] - BLOCK * block)
    words = typed_bits[:, block][batch.candidates]
    return (words >> torch.arange(count, device=words.device)[:, None, None]) & 1


def matches(alleles: Tensor, batch: Batch, block: int) -> Tensor:
    """Whether each candidate carries the query's allele or the query has none: (n, B, K) bool."""
    query = batch.queries[:, BLOCK * block : BLOCK * (block + 1)].T[:, :, None]
    return (alleles == query) | (query > 1)


def emission(match: Tensor, is_present: Tensor, errors: Tensor) -> Tensor:
    """Probability of the query's alleles, 0 for padding: (n, B, A, K)."""
    hit = torch.where(match[:, :, None], 1 - errors, errors)
    return hit * is_present[:, None]


def forward_block(
    before: Tensor, total: Tensor, emissions: Tensor, rho: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward weights of a block's sites, (n, B, A, K), and the sum of the last, (B, A, 1).

    before     (B, A, K) of the site before the block; `total` (B, A, 1) is its sum
    emissions  (n, B, A, K)
    rho        (n, A, 1)
    """
    weights = torch.empty_like(emissions)
    stay, switch = 1 - rho, rho * share[:, None]  # (n, A, 1); (B, n, A, 1)
    for t, row in enumerate(weights):
        torch.addcmul(switch[:, t], before, stay[t] / total, out=row)
        row *= emissions[t]
        before, total = row, row.sum(dim=-1, keepdim=True)
    return weights, total


def backward_block(
    beta: Tensor, emissions: Tensor, rho: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Backward weights of a block's sites, (n, B, A, K), and of the site before it, (B, A, K).

    beta  (B, A, K) of the block's last site
    """
    weights = torch.empty_like(emissions)
    stay, switch = 1 - rho, rho * share[:, None]
    for t in range(len(weights) - 1, -1, -1):
        weights[t] = beta
        onward = beta * emissions[t]
        factor = stay[t] / onward.sum(dim=-1, keepdim=True)
        beta = torch.addcmul(switch[:, t], onward, factor)
    return weights, beta


def start(batch: Batch, num_heads: int) -> tuple[Tensor, Tensor]:
    """Weights before the first typed site, (B, A, K), and their sum, (B, A, 1)."""
    weights = batch.share * batch.is_present[:, None]
    weights = weights.expand(-1, num_heads, -1)
    return weights, torch.ones_like(weights[:, :, :1])


def copying_weights(typed_bits: Tensor, batch: Batch, rates: Rates) -> Tensor:
    """Posterior copying weights of every query, (B, T, A, K): the plain form, which keeps all."""
    blocks = range(typed_bits.shape[1])
    match = [matches(typed_alleles(typed_bits, batch, block), batch, block) for block in blocks]
    whole = emission(torch.cat(match), batch.is_present, rates.errors)
    num_heads = len(rates.errors)
    forward, _ = forward_block(*start(batch, num_heads), whole, rates.rho, batch.share)
    beta, _ = backward_block(torch.ones_like(whole[0]), whole, rates.rho, batch.share)
    return normalised(forward, beta).transpose(0, 1)


def normalised(forward: Tensor, beta: Tensor) -> Tensor:
    """Posterior weights, summing to 1 over the candidates; overwrites `forward`."""
    forward *= beta
    forward /= forward.sum(dim=-1, keepdim=True)
    return forward


def last_mismatches(match: Tensor, first: int, carry: Tensor) -> Tensor:
    """Where each candidate mismatched last at or before each site, and before that: (n, 2, B, K).

    match  (n, B, K) of sites first, first + 1, ...
    carry  (2, B, K) int32, the two before site `first`; -1 where there is none
    """
    places = torch.arange(len(match), dtype=torch.int32, device=match.device) + first
    missed = torch.where(match, -1, places[:, None, None])
    latest = torch.maximum(torch.cummax(missed, dim=0).values, carry[0])
    before = torch.cat([carry[:1], latest[:-1]])  # the latest, had the site matched
    inside = (latest - first).clamp(min=0).long()
    second = torch.where(latest < first, carry[1], before.gather(0, inside))
    return torch.stack([latest, second], dim=1)
