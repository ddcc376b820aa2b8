"""What a panel says of its own sites, against a slow account by the definition."""

import itertools

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks
from vcfbert.copying import leave_one_out
from vcfbert.copying.leave_one_out import predictions


def slow_predictions(alleles, typed, cm, frequency, rate):
    """Sorts all haplotypes again at every typed site."""
    num_sites = alleles.shape[1]
    sums = np.zeros((4, num_sites))
    for is_backward in (False, True):
        order_of_sites = typed[::-1] if is_backward else typed
        for t, site in enumerate(order_of_sites):
            last = t + 1 == len(order_of_sites)
            if is_backward:
                onward = range(0 if last else order_of_sites[t + 1], site)
            else:
                onward = range(site + 1, num_sites if last else order_of_sites[t + 1] + 1)
            passed = order_of_sites[: t + 1]
            # Latest site first; equal haplotypes stay in the order of the panel.
            order = np.lexsort(alleles[:, passed].T)
            for first, second in itertools.pairwise(order):
                if first // 2 == second // 2:
                    continue
                differ = np.flatnonzero(alleles[first, passed] != alleles[second, passed])
                if len(differ) == len(passed) or (len(differ) and differ[-1] == t):
                    length = 0.0
                else:  # back to where they differed last, or to the sweep's first typed site
                    begin = passed[differ[-1]] if len(differ) else passed[0]
                    length = rate * abs(cm[site] - cm[begin])
                weight = length / (1 + length)
                for s in onward:
                    for one, other in ((first, second), (second, first)):
                        carrier = alleles[one, s]
                        sums[0 if carrier else 2, s] += weight * alleles[other, s]
                        sums[1 if carrier else 3, s] += weight
    prior = 0.5 * frequency
    return np.stack([(sums[0] + prior) / (sums[1] + 0.5), (sums[2] + prior) / (sums[3] + 0.5)])


@pytest.mark.parametrize("num_typed", [1, 2, 17, 70])
def test_predictions_follow_their_definition(num_typed):
    case = chunks.make(num_typed, num_sites=150, typed=num_typed, num_references=24)
    cm, frequency = case.chunk.cm.astype(np.float64), case.alleles.mean(axis=0)
    found = predictions(case.chunk.bits, case.chunk.typed, cm, frequency, 3.0)
    together = predictions(case.chunk.bits, case.chunk.typed, cm, frequency, 3.0, threads=2)
    npt.assert_array_equal(found, together)
    expected = slow_predictions(case.alleles, case.chunk.typed, cm, frequency, 3.0)
    npt.assert_allclose(found, expected, atol=1e-5)


def test_carriers_of_one_ancestor_foresee_each_other():
    generator = np.random.default_rng(1)
    case = chunks.make(2, num_sites=400, typed=100, num_references=60)
    alleles = case.alleles.copy()
    untyped = np.setdiff1d(np.arange(400), case.chunk.typed)
    shared, scattered = untyped[100], untyped[101]
    alleles[[10, 21, 33, 47]] = alleles[5]  # one haplotype in five samples
    alleles[:, [shared, scattered]] = 0
    alleles[[5, 10, 21, 33, 47], shared] = 1
    alleles[generator.choice(60, 5, replace=False), scattered] = 1
    frequency = alleles.mean(axis=0)
    among, others = predictions(
        chunks.pack(alleles), case.chunk.typed, case.chunk.cm, frequency, 3.0
    )
    assert among[shared] > 0.6
    assert among[scattered] < 0.4
    assert others[shared] < frequency[shared] / 2


def test_a_sample_is_not_foreseen_from_their_other_haplotype():
    case = chunks.make(3, num_sites=100, typed=40, num_references=20)
    alleles = case.alleles.copy()
    alleles[7] = alleles[6]
    site = int(np.setdiff1d(np.arange(100), case.chunk.typed)[30])
    alleles[:, site] = 0
    alleles[[6, 7], site] = 1
    frequency = alleles.mean(axis=0)
    among, _ = predictions(chunks.pack(alleles), case.chunk.typed, case.chunk.cm, frequency, 3.0)
    assert among[site] < 0.1


def test_many_typed_sites_are_thinned(monkeypatch):
    case = chunks.make(4, num_sites=300, typed=120, num_references=30)
    frequency = case.alleles.mean(axis=0)
    monkeypatch.setattr(leave_one_out, "MOST_TYPED", 40)
    args = (case.chunk.cm, frequency, 3.0)
    thinned = predictions(case.chunk.bits, case.chunk.typed, *args)
    expected = slow_predictions(case.alleles, case.chunk.typed[::3], *args)
    npt.assert_allclose(thinned, expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_a_panel_of_one_sample_says_its_frequencies(count):
    case = chunks.make(5, num_sites=50, typed=10, num_references=count)
    frequency = case.alleles.mean(axis=0)
    found = predictions(case.chunk.bits, case.chunk.typed, case.chunk.cm, frequency, 3.0)
    npt.assert_allclose(found, np.stack([frequency, frequency]))


def test_a_typed_site_is_not_foreseen_from_itself():
    case = chunks.make(6, num_sites=60, typed=np.arange(0, 60, 3), num_references=40)
    alleles = case.alleles.copy()
    site = int(case.chunk.typed[7])
    alleles[:, site] = np.random.default_rng(1).integers(0, 2, 40)
    frequency = alleles.mean(axis=0)
    among, others = predictions(
        chunks.pack(alleles), case.chunk.typed, case.chunk.cm, frequency, 3.0
    )
    assert among[site] - others[site] < 0.4


def test_the_estimated_r2_rises_with_agreement_and_needs_two_carriers():
    carriers, others = (
        np.array([0.1, 0.5, 0.9, 1.0, 0.3, 0.8]),
        np.array([0.1, 0.1, 0.1, 0, 0.5, 0]),
    )
    count = np.array([9, 9, 9, 9, 9, 1])
    found = leave_one_out.estimated_r2(carriers, others, count, 20)
    npt.assert_allclose(found[:5], [0.0, 0.64, 0.96, 1.0, 0.0])
    assert np.isnan(found[5])
    assert np.isnan(leave_one_out.estimated_r2(carriers, others, 20 - count, 20)[5])
