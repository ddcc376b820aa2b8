import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from vcfbert.domain import gaps


def with_gaps(share, *, seed=3, num_sites=200, num_haplotypes=80):
    """A panel of mosaic haplotypes, and the same with both alleles of some genotypes unknown."""
    alleles = panels.mosaic_alleles(num_sites, num_haplotypes, seed=seed, stretch=150)
    truth = alleles.astype(np.int16)
    rng = np.random.default_rng(seed)
    is_gap = np.repeat(rng.random((num_sites, num_haplotypes // 2)) < share, 2, axis=1)
    return truth, np.where(is_gap, np.int16(-1), truth)


def slowly(numbers, row, haplotype):
    """The allele by the docstring, read out with loops: REF or ALT."""
    votes = {0: 0.0, 1: 0.0}
    for other in range(numbers.shape[1]):
        if numbers[row, other] < 0:
            continue
        behind = 0.0
        for near in range(max(0, row - gaps.REACH), min(len(numbers), row + gaps.REACH + 1)):
            pair = numbers[near, haplotype], numbers[near, other]
            if near != row and min(pair) >= 0:
                weight = round(64 * float(np.exp(-abs(near - row) / 50))) / 64
                behind += weight if pair[0] == pair[1] else -weight
        votes[int(numbers[row, other])] += float(np.exp(3 * (behind - 60)))
    return int(votes[1] > votes[0])


def test_a_gap_is_filled_as_a_slow_vote_fills_it():
    _, numbers = with_gaps(0.03, num_sites=60, num_haplotypes=30)
    rows = np.flatnonzero((numbers < 0).any(axis=1)).tolist()
    filled = gaps.fill(numbers, rows)
    for place, row in enumerate(rows):
        for haplotype in np.flatnonzero(numbers[row] < 0).tolist():
            assert filled[place, haplotype] == slowly(numbers, row, haplotype)


def test_known_alleles_stay_and_most_gaps_get_the_right_allele():
    truth, numbers = with_gaps(0.01)
    rows = np.flatnonzero((numbers < 0).any(axis=1)).tolist()
    filled = gaps.fill(numbers, rows)
    is_gap = numbers[rows] < 0
    npt.assert_array_equal(filled[~is_gap], truth[rows][~is_gap])
    assert (filled[is_gap] == truth[rows][is_gap]).mean() > 0.9
    major = np.repeat(truth[rows].mean(axis=1) > 0.5, is_gap.sum(axis=1))
    assert (major == truth[rows][is_gap]).mean() < 0.85


def test_a_gap_may_take_the_second_alt_of_its_neighbours():
    numbers = np.array([[0, 1, 1, 0], [0, 2, -1, 0], [0, 1, 1, 0]], dtype=np.int16)
    assert gaps.fill(numbers, [1]).tolist() == [[0, 2, 2, 0]]


def test_a_haplotype_that_is_not_known_anywhere_takes_the_most_frequent_allele():
    numbers = np.array([[1, 1, 0, -1], [0, 1, 1, -1]], dtype=np.int16)
    assert gaps.fill(numbers, [0, 1])[:, 3].tolist() == [1, 1]


def test_a_tie_takes_the_lower_allele():
    numbers = np.array([[2, 1, -1], [0, 0, 0]], dtype=np.int16)
    assert gaps.fill(numbers, [0]).tolist() == [[2, 1, 1]]


@pytest.mark.parametrize("most", [4, 1])
def test_of_a_large_panel_a_sample_of_haplotypes_is_compared(monkeypatch, most):
    monkeypatch.setattr(gaps, "MOST_HAPLOTYPES", most)
    numbers = np.array([[-1, 0, 0, 0, 0, 1]], dtype=np.int16)
    assert gaps.fill(numbers, [0]).tolist() == [[0, 0, 0, 0, 0, 1]]
