"""A step of training that leaves no trace: whether there is a loss, and reaches the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vcfbert.config import Config
from vcfbert.model.embedding import Encoder
from vcfbert.training import devices
from vcfbert.training.systems import loop
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.loop import TrainState


@dataclass(frozen=True)
class Trial:
    """What a step came to.

    gradient_norm  over all parameters
    tensors        parameters of the network, as tensors; `reached` of them got a gradient
    parameters     numbers in them
    """

    loss: float
    gradient_norm: float
    tensors: int
    reached: int
    parameters: int


def step(state: TrainState, settings: Config, maker: BatchMaker, batch: Batch) -> Trial:
    """Run forward and backward; weights, moments and gradients are afterwards as before."""
    was_training = state.model.training
    state.model.eval()  # without dropout, so that the figures are the same every time
    tables = loop.WindowTables(maker, settings.training.rare_maf, state.device)
    with devices.explaining_memory(len(batch.samples)):
        loss, _ = loop.forward(state, batch, tables, settings.loss)
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
    """Move an encoder's weights, as a step of training would."""
    encoder.token.weight.mul_(factor)
