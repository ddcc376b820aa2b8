"""What a training run reads: panel, masks, index, stored embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config, ModelConfig, RetrievalConfig
from vcfbert.domain import sites as site_tables
from vcfbert.errors import ConfigError, InputError
from vcfbert.pipelines.systems.first_encoding import FirstEncoding
from vcfbert.pipelines.systems.first_masks import FirstMasks
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints, index_of_run
from vcfbert.training.systems.batches import References
from vcfbert.training.systems.folds import Folds
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.masking import MaskPlan


@dataclass(frozen=True)
class TrainingInputs:
    """The open inputs of a run.

    parents      fingerprints of panel, index, list of typed sites, first masks and first encoding
    fixed_masks  the only mask version of a dense index; None if masks are drawn
    first_masks  the masks of a window that training starts or resumes with; None if each sample
                 draws its own
    encoding     that training starts with; None if the system reads no embeddings, or if a resumed
                 run has made a later one
    """

    panel: PanelReader
    index: References
    parents: dict[str, str]
    masks: MaskPlan
    fixed_masks: MaskVersion | None
    first_masks: FirstMasks | None
    encoding: FirstEncoding | None

    @cached_property
    def train_samples(self) -> NDArray[np.int64]:
        """Panel indexes of the train samples."""
        return self.panel.samples.in_splits(site_tables.TRAIN)

    def folds(self, settings: Config) -> Folds | None:
        """The folds of the training samples; None without folds."""
        return folds_of(settings, self.panel)

    @cached_property
    def validation_samples(self) -> NDArray[np.int64]:
        """Panel indexes of the validation samples."""
        return self.panel.samples.in_splits(site_tables.VALIDATION)


def check_validation(panel: PanelReader) -> None:
    """Raise InputError if a panel has no validation samples."""
    if len(panel.samples.in_splits(site_tables.VALIDATION)) == 0:
        raise InputError(
            f"{panel.path} has no validation samples, which decide when training stops. "
            "Prepare it again with --validation-fraction above 0."
        )


def check_populations(settings: ModelConfig, panel: PanelReader) -> None:
    """Raise ConfigError if the network reads frequencies by population and a panel has none."""
    if settings.population and not panel.samples.populations:
        raise ConfigError(
            f"model.population = true reads frequencies by population, but {panel.path} has no "
            "populations of training samples. Prepare it again with a column population or "
            "superpopulation in --samples, or set model.population=false."
        )


def folds_of(settings: Config, panel: PanelReader) -> Folds | None:
    """The folds of the training samples; None without folds."""
    training, samples = settings.training, panel.samples.in_splits(site_tables.TRAIN)
    return Folds.drawn(samples, training.folds, training.batch_size, settings.seed)


def check_folds(settings: Config, index: References, panel: PanelReader) -> None:
    """Raise ConfigError if a fold leaves fewer references than a query needs."""
    folds = folds_of(settings, panel)
    if folds is None or settings.retrieval.space == "none":
        return
    total = len(index.reference_haplotypes)
    rows = [index.rows_of(site_tables.haplotypes_of(part)) for part in folds.parts]
    allowed = total - max(int((part >= 0).sum()) for part in rows)
    if settings.retrieval.num_neighbours > allowed:
        raise ConfigError(
            f"retrieval.num_neighbours is {settings.retrieval.num_neighbours}, but with "
            f"training.folds = {settings.training.folds} a training query has only {allowed} "
            f"of {total} references: its whole fold is left out. Choose fewer with "
            "--retrieve-k, or set training.folds=0."
        )


def check_neighbours(settings: RetrievalConfig, index: References, place: Path) -> None:
    """Raise ConfigError if a query, which never retrieves itself, has too few references.

    place  of the index, for messages
    """
    own = 2 if settings.exclude_same_sample else 0
    allowed = len(index.reference_haplotypes) - own
    if settings.num_neighbours > allowed:
        raise ConfigError(
            f"retrieval.num_neighbours is {settings.num_neighbours}, but {place} has only "
            f"{allowed} references for a query. Choose fewer with --retrieve-k."
        )


def check_exclusion(settings: RetrievalConfig, index: References, panel: PanelReader) -> None:
    """Raise ConfigError if training samples could be copied from themselves."""
    if settings.exclude_same_sample:
        return
    rows = index.rows_of(panel.samples.haplotypes(site_tables.TRAIN))
    if (rows >= 0).any():
        raise ConfigError(
            "retrieval.exclude_same_sample is off, but the index has the training samples, "
            "which would be copied from themselves. Leave it on."
        )


def open_references(
    workspace: Workspace,
    settings: RetrievalConfig,
    panel: PanelReader,
    resumed: Path | None,
    *,
    on_gpu: bool,
) -> References:
    """Open the index that a run searches and check that the settings fit it.

    That of the run if it is resumed, else the newest. Without one, as if nothing is retrieved, the
    train haplotypes are indexed when they are read: what `build-index` would store.

    resumed  folder of the run
    on_gpu   search an exact index on the GPU if FAISS can
    """
    if settings.space == "none" or not (resumed or workspace.versions("indexes")):
        found: References = IndexedOnDemand(panel, on_gpu=on_gpu)
        if settings.space != "none":
            check_neighbours(settings, found, panel.path)
        return found
    path = None
    if resumed is not None:
        saved = checkpoints.read(resumed, "last").parents
        if saved.get("panel") == panel.fingerprint and "index" in saved:
            path = index_of_run.find(workspace, resumed, saved["index"], to_resume=True)
    index = open_index(
        path or workspace.newest("indexes"), panel_fingerprint=panel.fingerprint, on_gpu=on_gpu
    )
    check_neighbours(settings, index, index.path)
    if resumed is not None and path is not None and index.fingerprint != saved["index"]:
        return IndexedOnDemand(panel, index.reference_haplotypes, on_gpu=on_gpu)
    return index


def index_parent(index: References) -> dict[str, str]:
    """Fingerprint of a stored index; nothing for one that is made when it is read."""
    return {"index": index.fingerprint} if isinstance(index, IndexReader) else {}
