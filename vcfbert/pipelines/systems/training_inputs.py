"""Opening of what a training run reads: panel, masks, index, stored embeddings."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config, RetrievalConfig
from vcfbert.domain import sites as site_tables
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems import build_index, fixed_masks
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.progress import Progress
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.zarr import embeddings
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints, encoding, index_of_run, masking
from vcfbert.training.systems.batches import References
from vcfbert.training.systems.folds import Folds
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.masking import MaskPlan


@dataclass(frozen=True)
class TrainingInputs:
    """The open inputs of a run.

    parents            fingerprints of panel, index and list of typed sites
    fixed_masks        the only mask version of a dense index; None if masks are drawn
    encoder            with initial weights; None if the system reads no embeddings
    stored_embeddings  embeddings of the workspace, if they were made by this encoder
    """

    panel: PanelReader
    index: References
    parents: dict[str, str]
    masks: MaskPlan
    fixed_masks: MaskVersion | None
    encoder: Encoder | None
    stored_embeddings: Path | None

    @cached_property
    def train_samples(self) -> NDArray[np.int64]:
        """Panel indexes of the train samples."""
        return self.panel.samples.in_splits(site_tables.TRAIN)

    def folds(self, settings: Config) -> Folds | None:
        """The folds of the training samples; None without folds."""
        training = settings.training
        return Folds.drawn(self.train_samples, training.folds, training.batch_size, settings.seed)

    def check_folds(self, settings: Config) -> None:
        """Raise ConfigError if a fold leaves fewer references than a query needs."""
        folds = self.folds(settings)
        if folds is None or settings.retrieval.space == "none":
            return
        total = len(self.index.reference_haplotypes)
        rows = [self.index.rows_of(site_tables.haplotypes_of(part)) for part in folds.parts]
        allowed = total - max(int((part >= 0).sum()) for part in rows)
        if settings.retrieval.num_neighbours > allowed:
            raise ConfigError(
                f"retrieval.num_neighbours is {settings.retrieval.num_neighbours}, but with "
                f"training.folds = {settings.training.folds} a training query has only {allowed} "
                f"of {total} references: its whole fold is left out. Choose fewer with "
                "--retrieve-k, or set training.folds=0."
            )

    @cached_property
    def validation_samples(self) -> NDArray[np.int64]:
        """Panel indexes of the validation samples."""
        return self.panel.samples.in_splits(site_tables.VALIDATION)


def open_inputs(
    stack: ExitStack,
    workspace: Workspace,
    settings: Config,
    progress: Progress,
    *,
    resumed: Path | None = None,
    on_gpu: bool = False,
) -> TrainingInputs:
    """Open the stores, which `stack` closes, and refuse settings that do not fit them.

    resumed  folder of a run whose own index is to be opened instead of the newest
    on_gpu   search an exact index on the GPU if FAISS can
    """
    panel = stack.enter_context(open_panel(workspace.panel))
    if len(panel.samples.in_splits(site_tables.VALIDATION)) == 0:
        raise InputError(
            f"{panel.path} has no validation samples, which decide when training stops. "
            "Prepare it again with --validation-fraction above 0."
        )
    if settings.model.population and not panel.samples.populations:
        raise ConfigError(
            f"model.population = true reads frequencies by population, but {panel.path} has no "
            "populations of training samples. Prepare it again with a column population or "
            "superpopulation in --samples, or set model.population=false."
        )
    retrieval, masks = settings.retrieval, settings.masks
    index = _open_index(workspace, retrieval, panel, progress, resumed, on_gpu=on_gpu)
    fixed = fixed_masks.of_index(workspace, retrieval, masks, settings.refresh, index)
    plan = masking.plan(masks, settings.seed, panel)
    for note in plan.notes:
        progress.note(note)
    parents = {"panel": panel.fingerprint} | plan.fingerprints
    if index is not None:
        parents["index"] = index.fingerprint
    encoder = None
    if settings.reads_embeddings:
        encoder = encoding.new_encoder(settings.model, settings.seed)
    return TrainingInputs(
        panel=panel,
        index=IndexedOnDemand(panel, on_gpu=on_gpu) if index is None else index,
        parents=parents,
        masks=plan,
        fixed_masks=fixed,
        encoder=encoder,
        stored_embeddings=_stored_embeddings(workspace, encoder, panel, index, progress),
    )


def check_neighbours(settings: RetrievalConfig, index: IndexReader) -> None:
    """Raise ConfigError if a query, which never retrieves itself, has too few references."""
    own = 2 if settings.exclude_same_sample else 0
    allowed = len(index.reference_haplotypes) - own
    if settings.num_neighbours > allowed:
        raise ConfigError(
            f"retrieval.num_neighbours is {settings.num_neighbours}, but {index.path} has only "
            f"{allowed} references for a query. Choose fewer with --retrieve-k."
        )


def _check_exclusion(settings: RetrievalConfig, index: IndexReader, panel: PanelReader) -> None:
    """Raise ConfigError if training samples could be copied from themselves."""
    if settings.exclude_same_sample:
        return
    rows = index.rows_of(panel.samples.haplotypes(site_tables.TRAIN))
    if (rows >= 0).any():
        raise ConfigError(
            f"retrieval.exclude_same_sample is off, but {index.path} has the training samples, "
            "which would be copied from themselves. Leave it on."
        )


def _open_index(
    workspace: Workspace,
    settings: RetrievalConfig,
    panel: PanelReader,
    progress: Progress,
    resumed: Path | None,
    *,
    on_gpu: bool,
) -> IndexReader | None:
    """Open the index and check that the settings fit it; None if nothing is retrieved.

    If there is no index, an exact one is built, which takes a moment.
    """
    if settings.space == "none":
        return None
    if not workspace.versions("indexes"):
        progress.note("No index in the workspace yet: building an exact one.")
        build_index.build_index(workspace, IndexOptions(), progress=progress)
    path = workspace.newest("indexes")
    if resumed is not None:
        saved = checkpoints.read(resumed, "last").parents
        if saved.get("panel") == panel.fingerprint and "index" in saved:
            path = index_of_run.find(workspace, resumed, saved["index"])
    index = open_index(path, panel_fingerprint=panel.fingerprint, on_gpu=on_gpu)
    check_neighbours(settings, index)
    _check_exclusion(settings, index, panel)
    return index


def _stored_embeddings(
    workspace: Workspace,
    encoder: Encoder | None,
    panel: PanelReader,
    index: IndexReader | None,
    progress: Progress,
) -> Path | None:
    """The newest embeddings of the workspace, if they are those that this run starts from.

    None if not, in which case the run encodes for itself, and None for a run without an encoder.
    A dense index was made from one encoding and allows no other.
    """
    if encoder is None or index is None:
        return None
    if workspace.versions("embeddings"):
        path = workspace.newest("embeddings")
        with embeddings.open_embeddings(path) as reader:
            if _fits(reader, encoder, panel, index):
                return path
        progress.note(
            f"{path} is of other weights, another panel or other references: encoding again."
        )
    if index.kind == "dense":
        raise StoreError.stale(index.path, parent="encoder", made_by="build-index --kind dense")
    return None


def _fits(
    reader: EmbeddingsReader, encoder: Encoder, panel: PanelReader, index: IndexReader
) -> bool:
    """True if a store has the encoding that this run starts from.

    Raises StoreError if a dense index was made from other embeddings.
    """
    if index.kind == "dense":
        index.require_parent("embeddings", reader.fingerprint)
    has_same_rows = np.array_equal(reader.reference_haplotypes, index.reference_haplotypes)
    return (
        reader.panel_fingerprint == panel.fingerprint
        and reader.encoder_fingerprint == encoding.encoder_fingerprint(encoder)
        and (has_same_rows or reader.layout == "codebook")
    )
