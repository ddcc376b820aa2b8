"""Allele frequencies by population, as an input of queries.

They join a query after retrieval. The raw embeddings that are searched do not depend on them, so
that the embedding of a site stays the same in queries and references.

B query haplotypes, L sites in a window, D embedding width, P populations, F features.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from vcfbert.model.embedding import SiteFeatures, scaled_frequency

UNKNOWN = -1
"""Index of a sample whose population is not known, or is not one of the panel."""

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
NUM_POPULATION_FEATURES = 5 + len(QUANTILES)


class PopulationInput(nn.Module):
    """Embeds the frequency in a query's population, and the quantiles over all populations.

    The quantiles do not depend on the number and order of populations, so a network can be used
    with panels that have others.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(NUM_POPULATION_FEATURES, width)

    def forward(
        self, features: SiteFeatures, population: Integer[Tensor, "B"]
    ) -> Float[Tensor, "B L D"]:
        """What is added to the embeddings of queries.

        population  index of each query's population, or UNKNOWN; rows 2 i and 2 i + 1 are one
                    sample
        """
        # A row for each population and one for UNKNOWN, the last, which the index -1 selects.
        table: Tensor = self.embed(population_columns(features))
        return table[population.long()]


def some_withheld(
    population: Integer[Tensor, "B"], draws: Float[Tensor, "samples"], share: float
) -> Integer[Tensor, "B"]:
    """Set the population of random samples to UNKNOWN, as training does.

    draws  of each sample, uniform from 0 to 1
    share  of the samples whose population is withheld
    """
    is_withheld = (draws < share).repeat_interleave(2)
    return torch.where(is_withheld, UNKNOWN, population)


def population_columns(features: SiteFeatures) -> Float[Tensor, "P1 L F"]:
    """Scaled inputs for a query of each population and, in the last row, of none that is known.

    These are log odds, log MAF and heterozygosity of the frequency in the population, its
    difference from the overall frequency, whether the population is known, and the log odds of the
    quantiles of the frequency over populations. The overall frequency takes the place of an
    unknown one.
    """
    overall = features.frequency
    own = torch.cat([features.by_population.T, overall[None]])  # (P + 1, L)
    is_known = torch.ones_like(own)
    is_known[-1] = 0.0
    quantiles = _quantiles(features)
    over_all = [scaled_frequency(level)[0].expand_as(own) for level in quantiles]
    return torch.stack(
        [*scaled_frequency(own), 4 * (own - overall), is_known, *over_all],
        dim=-1,
    )


def _quantiles(features: SiteFeatures) -> Float[Tensor, "Q L"]:
    """Quantiles of the frequency over populations, interpolated; without any, the overall one."""
    count = features.by_population.shape[1]
    if count == 0:
        return features.frequency.expand(len(QUANTILES), -1)
    rising = features.by_population.T.sort(dim=0).values
    levels = []
    for quantile in QUANTILES:
        part, below = math.modf(quantile * (count - 1))
        above = min(int(below) + 1, count - 1)
        levels.append(torch.lerp(rising[int(below)], rising[above], part))
    return torch.stack(levels)
