"""Bootstrap over samples: intervals of scores, from sums that add up over samples.

F1, aggregate r2, IQS and log loss are functions of twelve sums over samples and sites. A draw of
samples with replacement is a weighted sum of these, so a thousand draws need no second pass over
the sites. IQS compares genotypes with chance, site by site; in all draws a site has the chance
agreement of all samples.

S sites, N samples, G frequency groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import metrics
from vcfbert.domain.dosage import Imputed

NUM_SUMS = 12
_MOMENTS = slice(3, 9)
_GAINED, _VARYING, _LOG_LOSS = 9, 10, 11
MIN_PROBABILITY = 1e-6
"""Of a true allele in the log loss: single precision has no smaller 1 - p."""
_LOW, _HIGH = 0.025, 0.975

Quantity = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Function of the sums in the last axis: `f1`, `r2`, `iqs` or `log_loss`."""


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
    imputed: Imputed,
    members: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Sums of each sample over some sites, all of them hidden from the system.

    truth    (S, N, 2) true alleles, 0 REF or 1 ALT
    imputed  at these sites
    members  (G, S) sites of each group
    returns  (N, G, 12) true positive, false positive and false negative haplotypes; sums of
             1, x, y, x x, y y, x y, for true dosage x and imputed y; agreement beyond chance at the
             sites where the truth varies and their number, as in `metrics.site_iqs`; and -log p of
             the true alleles
    """
    is_alt, is_called = truth == 1, imputed.calls == 1
    x, y = truth.sum(axis=2, dtype=np.float64), imputed.dosage.astype(np.float64)
    right = np.where(is_alt, imputed.alt_probability, 1 - imputed.alt_probability)
    terms = (
        (is_alt & is_called).sum(axis=2),
        (~is_alt & is_called).sum(axis=2),
        (is_alt & ~is_called).sum(axis=2),
        *(np.ones_like(x), x, y, x * x, y * y, x * y),
        *_agreement(truth.sum(axis=2), imputed.genotype_probability),
        -np.log(np.maximum(right.astype(np.float64), MIN_PROBABILITY)).sum(axis=2),
    )
    weights = members.astype(np.float64)
    return np.stack([(weights @ term.astype(np.float64)).T for term in terms], axis=-1)


def _agreement(
    copies: NDArray[np.integer], genotype_probability: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(S, N) twice: what each sample adds to the IQS of a site, and 1 where the truth varies.

    Over all samples the first sums to N times the IQS of the site, the second to N.
    """
    own = np.take_along_axis(genotype_probability, copies[:, :, None].astype(np.intp), axis=2)
    possible = metrics.site_agreement(copies, genotype_probability)[:, 1]
    varies = (copies != copies[:, :1]).any(axis=1)
    is_defined = varies & (possible > metrics.MIN_DISAGREEMENT)
    beyond = own[:, :, 0].astype(np.float64) - (1 - possible)[:, None]
    scale = np.where(is_defined, possible, np.inf)[:, None]
    return beyond / scale, np.broadcast_to(varies[:, None], copies.shape).astype(np.float64)


def iqs(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean IQS of the sites where the truth varies; NaN if there are none."""
    return _mean(sums[..., _GAINED], sums[..., _VARYING])


def log_loss(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of -log p of the true alleles, smaller is better; NaN without sites."""
    return _mean(sums[..., _LOG_LOSS], 2 * sums[..., 3])


def _mean(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of the ALT allele; 0 if neither truth nor calls have it.

    >>> f1(np.array([2.0, 1.0, 1.0, *[0] * 9])).item()
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

    first, other  (N, G, 12) of the same samples and sites
    times         (draws, N) from `draw_samples`
    """
    value = quantity(other.sum(axis=0)) - quantity(first.sum(axis=0))
    drawn = quantity(_drawn(other, times)) - quantity(_drawn(first, times))  # (draws, G)
    bounds = np.full((2, len(value)), np.nan)
    is_defined = np.isfinite(drawn).all(axis=0)
    bounds[:, is_defined] = np.quantile(drawn[:, is_defined], (_LOW, _HIGH), axis=0)
    return Difference(value, *bounds)


def _drawn(sums: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, G, 12) sums of each draw."""
    return np.tensordot(times, sums, axes=1)
