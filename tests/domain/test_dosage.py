"""Dosages, genotype probabilities and calls from ALT probabilities."""

import numpy as np
import numpy.testing as npt
from hypothesis import given
from hypothesis import strategies as st

from vcfbert.domain import dosage

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
    imputed = dosage.from_frequency(np.array([0.25, 0.75]), num_people=3)
    npt.assert_array_equal(imputed.dosage, [[0.5] * 3, [1.5] * 3])
    npt.assert_array_equal(imputed.calls[:, 0], [[0, 0], [1, 1]])
    npt.assert_allclose(imputed.genotype_probability[0, 0], [0.5625, 0.375, 0.0625])
