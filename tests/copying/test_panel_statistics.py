from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks
from vcfbert.copying import panel_statistics
from vcfbert.copying.panel_statistics import FEWEST_LANDMARKS, LANDMARK_MAF, LANDMARKS_PER_CM


def test_landmarks_are_common_and_spread_over_the_chunk():
    generator = np.random.default_rng(1)
    frequency = generator.beta(0.3, 1.5, 20_000)
    for length in (0.5, 6.0):
        cm = np.linspace(3.0, 3.0 + length, 20_000)
        found = panel_statistics.landmarks(frequency, cm)
        assert len(found) == max(FEWEST_LANDMARKS, round(LANDMARKS_PER_CM * length))
        assert np.minimum(frequency[found], 1 - frequency[found]).min() >= LANDMARK_MAF
        assert np.diff(cm[found]).max() < 0.05 * length


@pytest.mark.parametrize("frequency", [np.full(7, 0.01), np.zeros(1)])
def test_a_chunk_without_common_sites_has_landmarks_all_the_same(frequency):
    found = panel_statistics.landmarks(frequency, np.linspace(0, 1, len(frequency)))
    npt.assert_array_equal(found, np.arange(len(frequency)))


def test_statistics_of_some_sites_are_those_of_the_whole_chunk():
    case = chunks.make(3, num_sites=130, typed=20)
    group = np.repeat(np.arange(20) % 3, 2)
    whole = panel_statistics.of_references(case.chunk.bits, case.chunk.cm, group, case.chunk.typed)
    npt.assert_allclose(
        1 / (1 + np.exp(-whole.frequency)), case.alleles.mean(axis=0).clip(1e-7), atol=1e-6
    )
    assert whole.group_frequency.shape == (130, 3)
    part = whole.at(np.arange(30, 90))
    npt.assert_array_equal(part.panel, whole.panel[:, 30:90])
    npt.assert_array_equal(part.group_frequency, whole.group_frequency[30:90])
