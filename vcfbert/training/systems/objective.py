"""What training minimises: the losses of the heads and of the search, over a whole optimizer step.

Each loss is a sum over what it counts, divided by how much it counts in all batches of the step. So
accumulated batches give the gradient of one large batch, whatever share of their sites is hidden.

B query haplotypes, L sites in a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vcfbert.config import LossConfig
from vcfbert.domain import tokens
from vcfbert.model import contrast, losses
from vcfbert.model.embedding import SiteFeatures
from vcfbert.model.imputer import Imputer, Logits
from vcfbert.training.systems.batches import Batch
from vcfbert.training.systems.tensors import BatchTensors


@dataclass(frozen=True)
class Counted:
    """How much the losses count, in one batch or in several.

    alleles    masked alleles
    genotypes  genotypes with both alleles masked
    visible    alleles that are seen
    contrasts  haplotypes with a reference to contrast
    """

    alleles: int
    genotypes: int
    visible: int
    contrasts: int

    @classmethod
    def in_batch(cls, batch: Batch) -> Counted:
        """Count one batch; of a shared batch, the part of one process."""
        if batch.part is not None and not batch.part.is_counted:
            return cls(0, 0, 0, 0)
        hidden = batch.is_hidden
        wrong = None if batch.contrast is None else batch.contrast.is_wrong
        return cls(
            alleles=int(hidden.sum()),
            genotypes=int((hidden[0::2] & hidden[1::2]).sum()),
            visible=int(tokens.is_observed(batch.query_tokens).sum()),
            contrasts=0 if wrong is None else int(np.any(wrong, axis=1).sum()),
        )

    @classmethod
    def sum_of(cls, found: Sequence[Counted]) -> Counted:
        """What the batches of an optimizer step count together."""
        return cls(
            alleles=sum(one.alleles for one in found),
            genotypes=sum(one.genotypes for one in found),
            visible=sum(one.visible for one in found),
            contrasts=sum(one.contrasts for one in found),
        )


@dataclass(frozen=True)
class Terms:
    """The losses of a batch as sums, each with its weight; None for those that are turned off.

    alleles, genotypes, visible, contrasts  sums over what `Counted` counts under that name
    settings                                their weights
    """

    alleles: Float[Tensor, ""]
    genotypes: Float[Tensor, ""] | None
    visible: Float[Tensor, ""] | None
    contrasts: Float[Tensor, ""] | None
    settings: LossConfig

    def total(self, counted: Counted) -> Float[Tensor, ""]:
        """Weighted sum of the means over what was counted; a loss that counts nothing is 0."""
        settings = self.settings
        total = self.alleles / max(counted.alleles, 1)
        for weight, found, count in (
            (settings.genotype_weight, self.genotypes, counted.genotypes),
            (settings.reconstruction_weight, self.visible, counted.visible),
            (settings.contrastive_weight, self.contrasts, counted.contrasts),
        ):
            if found is not None:
                total = total + weight * (found / max(count, 1))
        return total


def terms(
    model: Imputer,
    logits: Logits,
    inputs: BatchTensors,
    site_features: SiteFeatures,
    settings: LossConfig,
) -> Terms:
    """The losses of a batch; those with weight 0 are not computed."""
    gamma = settings.focal_gamma
    genotypes = visible = contrasts = None
    if settings.genotype_weight > 0:
        copies = inputs.labels[0::2] + inputs.labels[1::2]
        hidden = inputs.is_hidden[0::2] & inputs.is_hidden[1::2]
        genotypes = losses.focal(logits.genotype, copies, hidden, gamma)
    if settings.reconstruction_weight > 0:
        is_visible = inputs.query <= tokens.ALT
        visible = losses.focal(logits.haplotype, inputs.labels, is_visible, gamma)
    if inputs.contrast is not None:
        contrasts = contrast.contrastive(
            model.encoder.codebook(site_features),
            site_features.is_site,
            inputs.query,
            inputs.contrast,
            settings.contrastive_temperature,
        )
    return Terms(
        alleles=losses.focal(logits.haplotype, inputs.labels, inputs.is_hidden, gamma),
        genotypes=genotypes,
        visible=visible,
        contrasts=contrasts,
        settings=settings,
    )
