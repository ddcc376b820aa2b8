"""Splits of samples into train, validation and test.

N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.sites import TEST, TRAIN, VALIDATION

UNKNOWN = -1
"""A sample whose split is not given."""


def complete(
    given: NDArray[np.int8],
    strata: Sequence[str],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> NDArray[np.int8]:
    """The split of each sample: what is given, and the rest drawn.

    Test samples are drawn only if no split is given. Validation samples are drawn from the train
    samples if none are given. Each stratum contributes in proportion to its size.

    given    (N,) TRAIN, VALIDATION, TEST, or all UNKNOWN
    strata   N labels, such as superpopulations
    returns  (N,) TRAIN, VALIDATION or TEST
    """
    split = given.copy()
    rng = np.random.default_rng([seed, 1])
    if (split == UNKNOWN).all():
        split[:] = TRAIN
        split[_draw(rng, np.arange(len(split)), strata, test_fraction)] = TEST
    if not (split == VALIDATION).any():
        train = np.flatnonzero(split == TRAIN)
        split[_draw(rng, train, strata, validation_fraction)] = VALIDATION
    return split


def leaking(split: NDArray[np.int8], relatives: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for train samples with a held-out close relative.

    split      (N,)
    relatives  (n, 2) pairs of samples

    >>> leaking(np.array([TRAIN, TEST, TRAIN], np.int8), np.array([[1, 0]]))
    array([ True, False, False])
    """
    is_leaking = np.zeros(len(split), np.bool_)
    both_ways = np.concatenate([relatives, relatives[:, ::-1]])
    is_across = (split[both_ways[:, 0]] == TRAIN) & (split[both_ways[:, 1]] != TRAIN)
    is_leaking[both_ways[is_across, 0]] = True
    return is_leaking


def _draw(
    rng: np.random.Generator, samples: NDArray[np.int64], strata: Sequence[str], fraction: float
) -> NDArray[np.int64]:
    """A share of the samples, at least one if the share is not 0 and there are two samples."""
    count = round(fraction * len(samples))
    if fraction > 0 and len(samples) > 1:
        count = max(count, 1)
    labels = np.array([strata[sample] for sample in samples])
    # Sorted by stratum, random inside; then every (n / count)-th sample.
    order = np.lexsort((rng.random(len(samples)), labels)) if len(samples) else samples
    ranks = ((np.arange(count) + 0.5) * len(samples) / max(count, 1)).astype(np.int64)
    return samples[order[ranks]]
