"""Sums over samples that are the same in any order and for any batches.

Each number is split into two integers, multiples of 2 ** -40 and of 2 ** -80, and integers are
added. So AF, DR2 and ER2 of a file do not depend on how its samples were cut into batches.

n sites, m numbers of a site.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MOST_NUMBERS = 1 << 21
"""Numbers of at most 2 that can be added at one site before an integer overflows."""

_STEP = float(1 << 40)
_CELLS_AT_ONCE = 1 << 15  # so that the copies stay in the processor's cache
_EXACT = 1 << 12  # float64 adds this many integers below 2 ** 41 exactly


def of(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """(n, 2) sums of n rows of numbers (n, m) from 0 to 2.

    >>> of(np.array([[0.5, 2.0], [0.0, 2.0**-41]])).tolist()
    [[2748779069440, 0], [0, 549755813888]]
    """
    sums = np.zeros((len(values), 2), np.int64)
    rows = max(1, _CELLS_AT_ONCE // max(1, min(values.shape[1], _EXACT)))
    for column in range(0, values.shape[1], _EXACT):
        for row in range(0, len(values), rows):
            here = slice(row, row + rows)
            scaled = values[here, column : column + _EXACT].astype(np.float64)
            scaled *= _STEP
            high = np.floor(scaled)
            scaled -= high
            scaled *= _STEP
            np.floor(scaled, out=scaled)
            sums[here, 0] += high.sum(axis=1).astype(np.int64)
            sums[here, 1] += scaled.sum(axis=1).astype(np.int64)
    return sums


def as_float(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) the sums, rounded.

    >>> as_float(of(np.array([[0.5, 2.0]])))
    array([2.5])
    """
    return np.asarray(sums[:, 0] / _STEP + sums[:, 1] / _STEP / _STEP, dtype=np.float64)


def _as_integers(sums: NDArray[np.int64]) -> list[int]:
    """The sums as multiples of 2 ** -80."""
    return [(high << 40) + low for high, low in sums.tolist()]


_ONE = 1 << 80


def estimated_r2(
    alt: NDArray[np.int64], squares: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """What `dosage.estimated_r2` is of the probabilities whose sums these are.

    alt      (n, 2) sums of the probabilities
    squares  (n, 2) sums of their squares
    count    number of haplotypes

    >>> p = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    >>> estimated_r2(of(p), of(p**2), 2)
    array([1., 0., 0.])
    """
    r2 = np.zeros(len(alt))
    whole = count * _ONE
    for row, (total, square) in enumerate(
        zip(_as_integers(alt), _as_integers(squares), strict=True)
    ):
        largest = total * (whole - total)
        if largest > 0:
            r2[row] = (count * square * _ONE - total * total) / largest
    return np.clip(r2, 0.0, 1.0)


def empirical_r2(
    count: NDArray[np.int64],
    carried: NDArray[np.int64],
    answer: NDArray[np.int64],
    squares: NDArray[np.int64],
    products: NDArray[np.int64],
    least_variance: float,
) -> NDArray[np.float64]:
    """What `dosage.empirical_r2` is of the alleles and answers whose sums these are.

    count     (t,) observed alleles
    carried   (t,) of these, ALT
    answer    (t, 2) sums of the probabilities, `squares` of their squares, and `products` of the
              probabilities of alleles that are ALT
    returns   (t,) NaN if the product of the variances is at most `least_variance`
    """
    r2 = np.full(len(count), np.nan)
    columns = zip(
        count.tolist(), carried.tolist(), _as_integers(answer), _as_integers(squares),
        _as_integers(products), strict=True,
    )  # fmt: skip
    for row, (number, alt, total, square, product) in enumerate(columns):
        if number == 0:
            continue
        covariance = number * product - alt * total  # times number * 2 ** 80
        of_alleles = alt * (number - alt)  # times number
        of_answers = number * square * _ONE - total * total  # times number * 2 ** 160
        scale = number * number * _ONE * _ONE
        if of_alleles * of_answers > Fraction(least_variance) * scale:
            r2[row] = covariance * covariance / (of_alleles * of_answers)
    return r2
