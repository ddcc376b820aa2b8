"""Training of a retrieval system: panel, masks, embeddings and index in, a run folder out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert.config import Config, TrainingConfig
from vcfbert.files import locks
from vcfbert.pipelines.systems import (
    epochs,
    preflight,
    run_refresh,
    training_inputs,
    training_run,
)
from vcfbert.pipelines.systems.preflight_inputs import OpenedInputs
from vcfbert.pipelines.systems.training_inputs import TrainingInputs
from vcfbert.pipelines.systems.training_run import TrainingRun
from vcfbert.progress import Progress
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine, runs
from vcfbert.training.systems import checkpoints, events, index_of_run, loop, selection
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.loop import TrainState


@dataclass(frozen=True)
class SystemOptions:
    """Options of training; `resume` is for retrieval systems only."""

    name: str
    """Folder of the run below `runs/`."""

    resume: bool = False
    """Resume from the last checkpoint."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    threads: int | None = None
    """CPU threads; None leaves the choice to PyTorch."""


@dataclass(frozen=True)
class TrainSummary:
    """How a run ended.

    best  row of the metrics of the best epoch; epoch 0 is the network before training
    """

    run: Path
    parameters: int
    epochs: int
    steps: int
    seconds: float
    stopped_by: str
    best_epoch: int
    chosen_by: str
    best: dict[str, Any]
    wait_share: float

    def lines(self) -> list[str]:
        """The summary as text."""
        return [
            f"Trained {self.parameters:,} parameters for {self.epochs} epochs, {self.steps:,} "
            f"steps, {self.seconds:.0f} s; stopped by {self.stopped_by}.",
            self._best_line(),
            f"The network waited for batches {100 * self.wait_share:.1f} % of the time.",
            f"Run folder: {self.run}",
        ]

    def _best_line(self) -> str:
        best = self.best
        epoch = f"Best epoch {self.best_epoch}" if self.best_epoch else "Best before training"
        return (
            f"{epoch}: validation F1 {best['val_f1']:.4f} "
            f"(rare {best['val_rare_f1']:.4f}, common {best['val_common_f1']:.4f}), "
            f"r2 {best['val_r2']:.4f}, loss {best['val_loss']:.5f}, log loss "
            f"{best['val_log_loss']:.5f}; chosen by {self.chosen_by}."
        )


def train(
    workspace: Workspace,
    settings: Config,
    options: SystemOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> TrainSummary:
    """Train a new run, or resume one.

    Raises StoreError if the panel is missing, an input is stale or a pre-flight check fails,
    ConfigError if settings do not fit the data or the options, DeviceError if the machine lacks
    what they ask for.
    """
    assert settings.system == "retrieval", "pipelines.train hands mosaic to its own room"
    folder = workspace.new_run(options.name)
    with ExitStack() as stack:
        stack.enter_context(locks.hold(folder))
        runs.check_new(folder, resume=options.resume, overwrite=overwrite)
        device = devices.choose_device(options.device)
        if options.threads is not None:
            devices.set_threads(options.threads)
        resumed = folder if options.resume else None
        inputs = training_inputs.open_inputs(
            stack, workspace, settings, progress, resumed=resumed, on_gpu=device.type == "cuda"
        )
        inputs.check_folds(settings)
        state = loop.new_state(
            settings.model,
            settings.training,
            settings.seed,
            device,
            focal_gamma=settings.loss.focal_gamma,
        )
        if options.resume:
            _restore(state, folder, settings, inputs.parents)
        checked = _opened_inputs(stack, workspace, folder, settings, inputs, state)
        preflight.before_training(checked, progress)
        machine.start_peak(device)
        if not options.resume:
            _create(folder, settings, inputs, state, progress)
        run = _start(stack, folder, settings, inputs, state, progress)
        stopped_by = epochs.run_epochs(run, state)
    return _summarise(folder, settings.training, state, stopped_by)


def _restore(state: TrainState, run: Path, settings: Config, parents: dict[str, str]) -> None:
    """Load the last checkpoint of a run: weights, moments, counters and sums.

    Raises ConfigError if the settings would change what it computes, StoreError if it was trained
    on other inputs.
    """
    checkpoint = checkpoints.read(run, "last")
    runs.check_resumable(run, checkpoint.settings, settings)
    runs.check_parents(
        run.name,
        checkpoint.parents,
        parents,
        place=str(run.parent.parent),
        remedy="It cannot be resumed; start a new run with --run.",
    )
    checkpoints.load_weights(state.model, checkpoint.weights_file)
    if checkpoint.optimizer_file is not None:
        moments = checkpoints.load_tensors(checkpoint.optimizer_file)
        checkpoints.restore_optimizer(state.optimizer, moments)
    state.restore_counters(checkpoint.state)


def _opened_inputs(
    stack: ExitStack,
    workspace: Workspace,
    run: Path,
    settings: Config,
    inputs: TrainingInputs,
    state: TrainState,
) -> OpenedInputs:
    """What the pre-flight checks read; nothing of the run has been written yet."""
    encoded: EmbeddingsReader | EncodedOnDemand
    if state.embeddings.version:
        own = training_run.own_embeddings(run, state.embeddings.version)
        encoded = stack.enter_context(embeddings.open_embeddings(own))
    elif inputs.stored_embeddings is not None:
        encoded = stack.enter_context(embeddings.open_embeddings(inputs.stored_embeddings))
    else:
        encoded = EncodedOnDemand(inputs.encoder or state.model.encoder, inputs.panel)
    return OpenedInputs(settings, workspace, run, inputs, encoded, state)


def _create(
    run: Path, settings: Config, inputs: TrainingInputs, state: TrainState, progress: Progress
) -> None:
    """Make the folder of a new run, with a checkpoint, so that it can be resumed from the start.

    An existing run of that name is replaced only when the new folder is complete.
    """
    with stores.staging(run) as folder:
        index = inputs.index
        noted = index_of_run.record_of(index.manifest) if isinstance(index, IndexReader) else None
        runs.create(folder, settings, inputs.parents, noted)
        begun = time.perf_counter()
        if inputs.encoder is not None:
            if inputs.stored_embeddings is None:
                own = training_run.own_embeddings(folder, 0)
                training_run.encode(own, inputs.encoder, inputs.panel, inputs.index)
            spent = time.perf_counter() - begun
            state.seconds += spent  # which includes `refresh_seconds`
            run_refresh.record_first_embeddings(settings.seed, state, progress, spent)
        training_run.save_checkpoint(folder, settings, inputs.parents, state, "last")
        stores.replace_folder(folder, run)


def _start(
    stack: ExitStack,
    folder: Path,
    settings: Config,
    inputs: TrainingInputs,
    state: TrainState,
    progress: Progress,
) -> TrainingRun:
    """Open what training writes to, and find the encoding that it starts with."""
    first = inputs.stored_embeddings
    if inputs.encoder is not None and first is None:
        first = training_run.own_embeddings(folder, 0)
    fingerprint = None
    if first is not None and state.embeddings.version == 0:
        if not first.exists():  # a resumed run that began with embeddings of the workspace
            assert inputs.encoder is not None
            training_run.encode(first, inputs.encoder, inputs.panel, inputs.index)
        with embeddings.open_embeddings(first) as reader:
            fingerprint = reader.fingerprint
    writer = events.open_writer(folder, state.step)
    stack.callback(writer.close)
    return TrainingRun(folder, settings, inputs, first, fingerprint, progress, writer)


def _summarise(
    run: Path, settings: TrainingConfig, state: TrainState, stopped_by: str
) -> TrainSummary:
    chosen = selection.standing(state.history, settings.val_metric, settings.min_delta)
    best = next(row for row in state.history if row["epoch"] == chosen.best_epoch)
    return TrainSummary(
        run=run,
        parameters=sum(p.numel() for p in state.model.parameters()),
        epochs=state.epoch,
        steps=state.step,
        seconds=state.seconds,
        stopped_by=stopped_by,
        chosen_by=settings.val_metric,
        best_epoch=chosen.best_epoch,
        best=best,
        wait_share=state.wait_seconds / max(state.seconds, 1e-9),
    )
