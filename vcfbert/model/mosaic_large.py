"""The network of the `mosaic-large` preset: a transformer over open sites beside the small one.

Where `mosaic.Mosaic` corrects each open site by itself, here the open sites of a stretch of one
haplotype read one another, and what they find is added to the small network's correction.

B stretches, L open sites in one, F inputs (`copying.inputs.NAMES`), D width, A heads, E channels of
an attention head.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vcfbert.config import ModelConfig
from vcfbert.model.mosaic import Mosaic
from vcfbert.model.transformer import Block

LONGEST_GAP = 4.0
"""Neighbouring open sites are never taken as further apart than this, in switches of the first
head: beyond it they share next to nothing, and training may not have seen such distances."""

_SLOWEST, _FASTEST = 0.05, 100.0  # radians a switch, of the rotation by place


class MosaicLarge(nn.Module):
    """The small network, which stays as it is, and a transformer, whose corrections are summed."""

    def __init__(self, num_inputs: int, units: int, settings: ModelConfig) -> None:
        """A network whose transformer has nothing to say; weights are set by `initialise`."""
        super().__init__()
        self.head_width = settings.width // settings.num_heads
        self.small = Mosaic(num_inputs, units).requires_grad_(False)
        self.project = nn.Linear(num_inputs, settings.width)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.num_layers))
        self.norm = nn.LayerNorm(settings.width)
        self.last = nn.Linear(settings.width, self.small.num_heads + 1)

    def initialise(self, generator: torch.Generator) -> None:
        """Set the transformer's initial values; the same generator gives the same network."""
        for name, parameter in sorted(self.named_parameters()):
            if name.startswith("small."):
                continue
            if name.endswith("norm.weight"):
                nn.init.ones_(parameter)
            elif parameter.dim() < 2:
                nn.init.zeros_(parameter)
            else:  # states of unit size, at any width
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5, generator=generator)
        residual = (2 * max(len(self.blocks), 1)) ** -0.5
        with torch.no_grad():
            for block in self.blocks:
                assert isinstance(block, Block)
                block.attention_out.weight *= residual
                block.feedforward_out.weight *= residual
        nn.init.zeros_(self.last.weight)  # training starts from the small network's answer

    def forward(
        self,
        inputs: Float[Tensor, "B L F"],
        place: Float[Tensor, "B L"],
        is_site: Bool[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B L"]:
        """Log odds of ALT.

        inputs   of open sites in the order of the genome
        place    of each, in cM times the first head's switch rate
        is_site  False in the padding, which no site reads; None where there is none
        """
        inside, trust = self.small.standard(inputs)
        x = self.project(inside)
        rotation = rotation_by_place(place, self.head_width)
        for block in self.blocks:
            x = block(x, rotation, is_site)  # (B, L, D)
        # In float32 under autocast, too: the answer is the small network's and a little more.
        with torch.autocast(inputs.device.type, enabled=False):
            found = self.last(self.norm(x.float())) + self.small.correction(inside)
            return self.small.answer(inputs, trust[..., None] * found)


def rotation_by_place(place: Float[Tensor, "B L"], head_width: int) -> Float[Tensor, "2 B L E"]:
    """Cosines and sines of the rotary angles: half of the pairs turn by place, half by number.

    Sites far apart on the map have little to do with one another, however many lie between; sites
    that follow one another do, however near.
    """
    gap = place.diff(dim=1, prepend=place[:, :1]).clamp(0.0, LONGEST_GAP)
    along = gap.cumsum(dim=1)[..., None]
    number = torch.arange(place.shape[1], device=place.device).float()[None, :, None]
    half = head_width // 2
    by_place = half - half // 2
    angle = torch.cat(
        [
            along * _speeds(by_place, _SLOWEST, _FASTEST, place.device),
            (number * _speeds(half // 2, 1e-3, 1.0, place.device)).expand(len(place), -1, -1),
        ],
        dim=-1,
    )
    angle = torch.cat([angle, angle], dim=-1)
    return torch.stack([angle.cos(), angle.sin()])


def build(
    num_inputs: int, units: int, settings: ModelConfig, generator: torch.Generator
) -> MosaicLarge:
    """Return a network that answers as its small one, which answers as the heads."""
    model = MosaicLarge(num_inputs, units, settings)
    model.initialise(generator)
    return model


def _speeds(count: int, slowest: float, fastest: float, device: torch.device) -> Tensor:
    """(count,) from slow to fast, evenly on the log scale."""
    exponents = torch.linspace(math.log(slowest), math.log(fastest), count, device=device)
    return exponents.exp()
