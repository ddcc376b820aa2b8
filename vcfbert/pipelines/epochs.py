"""The epochs of a training run: masks, training, refresh, validation, checkpoint.

W windows, L sites in a window.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config
from vcfbert.domain import masks
from vcfbert.domain.mask_policies import Fixed
from vcfbert.model.embedding import Encoder
from vcfbert.progress import Progress
from vcfbert.storage import embeddings
from vcfbert.storage.masks import MaskVersion
from vcfbert.storage.panel import PanelReader
from vcfbert.training import checkpoints, encoding, loop, machine, runs, schedule, scores, selection
from vcfbert.training.batches import BatchMaker, References
from vcfbert.training.events import SummaryWriter
from vcfbert.training.loop import TrainState
from vcfbert.training.masking import MaskPolicies, Masks
from vcfbert.training.selection import Standing

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


@dataclass(frozen=True)
class Session:
    """The open inputs of a run.

    fixed_masks       the one mask version of a dense index; None where masks are drawn
    first_embeddings  the encoding of the initial weights; None where nothing reads embeddings
    """

    run: Path
    settings: Config
    panel: PanelReader
    index: References
    parents: dict[str, str]
    train_people: NDArray[np.int64]
    validation_people: NDArray[np.int64]
    masks: MaskPolicies
    fixed_masks: MaskVersion | None
    first_embeddings: Path | None
    progress: Progress
    writer: SummaryWriter

    def embeddings_path(self, epoch: int) -> Path | None:
        """Where the encoding made before an epoch lives; None where nothing reads embeddings."""
        return self.first_embeddings if epoch == 0 else own_embeddings(self.run, epoch)


def own_embeddings(run: Path, epoch: int) -> Path:
    """Where a run keeps the encoding it made before an epoch."""
    return run / "embeddings" / f"epoch-{epoch:04d}.zarr"


def run_epochs(session: Session, state: TrainState) -> str:
    """Train until something ends it; returns what did."""
    training = session.settings.training
    while True:
        if _is_out_of_time(session, state):
            return f"training.max_minutes = {training.max_minutes:g}"
        if state.epoch >= training.max_epochs:
            return f"training.max_epochs = {training.max_epochs}"
        if state.epoch - standing(session, state).gain_epoch >= training.patience:
            return f"no better validation {training.val_metric} for {training.patience} epochs"
        _run_epoch(session, state)


def standing(session: Session, state: TrainState) -> Standing:
    """Return the best epoch so far, and the last that gained."""
    training = session.settings.training
    return selection.standing(state.history, training.val_metric, training.min_delta)


def _is_out_of_time(session: Session, state: TrainState) -> bool:
    minutes = session.settings.training.max_minutes
    return minutes > 0 and state.seconds >= 60 * minutes


def _run_epoch(session: Session, state: TrainState) -> None:
    """Train the rest of one epoch, renew the encoding, validate, write everything down."""
    settings = session.settings
    version, rate, hidden = _training_masks(session, state.epoch)
    plan = schedule.plan_epoch(
        session.train_people,
        len(session.panel.windows),
        settings.training,
        seed=settings.seed,
        epoch=state.epoch,
    )
    with _batch_maker(session, state.embeddings_epoch) as maker:
        session.progress.start(f"epoch {state.epoch + 1}, training", len(plan) - state.batch)
        after_step = _after_step(session, len(plan), state.batch)
        loop.train_epoch(state, settings, maker, hidden, plan, after_step)
    trained = scores.summarise(state.counts)
    cost = _cost_of_training(state)
    begun = time.perf_counter()
    _refresh_embeddings(session, state)
    refreshed = time.perf_counter()
    validated = _validate(session, state)
    state.seconds += time.perf_counter() - begun
    row = _row(state, trained, validated, version=version, rate=rate)
    row |= {"refresh_seconds": refreshed - begun} | cost
    row["peak_memory_bytes"] = machine.peak_bytes(state.device)
    row["device"] = machine.describe(state.device)
    _finish_epoch(session, state, row)


def mask_version(settings: Config, epoch: int) -> tuple[int, float]:
    """Which training masks an epoch uses, and their rate.

    The curriculum moves only when masks are drawn again.
    """
    every = settings.refresh.masks_every
    drawn_at = epoch - epoch % every if every else 0
    rate = masks.curriculum_rate(
        drawn_at,
        settings.masks.levels,
        settings.masks.epochs_per_level,
        settings.masks.start_rate,
    )
    return drawn_at, rate


def _training_masks(session: Session, epoch: int) -> tuple[int, float, Masks]:
    """Return an epoch's mask version, its rate and the masks."""
    if session.fixed_masks is not None:
        fixed = session.fixed_masks
        return fixed.version, fixed.rate, Masks(Fixed(fixed.is_masked))
    version, current = mask_version(session.settings, epoch)
    rate = session.masks.hidden_share(current)
    seed = session.settings.seed
    session.progress.note(f"masks: version {version}, rate {rate:g}, seed {seed}")
    return version, rate, session.masks.of_training(version, current)


def _validation_masks(session: Session) -> Masks:
    """Return the validation masks."""
    if session.fixed_masks is not None:
        return Masks(Fixed(session.fixed_masks.is_masked))
    return session.masks.of_validation()


@contextmanager
def _batch_maker(session: Session, embeddings_epoch: int) -> Iterator[BatchMaker]:
    path = session.embeddings_path(embeddings_epoch)
    if path is None:
        yield BatchMaker(session.panel, session.index, None, session.settings.retrieval)
        return
    with embeddings.open_embeddings(path) as reader:
        yield BatchMaker(session.panel, session.index, reader, session.settings.retrieval)


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


def _refresh_embeddings(session: Session, state: TrainState) -> None:
    """Encode the references with the weights as they are now, where that is due."""
    every = session.settings.refresh.embeddings_every
    if not every or (state.epoch + 1) % every:
        return
    begun = time.perf_counter()
    upcoming = state.epoch + 1
    state.model.eval()
    encode(own_embeddings(session.run, upcoming), state.model.encoder, session.panel, session.index)
    state.embeddings_epoch = upcoming
    session.progress.note(
        f"embeddings: encoded again after epoch {upcoming}, {time.perf_counter() - begun:.2f} s"
    )


def encode(path: Path, encoder: Encoder, panel: PanelReader, index: References) -> None:
    """Write the codebook of an encoder."""
    embeddings.write_codebook(
        path,
        (encoding.window_codebook(encoder, panel, window) for window in range(len(panel.windows))),
        panel_fingerprint=panel.fingerprint,
        encoder_fingerprint=encoding.encoder_fingerprint(encoder),
        reference_haplotypes=index.reference_haplotypes,
        overwrite=True,
    )


def _validate(session: Session, state: TrainState) -> scores.Scores:
    training = session.settings.training
    plan = schedule.plan_validation(
        session.validation_people,
        len(session.panel.windows),
        training,
        seed=session.settings.seed,
    )
    session.progress.start(f"epoch {state.epoch + 1}, validation", len(plan))
    with _batch_maker(session, state.embeddings_epoch) as maker:
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
    *,
    version: int,
    rate: float,
) -> dict[str, Any]:
    """Return an epoch's row of the metrics CSV."""
    row: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
    for prefix, result in (("train", trained), ("val", validated)):
        row.update({f"{prefix}_{name}": asdict(result)[name] for name in _SCORE_FIELDS})
    row["train_retrieval_distance"] = trained.retrieval_distance
    row["val_retrieval_distance"] = validated.retrieval_distance
    row["mask_version"] = version
    row["mask_rate"] = rate
    row["seconds"] = state.seconds - sum(past["seconds"] for past in state.history)
    row["wait_seconds"] = state.wait_seconds - sum(past["wait_seconds"] for past in state.history)
    row["make_seconds"] = state.make_seconds - sum(past["make_seconds"] for past in state.history)
    return row


def _cost_of_training(state: TrainState) -> dict[str, Any]:
    """Batches of the epoch and their seconds, waiting and optimizer steps included."""
    past = sum(row["seconds"] for row in state.history)
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
    state.counts = loop.empty_counts(state.device)
    is_best = standing(session, state).best_epoch == row["epoch"]
    if is_best:
        save_checkpoint(session, state, "best")
    save_checkpoint(session, state, "last")
    _drop_old_embeddings(session, state)
    runs.write_metrics(session.run, state.history)
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
    """Write where the run stands; the moments of the optimizer only for the last one."""
    weights = {k: v.detach().cpu().contiguous() for k, v in state.model.state_dict().items()}
    is_last = which == "last"
    checkpoints.save(
        session.run,
        which,
        settings=session.settings,
        parents=session.parents | {"encoder": encoding.encoder_fingerprint(state.model.encoder)},
        state=state.counters(),
        weights=weights,
        optimizer=checkpoints.optimizer_tensors(state.optimizer) if is_last else None,
    )


def _drop_old_embeddings(session: Session, state: TrainState) -> None:
    """Keep the one encoding that the last checkpoint goes on with."""
    kept = own_embeddings(session.run, state.embeddings_epoch)
    for path in (session.run / "embeddings").glob("epoch-*.zarr"):
        if path != kept:
            shutil.rmtree(path)
