"""A Batch on a device.

B query haplotypes, K neighbours, L sites in a window, D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vcfbert.training.batches import Batch


@dataclass(frozen=True)
class BatchTensors:
    """The arrays of a Batch that the network and the loss read."""

    query: Integer[Tensor, "B L"]
    labels: Integer[Tensor, "B L"]
    is_hidden: Bool[Tensor, "B L"]
    neighbours: Integer[Tensor, "B K L"]
    distances: Float[Tensor, "B K"]
    retrieved: Float[Tensor, "V L D"] | Float[Tensor, "B K L D"]


def to_device(batch: Batch, device: torch.device) -> BatchTensors:
    """Copy a batch; alleles travel as bytes."""
    retrieved = batch.codebook if batch.retrieved is None else batch.retrieved
    assert retrieved is not None
    arrays = (
        batch.query_tokens,
        batch.labels,
        batch.is_hidden,
        batch.neighbour_tokens,
        batch.distances,
        retrieved,
    )
    return BatchTensors(*(torch.tensor(array).to(device, non_blocking=True) for array in arrays))
