"""Imputation by a run of v13, v17 or v18, window by window, as `eval` scores it.

W windows, L sites in a window, N samples to impute.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import config
from vcfbert.config import RetrievalConfig
from vcfbert.domain import sites as site_tables
from vcfbert.errors import StoreError
from vcfbert.pipelines.evaluating import hidden_sites, window_cores
from vcfbert.pipelines.evaluating.cases import Case
from vcfbert.pipelines.evaluating.scoring import Imputation
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.systems import checkpoints, masking
from vcfbert.training.systems.batches import BatchMaker, References
from vcfbert.training.systems.checkpoints import Checkpoint
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.predict import WindowPrediction, predict


def impute(run: Path, checkpoint: Checkpoint, case: Case) -> Imputation:
    """Impute the samples of a case from the references of the newest index.

    run         folder of the run
    checkpoint  its best

    Raises StoreError if the index is missing, stale, dense, or contains an evaluated sample.
    """
    settings, panel = checkpoint.settings, case.panel
    if not settings.masks.align:
        case.notes.append(
            "masks.align is off: references were searched under different masks than the samples."
        )
    index = _open_index(case.home, settings.retrieval, panel)
    if isinstance(index, IndexReader):
        _refuse_indexed(index, panel, case.samples)
    predictions = _predictions(run, index, case)
    return Imputation(
        systems=window_cores.SYSTEMS,
        cores=window_cores.cores(panel, case.is_hidden, predictions, case.options.genotypes),
        facts=lambda: _facts(checkpoint, panel, index),
    )


def _open_index(
    home: Workspace, settings: RetrievalConfig, panel: PanelReader
) -> IndexReader | IndexedOnDemand:
    """The newest index. A run without retrieval gets one in memory, for the baselines alone."""
    if settings.space == "none":
        return IndexedOnDemand(panel)
    index = open_index(home.newest("indexes"), panel_fingerprint=panel.fingerprint)
    if index.kind != "exact":
        raise StoreError(
            f"{index.path} is a dense index, which can only be searched under the mask and encoder "
            "it was built with. Build an exact one with: vcfbert build-index --kind exact"
        )
    return index


def _refuse_indexed(index: IndexReader, panel: PanelReader, samples: NDArray[np.int64]) -> None:
    """Raise StoreError if a sample to impute is among the references of the index."""
    is_inside = (index.rows_of(site_tables.haplotypes_of(samples)) >= 0).reshape(-1, 2).any(axis=1)
    if is_inside.any():
        name = panel.samples.names[samples[np.argmax(is_inside)]]
        raise StoreError(
            f"{index.path} contains {int(is_inside.sum())} of the samples to impute, such as "
            f"{name}, which would be copied from themselves. Rebuild it with: vcfbert "
            "build-index --force"
        )


def _predictions(run: Path, index: References, case: Case) -> Iterator[WindowPrediction]:
    """Predictions of the best checkpoint for all windows."""
    panel = case.panel
    device = devices.choose_device(case.options.device)
    model, settings = checkpoints.load_model(run, "best")
    model.to(device)
    embeddings = EncodedOnDemand(model.encoder, panel) if settings.reads_embeddings else None
    return predict(
        model,
        BatchMaker(panel, index, embeddings, settings.retrieval),
        case.samples,
        hidden_sites.over_windows(case.is_hidden, panel.windows),
        batch_size=settings.training.batch_size,
        device=device,
        focal_gamma=settings.loss.focal_gamma,
        reference_masks=masking.of_evaluation(settings.masks, settings.seed, panel.windows),
    )


def _facts(
    checkpoint: Checkpoint, panel: PanelReader, index: IndexReader | IndexedOnDemand
) -> dict[str, Any]:
    """Facts about the run and its index for the report."""
    return {
        "index": str(index.path) if isinstance(index, IndexReader) else None,
        "reference_haplotypes": len(index.reference_haplotypes),
        "seed": checkpoint.settings.seed,
        "checkpoint": {key: checkpoint.state[key] for key in ("epoch", "step")},
        "weights": checkpoint.weights_file.name,
        "fingerprints": {
            "panel": panel.fingerprint,
            **{f"run_{name}": value for name, value in checkpoint.parents.items()},
        },
        "settings": config.to_dict(checkpoint.settings),
    }
