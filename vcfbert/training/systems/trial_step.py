"""A training step that changes nothing, to see its loss and which weights get a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vcfbert.config import LossConfig
from vcfbert.model.embedding import Encoder
from vcfbert.training import devices
from vcfbert.training.systems import loop
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.objective import Counted


@dataclass(frozen=True)
class Trial:
    """Loss and gradients of a step.

    gradient_norm  over all parameters
    tensors        parameter tensors of the network, of which `reached` have a gradient
    parameters     numbers in all tensors
    """

    loss: float
    gradient_norm: float
    tensors: int
    reached: int
    parameters: int


def step(
    state: TrainState, settings: LossConfig, maker: BatchMaker, batch: Batch, *, rare_maf: float
) -> Trial:
    """Run forward and backward; weights, moments and gradients stay as they were."""
    was_training = state.model.training
    state.model.eval()  # without dropout, so that the figures are the same every time
    tables = loop.WindowTables(maker, rare_maf, state.device)
    with devices.explaining_memory(len(batch.samples)):
        found, _ = loop.forward(state, batch, tables, settings)
        loss = found.total(Counted.in_batch(batch))
        loss.backward()
    parameters = list(state.model.parameters())
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = [torch.linalg.vector_norm(gradient.float()) for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
    state.optimizer.zero_grad(set_to_none=True)
    state.model.train(was_training)
    return Trial(
        loss=float(loss.detach()),
        gradient_norm=float(norm),
        tensors=len(parameters),
        reached=len(gradients),
        parameters=sum(p.numel() for p in parameters),
    )


@torch.no_grad()
def scale_tokens(encoder: Encoder, factor: float) -> None:
    """Multiply the token weights of an encoder, to change it as a training step would."""
    encoder.token.weight.mul_(factor)
