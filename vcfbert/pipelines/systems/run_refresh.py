"""Refreshing of masks and embeddings while a run trains, by the rules of the section `refresh`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcfbert.config import MaskConfig, RefreshConfig, RefreshOn, TrainingConfig
from vcfbert.domain import masks as mask_rates
from vcfbert.domain.mask_policies import Fixed
from vcfbert.pipelines.systems import training_run
from vcfbert.pipelines.systems.training_run import TrainingRun
from vcfbert.progress import Progress
from vcfbert.storage.zarr import masks
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.training.systems import mask_shares, refresh_rules, selection
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
        used, cause = _first(run, rate, **now), "start"
    elif rule.is_due(used, **now, gain_epoch=standing(run.settings.training, state).gain_epoch):
        used = used.next(rate=rate, **now)
    elif before is not None:
        return before
    begun = time.perf_counter()
    made, mask = _masks_of(run, used)
    is_new, state.masks = used != state.masks, used
    if is_new and run.ranks.is_first:
        seed, store = run.settings.seed, ""
        if mask is not None:
            path = training_run.own_masks(run.folder, used.version)
            if cause != "start":  # the first are there since the run was made
                masks.write_masks(path, mask, overwrite=True)
            seed, store = mask.seed, _place(run, path)
            training_run.drop_versions(run.folder, run.settings.refresh, state)
        spent = time.perf_counter() - begun
        masked = mask_shares.of_drawn(made.masks.queries, run.inputs.panel)
        _record(seed, state, run.progress, "masks", cause, spent, store, masked)
    return made


def _first(run: TrainingRun, rate: float, *, epoch: int, batch: int) -> InUse:
    """The version that training starts with; 0 if each sample draws its own."""
    first = run.inputs.first_masks
    if first is None:
        return InUse(0, epoch, batch, rate)
    return InUse(first.mask.version, epoch, batch, first.mask.rate)


def _masks_of(run: TrainingRun, used: InUse) -> tuple[TrainingMasks, MaskVersion | None]:
    """The masks of a version, and the version itself unless each sample draws its own.

    The first version is as it was stored; later ones follow from the seed of the run.
    """
    plan, first = run.inputs.masks, run.inputs.first_masks
    if first is None:
        drawn = plan.of_training(used.version, used.rate)
        return TrainingMasks(used.version, used.rate, drawn), None
    mask = first.mask
    if mask.version != used.version:
        mask = plan.draw(used.version, used.rate)
    return TrainingMasks(used.version, used.rate, plan.of_version(mask)), mask


def _place(run: TrainingRun, path: Path) -> str:
    """A path from the folder of the workspace, for the log."""
    return path.relative_to(run.folder.parent.parent).as_posix()


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
    path = training_run.own_embeddings(run.folder, used.version)
    run.ranks.wait()  # until none reads what may be deleted
    if run.ranks.is_first:
        training_run.encode(
            path,
            state.model.encoder,
            run.inputs.panel,
            run.inputs.index,
        )
    run.ranks.wait()
    state.embeddings = used
    if not run.ranks.is_first:
        return
    spent = time.perf_counter() - begun
    store = _place(run, path)
    _record(run.settings.seed, state, run.progress, "embeddings", rule.on, spent, store)
    training_run.drop_versions(run.folder, run.settings.refresh, state)


def batches_left(settings: RefreshConfig, state: TrainState, most: int) -> int:
    """Batches until the next refresh, from 1 to `most`."""
    left = [most]
    if state.masks is not None:
        left.append(_left(_rule(settings, "masks"), state.masks, state, most))
    left.append(_left(_rule(settings, "embeddings"), state.embeddings, state, most))
    return max(1, min(left))


def record_first_embeddings(
    seed: int, state: TrainState, progress: Progress, seconds: float, store: str
) -> None:
    """Add the encoding that a run starts with, in a store, to its refreshes."""
    _record(seed, state, progress, "embeddings", "start", seconds, store)


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
    store: str,
    masked: MaskShares | None = None,
) -> None:
    """Add a refresh to those of the run, and report it; arguments as in `refresh_rules.log_row`."""
    used = state.masks if kind == "masks" else state.embeddings
    assert used is not None
    row = refresh_rules.log_row(
        kind, used, cause=cause, seed=seed, seconds=seconds, store=store, masked=masked
    )
    state.refreshes.append(row)
    state.refresh_seconds += seconds
    level = ""
    if masked is not None:
        level = f", level {used.rate:g}, {masked.described(by_copies=True)}"
    progress.note(
        f"{kind}: version {used.version}{level}, seed {row['seed']}, after batch {used.batch} "
        f"({cause}), {seconds:.2f} s"
    )
