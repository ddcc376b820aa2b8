"""Bootstrap over samples: intervals of F1 and r2, from sums that add up over samples.

F1 and aggregate r2 are functions of nine sums over samples and sites. A draw of samples with
replacement is a weighted sum of these, so a thousand draws need no second pass over the sites.

S sites, N samples, G frequency groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import metrics

NUM_SUMS = 9
_MOMENTS = slice(3, NUM_SUMS)
_LOW, _HIGH = 0.025, 0.975

Quantity = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Function of the nine sums in the last axis: `f1` or `r2`."""


@dataclass(frozen=True)
class Difference:
    """Difference between two systems, with its 95 % bootstrap interval.

    Each (G,), NaN if the quantity is undefined.
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def sums_of_samples(
    truth: NDArray[np.uint8],
    calls: NDArray[np.uint8],
    dosage: NDArray[np.floating],
    members: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Sums of each sample over some sites, all of them hidden from the system.

    truth    (S, N, 2) true alleles, 0 REF or 1 ALT
    calls    (S, N, 2) called alleles
    dosage   (S, N) expected ALT copies, 0 to 2
    members  (G, S) sites of each group
    returns  (N, G, 9) true positive, false positive and false negative haplotypes, then sums of
             1, x, y, x x, y y, x y, for true dosage x and imputed y
    """
    is_alt, is_called = truth == 1, calls == 1
    x, y = truth.sum(axis=2, dtype=np.float64), dosage.astype(np.float64)
    terms = (
        (is_alt & is_called).sum(axis=2),
        (~is_alt & is_called).sum(axis=2),
        (is_alt & ~is_called).sum(axis=2),
        *(np.ones_like(x), x, y, x * x, y * y, x * y),
    )
    weights = members.astype(np.float64)
    return np.stack([(weights @ term.astype(np.float64)).T for term in terms], axis=-1)


def f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of the ALT allele; 0 if neither truth nor calls have it.

    >>> f1(np.array([2.0, 1.0, 1.0, 0, 0, 0, 0, 0, 0])).item()
    0.6666666666666666
    """
    true_positive, false_positive, false_negative = np.moveaxis(sums[..., :3], -1, 0)
    both = 2 * true_positive + false_positive + false_negative
    return np.asarray(2 * true_positive / np.maximum(both, 1))


def r2(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Aggregate dosage r2; NaN if either side does not vary."""
    moments = sums[..., _MOMENTS]
    return metrics.pooled_r2(moments.reshape(-1, moments.shape[-1])).reshape(sums.shape[:-1])


def draw_samples(num_samples: int, num_draws: int, seed: int) -> NDArray[np.float64]:
    """(num_draws, num_samples) how often each sample is in each draw with replacement."""
    rng = np.random.default_rng(seed)
    share = np.full(num_samples, 1 / num_samples)
    return rng.multinomial(num_samples, share, size=num_draws).astype(np.float64)


def difference(
    first: NDArray[np.float64],
    other: NDArray[np.float64],
    quantity: Quantity,
    times: NDArray[np.float64],
) -> Difference:
    """`other` minus `first`; both have the same samples in every draw.

    first, other  (N, G, 9) of the same samples and sites
    times         (draws, N) from `draw_samples`
    """
    value = quantity(other.sum(axis=0)) - quantity(first.sum(axis=0))
    drawn = quantity(_drawn(other, times)) - quantity(_drawn(first, times))  # (draws, G)
    bounds = np.full((2, len(value)), np.nan)
    is_defined = np.isfinite(drawn).all(axis=0)
    bounds[:, is_defined] = np.quantile(drawn[:, is_defined], (_LOW, _HIGH), axis=0)
    return Difference(value, *bounds)


def _drawn(sums: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, G, 9) sums of each draw."""
    return np.tensordot(times, sums, axes=1)
