"""Predictions of a trained network, by window.

B query haplotypes, L sites in a window, W windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.mask_policies import Drawing, Fixed
from vcfbert.model import losses
from vcfbert.model.imputer import Imputer
from vcfbert.training import devices
from vcfbert.training.systems import features, loading, tensors
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.schedule import Work


@dataclass(frozen=True)
class WindowPrediction:
    """Predictions for some samples in one window.

    samples               (n,) panel indexes
    labels                (n, 2, L) true tokens
    is_hidden             (n, 2, L) True where an observed allele was masked
    alt_probability       (n, 2, L) probability of ALT on each haplotype
    genotype_probability  (n, L, 3) probability of 0, 1, 2 ALT copies, from the genotype head
    nearest               (n, 2, L) tokens of the reference that differs at the fewest visible
                          sites; PAD everywhere if it was not looked for
    """

    window: int
    samples: NDArray[np.int64]
    labels: NDArray[np.uint8]
    is_hidden: NDArray[np.bool_]
    alt_probability: NDArray[np.float32]
    genotype_probability: NDArray[np.float32]
    nearest: NDArray[np.uint8]


@torch.no_grad()
def predict(
    model: Imputer,
    maker: BatchMaker,
    samples: NDArray[np.int64],
    is_masked: NDArray[np.bool_],
    *,
    batch_size: int,
    device: torch.device,
    focal_gamma: float,
    reference_masks: Drawing | None = None,
    finds_nearest: bool = True,
) -> Iterator[WindowPrediction]:
    """Impute `samples` window by window, in batches of samples, in float32 on every device.

    is_masked        (W, L) True where masked
    focal_gamma      of the training loss; probabilities are corrected for it
    reference_masks  masks of the references in the search; None, the normal case, is `is_masked`
    finds_nearest    whether to find the nearest haplotype, too
    """
    model.eval().to(device)
    plan = [
        Work(window, samples[first : first + batch_size])
        for window in range(len(is_masked))
        for first in range(0, len(samples), batch_size)
    ]

    hidden = Masks(Fixed(is_masked), reference_masks)

    def make(work: Work) -> tuple[Batch, NDArray[np.uint8]]:
        batch = hidden.batch(maker, work)
        if not finds_nearest:
            return batch, np.full_like(batch.labels, tokens.PAD)
        return batch, maker.nearest_by_hamming(work.window, work.samples, batch.query_tokens)

    site_features, window = features.of_window(maker.panel, 0).to(device), 0
    for loaded in loading.prefetch(plan, make):
        batch, nearest = loaded.batch
        if batch.window != window:
            window = batch.window
            site_features = features.of_window(maker.panel, window).to(device)
        inputs = tensors.to_device(batch, device)
        with devices.explaining_memory(len(batch.samples)):
            logits = model(
                inputs.query,
                site_features,
                inputs.neighbours,
                inputs.retrieved,
                inputs.population,
            )
        pairs = (len(batch.samples), 2, -1)
        yield WindowPrediction(
            window=batch.window,
            samples=batch.samples,
            labels=batch.labels.reshape(pairs),
            is_hidden=batch.is_hidden.reshape(pairs),
            alt_probability=_array(losses.posterior(logits.haplotype, focal_gamma)[..., 1]).reshape(
                pairs
            ),
            genotype_probability=_array(losses.posterior(logits.genotype, focal_gamma)),
            nearest=nearest.reshape(pairs),
        )


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()
