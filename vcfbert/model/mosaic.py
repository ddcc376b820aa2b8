"""The network of the `mosaic` preset: weighs the copying heads at a site and corrects their answer.

n open sites, F inputs (`copying.inputs.NAMES`), U hidden units, A heads. It has no parameter of its
own for any site, so it works on panels and regions it has not seen.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

FIRST_GATES = (0.0, 0.0, -4.0)
"""Log weights of the heads before training: the mean of the first two."""

_SMALLEST = 1e-7


class Mosaic(nn.Module):
    """Two hidden layers over the inputs of one site.

    The tensors carry the names of `copying.network.Weights`, which runs the same function compiled.
    """

    def __init__(self, num_inputs: int, units: int) -> None:
        """A network that answers as the heads do, whatever its inputs."""
        super().__init__()
        self.num_heads = len(FIRST_GATES)
        for name in ("mean", "spread", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(num_inputs))
        self.mean: Tensor
        self.spread: Tensor
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("gates", torch.tensor(FIRST_GATES), persistent=False)
        self.gates: Tensor
        self.first = nn.Parameter(torch.empty(units, num_inputs))
        self.first_bias = nn.Parameter(torch.zeros(units))
        self.second = nn.Parameter(torch.empty(units, units))
        self.second_bias = nn.Parameter(torch.zeros(units))
        self.last = nn.Parameter(torch.zeros(self.num_heads + 1, units))
        self.last_bias = nn.Parameter(torch.zeros(self.num_heads + 1))
        nn.init.kaiming_uniform_(self.first, nonlinearity="relu")
        nn.init.kaiming_uniform_(self.second, nonlinearity="relu")
        nn.init.ones_(self.spread)
        nn.init.constant_(self.lowest, -torch.inf)
        nn.init.constant_(self.highest, torch.inf)

    def set_range(
        self,
        mean: Float[Tensor, " F"],
        spread: Float[Tensor, " F"],
        lowest: Float[Tensor, " F"],
        highest: Float[Tensor, " F"],
    ) -> None:
        """Take over how the inputs of the training are distributed."""
        for buffer, values in zip(
            (self.mean, self.spread, self.lowest, self.highest),
            (mean, spread, lowest, highest),
            strict=True,
        ):
            buffer.copy_(values)

    def forward(self, inputs: Float[Tensor, "n F"]) -> Float[Tensor, " n"]:
        """Log odds of ALT."""
        inside, trust = self.standard(inputs)
        return self.answer(inputs, trust[:, None] * self.correction(inside))

    def standard(
        self, inputs: Float[Tensor, "*n F"]
    ) -> tuple[Float[Tensor, "*n F"], Float[Tensor, "*n"]]:
        """Standardised inputs, clipped to the range of the training, and how far to trust them.

        Beyond what was seen in training the trust falls from 1 to 0, and the answer back to that of
        the heads.
        """
        standard = (inputs - self.mean) / self.spread
        inside = standard.clamp(self.lowest, self.highest)
        return inside, torch.exp(-(standard - inside).abs().sum(dim=-1))

    def correction(self, inside: Float[Tensor, "*n F"]) -> Float[Tensor, "*n A1"]:
        """Changes of the heads' log weights, then of the log odds; A1 is A + 1."""
        hidden = torch.relu(nn.functional.linear(inside, self.first, self.first_bias))
        hidden = torch.relu(nn.functional.linear(hidden, self.second, self.second_bias))
        return nn.functional.linear(hidden, self.last, self.last_bias)

    def answer(
        self, inputs: Float[Tensor, "*n F"], correction: Float[Tensor, "*n A1"]
    ) -> Float[Tensor, "*n"]:
        """Log odds of ALT from the heads' log odds, which come first in the inputs."""
        weights = torch.softmax(self.gates + correction[..., : self.num_heads], dim=-1)
        mixed = (weights * torch.sigmoid(inputs[..., : self.num_heads])).sum(dim=-1)
        return torch.logit(mixed, _SMALLEST) + correction[..., self.num_heads]
