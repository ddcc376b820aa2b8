"""Comparison of queries with the embeddings retrieved for them, on real batches.

B query haplotypes, L sites in a window, D embedding width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcfbert.domain import tokens
from vcfbert.model.embedding import SiteFeatures, gather_codebook
from vcfbert.model.imputer import Imputer
from vcfbert.retrieval import similarity
from vcfbert.training.systems.batches import Batch

NEARLY = 0.99
"""A neighbour counts as right if it has this share of a query's masked alleles."""


@dataclass(frozen=True)
class ProbedBatch:
    """A batch, and what it is compared with.

    codebook   (V, L, D) raw embeddings that gave the site weights of the search; None if the search
               compared token ids
    strangers  (B, L) complete tokens of a random reference for each query
    """

    batch: Batch
    features: SiteFeatures
    codebook: NDArray[np.float32] | None
    strangers: NDArray[np.uint8]


@dataclass(frozen=True)
class FeatureSpace:
    """Means over queries and sites; norms and distances are of the vector of one site.

    queries            number of query haplotypes
    query_norm         of the embedding of the masked query
    retrieved_norm     of the complete embedding of its nearest neighbour
    visible_distance   between the two at visible sites
    hidden_distance    between the two at masked sites
    fused_...          the same after `emb_fusion`
    found_distance     squared distance of the nearest neighbour, as the search reports it
    true_distance      the same, computed from both under the mask of the query
    largest_error      largest relative difference of these two
    nearest_right      share of masked alleles that the nearest neighbour has, too
    random_right       share of masked alleles that a random reference has, too
    queries_right      share of queries whose nearest neighbour has 99 % of the masked alleles
    """

    queries: float
    query_norm: float
    retrieved_norm: float
    visible_distance: float
    hidden_distance: float
    fused_query_norm: float
    fused_retrieved_norm: float
    fused_visible_distance: float
    fused_hidden_distance: float
    found_distance: float
    true_distance: float
    largest_error: float
    nearest_right: float
    random_right: float
    queries_right: float


@torch.no_grad()
def measure(model: Imputer, batches: Iterable[ProbedBatch], device: torch.device) -> FeatureSpace:
    """Compare queries with their nearest neighbours; all batches count equally."""
    was_training = model.training
    model.eval()
    found = [_of_batch(model, one, device) for one in batches]
    model.train(was_training)
    columns = {
        field.name: [getattr(one, field.name) for one in found] for field in fields(found[0])
    }
    merged = {name: float(np.mean(values)) for name, values in columns.items()}
    merged["queries"] = float(sum(columns["queries"]))
    merged["largest_error"] = float(max(columns["largest_error"]))
    return FeatureSpace(**merged)


def is_finite(found: FeatureSpace) -> bool:
    """False if an encoder has diverged."""
    return all(np.isfinite(astuple(found)))


def _of_batch(model: Imputer, one: ProbedBatch, device: torch.device) -> FeatureSpace:
    batch, features = one.batch, one.features.to(device)
    nearest = batch.neighbour_tokens[:, 0]
    query = model.encoder(torch.from_numpy(batch.query_tokens).to(device), features)
    retrieved = _raw(model, batch, nearest, features, device)
    is_hidden = torch.from_numpy(batch.is_hidden).to(device)
    is_visible = torch.from_numpy(batch.query_tokens <= tokens.ALT).to(device)
    raw = _side_by_side(query, retrieved, is_visible, is_hidden)
    fused = _side_by_side(
        model.emb_fusion(query, features), model.emb_fusion(retrieved, features),
        is_visible, is_hidden,
    )  # fmt: skip
    found, true = batch.distances[:, 0].astype(np.float64), _true_distances(one)
    scale = np.maximum(true, true.mean() + np.finfo(np.float32).tiny)
    right = (nearest == batch.labels) & batch.is_hidden
    hidden = np.maximum(batch.is_hidden.sum(axis=1), 1)
    by_chance = (one.strangers == batch.labels) & batch.is_hidden
    return FeatureSpace(
        float(len(found)),
        *raw,
        *fused,
        found_distance=float(found.mean()),
        true_distance=float(true.mean()),
        largest_error=float((np.abs(found - true) / scale).max()),
        nearest_right=float(right.sum() / hidden.sum()),
        random_right=float(by_chance.sum() / hidden.sum()),
        queries_right=float((right.sum(axis=1) / hidden >= NEARLY).mean()),
    )


def _raw(
    model: Imputer,
    batch: Batch,
    nearest: NDArray[np.uint8],
    features: SiteFeatures,
    device: torch.device,
) -> Tensor:
    """(B, L, D) raw embeddings of the nearest neighbours, as the network reads or computes them."""
    if batch.retrieved is not None:
        return torch.from_numpy(np.ascontiguousarray(batch.retrieved[:, 0])).to(device)
    wanted = torch.from_numpy(nearest).to(device)
    if batch.codebook is not None:
        return gather_codebook(torch.tensor(batch.codebook).to(device), wanted)
    return model.encoder(wanted, features)


def _side_by_side(
    query: Tensor, retrieved: Tensor, is_visible: Tensor, is_hidden: Tensor
) -> tuple[float, float, float, float]:
    """Mean norms of both at visible sites, and their distances at visible and at masked sites."""
    apart = torch.linalg.vector_norm(query - retrieved, dim=-1)
    norms = (torch.linalg.vector_norm(side, dim=-1) for side in (query, retrieved))
    over = [(norm, is_visible) for norm in norms] + [(apart, is_visible), (apart, is_hidden)]
    one, two, visible, hidden = (_mean(values, where) for values, where in over)
    return one, two, visible, hidden


def _mean(values: Tensor, where: Tensor) -> float:
    return float((values * where).sum() / where.sum().clamp(min=1))


def _true_distances(one: ProbedBatch) -> NDArray[np.float64]:
    """(B,) squared distance of query and nearest neighbour, both under the mask of the query."""
    batch = one.batch
    nearest = tokens.hide(batch.neighbour_tokens[:, 0], batch.query_tokens == tokens.MASK)
    if one.codebook is None:
        weights = similarity.token_weights(nearest.shape[1])
        is_other = (nearest != batch.query_tokens) & (batch.query_tokens <= tokens.ALT)
        return np.asarray((is_other * weights).sum(axis=1, dtype=np.float64))
    site = np.arange(nearest.shape[1])
    apart = one.codebook[batch.query_tokens, site] - one.codebook[nearest, site]
    return np.asarray(np.square(apart, dtype=np.float64).sum(axis=(1, 2)))
