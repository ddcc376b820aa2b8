"""Training of a retrieval system: panel, masks, embeddings and index in, a run folder out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcfbert import plurals
from vcfbert.config import Config, TrainingConfig
from vcfbert.files import locks
from vcfbert.pipelines.systems import (
    build_index,
    epochs,
    preflight,
    run_refresh,
    training_inputs,
    training_run,
)
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.initial_weights import TakenOver
from vcfbert.pipelines.systems.start import StartOptions, TrainingStart
from vcfbert.pipelines.systems.training_inputs import TrainingInputs
from vcfbert.pipelines.systems.training_run import TrainingRun
from vcfbert.progress import Progress
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import embeddings, masks, stores
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine, runs
from vcfbert.training.systems import events, index_of_run, selection
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.ranks import ALONE, Ranks


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
    """CPU threads of all processes together; None leaves the choice to PyTorch."""

    start: StartOptions = field(default_factory=StartOptions)
    """What a new run starts from; for retrieval systems only."""

    num_devices: int | None = None
    """GPUs, or processes on the CPU, that share each batch; for retrieval systems only. None is
    one, or those of torchrun."""


@dataclass(frozen=True)
class TrainSummary:
    """How a run ended.

    best          row of the metrics of the best epoch; epoch 0 is the network before training
    started_from  what was taken over from another run; empty for initial weights
    is_reported   False in all processes of torchrun but the first
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
    started_from: list[str] = field(default_factory=list)
    is_reported: bool = True

    def lines(self) -> list[str]:
        """The summary as text."""
        if not self.is_reported:
            return []
        return [
            f"Trained {self.parameters:,} parameters for {plurals.of(self.epochs, 'epoch')}, "
            f"{plurals.of(self.steps, 'step')}, {self.seconds:.0f} s; stopped by "
            f"{self.stopped_by}.",
            self._best_line(),
            f"The network waited for batches {100 * self.wait_share:.1f} % of the time.",
            *self.started_from,
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
    ranks: Ranks = ALONE,
) -> TrainSummary:
    """Train a new run, or resume one.

    ranks  the processes that train it together; all make this call

    Raises StoreError if the panel is missing, an input is stale or a pre-flight check fails,
    ConfigError if settings do not fit the data or the options, DeviceError if the machine lacks
    what they ask for.
    """
    assert settings.system == "retrieval", "pipelines.train hands mosaic to its own room"
    folder = workspace.new_run(options.name)
    with ExitStack() as stack:
        if ranks.is_first:
            stack.enter_context(locks.hold(folder))
            runs.check_new(folder, resume=options.resume, overwrite=overwrite)
        if options.threads is not None:
            devices.set_threads(options.threads)
        start = TrainingStart(
            settings,
            workspace,
            folder,
            stack,
            options.start,
            is_resumed=options.resume,
            device=options.device,
            num_ranks=ranks.count,
            note=progress.note,
        )
        inputs = _opened(start, progress, ranks)
        state = start.state
        machine.start_peak(state.device)
        if ranks.is_first and not options.resume:
            _create(folder, settings, inputs, start, progress)
        run = _start(stack, folder, settings, inputs, state, progress, ranks)
        stopped_by = epochs.run_epochs(run, state)
    return _summarise(folder, settings.training, state, stopped_by, start.taken_over)


def _opened(start: TrainingStart, progress: Progress, ranks: Ranks) -> TrainingInputs:
    """Open and check the inputs: the first process alone, then the others."""
    inputs = None
    if ranks.is_first:
        training_inputs.check_validation(start.panel)
        _build_missing_index(start.workspace, start.settings, progress)
        inputs = start.inputs()
        preflight.before_training(start, progress)
    ranks.wait()
    if inputs is None:
        inputs = start.inputs()
    ranks.wait()  # until all have read what a new run may replace
    return inputs


def _build_missing_index(workspace: Workspace, settings: Config, progress: Progress) -> None:
    """Build an exact index, which takes a moment, if the system searches one and none is there."""
    if settings.retrieval.space != "none" and not workspace.versions("indexes"):
        progress.note("No index in the workspace yet: building an exact one.")
        build_index.build_index(workspace, IndexOptions(), progress=progress)


def _create(
    run: Path, settings: Config, inputs: TrainingInputs, start: TrainingStart, progress: Progress
) -> None:
    """Make the folder of a new run, with a checkpoint, so that it can be resumed from the start.

    An existing run of that name is replaced only when the new folder is complete.
    """
    state, home = start.state, start.workspace.root
    with stores.staging(run) as folder:
        index = inputs.index
        noted = index_of_run.record_of(index.manifest) if isinstance(index, IndexReader) else None
        runs.create(folder, settings, inputs.parents, noted, _start_record(home, inputs, start))
        if inputs.first_masks is not None:
            first = inputs.first_masks.mask
            masks.write_masks(training_run.own_masks(folder, first.version), first)
        begun = time.perf_counter()
        if inputs.encoding is not None:
            place = inputs.encoding.store
            if place is None:
                place = training_run.own_embeddings(run, 0)
                own = training_run.own_embeddings(folder, 0)
                training_run.encode(own, inputs.encoding.encoder, inputs.panel, inputs.index)
            spent = time.perf_counter() - begun
            state.seconds += spent  # which includes `refresh_seconds`
            store = _below(home, place)
            run_refresh.record_first_embeddings(settings.seed, state, progress, spent, store)
        training_run.save_checkpoint(folder, settings, inputs.parents, state, "last")
        stores.replace_folder(folder, run)


def _start_record(home: Path, inputs: TrainingInputs, start: TrainingStart) -> dict[str, Any]:
    """What run.json notes about the masks, the encoding and the weights that a run starts with.

    A store of null means that the run made it itself.
    """
    first, encoded, taken = inputs.first_masks, inputs.encoding, start.taken_over
    mask = inputs.fixed_masks if first is None else first.mask
    place = None if first is None else first.store
    return {
        "masks": None
        if mask is None
        else {
            "store": None if place is None else _below(home, place),
            "version": mask.version,
            "policy": mask.policy,
            "rate": mask.rate,
            "seed": mask.seed,
        },
        "embeddings": None
        if encoded is None
        else {
            "store": None if encoded.store is None else _below(home, encoded.store),
            "encoder": inputs.parents["first encoder"],
        },
        "weights": None if taken is None else taken.record(),
    }


def _below(home: Path, path: Path) -> str:
    """A path from the folder of the workspace, if it is in there."""
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)


def _start(
    stack: ExitStack,
    folder: Path,
    settings: Config,
    inputs: TrainingInputs,
    state: TrainState,
    progress: Progress,
    ranks: Ranks,
) -> TrainingRun:
    """Open what training writes to, and find the encoding that it starts with.

    Other processes wait for the files of the first, and continue with its counters.
    """
    first, fingerprint, writer = None, None, None
    if inputs.encoding is not None:
        first = inputs.encoding.store or training_run.own_embeddings(folder, 0)
        if ranks.is_first and not first.exists():  # resumed, began with those of the workspace
            training_run.encode(first, inputs.encoding.encoder, inputs.panel, inputs.index)
        ranks.wait()
        with embeddings.open_embeddings(first) as reader:
            fingerprint = reader.fingerprint
    counters = ranks.of_first(state.counters())
    if ranks.is_first:
        writer = events.open_writer(folder, state.step)
        stack.callback(writer.close)
    else:
        state.restore_counters(counters)
    return TrainingRun(folder, settings, inputs, first, fingerprint, progress, writer, ranks)


def _summarise(
    run: Path,
    settings: TrainingConfig,
    state: TrainState,
    stopped_by: str,
    taken: TakenOver | None,
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
        started_from=[] if taken is None else taken.lines(),
    )
