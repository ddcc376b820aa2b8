"""Small networks and inputs for the tests of the model."""

from __future__ import annotations

import torch

from vcfbert.config import ModelConfig
from vcfbert.model import imputer
from vcfbert.model.embedding import SiteFeatures
from vcfbert.model.imputer import Imputer
from vcfbert.model.population import UNKNOWN

LENGTH, NEIGHBOURS, QUERIES, POPULATIONS = 24, 5, 4, 3


def small_config(**changes: object) -> ModelConfig:
    settings = {"width": 16, "num_layers": 2, "num_heads": 2} | changes
    return ModelConfig(**settings)


def small_network(seed: int = 1, **changes: object) -> Imputer:
    return imputer.build(small_config(**changes), seed).eval()


def perturbed_network(**changes: object) -> Imputer:
    """A network whose every weight has moved, so that no zero start hides a path."""
    model = small_network(**changes)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def site_features(padding: int = 0) -> SiteFeatures:
    generator = torch.Generator().manual_seed(2)
    is_site = torch.arange(LENGTH) < LENGTH - padding
    return SiteFeatures(
        frequency=torch.rand(LENGTH, generator=generator) * is_site,
        spread=0.1 * torch.rand(LENGTH, generator=generator) * is_site,
        cm=torch.linspace(0, 0.1, LENGTH).clamp(max=0.1 * (LENGTH - padding - 1) / (LENGTH - 1)),
        site_type=torch.randint(0, 4, (LENGTH,), generator=generator),
        is_site=is_site,
        is_full=padding == 0,
        by_population=torch.rand(LENGTH, POPULATIONS, generator=generator) * is_site[:, None],
    )


def populations_of_queries() -> torch.Tensor:
    """(B,) a known population for the first sample, none for the second."""
    return torch.tensor([1, 1, UNKNOWN, UNKNOWN])


def query_and_neighbours(padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, L) masked tokens and (B, K, L) complete ones."""
    generator = torch.Generator().manual_seed(3)
    query = torch.randint(0, 2, (QUERIES, LENGTH), generator=generator)
    neighbours = torch.randint(0, 2, (QUERIES, NEIGHBOURS, LENGTH), generator=generator)
    query[:, ::3] = 2
    if padding:
        query[:, -padding:] = 3
        neighbours[..., -padding:] = 3
    return query.to(torch.uint8), neighbours.to(torch.uint8)
