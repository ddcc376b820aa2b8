"""`rag_fusion`: fusion of the retrieved neighbours into the query, at each site.

B query haplotypes, K neighbours, L sites in a window, D embedding width, V vocabulary, G groups of
channels, each with its own weights of the neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from vcfbert.domain import tokens
from vcfbert.model.agreement import BOX_RADII, NUM_AGREEMENT_FEATURES, agreement_features
from vcfbert.model.embedding import SiteFeatures

NUM_GROUPS = 4
_HIDDEN = 16
_MIN_FREQUENCY = 1e-4
LEAST_PROBABILITY = 2e-7
"""Sums of weights in float32 may round to 0 or 1, whose log odds are infinite."""
_DRAWN = 0.13  # of the weight of one neighbour, see `probability_of`


@dataclass(frozen=True)
class Fused:
    """What `RagFusion` returns.

    states  embedding of the query with those of its neighbours added
    votes   probability of ALT by the neighbours, in each group: see `probability_of`
    """

    states: Float[Tensor, "B L D"]
    votes: Float[Tensor, "B L G"]


class RagFusion(nn.Module):
    """Weights the neighbours at each site and adds their embedding to that of the query.

    kind       `local` weights by the agreement around the site, `site` by attention between the
               embeddings at the site only, `mean` all equally
    has_votes  whether an embedding of the votes is added, too
    """

    def __init__(
        self, width: int, kind: Literal["local", "site", "mean"], *, has_votes: bool = True
    ) -> None:
        super().__init__()
        self.kind = kind
        if kind == "local":
            self.score = nn.Linear(NUM_AGREEMENT_FEATURES, NUM_GROUPS)
            self.score_in = nn.Linear(NUM_AGREEMENT_FEATURES, _HIDDEN)
            self.score_out = nn.Linear(_HIDDEN, NUM_GROUPS)
        elif kind == "site":
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.votes = nn.Linear(NUM_GROUPS, width) if has_votes else None
        self.mix = nn.Linear(width, width)

    def initialise_copying(self) -> None:
        """Start with weights that prefer long matches and few mismatches, sharper in each group."""
        if self.kind != "local":
            return
        preference = torch.tensor([1.0] * 6 + [-0.25] + [-0.5] * len(BOX_RADII))
        sharpness = torch.linspace(0.5, 2.0, NUM_GROUPS)
        with torch.no_grad():
            self.score.weight.copy_(sharpness[:, None] * preference)
            self.score_out.weight.zero_()

    def forward(
        self,
        query: Float[Tensor, "B L D"],
        query_tokens: Integer[Tensor, "B L"],
        neighbour_tokens: Integer[Tensor, "B K L"],
        retrieved: Float[Tensor, "V L D"] | Float[Tensor, "B K L D"],
        features: SiteFeatures,
    ) -> Fused:
        """Fuse.

        retrieved  complete embeddings after `emb_fusion`, as a codebook or gathered; both give the
                   same numbers, and the cost of a codebook does not depend on K
        """
        weights = self._weights(query, query_tokens, neighbour_tokens, retrieved, features)
        carries_alt = (neighbour_tokens == tokens.ALT).to(weights.dtype)
        # Always in float32, because bf16 has no number between 0.996 and 1. `sum` adds in pairs
        # and is exact to 1e-7 for any K; `einsum` is not on every processor.
        with torch.autocast(weights.device.type, enabled=False):
            votes = (weights * carries_alt[..., None]).sum(dim=1)
        if retrieved.dim() == 3:
            mixed = _mix_codebook(votes, retrieved)
        else:
            mixed = _mix_dense(weights, retrieved)
        votes = probability_of(votes.float(), features.frequency, neighbour_tokens.shape[1])
        states = query + self.mix(self.norm(mixed))
        if self.votes is not None:
            states = states + self.votes(torch.logit(votes).to(query.dtype) / 4)
        return Fused(states=states, votes=votes)

    def _weights(
        self,
        query: Tensor,
        query_tokens: Tensor,
        neighbour_tokens: Tensor,
        retrieved: Tensor,
        features: SiteFeatures,
    ) -> Float[Tensor, "B K L G"]:
        """Weight of each neighbour at each site in each group; sums to 1 over K."""
        if neighbour_tokens.shape[1] == 1:  # a single neighbour always has weight 1
            return query.new_ones((*neighbour_tokens.shape, NUM_GROUPS), dtype=torch.float32)
        if self.kind == "local":
            with torch.no_grad():
                agreement = agreement_features(query_tokens, neighbour_tokens, features)
            bent = self.score_out(functional.gelu(self.score_in(agreement)))
            return (self.score(agreement) + bent).float().softmax(dim=1)
        if self.kind == "site":
            scores = self._site_scores(query, neighbour_tokens, retrieved)
            return scores.float().softmax(dim=1)
        num_neighbours = neighbour_tokens.shape[1]
        shape = (*neighbour_tokens.shape, NUM_GROUPS)
        return query.new_full(shape, 1.0 / num_neighbours, dtype=torch.float32)

    def _site_scores(
        self, query: Tensor, neighbour_tokens: Tensor, retrieved: Tensor
    ) -> Float[Tensor, "B K L G"]:
        """Scaled dot products of query and neighbour in each group of channels."""
        asked = _grouped(self.query(query))  # (B, L, G, D/G)
        if retrieved.dim() == 3:
            keys = _grouped(self.key(retrieved))  # (V, L, G, D/G)
            by_token = torch.einsum("blgd,vlgd->bvlg", asked, keys)
            index = neighbour_tokens.long()[..., None].expand(-1, -1, -1, NUM_GROUPS)
            scores = by_token.gather(1, index)
        else:
            keys = _grouped(self.key(retrieved))  # (B, K, L, G, D/G)
            scores = torch.einsum("blgd,bklgd->bklg", asked, keys)
        return scores / asked.shape[-1] ** 0.5


def probability_of(
    votes: Float[Tensor, "B L G"], frequency: Float[Tensor, "L"], num_neighbours: int
) -> Float[Tensor, "B L G"]:
    """Probability of ALT from the neighbours' votes: neighbours that all agree may still be wrong.

    A small part of the weight goes to an allele drawn from the panel. So if no neighbour carries
    ALT, the probability of ALT is in proportion to its frequency; likewise for REF. The part was
    chosen on validation samples and checked on others (docs/decisions/copying-start.md).

    votes      weighted share of the neighbours that carry ALT
    frequency  of ALT in the panel
    """
    part = _DRAWN / num_neighbours
    drawn = frequency.clamp(_MIN_FREQUENCY, 1 - _MIN_FREQUENCY)[:, None]
    found = (1 - part) * votes + part * drawn
    return found.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)


def _grouped(x: Tensor) -> Tensor:
    return x.unflatten(-1, (NUM_GROUPS, -1))


def _mix_codebook(
    votes: Float[Tensor, "B L G"], codebook: Float[Tensor, "V L D"]
) -> Float[Tensor, "B L D"]:
    """Weighted embeddings of neighbours, each with REF or ALT: an interpolation of the two.

    In the padding the result means nothing, and nothing that is scored depends on it.
    """
    ref, alt = _grouped(codebook[tokens.REF]), _grouped(codebook[tokens.ALT])  # (L, G, D/G)
    return (ref + votes[..., None].to(ref.dtype) * (alt - ref)).flatten(-2)


def _mix_dense(
    weights: Float[Tensor, "B K L G"], retrieved: Float[Tensor, "B K L D"]
) -> Float[Tensor, "B L D"]:
    """Weighted sum of gathered embeddings."""
    mixed = torch.einsum("bklg,bklgd->blgd", weights.to(retrieved.dtype), _grouped(retrieved))
    return mixed.flatten(-2)
