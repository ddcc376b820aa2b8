from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.testing as npt

from vcfbert.domain import splits
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION

STRATA = ["A"] * 60 + ["B"] * 40


def complete(given: np.ndarray, *, validation: float = 0.1, test: float = 0.2, seed: int = 1):
    return splits.complete(
        given, STRATA, validation_fraction=validation, test_fraction=test, seed=seed
    )


UNKNOWN = np.full(100, splits.UNKNOWN, dtype=np.int8)


def test_fractions_are_drawn_and_each_stratum_gives_its_part():
    split = complete(UNKNOWN)
    assert Counter(split.tolist()) == {TRAIN: 72, VALIDATION: 8, TEST: 20}
    assert (split[:60] == TEST).sum() == 12


def test_the_draw_follows_the_seed():
    npt.assert_array_equal(complete(UNKNOWN), complete(UNKNOWN))
    assert (complete(UNKNOWN) != complete(UNKNOWN, seed=2)).any()


def test_validation_samples_are_drawn_from_train_samples_only():
    given = np.where(np.arange(100) % 5 == 0, TEST, TRAIN).astype(np.int8)
    split = complete(given)
    npt.assert_array_equal(split == TEST, given == TEST)
    assert (split == VALIDATION).sum() == 8


def test_given_validation_samples_stay_the_only_ones():
    given = np.full(100, TRAIN, dtype=np.int8)
    given[3] = VALIDATION
    npt.assert_array_equal(complete(given), given)


def test_with_fractions_of_zero_all_samples_are_train_samples():
    assert (complete(UNKNOWN, validation=0, test=0) == TRAIN).all()
