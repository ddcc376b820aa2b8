"""The network of the `mosaic` preset: weighs the parameter sets at a site and corrects the result.

n undecided sites, F inputs (`copying.inputs.NAMES`), U hidden units, A parameter sets of the
copying model. No parameter belongs to a site, so the network works on panels and regions it has not
seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

_SMALLEST = 1e-7


class Mosaic(nn.Module):
    """Two hidden layers over the inputs of one site.

    The tensors have the names of `copying.network.Weights`, which runs the same function compiled.
    """

    def __init__(self, num_inputs: int, units: int, gates: Sequence[float]) -> None:
        """Build a network that returns the weighted mean of the parameter sets for any input.

        gates  A log weights of the parameter sets before training
        """
        super().__init__()
        self.num_sets = len(gates)
        for name in ("mean", "spread", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(num_inputs))
        self.mean: Tensor
        self.spread: Tensor
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("gates", torch.tensor(gates), persistent=False)
        self.gates: Tensor
        self.first = nn.Parameter(torch.empty(units, num_inputs))
        self.first_bias = nn.Parameter(torch.zeros(units))
        self.second = nn.Parameter(torch.empty(units, units))
        self.second_bias = nn.Parameter(torch.zeros(units))
        self.last = nn.Parameter(torch.zeros(self.num_sets + 1, units))
        self.last_bias = nn.Parameter(torch.zeros(self.num_sets + 1))
        nn.init.kaiming_uniform_(self.first, nonlinearity="relu")
        nn.init.kaiming_uniform_(self.second, nonlinearity="relu")
        nn.init.ones_(self.spread)
        nn.init.constant_(self.lowest, -torch.inf)
        nn.init.constant_(self.highest, torch.inf)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.float32]], gates: Sequence[float]) -> Mosaic:
        """Build the network with these weights, by name."""
        units, num_inputs = arrays["first"].shape
        network = cls(num_inputs, units, gates)
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        return network

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Copies of the weights, by name."""
        return {name: values.numpy(force=True).copy() for name, values in self.state_dict().items()}

    def set_range(
        self,
        mean: Float[Tensor, " F"],
        spread: Float[Tensor, " F"],
        lowest: Float[Tensor, " F"],
        highest: Float[Tensor, " F"],
    ) -> None:
        """Set the distribution of the training inputs."""
        for buffer, values in zip(
            (self.mean, self.spread, self.lowest, self.highest),
            (mean, spread, lowest, highest),
            strict=True,
        ):
            buffer.copy_(values)

    def forward(self, inputs: Float[Tensor, "n F"]) -> Float[Tensor, " n"]:
        """Log odds of ALT."""
        standard = (inputs - self.mean) / self.spread
        inside = standard.clamp(self.lowest, self.highest)
        # Outside the training range the correction fades, and with it the trust in the network.
        trust = torch.exp(-(standard - inside).abs().sum(dim=-1))
        hidden = torch.relu(nn.functional.linear(inside, self.first, self.first_bias))
        hidden = torch.relu(nn.functional.linear(hidden, self.second, self.second_bias))
        correction = trust[:, None] * nn.functional.linear(hidden, self.last, self.last_bias)
        weights = torch.softmax(self.gates + correction[:, : self.num_sets], dim=-1)  # (n, A)
        # The log odds under the parameter sets come first in the inputs.
        mixed = (weights * torch.sigmoid(inputs[:, : self.num_sets])).sum(dim=-1)
        return torch.logit(mixed, _SMALLEST) + correction[:, self.num_sets]

    def num_out_of_range(self, inputs: Float[Tensor, "n F"]) -> int:
        """Sites with an input outside the range seen in training."""
        standard = (inputs - self.mean) / self.spread
        is_outside = (standard < self.lowest) | (standard > self.highest)
        return int(is_outside.any(dim=1).sum())
