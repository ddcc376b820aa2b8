"""Scores from sums over samples, and their intervals, against slow ways to the same."""

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import bootstrap, dosage, metrics
from vcfbert.domain.bootstrap import (
    difference,
    draw_samples,
    f1,
    iqs,
    log_loss,
    r2,
    sums_of_samples,
)
from vcfbert.domain.dosage import Imputed

SITES, SAMPLES = 40, 30
GROUPS = np.stack([np.arange(SITES) < 12, np.arange(SITES) >= 12, np.ones(SITES, dtype=bool)])


def guesses(noise, seed):
    """Truth, calls and dosages of a system that is wrong now and then."""
    truth = (np.random.default_rng(1).random((SITES, SAMPLES, 2)) < 0.3).astype(np.uint8)
    rng = np.random.default_rng(seed)
    alt = np.abs(truth - noise * rng.random(truth.shape))
    alt = np.where(rng.random(truth.shape) < noise / 3, 1 - alt, alt)
    return truth, dosage.from_haplotypes(alt.astype(np.float32))


def sums(noise, seed=2):
    return sums_of_samples(*guesses(noise, seed), GROUPS)


def test_the_sums_of_all_samples_give_the_scores_of_metrics():
    truth, imputed = guesses(0.6, 2)
    truth[3:5] = 0  # sites that do not vary
    scored = metrics.scores(
        metrics.tally(truth, imputed.calls, imputed.dosage, imputed.genotype_probability, GROUPS)
    )
    total = sums_of_samples(truth, imputed, GROUPS).sum(axis=0)
    npt.assert_allclose(f1(total), [group.f1 for group in scored])
    npt.assert_allclose(r2(total), [group.r2 for group in scored])
    npt.assert_allclose(iqs(total), [group.iqs for group in scored], rtol=1e-5)
    right = np.where(truth == 1, imputed.alt_probability, 1 - imputed.alt_probability)
    loss = -np.log(np.maximum(right.astype(np.float64), 1e-6)).mean(axis=(1, 2))
    npt.assert_allclose(log_loss(total), [loss[group].mean() for group in GROUPS])


@pytest.mark.parametrize("quantity", [f1, r2, log_loss])
def test_a_draw_is_the_score_of_the_samples_drawn(quantity):
    truth, imputed = guesses(0.6, 2)
    (times,) = draw_samples(SAMPLES, 1, seed=5)
    chosen = np.repeat(np.arange(SAMPLES), times.astype(int))
    drawn = Imputed(
        imputed.alt_probability[:, chosen],
        imputed.calls[:, chosen],
        imputed.dosage[:, chosen],
        imputed.genotype_probability[:, chosen],
    )
    slow = sums_of_samples(truth[:, chosen], drawn, GROUPS).sum(axis=0)
    fast = bootstrap._drawn(sums(0.6), times[None])[0]
    npt.assert_allclose(quantity(fast), quantity(slow))


def test_a_clear_difference_has_an_interval_without_zero():
    good, bad = sums(0.2), sums(0.9)
    times = draw_samples(SAMPLES, 500, seed=3)
    found = difference(bad, good, f1, times)
    assert (found.low > 0).all()
    assert ((found.low < found.value) & (found.value < found.high)).all()
    turned = difference(good, bad, f1, times)
    npt.assert_allclose(turned.low, -found.high)


def test_draws_are_paired():
    """A system against itself differs by nothing in every draw; unpaired, it would."""
    one = sums(0.6)
    found = difference(one, one, r2, draw_samples(SAMPLES, 100, seed=3))
    npt.assert_array_equal(found.low, 0)
    npt.assert_array_equal(found.high, 0)


def test_intervals_of_the_same_seed_are_the_same():
    times = [draw_samples(SAMPLES, 50, seed=seed) for seed in (3, 3, 4)]
    npt.assert_array_equal(times[0], times[1])
    assert (times[0] != times[2]).any()
    npt.assert_array_equal(times[0].sum(axis=1), SAMPLES)


def test_what_is_undefined_is_nan():
    empty = np.zeros((SAMPLES, 1, bootstrap.NUM_SUMS))
    found = difference(empty, empty, r2, draw_samples(SAMPLES, 10, seed=1))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_the_interval_covers_the_spread_of_new_samples():
    """Of 200 comparisons of two equally good systems about 95 % hold the true difference, 0."""
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(200):
        truth = (rng.random((10, 60, 2)) < 0.4).astype(np.uint8)
        pair = []
        for _ in range(2):
            alt = np.where(rng.random(truth.shape) < 0.2, 1 - truth, truth)
            members = np.ones((1, 10), dtype=bool)
            pair.append(sums_of_samples(truth, dosage.from_haplotypes(alt), members))
        found = difference(*pair, f1, draw_samples(60, 200, seed=1))
        held += bool(found.low[0] <= 0 <= found.high[0])
    assert 175 <= held <= 199
