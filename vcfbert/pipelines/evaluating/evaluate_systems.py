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
from vcfbert.config import Config
from vcfbert.domain import sites as site_tables
from vcfbert.errors import StoreError
from vcfbert.model import imputer
from vcfbert.model.imputer import Imputer
from vcfbert.pipelines.evaluating import hidden_sites, window_cores
from vcfbert.pipelines.evaluating.cases import Case
from vcfbert.pipelines.evaluating.scoring import Imputation
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training import devices
from vcfbert.training.systems import checkpoints, index_of_run, masking
from vcfbert.training.systems.batches import BatchMaker, References
from vcfbert.training.systems.checkpoints import Checkpoint
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.predict import WindowPrediction, predict


def impute(run: Path, checkpoint: Checkpoint, case: Case) -> Imputation:
    """Impute the samples of a case from the references that the run was trained with.

    On another panel, from the references of its newest index. A dense index can only be searched
    under the masks and encoder it was made with, so its references are searched exactly, which
    finds the same neighbours.

    run         folder of the run
    checkpoint  its best

    Raises StoreError if the index is missing, stale, not that of the run, or contains an evaluated
    sample.
    """
    settings, panel = checkpoint.settings, case.panel
    if not settings.masks.align:
        case.notes.append(
            "masks.align is off: references were searched under different masks than the samples."
        )
    stored = _open_index(run, checkpoint, case)
    on_gpu = devices.choose_device(case.options.device).type == "cuda"
    index: References = IndexedOnDemand(panel, on_gpu=on_gpu) if stored is None else stored
    if stored is not None:
        _refuse_indexed(stored, panel, case.samples)
        if stored.kind == "dense" or _is_faster(stored, run, checkpoint):
            index = IndexedOnDemand(panel, stored.reference_haplotypes, on_gpu=on_gpu)
    copies = settings.model.copy_skip and case.options.untrained
    untrained = None
    if copies:
        network = imputer.build(settings.model, settings.seed, settings.loss.focal_gamma)
        untrained = _predictions(network.eval(), settings, index, case, finds_nearest=False)
    trained, _ = checkpoints.load_model(run, "best")
    predictions = _predictions(trained, settings, index, case)
    return Imputation(
        systems=window_cores.SYSTEMS_WITH_COPYING if copies else window_cores.SYSTEMS,
        cores=window_cores.cores(
            panel, case.is_hidden, predictions, case.options.genotypes, untrained
        ),
        facts=lambda: _facts(checkpoint, panel, stored, index),
    )


def _open_index(run: Path, checkpoint: Checkpoint, case: Case) -> IndexReader | None:
    """The index of the run, or the newest of another panel.

    None for a run without retrieval, which gets one in memory, for the baselines alone.
    """
    if checkpoint.settings.retrieval.space == "none":
        return None
    parents, fingerprint = checkpoint.parents, case.panel.fingerprint
    if parents["panel"] == fingerprint:
        path = index_of_run.find(case.home, run, parents["index"])
    else:
        path = case.home.newest("indexes")
    on_gpu = devices.choose_device(case.options.device).type == "cuda"
    return open_index(path, panel_fingerprint=fingerprint, on_gpu=on_gpu)


def _is_faster(stored: IndexReader, run: Path, checkpoint: Checkpoint) -> bool:
    """True for a fast index in place of the exact one of a run, which has the same references."""
    is_of_run = stored.fingerprint == checkpoint.parents["index"]
    is_of_panel = stored.parents["panel"] == checkpoint.parents["panel"]
    return (
        stored.kind == "fast"
        and is_of_panel
        and not is_of_run
        and index_of_run.kind_of(run) == "exact"
    )


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


def _predictions(
    model: Imputer,
    settings: Config,
    index: References,
    case: Case,
    *,
    finds_nearest: bool = True,
) -> Iterator[WindowPrediction]:
    """Predictions of a network for all windows, each with the neighbours that it finds."""
    panel = case.panel
    device = devices.choose_device(case.options.device)
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
        finds_nearest=finds_nearest,
    )


def _facts(
    checkpoint: Checkpoint, panel: PanelReader, stored: IndexReader | None, index: References
) -> dict[str, Any]:
    """Facts about the run and its index for the report."""
    return {
        "index": None if stored is None else str(stored.path),
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
