"""Groups of samples from their genotypes."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.copying import groups
from vcfbert.domain import tokens
from vcfbert.phasing.genotype_search import words

NUM_SITES = 300
PER_GROUP = 60


@pytest.fixture(scope="module")
def fx_panel():
    """Bits of haplotypes from three populations with different frequencies, and the populations."""
    rng = np.random.default_rng(3)
    population = rng.permutation(np.repeat(np.arange(3), PER_GROUP))
    frequency = rng.uniform(0.05, 0.95, (3, NUM_SITES))
    alleles = rng.random((2 * len(population), NUM_SITES)) < frequency[np.repeat(population, 2)]
    return words(alleles), population


def found_in(bits, sample=None, **options):
    sample = np.arange(len(bits)) >> 1 if sample is None else sample
    return groups.of_references(bits, NUM_SITES, sample, **options)


def populations_of(group, population):
    """The populations in each group."""
    return [set(population[group[::2] == number]) for number in np.unique(group)]


def test_no_group_mixes_populations(fx_panel):
    bits, population = fx_panel
    group = found_in(bits)
    npt.assert_array_equal(group[::2], group[1::2])
    assert all(len(inside) == 1 for inside in populations_of(group, population))


def test_samples_of_a_large_panel_join_the_groups_of_some(fx_panel, monkeypatch):
    bits, population = fx_panel
    monkeypatch.setattr(groups, "NUM_GROUPS", 3)
    group = found_in(bits, most_samples=len(population) // 3)
    npt.assert_array_equal(group[::2], group[1::2])
    assert all(len(inside) == 1 for inside in populations_of(group, population))
    asked = np.linspace(0, len(population) - 1, len(population) // 3).astype(int)
    rows = np.stack([2 * asked, 2 * asked + 1], axis=1).ravel()
    alone = groups.of_references(bits[rows], NUM_SITES, np.arange(len(rows)) >> 1)
    npt.assert_array_equal(group[rows], alone)


def test_scores_of_the_others_are_those_of_the_components(fx_panel):
    bits, _ = fx_panel
    alleles = tokens.unpack(bits.view(np.uint8), NUM_SITES)
    loadings = np.random.default_rng(1).normal(size=(64 * bits.shape[1], 4))
    npt.assert_allclose(
        groups._sums_of_carried(bits, loadings), alleles @ loadings[:NUM_SITES], atol=1e-9
    )


def test_haploid_samples_count_as_homozygotes(fx_panel):
    bits, population = fx_panel
    haploid = bits[::2]
    group = found_in(haploid, np.arange(len(haploid)), most_samples=len(population) // 3)
    assert len(group) == len(population)
    inside = [set(population[group == number]) for number in np.unique(group)]
    assert sum(len(one) == 1 for one in inside) >= len(inside) - 1


def test_small_and_uniform_panels_are_one_group(fx_panel):
    bits, _ = fx_panel
    assert not found_in(bits[:8]).any()
    assert not found_in(np.zeros_like(bits)).any()
