"""Order of the batches and learning rate, as pure functions, so that a run resumes exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import TrainingConfig
from vcfbert.training.systems.folds import NO_FOLD, Folds

_ORDER_STREAM = 71  # separates the random stream of the order from that of the masks
_VALIDATION_STREAM = 72
_COSINE_FLOOR = 0.1


@dataclass(frozen=True)
class BatchPart:
    """Where the samples of one process are in a batch that several processes share.

    whole       (n,) all samples of the batch
    first       index in `whole` of the first sample of the process
    is_counted  False if there are fewer samples than processes and this one has none: it computes
                the first sample, which adds nothing to counts, losses and gradients
    """

    whole: NDArray[np.int64]
    first: int
    is_counted: bool


@dataclass(frozen=True)
class Work:
    """A batch to make: some samples in one window.

    fold  of the samples; NO_FOLD leaves out each sample alone
    part  which samples of the batch these are; None if they are all
    """

    window: int
    samples: NDArray[np.int64]
    fold: int = NO_FOLD
    part: BatchPart | None = None

    def part_of(self, rank: int, num_ranks: int) -> Work:
        """What one of several processes makes of this batch: an equal, contiguous share.

        >>> work = Work(0, np.arange(5))
        >>> [work.part_of(rank, 3).samples.tolist() for rank in range(3)]
        [[0], [1, 2], [3, 4]]
        >>> Work(0, np.arange(1)).part_of(0, 2).part.is_counted
        False
        """
        if num_ranks == 1:
            return self
        count = len(self.samples)
        first, last = count * rank // num_ranks, count * (rank + 1) // num_ranks
        if first == last:
            part = BatchPart(self.samples, 0, is_counted=False)
            return replace(self, samples=self.samples[:1], part=part)
        part = BatchPart(self.samples, first, is_counted=True)
        return replace(self, samples=self.samples[first:last], part=part)


def plan_epoch(
    samples: NDArray[np.int64],
    num_windows: int,
    settings: TrainingConfig,
    *,
    seed: int,
    epoch: int,
    folds: Folds | None = None,
) -> list[Work]:
    """Every sample in every window once, shuffled, cut to `batches_per_epoch` if that is set.

    A batch is of one window, so that its codebook and its index are read once; and of one fold.
    """
    rng = np.random.default_rng([seed, _ORDER_STREAM, epoch])
    parts = [(NO_FOLD, samples)] if folds is None else list(enumerate(folds.parts))
    plan = []
    for window in range(num_windows):
        for fold, part in parts:
            order = rng.permutation(part)
            plan += [
                Work(window, order[first : first + settings.batch_size], fold)
                for first in range(0, len(order), settings.batch_size)
            ]
    shuffled = [plan[index] for index in rng.permutation(len(plan))]
    return shuffled[: settings.batches_per_epoch or len(shuffled)]


def end_of_step(batch: int, settings: TrainingConfig, num_batches: int) -> int:
    """The first end of an optimizer step that is not before a batch of an epoch.

    >>> [end_of_step(batch, TrainingConfig(accumulation=3), 7) for batch in (2, 3, 4, 7)]
    [3, 3, 6, 7]
    """
    group = settings.accumulation
    return min(num_batches, -(-batch // group) * group)


def plan_validation(
    samples: NDArray[np.int64], num_windows: int, settings: TrainingConfig, *, seed: int
) -> list[Work]:
    """The same batches in every epoch: some samples in all windows, then the next samples.

    Samples are shuffled, because a panel lists them by population and `validation_batches` may
    take only some of them.
    """
    order = np.random.default_rng([seed, _VALIDATION_STREAM]).permutation(samples)
    plan = [
        Work(window, order[first : first + settings.batch_size])
        for first in range(0, len(order), settings.batch_size)
        for window in range(num_windows)
    ]
    return plan[: settings.validation_batches or len(plan)]


def learning_rate(settings: TrainingConfig, step: int, progress: float) -> float:
    """Learning rate of an optimizer step.

    step      0-based
    progress  part of the run that is done, 0 to 1; read by the cosine schedule only
    """
    warmup = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "constant":
        return settings.learning_rate * warmup
    fall = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return settings.learning_rate * warmup * (_COSINE_FLOOR + (1 - _COSINE_FLOOR) * fall)
