"""The fitted rate follows the rate of the panel and the unit of the map."""

import numpy as np
import pytest

from tests.phasing import mosaics
from vcfbert.phasing import copying_rate
from vcfbert.phasing.genotype_search import words


def fit(references, cm):
    return copying_rate.fit(
        words(references), cm, np.arange(10, 400, 20), 12,
        errors=np.full(len(cm), 0.002), longest=0.01, threads=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fx_panels():
    """Panels that switch between twelve founders slowly and fast, on the same map."""
    rng = np.random.default_rng(9)
    cm = np.sort(rng.random(400)) * 2
    founders = (rng.random((12, 400)) < 0.4).astype(np.uint8)
    slow, fast = (mosaics.copies(rng, founders, cm, 200, rate=rate) for rate in (5.0, 30.0))
    return slow, fast, cm


def test_a_panel_that_switches_more_often_has_a_larger_rate(fx_panels):
    slow, fast, cm = fx_panels
    assert 2 < fit(fast, cm) / fit(slow, cm) < 12


def test_a_map_in_another_unit_is_compensated(fx_panels):
    slow, _, cm = fx_panels
    assert fit(slow, cm / 4) == pytest.approx(4 * fit(slow, cm), rel=0.3)


def test_few_sites_have_the_usual_rate(fx_panels):
    slow, _, cm = fx_panels
    found = copying_rate.fit(
        words(slow[:, :7]), cm[:7], np.arange(7), 12,
        errors=np.full(7, 0.002), longest=0.01, threads=1,
    )  # fmt: skip
    assert found == copying_rate.of_size(copying_rate.EFFECTIVE_SIZE, 200)
