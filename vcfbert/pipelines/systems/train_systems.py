"""`vcfbert train`: panel, masks, embeddings and index in, a run folder out.

W windows, L sites in a window.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config
from vcfbert.domain import sites as site_tables
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import locks
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.mosaic import train_mosaic
from vcfbert.pipelines.mosaic.train_mosaic import MosaicOptions, MosaicSummary
from vcfbert.pipelines.systems import epochs, fixed_masks, preflight, references, renewal
from vcfbert.pipelines.systems import training_inputs as sessions
from vcfbert.pipelines.systems.preflight_inputs import RunBench
from vcfbert.pipelines.systems.references import IndexOptions
from vcfbert.pipelines.systems.training_inputs import Session
from vcfbert.progress import Progress
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine, runs
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.systems import checkpoints, encoding, events, loop, masking, selection
from vcfbert.training.systems.batches import References
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import MaskPolicies


@dataclass(frozen=True)
class TrainOptions:
    """What changes with the machine or the run."""

    name: str
    """Folder of the run below `runs/`."""

    resume: bool = False
    """Go on from the last checkpoint."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    threads: int | None = None
    """CPU threads; None leaves PyTorch's choice."""

    typed: tuple[Path, ...] = ()
    """Lists of typed sites that `mosaic` trains for; empty draws designs."""


@dataclass(frozen=True)
class TrainSummary:
    """How a run ended."""

    run: Path
    parameters: int
    epochs: int
    steps: int
    seconds: float
    stopped_by: str
    best_epoch: int
    chosen_by: str
    best: dict[str, Any]
    """Its row of the metrics; empty where no epoch was finished."""

    wait_share: float

    def lines(self) -> list[str]:
        """Return sentences for a sample."""
        return [
            f"Trained {self.parameters:,} parameters for {self.epochs} epochs, {self.steps:,} "
            f"steps, {self.seconds:.0f} s; stopped by {self.stopped_by}.",
            self._best_line(),
            f"The network waited for batches {100 * self.wait_share:.1f} % of the time.",
            f"Run folder: {self.run}",
        ]

    def _best_line(self) -> str:
        best = self.best
        if not best:
            return "No epoch was finished, so there is no best checkpoint yet."
        return (
            f"Best epoch {self.best_epoch}: validation F1 {best['val_f1']:.4f} "
            f"(rare {best['val_rare_f1']:.4f}, common {best['val_common_f1']:.4f}), "
            f"r2 {best['val_r2']:.4f}, loss {best['val_loss']:.5f}; chosen by {self.chosen_by}."
        )


def train(
    workspace: Workspace,
    settings: Config,
    options: TrainOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> TrainSummary | MosaicSummary:
    """Train a new run of any system, or go on with one.

    Raises StoreError where the panel is missing or an input is stale, ConfigError where settings
    do not fit the data or the options, DeviceError where the machine lacks what they ask for.
    """
    if settings.system == "retrieval":
        return train_retrieval(workspace, settings, options, progress=progress, overwrite=overwrite)
    if options.resume:
        raise mosaic_runs.refuse_resume(options.name)
    chosen = MosaicOptions(options.name, options.typed, options.threads, options.device)
    return train_mosaic.train(workspace, settings, chosen, progress=progress, overwrite=overwrite)


def train_retrieval(
    workspace: Workspace,
    settings: Config,
    options: TrainOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> TrainSummary:
    """Train or go on with a run of a system of retrieval."""
    if options.typed:
        raise ConfigError(
            f"--typed names what mosaic is trained for; {settings.preset} draws masks. Leave it "
            "out, or train with --preset mosaic."
        )
    run = workspace.new_run(options.name)
    with ExitStack() as stack:
        stack.enter_context(locks.hold(run))
        runs.check_new(run, resume=options.resume, overwrite=overwrite)
        device = devices.choose_device(options.device)
        if options.threads is not None:
            devices.set_threads(options.threads)
        inputs = _open_inputs(stack, workspace, settings, progress)
        state = _begin(run, settings, options, inputs.parents, device)
        preflight.before_training(_bench(stack, workspace, run, settings, inputs, state), progress)
        machine.start_peak(device)
        first = inputs.first_embeddings
        if inputs.encoder is not None and first is None:
            first = sessions.own_embeddings(run, 0)
        if not options.resume:
            _found(run, settings, inputs, state, progress)
        elif first is not None and state.embeddings.version == 0 and not first.exists():
            assert inputs.encoder is not None  # the workspace's encoding, which it began with
            sessions.encode(first, inputs.encoder, inputs.panel, inputs.index)
        writer = events.open_writer(run, state.step)
        stack.callback(writer.close)
        session = Session(
            run=run,
            settings=settings,
            panel=inputs.panel,
            index=inputs.index,
            parents=inputs.parents,
            train_samples=inputs.panel.samples.in_splits(site_tables.TRAIN),
            validation_samples=_validation_samples(inputs.panel),
            masks=inputs.masks,
            fixed_masks=inputs.fixed_masks,
            first_embeddings=first,
            first_fingerprint=None if state.embeddings.version else _fingerprint(first),
            progress=progress,
            writer=writer,
        )
        stopped_by = epochs.run_epochs(session, state)
    return _summarise(run, settings, state, stopped_by)


def _fingerprint(path: Path | None) -> str | None:
    if path is None:
        return None
    with embeddings.open_embeddings(path) as reader:
        return reader.fingerprint


def _found(
    run: Path, settings: Config, inputs: _Inputs, state: TrainState, progress: Progress
) -> None:
    """Make the folder of a new run with a checkpoint in it, so that any stop can be gone on from.

    A run of that name goes only when the new one stands.
    """
    with stores.staging(run) as folder:
        runs.create(folder, settings, inputs.parents)
        begun = time.perf_counter()
        if inputs.encoder is not None:
            if inputs.first_embeddings is None:
                own = sessions.own_embeddings(folder, 0)
                sessions.encode(own, inputs.encoder, inputs.panel, inputs.index)
            spent = time.perf_counter() - begun
            state.seconds += spent  # of which `refresh_seconds` is a part
            renewal.note_first_embeddings(settings, state, progress, spent)
        epochs.write_checkpoint(folder, settings, inputs.parents, state, "last")
        stores.replace_folder(folder, run)


@dataclass(frozen=True)
class _Inputs:
    """What stands in the workspace for a run.

    encoder           with initial weights; None for a system that reads no embeddings
    first_embeddings  the workspace's encoding, where it is that encoder's
    """

    panel: PanelReader
    index: References
    parents: dict[str, str]
    masks: MaskPolicies
    fixed_masks: MaskVersion | None
    encoder: Encoder | None
    first_embeddings: Path | None


def _open_inputs(
    stack: ExitStack, workspace: Workspace, settings: Config, progress: Progress
) -> _Inputs:
    """Open the stores and refuse settings that do not fit them."""
    panel = stack.enter_context(open_panel(workspace.panel))
    _validation_samples(panel)
    index = _open_index(workspace, settings, panel, progress)
    fixed = fixed_masks.of_index(workspace, settings, index)
    hidden = masking.policies(settings.masks, settings.seed, panel)
    for note in hidden.notes:
        progress.note(note)
    parents = {"panel": panel.fingerprint} | hidden.fingerprints
    if index is not None:
        parents["index"] = index.fingerprint
    encoder = encoding.new_encoder(settings) if settings.reads_embeddings else None
    return _Inputs(
        panel=panel,
        index=IndexedOnDemand(panel) if index is None else index,
        parents=parents,
        masks=hidden,
        fixed_masks=fixed,
        encoder=encoder,
        first_embeddings=_stored_embeddings(workspace, encoder, panel, index, progress),
    )


def _bench(
    stack: ExitStack,
    workspace: Workspace,
    run: Path,
    settings: Config,
    inputs: _Inputs,
    state: TrainState,
) -> RunBench:
    """What the pre-flight checks look at; nothing of the run is written yet."""
    encoded: EmbeddingsReader | EncodedOnDemand
    if state.embeddings.version:
        own = sessions.own_embeddings(run, state.embeddings.version)
        encoded = stack.enter_context(embeddings.open_embeddings(own))
    elif inputs.first_embeddings is not None:
        encoded = stack.enter_context(embeddings.open_embeddings(inputs.first_embeddings))
    else:
        encoded = EncodedOnDemand(inputs.encoder or state.model.encoder, inputs.panel)
    return RunBench(
        settings,
        workspace,
        run,
        panel=inputs.panel,
        index=inputs.index,
        embeddings=encoded,
        state=state,
        policies=inputs.masks,
        fixed_masks=inputs.fixed_masks,
    )


def _validation_samples(panel: PanelReader) -> NDArray[np.int64]:
    samples = panel.samples.in_splits(site_tables.VALIDATION)
    if len(samples) == 0:
        raise InputError(
            f"{panel.path} has no validation samples, so training cannot tell when to stop. "
            "Prepare it again with --validation-fraction above 0."
        )
    return samples


def check_neighbours(settings: Config, index: IndexReader) -> None:
    """Refuse more neighbours than a training query, which may not find itself, can have."""
    own = 2 if settings.retrieval.exclude_same_sample else 0
    allowed = len(index.reference_haplotypes) - own
    if settings.retrieval.num_neighbours > allowed:
        raise ConfigError(
            f"retrieval.num_neighbours is {settings.retrieval.num_neighbours}, but {index.path} "
            f"has only {allowed} references for a query. Choose fewer with --retrieve-k."
        )


def _check_exclusion(settings: Config, index: IndexReader, panel: PanelReader) -> None:
    """Refuse to let train samples who stand in the index be copied from themselves."""
    if settings.retrieval.exclude_same_sample:
        return
    rows = index.rows_of(panel.samples.haplotypes(site_tables.TRAIN))
    if (rows >= 0).any():
        raise ConfigError(
            f"retrieval.exclude_same_sample is off, but {index.path} holds the samples to be "
            "trained on, who would be copied from themselves. Leave it on."
        )


def saved_settings(workspace: Workspace, name: str | None) -> Config:
    """Return the settings of a run that is to go on.

    Raises ConfigError where it is not named, StoreError where there is no such run.
    """
    if name is None:
        raise ConfigError("--resume needs to know which run goes on. Name it with --run NAME.")
    if mosaic_runs.system_of(workspace.run(name)) != "retrieval":
        raise mosaic_runs.refuse_resume(name)
    return checkpoints.read(workspace.run(name), "last").settings


def _open_index(
    workspace: Workspace, settings: Config, panel: PanelReader, progress: Progress
) -> IndexReader | None:
    """Open the newest index and check that the settings fit it; None where nothing is retrieved.

    An exact one is built where there is none, for it takes a moment.
    """
    if settings.retrieval.space == "none":
        return None
    if not workspace.versions("indexes"):
        progress.note("No index in the workspace yet: building the exact one.")
        references.build_index(workspace, IndexOptions(), progress=progress)
    index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
    check_neighbours(settings, index)
    _check_exclusion(settings, index, panel)
    return index


def _begin(
    run: Path,
    settings: Config,
    options: TrainOptions,
    parents: dict[str, str],
    device: devices.Device,
) -> TrainState:
    """Return a new state, or the one a run stopped in."""
    if not options.resume:
        return loop.new_state(settings, device)
    checkpoint = checkpoints.read(run, "last")
    runs.check_resumable(run, checkpoint.settings, settings)
    for name, fingerprint in parents.items():
        if checkpoint.parents.get(name) != fingerprint:
            raise StoreError(
                f"The run {run.name} was trained on another {name} than the one given here, "
                "so it cannot go on. Start a new run with --run."
            )
    state = loop.new_state(settings, device)
    _restore(state, checkpoint)
    return state


def _restore(state: TrainState, checkpoint: checkpoints.Checkpoint) -> None:
    """Put a checkpoint's weights, moments, counters and sums into a new state."""
    checkpoints.load_weights(state.model, checkpoint.weights_file)
    if checkpoint.optimizer_file is not None:
        moments = checkpoints.load_tensors(checkpoint.optimizer_file)
        checkpoints.restore_optimizer(state.optimizer, moments)
    state.restore_counters(checkpoint.state)


def _stored_embeddings(
    workspace: Workspace,
    encoder: Encoder | None,
    panel: PanelReader,
    index: IndexReader | None,
    progress: Progress,
) -> Path | None:
    """Return the newest store of the workspace where it holds what this run starts from.

    None where it does not: the run then makes its own, which takes a moment. None, too, for a run
    that reads none, which has no encoder here. A dense index was made from one encoding and refuses
    every other.
    """
    if encoder is None or index is None:
        return None
    if workspace.versions("embeddings"):
        path = workspace.newest("embeddings")
        with embeddings.open_embeddings(path) as reader:
            if _fits(reader, encoder, panel, index):
                return path
        progress.note(f"{path} holds other weights, another panel or other references; encoding.")
    if index.kind == "dense":
        raise StoreError.stale(index.path, parent="encoder", made_by="build-index --kind dense")
    return None


def _fits(
    reader: EmbeddingsReader, encoder: Encoder, panel: PanelReader, index: IndexReader
) -> bool:
    """Tell whether a store holds what this run starts from; a dense index insists on its own."""
    if index.kind == "dense":
        index.require_parent("embeddings", reader.fingerprint)
    has_same_rows = np.array_equal(reader.reference_haplotypes, index.reference_haplotypes)
    return (
        reader.panel_fingerprint == panel.fingerprint
        and reader.encoder_fingerprint == encoding.encoder_fingerprint(encoder)
        and (has_same_rows or reader.layout == "codebook")
    )


def _summarise(run: Path, settings: Config, state: TrainState, stopped_by: str) -> TrainSummary:
    training = settings.training
    chosen = selection.standing(state.history, training.val_metric, training.min_delta)
    best = next((row for row in state.history if row["epoch"] == chosen.best_epoch), {})
    return TrainSummary(
        run=run,
        parameters=sum(p.numel() for p in state.model.parameters()),
        epochs=state.epoch,
        steps=state.step,
        seconds=state.seconds,
        stopped_by=stopped_by,
        chosen_by=training.val_metric,
        best_epoch=chosen.best_epoch,
        best=best,
        wait_share=state.wait_seconds / max(state.seconds, 1e-9),
    )
