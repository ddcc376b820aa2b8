"""The most probable alleles of a record, and their probability."""

from __future__ import annotations

import numpy as np
import pytest

from vcfbert.domain import filled_calls
from vcfbert.domain.filled_calls import NO_ALLELE, FilledGenotypes
from vcfbert.domain.matching import ABSENT

PLAIN = np.array([[0, 1]])
SWAPPED = np.array([[1, 0]])
TWO = np.array([[0, 1], [0, 3]])
WITHOUT_ALT = np.array([[0, ABSENT]])


@pytest.mark.parametrize(
    ("numbers", "alt", "is_haploid", "alleles", "right"),
    [
        (PLAIN, [[0.1, 0.9]], False, [0, 1], 0.9 * 0.9 + 0.1 * 0.1),
        (PLAIN, [[0.6, 0.9]], False, [1, 1], 0.6 * 0.9),
        (PLAIN, [[0.5, 0.5]], False, [0, 0], 0.25),
        (PLAIN, [[0.8, 0.0]], True, [1, NO_ALLELE], 0.8),
        (SWAPPED, [[0.1, 0.9]], False, [1, 0], 0.82),
        (TWO, [[0.6, 0.1], [0.3, 0.1]], False, [1, 0], 0.6 * 0.8 + 0.1 * 0.1),
        (TWO, [[0.1, 0.9], [0.9, 0.0]], False, [3, 1], 0.9 * 0.9 + 0.0 * 0.1),
        (WITHOUT_ALT, [[0.1, 0.2]], False, [0, 0], 0.9 * 0.8),
    ],
)
def test_each_haplotype_gets_its_most_probable_allele(numbers, alt, is_haploid, alleles, right):
    values = np.array(alt)[:, None]
    best = filled_calls.best_alleles(values, numbers, np.array([is_haploid]))
    assert best.alleles.tolist() == [alleles]
    assert best.right == pytest.approx([right])
    assert best.is_possible.tolist() == [True]


@pytest.mark.parametrize(("is_haploid", "is_possible"), [(False, False), (True, True)])
def test_an_allele_that_the_record_lacks_is_not_possible(is_haploid, is_possible):
    alt = np.array([[[0.1, 0.9]]])
    best = filled_calls.best_alleles(alt, WITHOUT_ALT, np.array([is_haploid]))
    assert best.is_possible.tolist() == [is_possible]


def test_parts_are_sorted_by_record():
    flags = np.array([True, False])
    part = FilledGenotypes(
        np.array([7, 3]), np.array([0, 1]), np.array([[0, 1], [1, NO_ALLELE]]), flags, flags,
        np.array([9, 8], np.uint8),
    )  # fmt: skip
    whole = FilledGenotypes.joined([part])
    assert whole.record.tolist() == [3, 7]
    assert whole.is_heterozygous.tolist() == [False, True]
    assert whole.of_record(7).quality.tolist() == [9]
    assert len(whole.of_record(4).sample) == len(FilledGenotypes.joined([]).sample) == 0
