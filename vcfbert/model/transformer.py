"""Transformer blocks over the sites of a window, with pre-norm attention and feed-forward layers.

B query haplotypes, L sites in a window, D embedding width.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vcfbert.config import ModelConfig

_ROTARY_BASE = 10_000.0


class Block(nn.Module):
    """Self-attention with rotary positions (Su et al. 2021), then a feed-forward layer."""

    def __init__(self, settings: ModelConfig) -> None:
        super().__init__()
        width, hidden = settings.width, settings.width * settings.feedforward_multiple
        self.num_heads = settings.num_heads
        self.dropout = settings.dropout
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward_in = nn.Linear(width, hidden)
        self.feedforward_out = nn.Linear(hidden, width)

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        rotation: Float[Tensor, "2 *own L E"],
        is_site: Bool[Tensor, "*own L"] | None,
    ) -> Float[Tensor, "B L D"]:
        """Attend, then transform; `is_site` (None: no padding) keeps padding from being read.

        Both are the same for all queries, or have an axis B of their own.
        """
        x = x + self._drop(self._attend(self.attention_norm(x), rotation, is_site))
        hidden = functional.gelu(self.feedforward_in(self.feedforward_norm(x)), approximate="tanh")
        return x + self._drop(self.feedforward_out(hidden))

    def _attend(self, x: Tensor, rotation: Tensor, is_site: Tensor | None) -> Tensor:
        heads = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, heads, L, E)
        rotation = rotation.unsqueeze(-3)  # the same in every head
        query, key = rotate(query, rotation), rotate(key, rotation)
        mask = None if is_site is None else is_site[..., None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.attention_out(mixed.transpose(1, 2).flatten(-2))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


def rotary_rotation(length: int, head_width: int, device: torch.device) -> Float[Tensor, "2 L E"]:
    """Cosines and sines of the rotary angles, for both halves of a head's channels."""
    half = torch.arange(head_width // 2, device=device) / (head_width // 2)
    angle = torch.arange(length, device=device)[:, None] * _ROTARY_BASE**-half
    angle = torch.cat([angle, angle], dim=-1)
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Float[Tensor, "B h L E"], rotation: Float[Tensor, "2 *own L E"]) -> Tensor:
    """Turn each pair of channels by its site's angle."""
    cosine, sine = rotation.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine
