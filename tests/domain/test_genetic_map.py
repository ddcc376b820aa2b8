from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import genetic_map
from vcfbert.domain.genetic_map import ContigMap
from vcfbert.errors import InputError

MAP = {"20": ContigMap(np.array([100, 200, 400]), np.array([1.0, 1.0, 4.0]))}


def cm(position: list[int], contig: str = "20") -> np.ndarray:
    return genetic_map.centimorgans(MAP, contig, np.array(position), source="m.map")


def test_between_points_the_map_is_linear():
    npt.assert_allclose(cm([100, 150, 200, 300, 400]), [1, 1, 1, 2.5, 4])


def test_beyond_its_ends_the_map_goes_on_at_its_mean_rate():
    npt.assert_allclose(cm([90, 410]), [0.9, 4.1], atol=1e-6)


def test_the_prefix_chr_makes_no_difference():
    npt.assert_array_equal(cm([300], "chr20"), cm([300]))


def test_a_contig_that_is_not_in_the_map_is_named():
    with pytest.raises(InputError, match=r"m\.map has no contig 7.*it has 20"):
        cm([1], "7")


def test_without_a_map_a_megabase_is_a_centimorgan():
    npt.assert_allclose(genetic_map.uniform(np.array([1_000_000])), [1.0], atol=1e-6)


def test_rounding_keeps_the_order_and_six_decimals():
    position = np.arange(100, 401)
    values = cm(position.tolist())
    assert (np.diff(values) >= 0).all()
    npt.assert_allclose(values, np.interp(position, MAP["20"].position, MAP["20"].cm), atol=5e-7)
