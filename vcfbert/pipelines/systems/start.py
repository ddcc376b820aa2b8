"""What a run starts or resumes with, opened at first use.

`train` opens everything and runs the pre-flight checks on it; `audit-dims --strict` runs the same
checks on the same object. So what one refuses, the other refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vcfbert.config import Config
from vcfbert.errors import ConfigError
from vcfbert.pipelines.systems import (
    first_encoding,
    first_masks,
    fixed_masks,
    initial_weights,
    training_inputs,
    training_run,
)
from vcfbert.pipelines.systems.first_encoding import FirstEncoding
from vcfbert.pipelines.systems.first_masks import FirstMasks
from vcfbert.pipelines.systems.initial_weights import TakenOver
from vcfbert.pipelines.systems.preflight_inputs import PreflightInputs
from vcfbert.pipelines.systems.training_inputs import TrainingInputs
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import embeddings, masks, stored_versions
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, runs
from vcfbert.training.devices import Device
from vcfbert.training.systems import checkpoints, encoding, loop, masking
from vcfbert.training.systems.batches import References
from vcfbert.training.systems.checkpoints import Checkpoint
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import MaskPlan


@dataclass(frozen=True)
class StartOptions:
    """What a new run starts from; by default the newest stores that fit, and initial weights."""

    mask_version: VersionName | None = None
    """Masks of the first epoch: a version of the workspace, a path, or "new" to draw them by the
    settings as if none were stored; None is the newest that fits."""

    embeddings: VersionName | None = None
    """First encoding and its encoder: likewise; "new" is of the initial weights."""

    init_from: str | None = None
    """Run whose best weights are taken over: a name, or the path of its folder."""

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        named = {
            "--mask-version": self.mask_version,
            "--embeddings": self.embeddings,
            "--init-from": self.init_from,
        }
        return [name for name, value in named.items() if value is not None]


class TrainingStart(PreflightInputs):
    """The stores, the network and the masks of a run, each opened when it is first read."""

    def __init__(
        self,
        settings: Config,
        workspace: Workspace,
        run: Path,
        stack: ExitStack,
        options: StartOptions | None = None,
        *,
        is_resumed: bool = False,
        device: str = "auto",
        num_ranks: int = 1,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Open nothing yet; `stack` closes the stores.

        run         folder of the run, which exists only if it is resumed
        is_resumed  read what the run of this folder continues with
        num_ranks   processes that share each batch

        Raises ConfigError if a resumed run is to start from something else.
        """
        super().__init__(settings, workspace, run, num_ranks)
        self._options = options or StartOptions()
        self._resumed = run if is_resumed else None
        self._device_name = device
        self._stack = stack
        self._note = note
        if is_resumed and self._options.given:
            raise ConfigError(
                f"{' and '.join(self._options.given)} choose what a new run starts with, but "
                f"--resume continues {run.name} with its own. Leave one of them out."
            )

    def inputs(self) -> TrainingInputs:
        """Open everything; raises the first error that `train` refuses to start with."""
        training_inputs.check_exclusion(self.settings.retrieval, self.index, self.panel)
        fixed = self.fixed_masks
        self.check_refresh()
        state = self.state
        for line in self.mask_plan.notes:
            self._note(line)
        return TrainingInputs(
            panel=self.panel,
            index=self.index,
            parents=self._parents | self._first_parents(state),
            masks=self.mask_plan,
            fixed_masks=fixed,
            first_masks=self.first_masks,
            encoding=self.encoding,
        )

    @cached_property
    def panel(self) -> PanelReader:
        """The panel of the workspace; it has the populations that the network reads."""
        panel = self._stack.enter_context(open_panel(self.workspace.panel))
        training_inputs.check_populations(self.settings.model, panel)
        return panel

    @cached_property
    def index(self) -> References:
        """The index of a resumed run, else the newest, else one that is made when it is read."""
        index = training_inputs.open_references(
            self.workspace,
            self.settings.retrieval,
            self.panel,
            self._resumed,
            on_gpu=self._chosen_device.type == "cuda",
        )
        training_inputs.check_folds(self.settings, index, self.panel)
        return index

    @cached_property
    def mask_plan(self) -> MaskPlan:
        """The mask plan of the settings."""
        return masking.plan(self.settings.masks, self.settings.seed, self.panel)

    @cached_property
    def fixed_masks(self) -> MaskVersion | None:
        """Masks of a dense index; a separate check tests whether it can follow a refresh."""
        index, name = self.index, self._options.mask_version
        if not isinstance(index, IndexReader) or index.kind != "dense":
            return None
        found = fixed_masks.stored(
            self.workspace, self.settings.retrieval, self.settings.masks, index
        )
        if name is not None:
            is_same = False
            if name != stored_versions.NEW:
                path = stored_versions.path_of(self.workspace, "masks", name)
                is_same = masks.read_masks(path).fingerprint == found.fingerprint
            if not is_same:
                raise ConfigError(
                    f"--mask-version {name} is not mask version {found.version}, from which the "
                    f"dense index {index.path} was made. Leave out --mask-version, or build an "
                    "exact index: vcfbert build-index --kind exact --force"
                )
        return found

    @cached_property
    def first_masks(self) -> FirstMasks | None:
        """The masks to start or resume with; None if each sample draws its own, or if fixed."""
        if self.fixed_masks is not None:
            return None
        if self._saved is not None:
            folder = self.run / "masks"
            return first_masks.resume(folder, self.mask_plan, self.state.masks, self._saved.parents)
        return first_masks.choose(
            self.workspace,
            self.mask_plan,
            self.settings.preset,
            self._options.mask_version,
            self._note,
        )

    @cached_property
    def state(self) -> TrainState:
        """The network and optimizer: of the last checkpoint, or new with its first encoder."""
        state = self._new_state
        if self._saved is None:
            _ = self.encoding  # gives the encoder its weights
        else:
            _restore(state, self.run, self._saved, self.settings, self._parents)
            self.is_current = state.step == 0
        return state

    @cached_property
    def taken_over(self) -> TakenOver | None:
        """What a new run takes over from another; None if it starts with initial weights."""
        return self._started[1]

    @cached_property
    def encoding(self) -> FirstEncoding | None:
        """The first encoding; None if nothing reads embeddings, or a later one is in use."""
        if not self.settings.reads_embeddings:
            if self._options.embeddings is not None:
                raise ConfigError(
                    f"--embeddings {self._options.embeddings} has no effect: "
                    f"{self.settings.preset} reads no embeddings. Leave it out."
                )
            return None
        if self._saved is not None:
            if self.state.embeddings.version:
                return None
            return first_encoding.resume(
                self.workspace,
                encoding.new_encoder(self.settings.model, self.settings.seed),
                training_run.own_embeddings(self.run, 0),
                self.run.name,
                self._saved.parents,
            )
        taken = self.taken_over
        return first_encoding.choose(
            self.workspace,
            self._new_state.model.encoder,
            self.panel,
            self.index,
            preset=self.settings.preset,
            name=self._options.embeddings,
            taken_from=taken.run.name if taken is not None else None,
            note=self._note,
        )

    @cached_property
    def embeddings(self) -> EmbeddingsReader | EncodedOnDemand:
        """The encoding to start or resume with: stored, or computed when it is read."""
        first, version = self.encoding, self.state.embeddings.version
        path = training_run.own_embeddings(self.run, version) if version else None
        if first is not None:
            path = first.store
        if path is not None:
            return self._stack.enter_context(embeddings.open_embeddings(path))
        source = self.state.model.encoder if first is None else first.encoder
        return EncodedOnDemand(source, self.panel)

    @cached_property
    def _saved(self) -> Checkpoint | None:
        """The last checkpoint of a resumed run."""
        return None if self._resumed is None else checkpoints.read(self._resumed, "last")

    @cached_property
    def _started(self) -> tuple[TrainState, TakenOver | None]:
        """A new network, with the weights of another run if that is asked for."""
        settings, device = self.settings, self._chosen_device
        state = loop.new_state(
            settings.model,
            settings.training,
            settings.seed,
            device,
            focal_gamma=settings.loss.focal_gamma,
        )
        if self._options.init_from is None or self._resumed is not None:
            return state, None
        taken = initial_weights.take_over(
            self.workspace, self._options.init_from, state.model, self.panel
        )
        for line in taken.lines():
            self._note(line)
        return state, taken

    @property
    def _new_state(self) -> TrainState:
        return self._started[0]

    @property
    def _chosen_device(self) -> Device:
        return devices.choose_device(self._device_name)

    @cached_property
    def _parents(self) -> dict[str, str]:
        """Fingerprints of what a resumed run must find again."""
        found = {"panel": self.panel.fingerprint} | self.mask_plan.fingerprints
        if self.settings.retrieval.space == "none":
            return found
        if self._saved is not None and not isinstance(self.index, IndexReader):
            return found | {"index": self._saved.parents["index"]}  # of the same references
        return found | training_inputs.index_parent(self.index)

    def _first_parents(self, state: TrainState) -> dict[str, str]:
        """Fingerprints of what the run began with; a resumed run keeps those it has."""
        names = ("masks", "embeddings", "first encoder", "first weights")
        if self._saved is not None:
            return {
                name: self._saved.parents[name] for name in names if name in self._saved.parents
            }
        found = {}
        first = self.fixed_masks or (self.first_masks.mask if self.first_masks else None)
        if first is not None:
            found["masks"] = first.fingerprint
        if self.encoding is not None:
            found["first encoder"] = encoding.encoder_fingerprint(state.model.encoder)
            if self.encoding.fingerprint is not None:
                found["embeddings"] = self.encoding.fingerprint
        if self.taken_over is not None:
            found["first weights"] = self.taken_over.sha256
        return found


def _restore(
    state: TrainState,
    run: Path,
    checkpoint: Checkpoint,
    settings: Config,
    parents: dict[str, str],
) -> None:
    """Load the last checkpoint of a run: weights, moments, counters and sums.

    Raises ConfigError if the settings would change what it computes, StoreError if it was trained
    on other inputs.
    """
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
