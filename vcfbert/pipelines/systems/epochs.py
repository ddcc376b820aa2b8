"""Epochs of a training run: masks, training, refresh, validation, checkpoint.

Epoch 0 is the network before training: it is validated as all others, so that the metrics show what
training adds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from vcfbert.domain.mask_policies import Fixed
from vcfbert.pipelines.systems import learning_curves, run_refresh
from vcfbert.pipelines.systems.run_refresh import TrainingMasks
from vcfbert.pipelines.systems.training_run import TrainingRun
from vcfbert.training import machine, runs
from vcfbert.training.systems import loop, schedule, scores
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.mask_shares import MaskShares
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.schedule import Work

_SCORE_FIELDS = (
    "loss",
    "log_loss",
    "f1",
    "precision",
    "recall",
    "rare_f1",
    "common_f1",
    "genotype_macro_f1",
    "r2",
    "retrieval_agreement",
    "retrieval_f1",
)
_MASK_FIELDS = ("mask_rate", "mask_rate_0", "mask_rate_1", "mask_rate_2")
_TRAINING_FIELDS = ("retrieval_distance", *_MASK_FIELDS)


def run_epochs(run: TrainingRun, state: TrainState) -> str:
    """Train until something ends the run; returns the reason."""
    if not state.history:
        _validate_untrained(run, state)
    reason = _run_until_over(run, state)
    if run.ranks.is_first:
        learning_curves.write(run.folder, state.history)
    return reason


def _run_until_over(run: TrainingRun, state: TrainState) -> str:
    training = run.settings.training
    while True:
        state.seconds = run.ranks.number_of_first(state.seconds)  # all stop at the same time
        if _is_out_of_time(run, state):
            return f"training.max_minutes = {training.max_minutes:g}"
        if state.epoch >= training.max_epochs:
            return f"training.max_epochs = {training.max_epochs}"
        if state.epoch - run_refresh.standing(training, state).gain_epoch >= training.patience:
            return (
                f"no improvement of the validation {training.val_metric} in {training.patience} "
                "epochs"
            )
        _run_epoch(run, state)


def _validate_untrained(run: TrainingRun, state: TrainState) -> None:
    """Add epoch 0 to the metrics; a checkpoint of it is the best so far."""
    begun = time.perf_counter()
    validated = _validate(run, state, 0)
    state.seconds += time.perf_counter() - begun
    row = _row(state, None, validated, None)
    row["epoch"] = 0
    _finish_row(run, state, row | {"batches": 0, "train_seconds": 0.0} | _machine(state))


def _is_out_of_time(run: TrainingRun, state: TrainState) -> bool:
    minutes = run.settings.training.max_minutes
    return minutes > 0 and state.seconds >= 60 * minutes


def _run_epoch(run: TrainingRun, state: TrainState) -> None:
    """Train the rest of an epoch, refresh what is due, validate, and save the results."""
    settings = run.settings
    plan = schedule.plan_epoch(
        run.inputs.train_samples,
        len(run.inputs.panel.windows),
        settings.training,
        seed=settings.seed,
        epoch=state.epoch,
        folds=run.inputs.folds(settings),
    )
    run.progress.start(f"epoch {state.epoch + 1}, training", len(plan) - state.batch)
    hidden = _train(run, state, plan)
    trained = scores.summarise(state.counts)
    cost = _cost_of_training(state)
    begun = time.perf_counter()
    run_refresh.refresh_embeddings(run, state, epoch_is_over=True)
    validated = _validate(run, state, state.epoch + 1)
    state.seconds += time.perf_counter() - begun
    row = _row(state, trained, validated, hidden) | cost | _machine(state)
    state.epoch += 1
    state.batch = 0
    state.refresh_seconds = 0.0
    state.counts = loop.empty_counts(state.device)
    _finish_row(run, state, row)


def _train(run: TrainingRun, state: TrainState, plan: Sequence[Work]) -> TrainingMasks:
    """Train the rest of an epoch, from refresh to refresh; returns the last masks.

    No batch is made in advance of a refresh, so a batch depends on its number only, wherever the
    run was stopped and resumed. A refresh waits for the end of an optimizer step.
    """
    after_step = _after_step(run, len(plan), state.batch)
    folds = run.inputs.folds(run.settings)
    begun = time.perf_counter()
    hidden = run_refresh.masks_in_use(run, state)
    run_refresh.refresh_embeddings(run, state)
    state.seconds += time.perf_counter() - begun
    loss = run.settings.loss
    contrast = loss if loss.contrastive_weight > 0 else None
    is_open = True
    while is_open and state.batch < len(plan):
        left = run_refresh.batches_left(run.settings.refresh, state, len(plan))
        stop = schedule.end_of_step(state.batch + left, run.settings.training, len(plan))
        with run.batch_maker(state.embeddings.version, contrast, folds) as maker:
            is_open = loop.train_epoch(
                state,
                run.settings.training,
                loss,
                maker,
                hidden.masks,
                plan,
                after_step,
                seed=run.settings.seed,
                stop=stop,
                together=run.ranks,
            )
        if is_open and state.batch < len(plan):
            begun = time.perf_counter()
            hidden = run_refresh.masks_in_use(run, state, hidden)
            run_refresh.refresh_embeddings(run, state)
            state.seconds += time.perf_counter() - begun
    return hidden


def _validation_masks(run: TrainingRun) -> Masks:
    """Return the masks of validation."""
    if run.inputs.fixed_masks is not None:
        return Masks(Fixed(run.inputs.fixed_masks.is_masked))
    return run.inputs.masks.of_validation()


def _after_step(
    run: TrainingRun, batches: int, batches_done: int
) -> Callable[[TrainState, float], bool]:
    """Return what `train_epoch` calls after each optimizer step."""
    training = run.settings.training
    shown = batches_done

    def after_step(state: TrainState, rate: float) -> bool:
        nonlocal shown
        run.progress.advance(state.batch - shown)
        shown = state.batch
        if state.step % training.log_every == 0 and run.ranks.is_first:
            so_far = scores.summarise(state.counts)
            run.progress.note(
                f"epoch {state.epoch + 1} batch {state.batch}/{batches} step {state.step}: "
                f"loss {so_far.loss:.5f} f1 {so_far.f1:.4f} rare {so_far.rare_f1:.4f} "
                f"lr {rate:.2e} {state.seconds:.0f} s"
            )
            run.add_scalar("train/loss", so_far.loss, state.step)
            run.add_scalar("train/learning_rate", rate, state.step)
        if state.step % training.checkpoint_every == 0 and state.batch < batches:
            run.save(state, "last")
        return not _is_out_of_time(run, state)

    return after_step


def _validate(run: TrainingRun, state: TrainState, epoch: int) -> scores.PassScores:
    """Score the validation samples; `epoch` is shown."""
    training = run.settings.training
    plan = schedule.plan_validation(
        run.inputs.validation_samples,
        len(run.inputs.panel.windows),
        training,
        seed=run.settings.seed,
    )
    run.progress.start(f"epoch {epoch}, validation", len(plan))
    with run.batch_maker(state.embeddings.version) as maker:
        return loop.validate(
            state,
            run.settings.loss,
            maker,
            _validation_masks(run),
            plan,
            run.progress.advance,
            rare_maf=training.rare_maf,
            together=run.ranks,
        )


def _row(
    state: TrainState,
    trained: scores.PassScores | None,
    validated: scores.PassScores,
    hidden: TrainingMasks | None,
) -> dict[str, Any]:
    """Return the row of an epoch in the metrics CSV; without training, its cells are empty."""
    row: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
    nothing: dict[str, Any] = dict.fromkeys((*_SCORE_FIELDS, *_TRAINING_FIELDS), "")
    of_training = nothing if trained is None else asdict(trained)
    of_validation = asdict(validated)
    for prefix, result in (("train", of_training), ("val", of_validation)):
        row.update({f"{prefix}_{name}": result[name] for name in _SCORE_FIELDS})
    row["train_retrieval_distance"] = of_training["retrieval_distance"]
    row["val_retrieval_distance"] = of_validation["retrieval_distance"]
    row["mask_version"] = "" if hidden is None else hidden.version
    row["mask_level"] = "" if hidden is None else hidden.level
    row.update({name: of_training[name] for name in _MASK_FIELDS})
    row["embeddings_version"] = state.embeddings.version
    row["refresh_seconds"] = state.refresh_seconds
    row["seconds"] = state.seconds - sum(past["seconds"] for past in state.history)
    row["wait_seconds"] = state.wait_seconds - sum(past["wait_seconds"] for past in state.history)
    row["make_seconds"] = state.make_seconds - sum(past["make_seconds"] for past in state.history)
    return row


def _cost_of_training(state: TrainState) -> dict[str, Any]:
    """Batches of the epoch and their seconds, with waiting and without refreshes."""
    past = sum(row["seconds"] for row in state.history) + state.refresh_seconds
    return {"batches": state.batch, "train_seconds": state.seconds - past}


def _machine(state: TrainState) -> dict[str, Any]:
    return {
        "peak_memory_bytes": machine.peak_bytes(state.device),
        "device": machine.describe(state.device),
    }


def _finish_row(run: TrainingRun, state: TrainState, row: dict[str, Any]) -> None:
    """Write the row of an epoch, save the checkpoints, and renew old learning curves."""
    if not math.isfinite(row["val_loss"]):
        raise loop.DivergedError(
            f"The validation loss is {row['val_loss']} after epoch {row['epoch']}. The checkpoints "
            "before it are intact. Train again with a smaller training.learning_rate."
        )
    state.history.append(row)
    standing = run_refresh.standing(run.settings.training, state)
    is_best = standing.best_epoch == row["epoch"]
    if not run.ranks.is_first:
        return
    if is_best:
        run.save(state, "best")
    runs.write_metrics(run.folder, state.history)
    learning_curves.update(run.folder, state.history)
    run.save(state, "last")
    numbers = {name: value for name, value in row.items() if not isinstance(value, str)}
    for name, value in numbers.items():
        run.add_scalar(f"epoch/{name}", value, state.epoch)
    run.progress.note(_line(run, row) + (" | best so far" if is_best else ""))


def _line(run: TrainingRun, row: dict[str, Any]) -> str:
    """An epoch as the log shows it."""
    trained = "before training"
    if row["epoch"]:
        by_copies = tuple(row[f"mask_rate_{copies}"] for copies in range(3))
        masked = MaskShares(row["mask_rate"], by_copies).described(
            by_copies=run.settings.masks.policy == "smart_balanced"
        )
        trained = f"train loss {row['train_loss']:.5f}, {masked}"
    return (
        f"epoch {row['epoch']}: {trained} | validation loss {row['val_loss']:.5f} log loss "
        f"{row['val_log_loss']:.5f} f1 {row['val_f1']:.4f} rare {row['val_rare_f1']:.4f} common "
        f"{row['val_common_f1']:.4f} r2 {row['val_r2']:.4f} retrieved "
        f"{row['val_retrieval_f1']:.4f} | {row['seconds']:.0f} s"
    )
