"""Allele frequencies by population as an input of queries."""

import dataclasses

import numpy as np
import numpy.testing as npt
import pytest
import torch
from torch.testing import assert_close

from tests.model.networks import (
    LENGTH,
    POPULATIONS,
    perturbed_network,
    populations_of_queries,
    query_and_neighbours,
    site_features,
)
from vcfbert.model import population
from vcfbert.model.population import QUANTILES, UNKNOWN, PopulationInput

OWN, DIFFERENCE, IS_KNOWN = 0, 3, 4


def of_panel(by_population, overall=None):
    """Features of a panel with these frequencies, (L, P)."""
    features = site_features()
    frequency = features.frequency if overall is None else overall
    return dataclasses.replace(features, by_population=by_population, frequency=frequency)


def through(model, features, index):
    query, neighbours = query_and_neighbours()
    codebook = model.encoder.codebook(features).detach()
    return model(query, features, neighbours, codebook, index).haplotype


def test_a_known_population_gives_its_own_frequency_and_an_unknown_one_the_overall():
    features = site_features()
    columns = population.population_columns(features)
    assert columns.shape == (POPULATIONS + 1, LENGTH, population.NUM_POPULATION_FEATURES)
    for row in range(POPULATIONS):
        own = features.by_population[:, row]
        assert_close(columns[row, :, OWN], torch.logit(own.clamp(1e-4, 1 - 1e-4)) / 4)
        assert_close(columns[row, :, DIFFERENCE], 4 * (own - features.frequency))
    assert_close(
        columns[UNKNOWN, :, OWN], torch.logit(features.frequency.clamp(1e-4, 1 - 1e-4)) / 4
    )
    assert columns[:, 0, IS_KNOWN].tolist() == [1.0] * POPULATIONS + [0.0]
    assert columns[UNKNOWN, :, DIFFERENCE].abs().max() == 0


@pytest.mark.parametrize("count", [1, 2, 5, 26])
def test_quantiles_are_those_of_numpy_for_any_number_of_populations(count):
    frequency = torch.rand(LENGTH, count, generator=torch.Generator().manual_seed(4))
    columns = population.population_columns(of_panel(frequency))
    wanted = np.quantile(frequency.numpy(), QUANTILES, axis=1).clip(1e-4, 1 - 1e-4)
    found = torch.sigmoid(4 * columns[0, :, -len(QUANTILES) :]).T
    npt.assert_allclose(found, wanted, atol=1e-5)


def test_without_populations_the_overall_frequency_takes_their_place():
    columns = population.population_columns(of_panel(torch.zeros(LENGTH, 0)))
    assert columns.shape[0] == 1
    for column in range(len(QUANTILES)):
        assert_close(columns[0, :, -1 - column], columns[0, :, OWN])


def test_the_order_and_names_of_other_populations_do_not_matter():
    model = perturbed_network(population=True)
    features = site_features()
    turned = dataclasses.replace(features, by_population=features.by_population[:, [2, 0, 1]])
    straight = through(model, features, populations_of_queries())
    assert_close(
        through(model, turned, torch.tensor([2, 2, UNKNOWN, UNKNOWN])),  # the same, moved
        straight,
    )


def test_the_population_changes_the_prediction_of_its_own_sample_alone():
    model = perturbed_network(population=True)
    known = through(model, site_features(), populations_of_queries())
    unknown = through(model, site_features(), torch.full((4,), UNKNOWN))
    assert (known[:2] - unknown[:2]).abs().max() > 1e-3
    assert_close(known[2:], unknown[2:])


def test_what_is_searched_does_not_depend_on_populations():
    model = perturbed_network(population=True)
    features = site_features()
    others = dataclasses.replace(features, by_population=1 - features.by_population)
    assert torch.equal(model.encoder.codebook(features), model.encoder.codebook(others))


def test_populations_are_withheld_of_whole_samples_in_training():
    block = PopulationInput(4)
    index = torch.arange(400).repeat_interleave(2) % POPULATIONS
    draws = torch.rand(400, generator=torch.Generator().manual_seed(3))
    kept = population.some_withheld(index, draws, 0.5)
    is_withheld = kept == UNKNOWN
    assert torch.equal(is_withheld[0::2], is_withheld[1::2])
    assert 0.4 < is_withheld.float().mean() < 0.6
    assert torch.equal(kept[~is_withheld], index[~is_withheld])
    features = site_features()
    with torch.no_grad():
        table = block.embed(population.population_columns(features))
        assert_close(block(features, kept), table[kept])


@pytest.mark.parametrize(
    "changes", [{}, {"retrieved": "through"}, {"retrieved": "none", "copy_skip": False}]
)
def test_every_way_of_neighbours_reads_the_population_and_trains_its_weights(changes):
    model = perturbed_network(population=True, **changes)
    logits = through(model, site_features(), populations_of_queries())
    logits.square().mean().backward()
    assert model.population.embed.weight.grad.abs().sum() > 0
