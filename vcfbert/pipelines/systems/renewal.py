"""New masks and new encodings of the references while a run trains, by the rules of `refresh`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcfbert.config import Config, RefreshOn
from vcfbert.domain import masks as drawing
from vcfbert.domain.mask_policies import Fixed
from vcfbert.files import replacing
from vcfbert.pipelines.systems import training_inputs as sessions
from vcfbert.pipelines.systems.training_inputs import Session
from vcfbert.progress import Progress
from vcfbert.training.systems import refresh_rules, selection
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.refresh_rules import InUse, Kind, Rule
from vcfbert.training.systems.selection import Standing

Cause = RefreshOn | Literal["start"]


@dataclass(frozen=True)
class TrainingMasks:
    """The training masks in use.

    share  of the sites that is asked to be hidden
    """

    version: int
    share: float
    masks: Masks


def standing(session: Session, state: TrainState) -> Standing:
    """Return the best epoch so far, and the last that gained."""
    training = session.settings.training
    return selection.standing(state.history, training.val_metric, training.min_delta)


def masks_in_use(
    session: Session, state: TrainState, before: TrainingMasks | None = None
) -> TrainingMasks:
    """Draw the next version of the training masks where that is due, else draw this one again.

    before  what was in use until now, if that is at hand
    """
    if session.fixed_masks is not None:
        fixed = session.fixed_masks
        return TrainingMasks(fixed.version, fixed.rate, Masks(Fixed(fixed.is_masked)))
    used, rule = state.masks, _rule(session, "masks")
    now = {"epoch": state.epoch, "batch": state.total_batches}
    cause: Cause = rule.on
    if used is None:
        used, cause = InUse(version=0, rate=_rate(session, state.epoch), **now), "start"
    elif rule.is_due(used, **now, gain_epoch=standing(session, state).gain_epoch):
        used = used.next(rate=_rate(session, state.epoch), **now)
    elif before is not None:
        return before
    begun = time.perf_counter()
    made = TrainingMasks(
        version=used.version,
        share=session.masks.hidden_share(used.rate),
        masks=session.masks.of_training(used.version, used.rate),
    )
    if used != state.masks:
        state.masks = used
        spent = time.perf_counter() - begun
        _note(session.settings, state, session.progress, "masks", cause, spent)
    return made


def renew_embeddings(session: Session, state: TrainState, *, epoch_is_over: bool = False) -> None:
    """Encode the references with the weights as they are now, where that is due.

    epoch_is_over  count the epoch under way as finished; its validation is still to come, so a
                   plateau cannot be told yet
    """
    rule = _rule(session, "embeddings")
    now = {"epoch": state.epoch + epoch_is_over, "batch": state.total_batches}
    gain_epoch = now["epoch"] if epoch_is_over else standing(session, state).gain_epoch
    if not rule.is_due(state.embeddings, **now, gain_epoch=gain_epoch):
        return
    begun = time.perf_counter()
    used = state.embeddings.next(**now)
    state.model.eval()
    sessions.encode(
        sessions.own_embeddings(session.run, used.version),
        state.model.encoder,
        session.panel,
        session.index,
    )
    state.embeddings = used
    spent = time.perf_counter() - begun
    _note(session.settings, state, session.progress, "embeddings", rule.on, spent)
    # Of those between, none is needed: a run that is stopped goes on from the saved one.
    drop_embeddings(session.run, {state.saved_embeddings, used.version})


def batches_left(session: Session, state: TrainState, most: int) -> int:
    """Batches until anything is due, at least 1 and `most` at most."""
    left = [most]
    if state.masks is not None:
        left.append(_left(_rule(session, "masks"), state.masks, state, most))
    left.append(_left(_rule(session, "embeddings"), state.embeddings, state, most))
    return max(1, min(left))


def note_first_embeddings(
    settings: Config, state: TrainState, progress: Progress, seconds: float
) -> None:
    """Log the encoding a run begins with."""
    _note(settings, state, progress, "embeddings", "start", seconds)


def drop_embeddings(run: Path, kept: set[int]) -> None:
    """Delete a run's own encodings but for some versions."""
    paths = {sessions.own_embeddings(run, version) for version in kept}
    for path in (run / "embeddings").glob("v*.zarr"):
        if path not in paths:
            replacing.drop(path)


def _left(rule: Rule, used: InUse, state: TrainState, most: int) -> int:
    left = rule.batches_left(used, state.total_batches)
    return most if left is None else left


def _rule(session: Session, kind: Kind) -> Rule:
    settings = session.settings.refresh
    if kind == "masks":
        return Rule(settings.masks_on, settings.masks_every)
    return Rule(settings.embeddings_on, settings.embeddings_every)


def _rate(session: Session, epoch: int) -> float:
    """The rate of masks that are drawn in an epoch."""
    settings = session.settings.masks
    return drawing.curriculum_rate(
        epoch, settings.levels, settings.epochs_per_level, settings.start_rate
    )


def _note(
    settings: Config,
    state: TrainState,
    progress: Progress,
    kind: Kind,
    cause: Cause,
    seconds: float,
) -> None:
    """Write a refresh into the log of the run and tell it."""
    used = state.masks if kind == "masks" else state.embeddings
    assert used is not None
    row = refresh_rules.log_row(kind, used, cause=cause, seed=settings.seed, seconds=seconds)
    state.refreshes.append(row)
    state.refresh_seconds += seconds
    rate = f", rate {used.rate:g}" if kind == "masks" else ""
    progress.note(
        f"{kind}: version {used.version}{rate}, seed {row['seed']}, after batch {used.batch} "
        f"({cause}), {seconds:.2f} s"
    )
