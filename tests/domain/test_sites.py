from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import sites
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION, Region, Samples
from vcfbert.errors import InputError

HLA = ["HLA-A*01:01", "HLA-A*01:01:01:01", "20"]
REGIONS = {
    "20": (["19", "20"], Region("20")),
    "20:5-9": (["20"], Region("20", 5, 9)),
    "chr20:5,000-": (["chr20"], Region("chr20", 5000)),
    "chr20:5-10": (["20"], Region("20", 5, 10)),
    "{20}": (["20"], Region("20")),
    "{20}:5-9": (["20"], Region("20", 5, 9)),
    "HLA-A*01:01:01:01": (HLA, Region("HLA-A*01:01:01:01")),
    "HLA-A*01:01:01:01:1-50,000": (HLA, Region("HLA-A*01:01:01:01", 1, 50_000)),
    "HLA-A*01:01": (HLA, Region("HLA-A*01:01")),
    "HLA-A*01:01:7-": (HLA, Region("HLA-A*01:01", 7)),
    "{HLA-A*01:01:01:01}:1-50000": (HLA, Region("HLA-A*01:01:01:01", 1, 50_000)),
    "{HLA-A*01:01:01:01}": (HLA, Region("HLA-A*01:01:01:01")),
    "a:1-5": (["a:1-5", "b"], Region("a:1-5")),
    "a:1-5:2-3": (["a:1-5", "a"], Region("a:1-5", 2, 3)),
    "{a}:1-5": (["a:1-5", "a"], Region("a", 1, 5)),
    "{a:1-5}": (["a:1-5", "a"], Region("a:1-5")),
    "chr1:1-5": (["chr1", "1:1-5"], Region("chr1", 1, 5)),  # the exact name comes first
}


@pytest.mark.parametrize("text", REGIONS)
def test_a_region_is_read(text):
    contigs, expected = REGIONS[text]
    assert Region.parse(text, contigs, source="f") == expected


def test_a_region_of_two_meanings_is_refused_with_both_in_braces():
    with pytest.raises(InputError, match=r"two contigs: a and a:1-5\..*\{a\}:1-5 or \{a:1-5\}"):
        Region.parse("a:1-5", ["a", "a:1-5"], source="f")


@pytest.mark.parametrize(
    "text",
    ["", "20:", "20:9-5", "20:0-5", "20:a-b", "20:5", "20:1-99999999999", "20:,-5", "{20",
     "{20}:", "{}", "20 :1-5", "HLA-A*01:02", "20:1-" + "9" * 40],
)  # fmt: skip
def test_a_malformed_region_is_refused(text):
    with pytest.raises(InputError, match="region"):
        Region.parse(text, ["20", "HLA-A*01:01"], source="f")


def test_a_region_of_another_contig_is_refused_with_the_known_ones():
    for text, name in (("7", "7"), ("7:5-9", "7"), ("A*01:02:1-5", r"A\*01:02")):
        with pytest.raises(InputError, match=rf"f has no contig {name}.*19, 20"):
            Region.parse(text, ["19", "20"], source="f")


@pytest.mark.parametrize("name", ["20", "HLA-A*01:01:01:01", "a:1-5"])
def test_the_text_of_a_region_means_the_same_region(name):
    for region in (Region(name), Region(name, 5, 9)):
        assert Region.parse(str(region), [name, "a", "b"], source="f") == region


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
