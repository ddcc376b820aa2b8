"""The encoder, whose embeddings are searched, and the fusion that queries and references pass.

B query haplotypes, L sites in a window, D embedding width, V vocabulary, F site features,
P populations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from vcfbert.domain import tokens

NUM_SITE_TYPES = 4
NUM_SITE_FEATURES = 5
_MIN_FREQUENCY = 1e-4


@dataclass(frozen=True)
class SiteFeatures:
    """Features of the sites of one window, without a batch axis.

    frequency      ALT frequency in the reference haplotypes; 0 in the padding
    spread         standard deviation of that frequency over the populations of the panel
    cm             centimorgans from the first site of the window
    site_type      0 SNV, 1 insertion, 2 deletion, 3 other
    is_site        False in the padding
    is_full        True if the window has no padding; a Python bool, so that no kernel waits for it
    by_population  ALT frequency in each population of the panel; P may be 0
    """

    frequency: Float[Tensor, "L"]
    spread: Float[Tensor, "L"]
    cm: Float[Tensor, "L"]
    site_type: Integer[Tensor, "L"]
    is_site: Bool[Tensor, "L"]
    is_full: bool
    by_population: Float[Tensor, "L P"]

    def to(self, device: torch.device) -> SiteFeatures:
        """Return a copy on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            k: x.to(device) for k, x in values.items() if isinstance(x, Tensor)
        }
        return replace(self, **moved)

    def columns(self) -> Float[Tensor, "L F"]:
        """Scaled inputs of the encoder: log odds, log MAF, heterozygosity, spread, is_site."""
        return torch.stack(
            [
                *scaled_frequency(self.frequency),
                4 * self.spread,
                self.is_site.to(self.frequency.dtype),
            ],
            dim=-1,
        )


def scaled_frequency(frequency: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log odds, log MAF and heterozygosity of an ALT frequency, each about -1 to 1."""
    frequency = frequency.clamp(_MIN_FREQUENCY, 1 - _MIN_FREQUENCY)
    minor = torch.minimum(frequency, 1 - frequency)
    return torch.logit(frequency) / 4, torch.log(minor) / 4 + 1, 4 * frequency * (1 - frequency)


class Encoder(nn.Module):
    """Raw embeddings: the vector of a token, scaled and shifted by the features of its site.

    A site does not depend on others, so the embedding of a haplotype is a gather from `codebook`,
    and a masked site has the same vector in queries and references.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens.VOCABULARY_SIZE, width)
        self.site_type = nn.Embedding(NUM_SITE_TYPES, width)
        self.scale = nn.Linear(NUM_SITE_FEATURES, width)
        self.shift = nn.Linear(NUM_SITE_FEATURES, width)

    def codebook(self, features: SiteFeatures) -> Float[Tensor, "V L D"]:
        """Every token's embedding at every site of one window."""
        columns = features.columns()
        shift = self.shift(columns) + self.site_type(features.site_type)  # (L, D)
        scale = 1 + self.scale(columns)  # (L, D)
        return self.token.weight[:, None, :] * scale + shift

    def forward(
        self, query: Integer[Tensor, "B L"], features: SiteFeatures
    ) -> Float[Tensor, "B L D"]:
        """Embed the tokens of queries."""
        return gather_codebook(self.codebook(features), query)


def gather_codebook(
    codebook: Float[Tensor, "V L D"], query: Integer[Tensor, "*B L"]
) -> Float[Tensor, "*B L D"]:
    """The embedding of the token at each site."""
    site = torch.arange(codebook.shape[1], device=codebook.device)
    return codebook[query.long(), site]


class EmbeddingFusion(nn.Module):
    """Adds position and frequency to raw embeddings, of queries and references alike."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequency = nn.Linear(NUM_SITE_FEATURES, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.width = width

    def forward(
        self, raw: Float[Tensor, "*B L D"], features: SiteFeatures
    ) -> Float[Tensor, "*B L D"]:
        """Fuse; the leading axes are free, so this takes a codebook as well as a batch."""
        position = sinusoids(raw.shape[-2], self.width, raw.device)
        placed = raw + position + self.frequency(features.columns())
        return raw + self.mix(self.norm(placed))


def sinusoids(length: int, width: int, device: torch.device) -> Float[Tensor, "L D"]:
    """Position code of Vaswani et al. 2017, which works for windows of any length."""
    half = width // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / half))
    angle = torch.arange(length, device=device)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
