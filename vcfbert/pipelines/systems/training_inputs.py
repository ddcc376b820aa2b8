"""What a training run reads: panel, masks, index, stored embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import RetrievalConfig
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
    workspace: Workspace, settings: RetrievalConfig, panel: PanelReader, resumed: Path | None
) -> References:
    """Open the index that a run searches and check that the settings fit it.

    That of the run if it is resumed, else the newest. Without one, as if nothing is retrieved, the
    train haplotypes are indexed when they are read: what `build-index` would store.

    resumed  folder of the run
    """
    if settings.space == "none" or not (resumed or workspace.versions("indexes")):
        found: References = IndexedOnDemand(panel)
        if settings.space != "none":
            check_neighbours(settings, found, panel.path)
        return found
    path = None
    if resumed is not None:
        saved = checkpoints.read(resumed, "last").parents
        if saved.get("panel") == panel.fingerprint and "index" in saved:
            path = index_of_run.find(workspace, resumed, saved["index"])
    index = open_index(path or workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
    check_neighbours(settings, index, index.path)
    if resumed is not None and path is not None and index.fingerprint != saved["index"]:
        if index_of_run.kind_of(resumed) == "exact":  # of the same references
            return IndexedOnDemand(panel, index.reference_haplotypes)
    return index


def index_parent(index: References) -> dict[str, str]:
    """Fingerprint of a stored index; nothing for one that is made when it is read."""
    return {"index": index.fingerprint} if isinstance(index, IndexReader) else {}
