"""Contrastive loss, which trains the site weights of the search.

The search weighs a visible mismatch by w_l = ||E(ALT, l) - E(REF, l)||^2. References that agree
with a query at its masked sites should be nearer under these weights than references that are wrong
there (InfoNCE, van den Oord et al. 2018, with several positives).

B query haplotypes, P positives, M negatives, C candidates of either kind, L sites in a window,
D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vcfbert.domain import tokens


@dataclass(frozen=True)
class ContrastTensors:
    """References that a query should find, and others.

    positives  complete tokens
    negatives  complete tokens
    is_wrong   negatives with more errors at the masked sites than every positive; only these count
    """

    positives: Integer[Tensor, "B P L"]
    negatives: Integer[Tensor, "B M L"]
    is_wrong: Bool[Tensor, "B M"]


def contrastive(
    codebook: Float[Tensor, "V L D"],
    is_site: Bool[Tensor, "L"],
    query: Integer[Tensor, "B L"],
    contrast: ContrastTensors,
    temperature: float,
) -> Float[Tensor, ""]:
    """Sum over queries of -log of the share of the positives; 0 if no negative is wrong.

    codebook     raw embeddings of the encoder, with gradients
    query        tokens under the mask
    temperature  in mismatches of mean weight
    """
    weights = _site_weights(codebook.float(), is_site)
    near = -_distances(weights, query, contrast.positives) / temperature
    far = -_distances(weights, query, contrast.negatives) / temperature
    far = far.masked_fill(~contrast.is_wrong, -torch.inf)
    counted = contrast.is_wrong.any(dim=1)
    right = near.logsumexp(dim=1)
    loss = torch.cat([near, far], dim=1).logsumexp(dim=1) - right
    return (loss * counted).sum()


def _site_weights(
    codebook: Float[Tensor, "V L D"], is_site: Bool[Tensor, "L"]
) -> Float[Tensor, "L"]:
    """The weights of the search divided by their mean, since their scale changes no neighbour."""
    weights = (codebook[tokens.ALT] - codebook[tokens.REF]).square().sum(dim=-1) * is_site
    return weights * is_site.sum() / weights.sum()


def _distances(
    weights: Float[Tensor, "L"],
    query: Integer[Tensor, "B L"],
    candidates: Integer[Tensor, "B C L"],
) -> Float[Tensor, "B C"]:
    """Weighted mismatches at visible sites."""
    is_visible = query <= tokens.ALT
    differs = (candidates != query[:, None]) & is_visible[:, None]
    return differs.to(weights.dtype) @ weights
