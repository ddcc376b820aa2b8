"""`audit-dims --strict`: the pre-flight checks of `train`, run on the stores of a workspace."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import get_args

from vcfbert.config import Config, presets
from vcfbert.errors import ConfigError, StoreError, VcfbertError
from vcfbert.pipelines.systems import fixed_masks, preflight, training_inputs
from vcfbert.pipelines.systems.preflight import Preflight
from vcfbert.pipelines.systems.preflight_inputs import PreflightInputs
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.zarr import embeddings
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, runs
from vcfbert.training.systems import (
    alignment,
    checkpoints,
    encoding,
    index_of_run,
    loop,
    masking,
)
from vcfbert.training.systems.alignment import FeatureSpace
from vcfbert.training.systems.batches import References
from vcfbert.training.systems.checkpoints import Which
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import MaskPlan


def check(settings: Config, workspace: Workspace, run: str | None) -> Preflight:
    """Run the eight checks on the newest stores of a workspace; leaves no files behind.

    run  check the weights and the index of this run; None checks initial weights

    Raises ConfigError for mosaic, which has no such checks, StoreError if the run is missing.
    """
    if settings.system != "retrieval":
        raise ConfigError(
            f"--strict checks the stores of systems trained on windows, but {settings.preset} is "
            f"of {settings.system}, which checks its inputs when it reads them. Leave out --strict "
            "or choose another preset."
        )
    if run is not None:
        runs.folder_of(workspace, run)
    with ExitStack() as stack:
        return preflight.run(StoredInputs(settings, workspace, run, stack))


def feature_space(
    settings: Config, workspace: Workspace, run: str | None
) -> tuple[FeatureSpace | None, str]:
    """Compare queries with their neighbours; None and the reason if that is not possible.

    run  embed with the weights of this run; None uses initial weights
    """
    if settings.retrieval.space == "none":
        return None, "this system retrieves nothing"
    with ExitStack() as stack:
        bench = StoredInputs(settings, workspace, run, stack)
        try:
            return alignment.measure(bench.state.model, bench.probed_batches(), bench.device), ""
        except VcfbertError as error:
            return None, str(error)


class StoredInputs(PreflightInputs):
    """The newest stores, each opened at first use; missing ones are not made.

    A run that is named has its own index instead of the newest.
    """

    def __init__(
        self, settings: Config, workspace: Workspace, run: str | None, stack: ExitStack
    ) -> None:
        """Open nothing yet; `stack` closes the stores."""
        super().__init__(settings, workspace, workspace.run(run or settings.preset))
        self._named = run is not None
        self._stack = stack

    @cached_property
    def panel(self) -> PanelReader:
        """The panel of the workspace."""
        return self._stack.enter_context(open_panel(self.workspace.panel))

    @cached_property
    def index(self) -> References:
        """The index of the run, or the newest; made on demand if the system retrieves nothing."""
        found = self._stored_index
        return IndexedOnDemand(self.panel) if found is None else found

    @cached_property
    def embeddings(self) -> EmbeddingsReader:
        """The newest embeddings; StoreError if they are of another panel or size."""
        path = self.workspace.newest("embeddings")
        found = self._stack.enter_context(embeddings.open_embeddings(path))
        made_by = f"encode-refs {presets.flag(self.settings.preset)} --force"
        if found.panel_fingerprint != self.panel.fingerprint:
            raise StoreError.stale(path, parent="panel", made_by=made_by)
        shape = (found.num_windows, found.length, found.width)
        needed = (len(self.panel.windows), self.panel.length, self.settings.model.width)
        if shape != needed:
            raise StoreError(
                f"{path} has windows x sites x width = {shape}, but panel and settings need "
                f"{needed}. Encode again with: vcfbert {made_by}"
            )
        return found

    @cached_property
    def state(self) -> TrainState:
        """A new network, or the run's: the checkpoint that made the embeddings, else the best."""
        settings, device = self.settings, devices.choose_device("auto")
        state = loop.new_state(
            settings.model,
            settings.training,
            settings.seed,
            device,
            focal_gamma=settings.loss.focal_gamma,
        )
        if self._named:
            weights = checkpoints.read(self.run, self._checkpoint()).weights_file
            checkpoints.load_weights(state.model, weights)
        return state

    @cached_property
    def mask_plan(self) -> MaskPlan:
        """The mask plan of the settings."""
        return masking.plan(self.settings.masks, self.settings.seed, self.panel)

    @cached_property
    def fixed_masks(self) -> MaskVersion | None:
        """Masks of a dense index; a separate check tests whether it can follow a refresh."""
        index = self._stored_index
        if index is None or index.kind != "dense":
            return None
        return fixed_masks.stored(
            self.workspace, self.settings.retrieval, self.settings.masks, index
        )

    @cached_property
    def _stored_index(self) -> IndexReader | None:
        if not self.retrieves:
            return None
        path = self.workspace.newest("indexes")
        if self._named:
            parents = checkpoints.read(self.run, "best").parents
            if parents["panel"] == self.panel.fingerprint and "index" in parents:
                path = index_of_run.find(self.workspace, self.run, parents["index"])
        index = open_index(path, panel_fingerprint=self.panel.fingerprint)
        training_inputs.check_neighbours(self.settings.retrieval, index)
        return index

    def _checkpoint(self) -> Which:
        if self.settings.reads_embeddings:
            for which in get_args(Which):
                if not (self.run / "checkpoints" / f"{which}.json").exists():
                    continue
                own = encoding.encoder_fingerprint(checkpoints.load_encoder(self.run, which))
                if own == self.embeddings.encoder_fingerprint:
                    chosen: Which = which
                    return chosen
        return "best"
