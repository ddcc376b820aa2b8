from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import sites
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION, Region, Samples
from vcfbert.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20", Region("20")),
        ("20:5-9", Region("20", 5, 9)),
        ("chr20:5,000-", Region("chr20", 5000)),
    ],
)
def test_a_region_is_read(text, expected):
    assert Region.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "20:", "20:9-5", "20:0-5", "20:a-b", "20:5", "20:1-99999999999"]
)
def test_a_malformed_region_is_refused(text):
    with pytest.raises(InputError, match="region"):
        Region.parse(text)


def test_a_region_takes_the_name_its_contig_has_in_the_file():
    assert Region("chr20", 5, 9).among(["19", "20"], source="f") == Region("20", 5, 9)
    with pytest.raises(InputError, match=r"f has no contig 7.*19, 20"):
        Region("7").among(["19", "20"], source="f")


def panel_samples(split: list[int], superpopulation: list[str]) -> Samples:
    return Samples(
        names=[f"s{n}" for n in range(len(split))],
        population=["."] * len(split),
        superpopulation=superpopulation,
        split=np.array(split, dtype=np.int8),
        populations=tuple(sorted(set(superpopulation))),
    )


def test_haplotypes_of_a_split_stand_beside_each_other():
    samples = panel_samples([TRAIN, TEST, VALIDATION, TEST], ["A"] * 4)
    npt.assert_array_equal(samples.haplotypes(TEST), [2, 3, 6, 7])
    npt.assert_array_equal(samples.in_splits(TRAIN, VALIDATION), [0, 2])


def test_population_sizes_count_train_haplotypes_only():
    samples = panel_samples([TRAIN, TEST, TRAIN, TRAIN], ["A", "A", "B", "B"])
    npt.assert_array_equal(samples.population_sizes(), [2, 4])


def test_minor_frequency_is_that_of_the_rarer_allele():
    npt.assert_allclose(sites.minor(np.array([0.1, 0.5, 0.8])), [0.1, 0.5, 0.2])


def test_a_sample_of_no_trained_population_is_of_an_unknown_one():
    samples = Samples(
        names=list("abcd"),
        population=["."] * 4,
        superpopulation=["EUR", ".", "AFR", "EAS"],
        split=np.array([TRAIN, TRAIN, TRAIN, TEST], dtype=np.int8),
        populations=("AFR", "EUR"),
    )
    assert samples.population_index().tolist() == [1, -1, 0, -1]
