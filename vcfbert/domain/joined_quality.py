"""Frequency and estimated r2 of all samples from those of batches.

k batches, n sites. Weights are numbers of haplotypes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def has_all_digits(
    from_cells: NDArray[np.float64], written: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """True if a frequency from cells is the one that was written with six significant digits.

    >>> has_all_digits(np.array([1 / 3, 0.334, 0.0]), np.array([0.333333, 0.333333, 0.0]))
    array([ True, False,  True])
    """
    return np.asarray(np.abs(from_cells - written) <= 0.500001e-6 * _magnitude(written))


def mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) weighted mean over the batches that have a value; NaN if none has.

    values   (k, n) NaN if there is none
    weights  (k, n)

    >>> mean(np.array([[0.1], [0.4], [np.nan]]), np.array([[4.0], [2.0], [9.0]]))
    array([0.2])
    """
    known = np.where(np.isnan(values), 0.0, weights)
    total = known.sum(axis=0)
    sums = (np.nan_to_num(values) * known).sum(axis=0)
    found = np.full(values.shape[1], np.nan)
    np.divide(sums, total, out=found, where=total > 0)
    return found


def mean_square(r2: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean square of the ALT probabilities from their estimated r2, see `dosage.estimated_r2`.

    >>> mean_square(np.array([1.0, 0.0]), np.array([0.25, 0.5]))
    array([0.25, 0.25])
    """
    return np.asarray(r2 * frequency * (1 - frequency) + frequency**2)


def rounded_mean_square(
    square: NDArray[np.float64], rounded: NDArray[np.float64], frequency: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean square of the ALT probabilities from those in the cells, which have few digits.

    Small probabilities round to 0, which changes their mean more than their mean square. If most
    haplotypes carry ALT, the probabilities of REF are the small ones: their mean square is taken.

    square, rounded  mean square and mean of the rounded probabilities
    frequency        mean of the probabilities before they were rounded

    >>> exact, rounded = np.array([0.9999, 0.0]), np.array([1.0, 0.0])
    >>> rounded_mean_square(*(np.array([one.mean()]) for one in (rounded**2, rounded, exact)))
    array([0.5])
    >>> exact, rounded = np.array([0.9998, 0.9999]), np.array([1.0, 1.0])
    >>> rounded_mean_square(*(np.array([one.mean()]) for one in (rounded**2, rounded, exact)))
    array([0.9997])
    """
    return np.where(frequency > 0.5, square + 2 * (frequency - rounded), square)


def estimated_r2(
    square: NDArray[np.float64], frequency: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`dosage.estimated_r2` from the mean square of the ALT probabilities and their mean.

    >>> estimated_r2(np.array([0.25, 0.3, 0.0]), np.array([0.25, 0.5, 0.0]))
    array([1. , 0.2, 0. ])
    """
    r2 = np.zeros(len(square))
    largest = frequency * (1 - frequency)
    np.divide(square - frequency**2, largest, out=r2, where=largest > 0)
    return np.clip(r2, 0.0, 1.0)


def squared_correlation(
    haplotypes: NDArray[np.float64],
    calls: NDArray[np.float64],
    copies: NDArray[np.float64],
    squares: NDArray[np.float64],
    products: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(n,) squared correlation of calls, 0 or 1, and probabilities, from their sums; else NaN.

    >>> sums = [np.array([value]) for value in (2.0, 1.0, 1.0, 0.82, 0.9)]
    >>> squared_correlation(*sums).round(6)
    array([1.])
    """
    count = np.maximum(haplotypes, 1)
    covariance = products - calls * copies / count
    variances = (calls - calls**2 / count) * (squares - copies**2 / count)
    r2 = np.full(len(count), np.nan)
    np.divide(covariance**2, variances, out=r2, where=variances > 1e-12)
    return r2


def _magnitude(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The power of ten above each value: the unit of its first digit, times ten.

    >>> _magnitude(np.array([0.25, 0.01, 1.0]))
    array([ 1. ,  0.1, 10. ])
    """
    positive = np.maximum(values, 1e-300)
    return np.asarray(10.0 ** (np.floor(np.log10(positive) + 1e-12) + 1))
