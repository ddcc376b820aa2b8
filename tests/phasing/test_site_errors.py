"""Sites at which genotypes of the panel are wrong get larger error rates, and others do not."""

import numpy as np
import pytest

from tests.phasing import mosaics
from vcfbert.phasing import site_errors
from vcfbert.phasing.genotype_search import words

USUAL = 1e-3


@pytest.fixture(scope="module")
def fx_panel():
    """References without miscopied alleles, but for three sites at which a tenth is wrong."""
    rng = np.random.default_rng(6)
    cm = np.sort(rng.random(300)) * 2
    founders = (rng.random((12, 300)) < 0.4).astype(np.uint8)
    references = mosaics.copies(rng, founders, cm, 500, rate=1.0, error=0.0)
    bad = np.array([90, 150, 222])
    references[:, bad] ^= rng.random((500, 3)) < 0.1
    return references, cm, bad


def test_sites_with_wrong_genotypes_are_found(fx_panel):
    references, cm, bad = fx_panel
    errors = site_errors.estimate(words(references), cm, USUAL)
    assert (errors[bad] > 0.03).all()
    assert np.median(errors) == USUAL
    assert (np.delete(errors, bad) < 0.03).all()


def test_the_least_rate_is_that_of_the_model(fx_panel):
    references, cm, _ = fx_panel
    assert site_errors.estimate(words(references), cm, 0.05).min() == 0.05
    assert site_errors.estimate(words(references), cm, 0.4).tolist() == [0.4] * 300


def test_a_chunk_without_sites_on_both_sides_has_the_usual_rate(fx_panel):
    references, cm, _ = fx_panel
    found = site_errors.estimate(words(references[:, 85:95]), cm[85:95], USUAL)
    assert found.tolist() == [USUAL] * 10
