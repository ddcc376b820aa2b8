"""Metrics against worked cases, a slow obvious version, and the sum over windows."""

import functools
import operator
from dataclasses import astuple

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.domain import dosage, metrics
from vcfbert.errors import ConfigError

EVERY = metrics.Groups(edges=(0.0, 0.5))


@st.composite
def cases(draw):
    """Truth (S, N, 2), an imputation of it and frequencies (S,), of a few sites and samples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_sites, num_samples = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    frequency = rng.choice([0.0, 0.0003, 0.0006, 0.01, 0.04, 0.05, 0.3, 0.5, 0.97], num_sites)
    truth = (rng.random((num_sites, num_samples, 2)) < frequency[:, None, None]).astype(np.uint8)
    noise = draw(st.sampled_from([0.0, 0.3, 0.8]))
    alt = np.where(rng.random(truth.shape) < noise, rng.random(truth.shape), truth)
    return truth, dosage.from_haplotypes(alt.astype(np.float32)), frequency


def tallied(truth, imputed, frequency, groups):
    members = groups.members(np.minimum(frequency, 1 - frequency))
    parts = (imputed.calls, imputed.dosage, imputed.genotype_probability)
    return metrics.tally(truth, *parts, members)


def score_all(truth, imputed):
    half = np.full(len(truth), 0.5)
    return metrics.scores(tallied(truth, imputed, half, EVERY))[-1]


def f1_of(hits, misses):
    return 2 * hits / (2 * hits + misses) if hits + misses else 0.0


def copies_of(alleles):
    return int(alleles.sum())


def obvious(truth, imputed):
    """All metrics of one group, sample by sample."""
    sites, samples = truth.shape[:2]
    tp = fp = fn = right = wrong = both = 0
    table = np.zeros((3, 3))
    for s in range(sites):
        for n in range(samples):
            for h in range(2):
                pair = (truth[s, n, h], imputed.calls[s, n, h])
                tp, fp, fn = tp + (pair == (1, 1)), fp + (pair == (0, 1)), fn + (pair == (1, 0))
            true, called = truth[s, n].sum(), imputed.calls[s, n].sum()
            table[true, called] += 1
            both += min(true, called)
            wrong += true != called
            right += true == called and true > 0
    classes = [
        f1_of(table[c, c], table[c].sum() + table[:, c].sum() - 2 * table[c, c])
        for c in range(3)
        if table[c].sum() + table[:, c].sum()
    ]
    quality, gained, possible = [], [], []
    for s in range(sites):
        copies = truth[s].sum(axis=1)
        probability = imputed.genotype_probability[s].astype(float)
        observed = np.mean([probability[n, copies[n]] for n in range(samples)])
        chance = sum((copies == c).mean() * probability[:, c].mean() for c in range(3))
        gained.append(observed - chance)
        possible.append(1 - chance)
        if len(set(copies.tolist())) > 1:
            quality.append((observed - chance) / (1 - chance) if chance < 1 - 1e-9 else 0.0)
    return {
        "sites": sites,
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "f1": f1_of(tp, fp + fn),
        "genotype_f1": np.mean(classes),
        "unphased_f1": 2 * both / max(copies_of(truth) + copies_of(imputed.calls), 1),
        "varying_sites": len(quality),
        "pooled_iqs": sum(gained) / sum(possible) if sum(possible) > 1e-9 else np.nan,
        "iqs": np.mean(quality) if quality else np.nan,
        "nrc": 1 - wrong / max(wrong + right, 1),
    }


@settings(max_examples=60)
@given(cases())
def test_metrics_agree_with_a_slow_obvious_version(case):
    truth, imputed, _ = case
    found = score_all(truth, imputed)
    for name, expected in obvious(truth, imputed).items():
        npt.assert_allclose(getattr(found, name), expected, atol=1e-9, err_msg=name)
    x, y = truth.sum(axis=2).ravel(), imputed.dosage.astype(float).ravel()
    if x.std() > 1e-3 and y.std() > 1e-3:
        npt.assert_allclose(found.r2, np.corrcoef(x, y)[0, 1] ** 2, atol=1e-9)
    elif x.std() == 0:
        assert np.isnan(found.r2)


@settings(max_examples=40)
@given(cases(), st.integers(0, 7))
def test_tallies_of_windows_add_up_to_the_tally_of_all(case, cut):
    truth, imputed, frequency = case
    groups = metrics.Groups()

    def part(where):
        some = dosage.from_haplotypes(imputed.alt_probability[where])
        return tallied(truth[where], some, frequency[where], groups)

    parts = [part(slice(None, cut)), part(slice(cut, None))]
    summed = functools.reduce(operator.add, parts, metrics.Tally.empty(len(groups.names)))
    whole = part(slice(None))
    for one, other in zip(metrics.scores(summed), metrics.scores(whole), strict=True):
        npt.assert_allclose(astuple(one), astuple(other), atol=1e-9)


def test_a_perfect_imputation_scores_one_everywhere():
    truth = np.array([[[0, 1], [1, 1], [0, 0]], [[0, 0], [0, 1], [0, 0]]], dtype=np.uint8)
    found = score_all(truth, dosage.from_alleles(truth))
    npt.assert_allclose(astuple(found)[2:], 1.0, rtol=1e-9)


def test_a_worked_case():
    truth = np.array([[[0, 1], [1, 1], [0, 0], [0, 0]]], dtype=np.uint8)
    called = np.array([[[1, 0], [1, 1], [0, 0], [0, 1]]], dtype=np.uint8)
    found = score_all(truth, dosage.from_alleles(called))
    # haplotypes: found 2 of 3 ALT, called 4; genotypes: 1 -> 1, 2 -> 2, 0 -> 0, 0 -> 1
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(4 / 7)
    assert found.genotype_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.nrc == pytest.approx(2 / 3)  # one wrong beside two right with ALT
    # right for 3 of 4; chance 2/4 * 1/4 + 1/4 * 2/4 + 1/4 * 1/4
    assert found.iqs == pytest.approx((3 / 4 - 5 / 16) / (11 / 16))
    assert found.pooled_iqs == pytest.approx(found.iqs)
    assert found.unphased_f1 == pytest.approx(6 / 7)  # 3 copies right of 3 true and 4 called
    # x = 1 2 0 0, y = 1 2 0 1: covariance 2, variances 2.75 and 2
    assert found.r2 == pytest.approx(4 / 5.5)
    assert found.mean_site_r2 == pytest.approx(4 / 5.5)


def test_a_constant_dosage_explains_nothing_of_a_site_that_varies():
    truth = np.array([[0, 1, 2], [1, 1, 1]])
    found = metrics.site_r2(truth, np.array([[0.3, 0.3, 0.3], [0.1, 0.2, 0.3]], dtype=np.float32))
    npt.assert_array_equal(found, [0.0, np.nan])


def test_every_system_is_averaged_over_the_sites_that_vary():
    """A system that is certain and one that is not, at one site with a carrier and one without."""
    truth = np.zeros((2, 50, 2), dtype=np.uint8)
    truth[0, 0, 0] = 1
    certain = score_all(truth, dosage.from_alleles(truth))
    soft = score_all(truth, dosage.from_haplotypes(np.clip(truth, 0.001, 0.999, dtype=np.float32)))
    none = score_all(truth, dosage.from_alleles(np.zeros_like(truth)))
    assert certain.sites == 2
    assert certain.varying_sites == soft.varying_sites == none.varying_sites == 1
    assert certain.iqs == 1.0
    assert none.iqs == 0.0
    assert soft.iqs > 0.9  # the site without a carrier does not count
    assert 0.8 < soft.pooled_iqs < 1


def test_the_same_dosage_for_all_has_no_pooled_r2():
    truth = np.array([[[0, 1], [1, 1]]] * 50, dtype=np.uint8)
    found = score_all(truth, dosage.from_frequency(np.full(50, 0.3), num_samples=2))
    assert np.isnan(found.r2)
    assert found.mean_site_r2 == 0.0


def test_a_group_without_sites_has_no_scores():
    found = metrics.scores(metrics.Tally.empty(1))[0]
    assert found.sites == 0
    assert np.isnan([found.r2, found.mean_site_r2, found.iqs, found.genotype_f1]).all()


@pytest.mark.parametrize(
    ("maf", "expected"),
    [
        (0.0, ["rare <0.05", "all"]),
        (0.0006, ["(0,0.0006]", "rare <0.05", "all"]),
        (0.00061, ["(0.0006,0.002]", "rare <0.05", "all"]),
        (0.05, ["(0.01,0.05]", "common >=0.05", "all"]),
        (0.5, ["(0.05,0.5]", "common >=0.05", "all"]),
    ],
)
def test_a_site_falls_into_one_bin_and_the_wider_groups(maf, expected):
    groups = metrics.Groups()
    inside = groups.members(np.array([maf]))[:, 0]
    assert [name for name, is_in in zip(groups.names, inside, strict=True) if is_in] == expected


@pytest.mark.parametrize("edges", [(0.1,), (0.0, 0.5, 0.2), (0.1, 0.1), (0, np.nan, 0.5)])
def test_edges_that_bound_no_bins_are_refused(edges):
    with pytest.raises(ConfigError, match="rising numbers"):
        metrics.Groups(edges=edges)
