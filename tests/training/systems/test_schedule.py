"""The order of batches and the learning rate."""

import numpy as np
import pytest

from vcfbert.config import TrainingConfig
from vcfbert.training.systems import schedule

SAMPLES = np.array([3, 5, 8, 13, 21])


def pairs(plan):
    return sorted((work.window, sample) for work in plan for sample in work.samples.tolist())


def test_an_epoch_holds_every_sample_in_every_window_once():
    plan = schedule.plan_epoch(SAMPLES, 3, TrainingConfig(batch_size=2), seed=1, epoch=0)
    assert pairs(plan) == sorted((w, p) for w in range(3) for p in SAMPLES.tolist())


def test_epochs_differ_and_seeds_decide():
    settings = TrainingConfig(batch_size=2)

    def order(seed, epoch):
        plan = schedule.plan_epoch(SAMPLES, 3, settings, seed=seed, epoch=epoch)
        return [(work.window, *work.samples.tolist()) for work in plan]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_an_epoch_can_be_cut_short():
    settings = TrainingConfig(batch_size=2, batches_per_epoch=4)
    assert len(schedule.plan_epoch(SAMPLES, 3, settings, seed=1, epoch=0)) == 4


def test_validation_takes_some_samples_through_all_windows_ever_the_same():
    settings = TrainingConfig(batch_size=2, validation_batches=3)
    plan = schedule.plan_validation(SAMPLES, 3, settings, seed=1)
    assert [work.window for work in plan] == [0, 1, 2]
    assert len({tuple(work.samples.tolist()) for work in plan}) == 1
    whole = schedule.plan_validation(SAMPLES, 3, TrainingConfig(batch_size=2), seed=1)
    assert pairs(whole) == sorted((w, p) for w in range(3) for p in SAMPLES.tolist())
    assert [work.samples.tolist() for work in whole] == [
        work.samples.tolist()
        for work in schedule.plan_validation(SAMPLES, 3, TrainingConfig(batch_size=2), seed=1)
    ]


@pytest.mark.parametrize(("step", "rate"), [(0, 0.25), (1, 0.5), (3, 1.0), (100, 1.0)])
def test_the_rate_rises_linearly_and_stays(step, rate):
    settings = TrainingConfig(warmup_steps=4, learning_rate=1.0)
    assert schedule.learning_rate(settings, step, 0.5) == pytest.approx(rate)


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 1.0), (0.5, 0.55), (1.0, 0.1), (2.0, 0.1)])
def test_the_cosine_falls_to_a_tenth(progress, rate):
    settings = TrainingConfig(warmup_steps=0, learning_rate=1.0, schedule="cosine")
    assert schedule.learning_rate(settings, 7, progress) == pytest.approx(rate)
