"""The network of the `mosaic-large` preset: a transformer over sites on top of the copying heads.

Where `mosaic.Mosaic` corrects each site by itself, this one lets the sites of a window read one
another: what the heads say of the neighbourhood, and which alleles were seen there.

B query haplotypes, L sites in a window, F inputs (`copying.inputs.NAMES`), D width, A heads.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from vcfbert.config import ModelConfig
from vcfbert.domain import tokens
from vcfbert.model.mosaic import FIRST_GATES
from vcfbert.model.transformer import Block, rotary_rotation

_SMALLEST = 1e-7


class MosaicLarge(nn.Module):
    """Attention over the inputs and tokens of a window; weighs the heads and corrects them."""

    def __init__(self, num_inputs: int, settings: ModelConfig) -> None:
        """Make a network whose weights are still to be set by `initialise`."""
        super().__init__()
        self.num_heads = len(FIRST_GATES)
        self.head_width = settings.width // settings.num_heads
        for name in ("mean", "spread", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(num_inputs))
        self.mean: Tensor
        self.spread: Tensor
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("gates", torch.tensor(FIRST_GATES), persistent=False)
        self.gates: Tensor
        self.project = nn.Linear(num_inputs, settings.width)
        self.token = nn.Embedding(tokens.VOCABULARY_SIZE, settings.width)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.num_layers))
        self.norm = nn.LayerNorm(settings.width)
        self.last = nn.Linear(settings.width, self.num_heads + 1)

    def initialise(self, generator: torch.Generator) -> None:
        """Set every initial value; the same generator gives the same network."""
        nn.init.ones_(self.spread)
        nn.init.constant_(self.lowest, -torch.inf)
        nn.init.constant_(self.highest, torch.inf)
        for name, parameter in sorted(self.named_parameters()):
            if name.endswith("norm.weight"):
                nn.init.ones_(parameter)
            elif parameter.dim() < 2:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.02, generator=generator)
        # Standardised inputs: states of unit size, so that the first norm does not magnify noise.
        fan_in = self.project.weight.shape[1]
        nn.init.normal_(self.project.weight, std=fan_in**-0.5, generator=generator)
        residual = (2 * max(len(self.blocks), 1)) ** -0.5 * 0.02
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.normal_(block.attention_out.weight, std=residual, generator=generator)
            nn.init.normal_(block.feedforward_out.weight, std=residual, generator=generator)
        nn.init.zeros_(self.last.weight)  # training starts from the heads' answer

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

    def forward(
        self,
        inputs: Float[Tensor, "B L F"],
        query_tokens: Integer[Tensor, "B L"],
        is_site: Bool[Tensor, "L"] | None = None,
    ) -> Float[Tensor, "B L"]:
        """Log odds of ALT at every site.

        inputs        of hidden sites; elsewhere only the first A, the heads' log odds, are read
        query_tokens  under the mask; where one is visible, or PAD, the heads' answer stands
        is_site       False in the padding, which no site reads; None where there is no padding
        """
        is_hidden = (query_tokens == tokens.MASK) | (query_tokens == tokens.MISSING)  # (B, L)
        standard = (inputs - self.mean) / self.spread
        inside = standard.clamp(self.lowest, self.highest)
        # Beyond what was seen in training the answer falls back to that of the heads.
        trust = torch.exp(-(standard - inside).abs().sum(dim=-1)) * is_hidden
        x = self.project(inside * is_hidden[..., None]) + self.token(query_tokens.int())
        rotation = rotary_rotation(x.shape[1], self.head_width, x.device)
        for block in self.blocks:
            x = block(x, rotation, is_site)  # (B, L, D)
        output = self.last(self.norm(x)).float() * trust[..., None]  # (B, L, A + 1)
        weights = torch.softmax(self.gates + output[..., : self.num_heads], dim=-1)
        mixed = (weights * torch.sigmoid(inputs[..., : self.num_heads])).sum(dim=-1)
        return torch.logit(mixed, _SMALLEST) + output[..., self.num_heads]


def build(num_inputs: int, settings: ModelConfig, seed: int) -> MosaicLarge:
    """Return a network with initial weights drawn from the seed."""
    model = MosaicLarge(num_inputs, settings)
    model.initialise(torch.Generator().manual_seed(seed))
    return model
