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


def spanning(bases: int, cm_per_mb: float) -> ContigMap:
    return ContigMap(np.array([1, 1 + bases]), np.array([0.0, bases * cm_per_mb / 1e6]))


@pytest.mark.parametrize(
    ("bases", "rate", "message"),
    [
        (1_000_000, 120.0, "100 times too large"),
        (60_000_000, 1200.0, r"1,000 times too large"),
        (200_000, 1_000_000.0, "a position in bases"),
        (900, 1_000_000.0, "a position in bases"),
        (60_000_000, 0.012, r"in Morgans\. Multiply them by 100"),
        (60_000_000, 0.0012, "1,000 times too small"),
    ],
)
def test_a_map_that_is_not_in_cm_is_refused_and_its_unit_is_named(bases, rate, message):
    maps = {"20": spanning(bases, rate)}
    with pytest.raises(InputError, match=rf"m\.map: contig chr20 has .* cM per Mb.*{message}"):
        genetic_map.centimorgans(maps, "chr20", np.array([5]), source="m.map")


@pytest.mark.parametrize(
    ("bases", "rate"),
    [(60_000_000, 1.1), (30_000_000, 26.0), (100_000_000, 0.1), (5_000, 900.0), (50_000, 0.001)],
)
def test_the_rates_of_genomes_and_of_single_hotspots_pass(bases, rate):
    genetic_map.centimorgans({"20": spanning(bases, rate)}, "20", np.array([5]), source="m.map")


@pytest.mark.parametrize(("contig", "name"), [("chrX", "23"), ("23", "X"), ("MT", "26")])
def test_the_numbers_of_plink_are_names_of_contigs(contig, name):
    maps = {name: spanning(1_000_000, 1.0)}
    npt.assert_allclose(
        genetic_map.centimorgans(maps, contig, np.array([500_001]), source="m.map"),
        [0.5],
        atol=1e-6,
    )


def test_a_contig_that_is_not_used_may_have_no_recombination():
    maps = {"20": spanning(1_000_000, 1.0), "Y": spanning(1_000_000, 0.0)}
    genetic_map.centimorgans(maps, "20", np.array([5]), source="m.map")
    with pytest.raises(InputError, match="contig Y never rise"):
        genetic_map.centimorgans(maps, "Y", np.array([5]), source="m.map")


def test_a_map_without_contigs_is_that_of_the_only_contig():
    maps = {genetic_map.ANY_CONTIG: spanning(1_000_000, 1.0)}
    position = np.array([1, 500_001])
    one = genetic_map.of_sites(maps, ["7", "8"], np.array([1, 1]), position, source="m.map")
    npt.assert_allclose(one, [0, 0.5], atol=1e-6)
    with pytest.raises(InputError, match=r"m\.map does not name its contig.*2 contigs"):
        genetic_map.of_sites(maps, ["7", "8"], np.array([0, 1]), position, source="m.map")
