"""Optimizer steps on the small panel, by one process or by several that share each batch.

The functions here are called in new processes, which import this module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.pipelines.systems.test_train_systems import small_settings
from vcfbert import config
from vcfbert.config import Config
from vcfbert.domain import sites
from vcfbert.progress import Progress
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training import devices
from vcfbert.training.systems import encoding, loop, masking, schedule, scores
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.folds import Folds, HeldOut
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Steps:
    """Train some optimizer steps with each of some settings; can be pickled."""

    panel: Path
    runs: tuple[tuple[Config, int], ...]

    def __call__(
        self, together: Ranks = ALONE, device: str = "cpu", progress: Progress | None = None
    ) -> list[list[float]]:
        """The loss of each step, then the scores of validation, for each of the settings."""
        return [_train(self.panel, one, count, together) for one, count in self.runs]


def settings_of(**changes: Any) -> Config:
    """Settings without dropout, whose noise depends on the number of processes.

    They do not copy either: in the small panel all neighbours often agree, and the log odds of a
    share of 1 - 1e-6 change by several per cent if its last bit is rounded differently.
    """
    smooth = {"model": {"dropout": 0.0, "copy_skip": False}}
    base = config.merge(small_settings(), smooth, source="test")
    return config.merge(base, changes, source="test")


def _train(path: Path, settings: Config, count: int, together: Ranks) -> list[float]:
    training = settings.training
    with open_panel(path) as panel:
        samples = panel.samples.in_splits(sites.TRAIN)
        folds = Folds.drawn(samples, training.folds, training.batch_size, settings.seed)
        encoder = encoding.new_encoder(settings.model, settings.seed)
        maker = BatchMaker(
            panel,
            IndexedOnDemand(panel),
            encoding.EncodedOnDemand(encoder, panel),
            settings.retrieval,
            settings.loss if settings.loss.contrastive_weight > 0 else None,
            None if folds is None else HeldOut(panel, folds, encoder),
        )
        state = loop.new_state(
            settings.model,
            training,
            settings.seed,
            devices.choose_device("cpu"),
            focal_gamma=settings.loss.focal_gamma,
        )
        plan_of_masks = masking.plan(settings.masks, settings.seed, panel)
        masks = plan_of_masks.of_training(0, 0.4)
        found = Losses(count)
        while found.left:
            plan = schedule.plan_epoch(
                samples,
                len(panel.windows),
                training,
                seed=settings.seed,
                epoch=state.epoch,
                folds=folds,
            )
            loop.train_epoch(
                state, training, settings.loss, maker, masks, plan, found, seed=1, together=together
            )
            state.epoch, state.batch = state.epoch + 1, 0
        held_out = panel.samples.in_splits(sites.VALIDATION)
        validation = schedule.plan_validation(
            held_out, len(panel.windows), replace(training, batch_size=3), seed=1
        )
        scored = loop.validate(
            state,
            settings.loss,
            maker,
            plan_of_masks.of_validation(),
            validation,
            lambda: None,
            rare_maf=0.05,
            together=together,
        )
        return [*found.losses, scored.loss, scored.log_loss, scored.f1, scored.r2]


class Losses:
    """Collects the loss of each optimizer step until there are enough."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.losses: list[float] = []
        self._before = None

    def __call__(self, state: TrainState, rate: float) -> bool:
        now = state.counts.clone()
        step = now if self._before is None else now - self._before
        self._before = now
        self.losses.append(scores.summarise(step).loss)
        self.left -= 1
        return self.left > 0
