"""Preparation of a chunk: clusters and the fit of the switch rates."""

from __future__ import annotations

import numpy as np
import pytest

from tests.copying import chunks
from vcfbert.copying import engine, parameter_sets
from vcfbert.copying.forward_backward import LONGEST_CLUSTER_CM
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.copying.parameter_sets import OVER_FIT, best_factor


@pytest.mark.parametrize("num_references", [1_000, 60_000])
def test_clusters_are_short_however_large_the_panel_is(num_references):
    generator = np.random.default_rng(1)
    cm = np.cumsum(generator.exponential(0.001, 200))
    bits = chunks.pack(generator.integers(0, 2, (num_references, 200)).astype(np.uint8))
    typed, group = np.arange(0, 200, 2), np.zeros(num_references, np.int64)
    rates = parameter_sets.initial(num_references)
    blank = PanelStatistics.blank(200)
    stops = engine.prepare(bits, typed, cm, group, rates, blank).chunk.stops
    longest = min(engine.CLUSTER / rates.rates[0], LONGEST_CLUSTER_CM)
    lengths = cm[typed[stops - 1]] - cm[typed[np.append(0, stops[:-1])]]
    assert lengths.max() <= longest
    assert num_references < 60_000 or len(stops) < 100  # some clusters have several sites


def test_a_flat_likelihood_leaves_the_switch_rates_as_they_are():
    assert best_factor(lambda _: -3.0) == pytest.approx(1.0)


def test_little_information_moves_the_switch_rates_little():
    factors = [
        best_factor(lambda f, n=nats: -n * (np.log2(f) - 1) ** 2) for nats in (0.0, 0.01, 0.1, 100)
    ]
    assert (np.diff(factors) > 0).all()
    assert factors[1] < 1.2
    assert factors[-1] == pytest.approx(2 * OVER_FIT, rel=1e-2)
