"""Calibration of a tool: DR2 against the true r2, and probabilities against frequencies.

S hidden sites, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import accuracy
from .accuracy import Floats, Imputed, Truth

TENTHS = tuple(tenth / 10 for tenth in range(11))
CONFIDENCE = (1 / 3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
"""Bounds of the probability of the best guess, which is at least 1/3."""


@dataclass(frozen=True)
class Curve:
    """Mean prediction, mean observation and count of each bin that is not empty."""

    predicted: Floats
    observed: Floats
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, by count."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.count))


def site_r2(truth: Truth, dosage: Floats) -> Floats:
    """True r2 of each site.

    returns  (S,) NaN where the samples do not vary; 0 where only the dosage does not
    """
    copies = truth.copies
    sums = accuracy.sums_of_samples(copies.T, dosage.T, np.ones((1, dosage.shape[1]), bool))
    found = accuracy.r2(sums[:, 0])
    varies = copies.min(axis=1) < copies.max(axis=1)
    return np.where(varies, np.nan_to_num(found), np.nan)


def curve(predicted: Floats, observed: Floats, bounds: Floats) -> Curve:
    """Both averaged within bounds, each bin with its lower and the last with its upper bound."""
    places = np.searchsorted(bounds, predicted, side="right") - 1
    places = np.clip(places, 0, len(bounds) - 2)
    count = np.bincount(places, minlength=len(bounds) - 1)
    sums = [np.bincount(places, values, len(bounds) - 1) for values in (predicted, observed)]
    used = count > 0
    return Curve(sums[0][used] / count[used], sums[1][used] / count[used], count[used])


def deciles(values: Floats) -> Floats:
    """Bounds of ten bins of as many values each; fewer bins where many values are equal."""
    bounds: Floats = np.unique(np.quantile(values, TENTHS))
    return bounds if len(bounds) > 1 else np.array([bounds[0], bounds[0] + 1])


def spearman(x: Floats, y: Floats) -> float:
    """Correlation of ranks; equal values share the mean of theirs."""
    return pearson(_ranks(x), _ranks(y))


def pearson(x: Floats, y: Floats) -> float:
    """NaN where a side does not vary.

    >>> pearson(np.array([1.0, 2.0]), np.array([3.0, 3.0]))
    nan
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[places]
    return ranks


def alt_curve(truth: Truth, imputed: Imputed) -> Curve:
    """P(ALT) of each haplotype against the share of ALT, by tenths."""
    observed = truth.alleles.ravel().astype(np.float64)
    return curve(imputed.haplotypes.ravel().astype(np.float64), observed, np.array(TENTHS))


def confidence_curve(truth: Truth, imputed: Imputed) -> Curve:
    """Probability of the likeliest genotype against how often it is the true one."""
    total = imputed.probabilities.sum(axis=2, dtype=np.float64)  # written digits need not add to 1
    likeliest = imputed.probabilities.max(axis=2) / total
    is_right = imputed.probabilities.argmax(axis=2) == truth.copies
    return curve(likeliest.ravel(), is_right.ravel().astype(np.float64), np.array(CONFIDENCE))


def brier(truth: Truth, imputed: Imputed) -> float:
    """Mean squared distance of genotype probabilities from the truth, summed over the genotypes."""
    facts = np.eye(3)[truth.copies]
    return float(np.square(imputed.probabilities - facts).sum(axis=2).mean())
