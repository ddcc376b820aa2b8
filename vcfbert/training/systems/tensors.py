"""Batches as tensors on a device.

B query haplotypes, K neighbours, L sites in a window, D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from vcfbert.model.contrast import ContrastTensors
from vcfbert.training.systems.batches import Batch


@dataclass(frozen=True)
class BatchTensors:
    """The parts of a Batch that the network and the loss read."""

    query: Integer[Tensor, "B L"]
    labels: Integer[Tensor, "B L"]
    is_hidden: Bool[Tensor, "B L"]
    neighbours: Integer[Tensor, "B K L"]
    distances: Float[Tensor, "B K"]
    retrieved: Float[Tensor, "V L D"] | Float[Tensor, "B K L D"] | None
    contrast: ContrastTensors | None = None
    population: Integer[Tensor, "B"] | None = None


def to_device(batch: Batch, device: torch.device) -> BatchTensors:
    """Copy a batch to a device; alleles are copied as bytes."""

    def moved(array: NDArray[np.generic]) -> Tensor:
        return torch.tensor(array).to(device, non_blocking=True)

    contrast = None
    if batch.contrast is not None:
        contrast = ContrastTensors(
            positives=moved(batch.contrast.positives),
            negatives=moved(batch.contrast.negatives),
            is_wrong=moved(batch.contrast.is_wrong),
        )
    retrieved = batch.codebook if batch.retrieved is None else batch.retrieved
    return BatchTensors(
        query=moved(batch.query_tokens),
        labels=moved(batch.labels),
        is_hidden=moved(batch.is_hidden),
        neighbours=moved(batch.neighbour_tokens),
        distances=moved(batch.distances),
        retrieved=None if retrieved is None else moved(retrieved),
        population=moved(batch.population),
        contrast=contrast,
    )
