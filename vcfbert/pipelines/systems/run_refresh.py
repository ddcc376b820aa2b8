"""Refreshing of masks and embeddings while a run trains, by the rules of the section `refresh`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from vcfbert.config import MaskConfig, RefreshConfig, RefreshOn, TrainingConfig
from vcfbert.domain import masks as mask_rates
from vcfbert.domain.mask_policies import Fixed
from vcfbert.pipelines.systems import training_run
from vcfbert.pipelines.systems.training_run import TrainingRun
from vcfbert.progress import Progress
from vcfbert.training.systems import checkpoints, mask_shares, refresh_rules, selection
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.mask_shares import MaskShares
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.refresh_rules import InUse, Kind, Rule
from vcfbert.training.systems.selection import Standing

Cause = RefreshOn | Literal["start"]


@dataclass(frozen=True)
class TrainingMasks:
    """The training masks in use.

    level  masking rate of the curriculum; what is hidden also depends on the policy
    """

    version: int
    level: float
    masks: Masks


def standing(settings: TrainingConfig, state: TrainState) -> Standing:
    """Return the best epoch so far, and the last that improved."""
    return selection.standing(state.history, settings.val_metric, settings.min_delta)


def masks_in_use(
    run: TrainingRun, state: TrainState, before: TrainingMasks | None = None
) -> TrainingMasks:
    """Return the training masks: a new version if that is due, else the version in use.

    before  the masks in use so far; None draws their version again, as after a restart
    """
    if run.inputs.fixed_masks is not None:
        fixed = run.inputs.fixed_masks
        return TrainingMasks(fixed.version, fixed.rate, Masks(Fixed(fixed.is_masked)))
    used, rule = state.masks, _rule(run.settings.refresh, "masks")
    now = {"epoch": state.epoch, "batch": state.total_batches}
    rate = _rate(run.settings.masks, state.epoch)
    cause: Cause = rule.on
    if used is None:
        used, cause = InUse(version=0, rate=rate, **now), "start"
    elif rule.is_due(used, **now, gain_epoch=standing(run.settings.training, state).gain_epoch):
        used = used.next(rate=rate, **now)
    elif before is not None:
        return before
    begun = time.perf_counter()
    made = TrainingMasks(
        version=used.version,
        level=used.rate,
        masks=run.inputs.masks.of_training(used.version, used.rate),
    )
    if used != state.masks:
        state.masks = used
        spent = time.perf_counter() - begun
        masked = mask_shares.of_drawn(made.masks.queries, run.inputs.panel)
        _record(run.settings.seed, state, run.progress, "masks", cause, spent, masked)
    return made


def refresh_embeddings(run: TrainingRun, state: TrainState, *, epoch_is_over: bool = False) -> None:
    """Encode the references with the current weights, if that is due.

    epoch_is_over  count the current epoch as finished; its validation comes later, so a plateau
                   cannot be detected yet
    """
    rule = _rule(run.settings.refresh, "embeddings")
    now = {"epoch": state.epoch + epoch_is_over, "batch": state.total_batches}
    gain_epoch = now["epoch"]
    if not epoch_is_over:
        gain_epoch = standing(run.settings.training, state).gain_epoch
    if not rule.is_due(state.embeddings, **now, gain_epoch=gain_epoch):
        return
    begun = time.perf_counter()
    used = state.embeddings.next(**now)
    state.model.eval()
    training_run.encode(
        training_run.own_embeddings(run.folder, used.version),
        state.model.encoder,
        run.inputs.panel,
        run.inputs.index,
    )
    checkpoints.write_encoder(
        training_run.encoder_file(run.folder, used.version), state.model.encoder
    )
    state.embeddings = used
    spent = time.perf_counter() - begun
    _record(run.settings.seed, state, run.progress, "embeddings", rule.on, spent)
    # Versions in between are not needed: a run that is stopped resumes from the saved one.
    training_run.drop_embeddings(run.folder, {state.saved_embeddings, used.version})


def batches_left(settings: RefreshConfig, state: TrainState, most: int) -> int:
    """Batches until the next refresh, from 1 to `most`."""
    left = [most]
    if state.masks is not None:
        left.append(_left(_rule(settings, "masks"), state.masks, state, most))
    left.append(_left(_rule(settings, "embeddings"), state.embeddings, state, most))
    return max(1, min(left))


def record_first_embeddings(
    seed: int, state: TrainState, progress: Progress, seconds: float
) -> None:
    """Add the encoding that a run starts with to its refreshes."""
    _record(seed, state, progress, "embeddings", "start", seconds)


def _rate(settings: MaskConfig, epoch: int) -> float:
    """The rate of masks that are drawn in an epoch."""
    return mask_rates.curriculum_rate(
        epoch, settings.levels, settings.epochs_per_level, settings.start_rate
    )


def _left(rule: Rule, used: InUse, state: TrainState, most: int) -> int:
    left = rule.batches_left(used, state.total_batches)
    return most if left is None else left


def _rule(settings: RefreshConfig, kind: Kind) -> Rule:
    if kind == "masks":
        return Rule(settings.masks_on, settings.masks_every)
    return Rule(settings.embeddings_on, settings.embeddings_every)


def _record(
    seed: int,
    state: TrainState,
    progress: Progress,
    kind: Kind,
    cause: Cause,
    seconds: float,
    masked: MaskShares | None = None,
) -> None:
    """Add a refresh to those of the run, and report it; `masked` as in `refresh_rules.log_row`."""
    used = state.masks if kind == "masks" else state.embeddings
    assert used is not None
    row = refresh_rules.log_row(kind, used, cause=cause, seed=seed, seconds=seconds, masked=masked)
    state.refreshes.append(row)
    state.refresh_seconds += seconds
    level = ""
    if masked is not None:
        level = f", level {used.rate:g}, {masked.described(by_copies=True)}"
    progress.note(
        f"{kind}: version {used.version}{level}, seed {row['seed']}, after batch {used.batch} "
        f"({cause}), {seconds:.2f} s"
    )
