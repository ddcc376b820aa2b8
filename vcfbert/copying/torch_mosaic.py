"""Imputation of many haplotypes as mosaics of candidates, in PyTorch: `mosaic` for a GPU.

B query haplotypes, the two of a sample adjacent; K candidates; S sites of the chunk; T typed
sites in C clusters, n and c of them in a block; I intervals of a block (see `torch_chunk`); m sites
of a tile; A parameter sets; G groups of references; F inputs (`inputs.NAMES`).

All queries make two passes over a chunk: from left to right, keeping the forward weights before
every 64th typed site, and from right to left, a block of 64 typed sites at a time. Between the
clusters of a block the work is one matrix product for each tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vcfbert.copying import torch_forward_backward as steps
from vcfbert.copying.engine import LOW
from vcfbert.copying.inputs import NUM_INPUTS, NUM_SETS
from vcfbert.copying.mosaic import ACTIVE
from vcfbert.copying.torch_chunk import DeviceChunk
from vcfbert.copying.torch_forward_backward import BLOCK, QueryBatch
from vcfbert.copying.torch_inputs import UndecidedSites, complete, describe, measures

_TILE = 256  # sites imputed at a time
_DESCRIBED = 1 << 25  # candidates of undecided sites described at a time


@dataclass(frozen=True)
class ImputedBatch:
    """Results of the copying model, and the inputs of the network at undecided sites.

    probabilities  (B, S, A) of ALT
    left_out       (B, T) probability of ALT at each typed site as if it were not typed
    rows           (n, F) of undecided sites
    query, site    (n,) of each row
    """

    probabilities: Tensor
    left_out: Tensor
    rows: Tensor
    query: Tensor
    site: Tensor


@torch.no_grad()
def impute(chunk: DeviceChunk, batch: QueryBatch, *, low: float = LOW) -> ImputedBatch:
    """Impute every query; queries 2 i and 2 i + 1 are one sample.

    low     sites whose probabilities are all below `low` or above 1 - low are decided; if negative,
            every untyped site is undecided
    """
    (num_queries, num_typed), (num_sites, num_groups) = (
        batch.queries.shape,
        chunk.group_frequency.shape,
    )
    probabilities = chunk.part.new_empty(num_queries, num_sites, NUM_SETS)
    left_out = chunk.part.new_empty(num_queries, num_typed)
    shares = chunk.part.new_empty(num_queries, len(chunk.points), num_groups)
    groups = torch.arange(num_groups, device=chunk.device)
    members = (chunk.group[batch.candidates][:, :, None] == groups).float()
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for block in _blocks(chunk, batch):
        span = slice(block.first, block.first + len(block.ends) - 1)
        shares[:, span] = block.ends[:-1, :, 0].transpose(0, 1) @ members
        span = block.sites
        at_typed, without = _typed_sites(chunk, batch, block)
        probabilities[:, chunk.typed[span]] = at_typed
        left_out[:, span] = without
        for tile in _tiles(chunk, batch, block):
            probabilities[:, tile.sites] = tile.probabilities
            found.extend(_open_rows(chunk, batch, block, tile, low))
    if found:
        rows, query, site = (torch.cat(column) for column in zip(*found, strict=True))
    else:
        rows = chunk.part.new_empty(0, NUM_INPUTS)
        query, site = torch.empty(2, 0, dtype=torch.int64, device=chunk.device)
    complete(chunk, rows, query, site, shares, probabilities)
    return ImputedBatch(probabilities, left_out, rows, query, site)


@dataclass(frozen=True)
class _BlockWeights:
    """A block of typed sites and the intervals after its clusters; the first block also has
    interval 0.

    sites      the block's typed sites
    first      index of the block's first cluster
    interval   index of the first interval
    alleles    (n, B, K) 0 or 1 at the typed sites
    ends       (c + 1, B, A, K) posterior weights at the clusters and the one after the block
    here       (I,) index of the end to the left of each interval; `onward` (I,) to the right
    lengths    (5, I, B, K) see `torch_inputs.measures`
    """

    sites: slice
    first: int
    interval: int
    alleles: Tensor
    ends: Tensor
    here: Tensor
    onward: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class _Tile:
    """Some untyped sites of a block.

    sites          (m,)
    alleles        (m, R) uint8
    probabilities  (B, m, A)
    """

    sites: Tensor
    alleles: Tensor
    probabilities: Tensor


def _blocks(chunk: DeviceChunk, batch: QueryBatch) -> Iterator[_BlockWeights]:
    """The blocks from right to left."""
    num_clusters, share = len(chunk.points), batch.share
    saved = _sweep_right(chunk, batch)
    beta = torch.ones_like(saved[0][0])
    carry = torch.full_like(saved[0][2], -1)
    onward = None
    for block in range(len(saved) - 1, -1, -1):
        first, last = chunk.firsts[block : block + 2]
        before, total, lasts = saved.pop()
        alleles, mismatched = _read_block(chunk, batch, block)
        rho = chunk.rates.rho[first:last]
        emissions = steps.emission(mismatched, batch.is_present, chunk.rates.errors)
        forward, _ = steps.forward_block(before, total, emissions, rho, share)
        betas, beta = steps.backward_block(beta, emissions, rho, share)
        weights = steps.normalised(forward, betas)
        ends = torch.cat([weights, weights[-1:] if onward is None else onward])
        left = torch.cat([lasts[None], steps.last_mismatches(mismatched, first, lasts)])
        mirrored = steps.last_mismatches(mismatched.flip(0), num_clusters - last, carry)
        right = torch.cat([mirrored.flip(0), carry[None]])
        carry, onward = right[0], weights[:1]
        after = torch.arange(0 if first == 0 else 1, last - first + 1, device=chunk.device)
        number = first + int(first > 0)
        span = slice(number, number + len(after))
        lengths = measures(left[after], right[after], chunk, span)
        lengths *= batch.is_present
        here = (after - 1).clamp(min=0)
        sites = slice(BLOCK * block, BLOCK * block + len(alleles))
        yield _BlockWeights(sites, first, number, alleles, ends, here, after, lengths)


def _read_block(chunk: DeviceChunk, batch: QueryBatch, block: int) -> tuple[Tensor, Tensor]:
    """Alleles at a block's typed sites, (n, B, K), and mismatches in its clusters, (c, B, K)."""
    alleles = steps.typed_alleles(chunk.typed_bits, batch, block)
    cluster = chunk.cluster[BLOCK * block : BLOCK * (block + 1)] - chunk.firsts[block]
    numbers = torch.from_numpy(cluster).to(chunk.device)
    return alleles, steps.mismatches(alleles, batch, block, numbers, int(cluster[-1]) + 1)


def _sweep_right(chunk: DeviceChunk, batch: QueryBatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Before each block: forward weights, (B, A, K), their sum, and the last two mismatches."""
    before, total = steps.start(batch, NUM_SETS)
    lasts = batch.candidates.new_full((2, *batch.candidates.shape), -1, dtype=torch.int32)
    saved = [(before, total, lasts)]
    for block in range(chunk.typed_bits.shape[1] - 1):
        first, last = chunk.firsts[block : block + 2]
        _, mismatched = _read_block(chunk, batch, block)
        emissions = steps.emission(mismatched, batch.is_present, chunk.rates.errors)
        rho = chunk.rates.rho[first:last]
        weights, total = steps.forward_block(before, total, emissions, rho, batch.share)
        before = weights[-1].clone()  # not a view, so that the block's other weights are freed
        lasts = steps.last_mismatches(mismatched, first, lasts)[-1].clone()
        saved.append((before, total, lasts))
    return saved


def _typed_sites(
    chunk: DeviceChunk, batch: QueryBatch, block: _BlockWeights
) -> tuple[Tensor, Tensor]:
    """Probabilities at the typed sites, (B, n, A), and without the site's own allele, (B, n)."""
    weights = block.ends[chunk.cluster[block.sites] - block.first]  # (n, B, A, K)
    query = batch.queries[:, block.sites, None]
    alleles = block.alleles[:, :, None]
    from_sets = (weights * alleles).sum(dim=-1).transpose(0, 1)
    at_typed = torch.where(query <= 1, query.float(), from_sets)
    # The site's own emission is divided out of the weights.
    errors = chunk.rates.errors[:2, 0]
    own = torch.where(query == 1, 1 - errors, errors)
    alt = from_sets[:, :, :2] / own
    ref = (weights * (1 - alleles)).sum(dim=-1).transpose(0, 1)[:, :, :2] / (1 - own)
    without = torch.where(query <= 1, alt / (alt + ref), from_sets[:, :, :2])
    return at_typed, without.mean(dim=-1)


def _tiles(chunk: DeviceChunk, batch: QueryBatch, block: _BlockWeights) -> Iterator[_Tile]:
    """Impute the untyped sites of a block."""
    after = block.first + len(block.ends) - 1
    start = chunk.points[block.first] if block.first else 0
    stop = chunk.points[after] if after < len(chunk.points) else len(chunk.part)
    begin, end = np.searchsorted(chunk.untyped, [start, stop])
    for low in range(begin, end, _TILE):
        high = min(low + _TILE, int(end))
        sites = chunk.untyped_sites[low:high]
        # From the host's copy: reading from the device would wait for it.
        bounds = np.searchsorted(chunk.points, chunk.untyped[[low, high - 1]]) - block.interval
        alleles = _alleles(chunk.bits, sites)
        votes = _votes(batch, block, slice(int(bounds[0]), int(bounds[1]) + 1))
        carried = alleles[:, batch.candidates].float().permute(1, 2, 0)  # (B, K, m)
        sums = votes.flatten(1, 3) @ carried  # (B, I 2 A, m)
        sums = sums.unflatten(1, votes.shape[1:4])
        interval = chunk.interval[sites] - block.interval - int(bounds[0])
        both = sums[:, interval, :, :, torch.arange(len(sites), device=chunk.device)]
        mixed = torch.lerp(both[:, :, 0], both[:, :, 1], chunk.part[sites, None, None])
        yield _Tile(sites, alleles, mixed.transpose(0, 1))


def _alleles(bits: Tensor, sites: Tensor) -> Tensor:
    """(m, R) uint8 alleles of all references."""
    words = bits[:, sites >> 6].T
    return ((words >> (sites & 63)[:, None]) & 1).to(torch.uint8)


def _votes(batch: QueryBatch, block: _BlockWeights, span: slice) -> Tensor:
    """Weights of voting candidates at both ends of intervals, (B, I, 2, A, K); they sum to 1."""
    ends = [block.ends[which[span]] for which in (block.here, block.onward)]
    votes = torch.stack(ends, dim=2)  # (I, B, 2, A, K)
    limit = (0.5 * batch.share[:, :, 0]).clamp(max=float(ACTIVE))  # (B, 1)
    votes *= (votes.amax(dim=(2, 3)) > limit)[:, :, None, None]
    votes /= votes.sum(dim=-1, keepdim=True) + 1e-30
    return votes.transpose(0, 1)


def _open_rows(
    chunk: DeviceChunk, batch: QueryBatch, block: _BlockWeights, tile: _Tile, low: float
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs, queries and sites of a tile's undecided sites, some at a time."""
    highest, lowest = tile.probabilities.amax(dim=-1), tile.probabilities.amin(dim=-1)
    query, place = ((highest > low) & (lowest < 1 - low)).nonzero(as_tuple=True)
    weight = 0.5 * (block.ends[block.here, :, 0] + block.ends[block.onward, :, 0])
    counts = 1 / block.ends.square().sum(dim=-1)
    states = torch.stack([counts[block.here], counts[block.onward]])
    size = max(1, _DESCRIBED // batch.candidates.shape[1])
    for number, position in zip(query.split(size), place.split(size), strict=True):
        site = tile.sites[position]
        alleles = tile.alleles[position[:, None], batch.candidates[number]]
        present = batch.is_present[number]
        interval = chunk.interval[site] - block.interval
        pairs = UndecidedSites(number, site, interval, (alleles * present).float(), present)
        probabilities = tile.probabilities[number, position]
        rows = describe(chunk, pairs, probabilities, block.lengths, weight, states)
        yield rows, number, site
