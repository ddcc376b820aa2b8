"""Dosages, genotype probabilities and calls from ALT probabilities."""

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vcfbert.domain import dosage, tokens

probabilities = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=1, max_size=6).map(
    lambda pairs: np.array(pairs, dtype=np.float32)[:, None]
)


@given(probabilities)
def test_genotype_probabilities_sum_to_one_and_agree_with_the_dosage(alt_probability):
    imputed = dosage.from_haplotypes(alt_probability)
    npt.assert_allclose(imputed.genotype_probability.sum(axis=-1), 1, atol=1e-6)
    expected = imputed.genotype_probability @ np.array([0, 1, 2], dtype=np.float32)
    npt.assert_allclose(imputed.dosage, expected, atol=1e-6)


@given(probabilities)
def test_both_ways_to_a_dosage_agree_for_independent_haplotypes(alt_probability):
    of_haplotypes = dosage.from_haplotypes(alt_probability)
    of_genotypes = dosage.from_genotypes(of_haplotypes.genotype_probability, alt_probability)
    npt.assert_allclose(of_genotypes.dosage, of_haplotypes.dosage, atol=1e-6)
    npt.assert_array_equal(of_genotypes.calls, of_haplotypes.calls)


def test_a_call_needs_more_than_even_odds():
    imputed = dosage.from_haplotypes(np.array([[[0.5, 0.51], [0.49, 1.0]]]))
    npt.assert_array_equal(imputed.calls, [[[0, 1], [0, 1]]])


def test_certain_alleles_are_certain():
    imputed = dosage.from_alleles(np.array([[[0, 1], [1, 1], [0, 0]]], dtype=np.uint8))
    npt.assert_array_equal(imputed.dosage, [[1, 2, 0]])
    npt.assert_array_equal(imputed.genotype_probability, [[[0, 1, 0], [0, 0, 1], [1, 0, 0]]])


def test_the_frequency_calls_the_commoner_allele_of_everyone():
    imputed = dosage.from_frequency(np.array([0.25, 0.75]), num_samples=3)
    npt.assert_array_equal(imputed.dosage, [[0.5] * 3, [1.5] * 3])
    npt.assert_array_equal(imputed.calls[:, 0], [[0, 0], [1, 1]])
    npt.assert_allclose(imputed.genotype_probability[0, 0], [0.5625, 0.375, 0.0625])


@given(
    alt=npst.arrays(
        np.float32, st.tuples(st.integers(0, 4), st.integers(1, 5), st.just(2)),
        elements=st.floats(0, 1, width=32),
    )
)  # fmt: skip
def test_estimated_r2_is_variance_over_the_largest_there_can_be(alt):
    for site, found in zip(alt.astype(float), dosage.estimated_r2(alt), strict=True):
        frequency = site.mean()
        expected = 0.0
        if 0 < frequency < 1:
            expected = ((site**2).mean() - frequency**2) / (frequency * (1 - frequency))
        assert found == pytest.approx(expected, abs=1e-9)
        assert 0 <= found <= 1


def test_typed_sites_have_an_estimated_r2_of_one():
    alleles = np.array([[[0, 1], [1, 1]]], np.float32)
    assert dosage.estimated_r2(alleles).tolist() == [1.0]


def test_empirical_r2_is_the_squared_correlation_of_observed_alleles():
    rng = np.random.default_rng(1)
    alleles = rng.integers(0, 2, (5, 20, 2), dtype=np.uint8)
    left_out = np.clip(0.7 * alleles + 0.3 * rng.random(alleles.shape), 0, 1).astype(np.float32)
    alleles[rng.random(alleles.shape) < 0.2] = tokens.MISSING
    for site, found in enumerate(dosage.empirical_r2(alleles, left_out)):
        observed = alleles[site] <= 1
        expected = np.corrcoef(alleles[site][observed], left_out[site][observed])[0, 1] ** 2
        assert found == pytest.approx(expected)


def test_both_r2_are_the_same_for_any_block_size(monkeypatch):
    rng = np.random.default_rng(2)
    alt = rng.random((9, 3, 2), dtype=np.float32)
    alleles = rng.integers(0, 2, alt.shape, dtype=np.uint8)
    whole = dosage.estimated_r2(alt), dosage.empirical_r2(alleles, alt)
    monkeypatch.setattr(dosage, "_CELLS_AT_ONCE", 12)
    npt.assert_array_equal(dosage.estimated_r2(alt), whole[0])
    npt.assert_array_equal(dosage.empirical_r2(alleles, alt), whole[1])
