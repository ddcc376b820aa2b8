"""The epochs of a training run: masks, training, refresh, validation, checkpoint.

W windows, L sites in a window.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vcfbert.config import Config
from vcfbert.domain.mask_policies import Fixed
from vcfbert.pipelines.systems import renewal
from vcfbert.pipelines.systems.renewal import TrainingMasks
from vcfbert.pipelines.systems.training_inputs import Session
from vcfbert.training import machine, runs
from vcfbert.training.systems import checkpoints, encoding, loop, schedule, scores
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.schedule import Work

_SCORE_FIELDS = (
    "loss",
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


def run_epochs(session: Session, state: TrainState) -> str:
    """Train until something ends it; returns what did."""
    training = session.settings.training
    while True:
        if _is_out_of_time(session, state):
            return f"training.max_minutes = {training.max_minutes:g}"
        if state.epoch >= training.max_epochs:
            return f"training.max_epochs = {training.max_epochs}"
        if state.epoch - renewal.standing(session, state).gain_epoch >= training.patience:
            return f"no better validation {training.val_metric} for {training.patience} epochs"
        _run_epoch(session, state)


def _is_out_of_time(session: Session, state: TrainState) -> bool:
    minutes = session.settings.training.max_minutes
    return minutes > 0 and state.seconds >= 60 * minutes


def _run_epoch(session: Session, state: TrainState) -> None:
    """Train the rest of one epoch, renew what is due, validate, write everything down."""
    settings = session.settings
    plan = schedule.plan_epoch(
        session.train_samples,
        len(session.panel.windows),
        settings.training,
        seed=settings.seed,
        epoch=state.epoch,
    )
    session.progress.start(f"epoch {state.epoch + 1}, training", len(plan) - state.batch)
    hidden = _train(session, state, plan)
    trained = scores.summarise(state.counts)
    cost = _cost_of_training(state)
    begun = time.perf_counter()
    renewal.renew_embeddings(session, state, epoch_is_over=True)
    validated = _validate(session, state)
    state.seconds += time.perf_counter() - begun
    row = _row(state, trained, validated, hidden) | cost
    row["peak_memory_bytes"] = machine.peak_bytes(state.device)
    row["device"] = machine.describe(state.device)
    _finish_epoch(session, state, row)


def _train(session: Session, state: TrainState, plan: Sequence[Work]) -> TrainingMasks:
    """Train the rest of an epoch, stretch by stretch between refreshes; returns the last masks.

    At a refresh the batches made ahead run out, so what a batch is made of depends on its number
    alone, whenever the run was stopped.
    """
    after_step = _after_step(session, len(plan), state.batch)
    begun = time.perf_counter()
    hidden = renewal.masks_in_use(session, state)
    renewal.renew_embeddings(session, state)
    state.seconds += time.perf_counter() - begun
    loss = session.settings.loss
    contrast = loss if loss.contrastive_weight > 0 else None
    is_open = True
    while is_open and state.batch < len(plan):
        stop = min(len(plan), state.batch + renewal.batches_left(session, state, len(plan)))
        with session.batch_maker(state.embeddings.version, contrast) as maker:
            is_open = loop.train_epoch(
                state, session.settings, maker, hidden.masks, plan, after_step, stop=stop
            )
        if is_open and state.batch < len(plan):
            begun = time.perf_counter()
            hidden = renewal.masks_in_use(session, state, hidden)
            renewal.renew_embeddings(session, state)
            state.seconds += time.perf_counter() - begun
    return hidden


def _validation_masks(session: Session) -> Masks:
    """Return the validation masks."""
    if session.fixed_masks is not None:
        return Masks(Fixed(session.fixed_masks.is_masked))
    return session.masks.of_validation()


def _after_step(
    session: Session, batches: int, batches_done: int
) -> Callable[[TrainState, float], bool]:
    """Return what `train_epoch` calls after each optimizer step."""
    training = session.settings.training
    shown = batches_done

    def after_step(state: TrainState, rate: float) -> bool:
        nonlocal shown
        session.progress.advance(state.batch - shown)
        shown = state.batch
        if state.step % training.log_every == 0:
            so_far = scores.summarise(state.counts)
            session.progress.note(
                f"epoch {state.epoch + 1} batch {state.batch}/{batches} step {state.step}: "
                f"loss {so_far.loss:.5f} f1 {so_far.f1:.4f} rare {so_far.rare_f1:.4f} "
                f"lr {rate:.2e} {state.seconds:.0f} s"
            )
            session.writer.add_scalar("train/loss", so_far.loss, state.step)
            session.writer.add_scalar("train/learning_rate", rate, state.step)
        if state.step % training.checkpoint_every == 0 and state.batch < batches:
            save_checkpoint(session, state, "last")
        return not _is_out_of_time(session, state)

    return after_step


def _validate(session: Session, state: TrainState) -> scores.Scores:
    training = session.settings.training
    plan = schedule.plan_validation(
        session.validation_samples,
        len(session.panel.windows),
        training,
        seed=session.settings.seed,
    )
    session.progress.start(f"epoch {state.epoch + 1}, validation", len(plan))
    with session.batch_maker(state.embeddings.version) as maker:
        return loop.validate(
            state,
            session.settings,
            maker,
            _validation_masks(session),
            plan,
            session.progress.advance,
        )


def _row(
    state: TrainState,
    trained: scores.Scores,
    validated: scores.Scores,
    hidden: TrainingMasks,
) -> dict[str, Any]:
    """Return an epoch's row of the metrics CSV."""
    row: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
    for prefix, result in (("train", trained), ("val", validated)):
        row.update({f"{prefix}_{name}": asdict(result)[name] for name in _SCORE_FIELDS})
    row["train_retrieval_distance"] = trained.retrieval_distance
    row["val_retrieval_distance"] = validated.retrieval_distance
    row["mask_version"] = hidden.version
    row["mask_rate"] = hidden.share
    row["embeddings_version"] = state.embeddings.version
    row["refresh_seconds"] = state.refresh_seconds
    row["seconds"] = state.seconds - sum(past["seconds"] for past in state.history)
    row["wait_seconds"] = state.wait_seconds - sum(past["wait_seconds"] for past in state.history)
    row["make_seconds"] = state.make_seconds - sum(past["make_seconds"] for past in state.history)
    return row


def _cost_of_training(state: TrainState) -> dict[str, Any]:
    """Batches of the epoch and their seconds, waiting and steps included, refreshes not."""
    past = sum(row["seconds"] for row in state.history) + state.refresh_seconds
    return {"batches": state.batch, "train_seconds": state.seconds - past}


def _finish_epoch(session: Session, state: TrainState, row: dict[str, Any]) -> None:
    """Count the epoch, write its row, keep the best weights and where the run stands."""
    if not math.isfinite(row["val_loss"]):
        raise loop.DivergedError(
            f"The validation loss is {row['val_loss']} after epoch {row['epoch']}. The checkpoints "
            "before it are intact; train again with a smaller training.learning_rate."
        )
    state.history.append(row)
    state.epoch += 1
    state.batch = 0
    state.refresh_seconds = 0.0
    state.counts = loop.empty_counts(state.device)
    is_best = renewal.standing(session, state).best_epoch == row["epoch"]
    if is_best:
        save_checkpoint(session, state, "best")
    runs.write_metrics(session.run, state.history)
    save_checkpoint(session, state, "last")
    numbers = {name: value for name, value in row.items() if not isinstance(value, str)}
    for name, value in numbers.items():
        session.writer.add_scalar(f"epoch/{name}", value, state.epoch)
    session.progress.note(
        f"epoch {row['epoch']}: train loss {row['train_loss']:.5f} | validation loss "
        f"{row['val_loss']:.5f} f1 {row['val_f1']:.4f} rare {row['val_rare_f1']:.4f} common "
        f"{row['val_common_f1']:.4f} r2 {row['val_r2']:.4f} retrieved "
        f"{row['val_retrieval_f1']:.4f} | mask {row['mask_rate']:g} | {row['seconds']:.0f} s"
        f"{' | best so far' if is_best else ''}"
    )


def save_checkpoint(session: Session, state: TrainState, which: checkpoints.Which) -> None:
    """Write where the run stands."""
    write_checkpoint(session.run, session.settings, session.parents, state, which)


def write_checkpoint(
    run: Path,
    settings: Config,
    parents: dict[str, str],
    state: TrainState,
    which: checkpoints.Which,
) -> None:
    """Write where a run stands; the moments of the optimizer only for the last checkpoint."""
    weights = {k: v.detach().cpu().contiguous() for k, v in state.model.state_dict().items()}
    is_last = which == "last"
    if is_last:  # before the checkpoint: no log lacks a row that a checkpoint knows of
        runs.write_refreshes(run, state.refreshes)
    checkpoints.save(
        run,
        which,
        settings=settings,
        parents=parents | {"encoder": encoding.encoder_fingerprint(state.model.encoder)},
        state=state.counters(),
        weights=weights,
        optimizer=checkpoints.optimizer_tensors(state.optimizer) if is_last else None,
    )
    if is_last:
        state.saved_embeddings = state.embeddings.version
        renewal.drop_embeddings(run, {state.saved_embeddings})
