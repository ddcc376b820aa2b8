"""`vcfbert eval`: a panel and a run in; metrics, and predictions as VCF, out.

S sites in the panel, W windows, L sites in a window, N samples to be imputed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import config
from vcfbert.config import Config
from vcfbert.domain import sites as site_tables
from vcfbert.errors import StoreError
from vcfbert.pipelines.evaluating import evaluate_mosaic, evaluation, hidden_sites, scoring
from vcfbert.pipelines.evaluating.evaluation import EvalOptions
from vcfbert.pipelines.evaluating.hidden_sites import Target
from vcfbert.pipelines.evaluating.score_report import EvalSummary
from vcfbert.pipelines.evaluating.scoring import OnCore
from vcfbert.progress import Progress
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage.vcf import prediction_writer
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.systems import checkpoints, masking
from vcfbert.training.systems.batches import BatchMaker, References
from vcfbert.training.systems.checkpoints import Checkpoint
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.predict import WindowPrediction, predict

__all__ = ["EvalOptions", "evaluate", "evaluate_retrieval", "refuse_indexed"]


def evaluate(
    workspace: Workspace,
    options: EvalOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
    on_core: OnCore | None = None,
) -> EvalSummary:
    """Impute samples the run has not seen, score them beside baselines, write the report.

    on_core  sees what was predicted, a core at a time

    Raises StoreError where the run, its weights, the panel, the index or the mask version is
    missing or stale, or the report exists; InputError where the split has nobody or a typed list
    is of no use; ConfigError where options contradict one another or do not suit the run.
    """
    run = evaluation.run_folder(workspace, options.run)
    if mosaic_runs.system_of(run) == "retrieval":
        return evaluate_retrieval(
            workspace, options, progress=progress, overwrite=overwrite, on_core=on_core
        )
    return evaluate_mosaic.evaluate(
        workspace, options, progress=progress, overwrite=overwrite, on_core=on_core
    )


def evaluate_retrieval(
    workspace: Workspace,
    options: EvalOptions,
    *,
    progress: Progress,
    overwrite: bool,
    on_core: OnCore | None = None,
) -> EvalSummary:
    """Evaluate a run of a system of retrieval."""
    begun = time.perf_counter()
    run = workspace.run(options.run)
    checkpoint = checkpoints.read(run, "best")
    settings = checkpoint.settings
    with ExitStack() as stack:
        trained_on = checkpoint.parents["panel"]
        case = evaluation.begin(
            stack, workspace, options, settings, trained_on, overwrite=overwrite
        )
        panel, samples, target = case.panel, case.samples, case.target
        if not settings.masks.align:
            case.notes.append(
                "masks.align is off: references were searched under other masks than the samples."
            )
        home = workspace if options.panel is None else Workspace(options.panel)
        index = _open_index(home, settings, panel)
        if isinstance(index, IndexReader):
            refuse_indexed(index, panel, samples)
        predictions = _predictions(run, panel, index, samples, target, options)
        writer = None
        if options.vcf is not None:
            writer = stack.enter_context(
                prediction_writer.create_predictions(
                    options.vcf, panel.sites, case.names, overwrite=overwrite
                )
            )
        progress.start("imputing", len(panel.windows))
        predicting = time.perf_counter()
        scores = scoring.score(
            panel,
            target.is_hidden,
            predictions,
            genotypes=options.genotypes,
            groups=case.groups,
            writer=writer,
            progress=progress,
            on_core=on_core,
        )
    now = time.perf_counter()
    seconds = {"predict_seconds": now - predicting, "seconds": now - begun}
    facts = _facts(checkpoint, panel, index) | seconds
    return evaluation.finish(case, options, scores, facts)


def refuse_indexed(index: IndexReader, panel: PanelReader, samples: NDArray[np.int64]) -> None:
    """Raise StoreError where a sample to be imputed is among the references of the index."""
    is_inside = (index.rows_of(site_tables.haplotypes_of(samples)) >= 0).reshape(-1, 2).any(axis=1)
    if is_inside.any():
        name = panel.samples.names[samples[np.argmax(is_inside)]]
        raise StoreError(
            f"{index.path} holds {int(is_inside.sum())} of the samples to be imputed, such as "
            f"{name}, who would be copied from themselves. Make it again with: vcfbert "
            "build-index --force"
        )


def _predictions(
    run: Path,
    panel: PanelReader,
    index: References,
    samples: NDArray[np.int64],
    target: Target,
    options: EvalOptions,
) -> Iterator[WindowPrediction]:
    """The network of the best checkpoint over all windows."""
    device = devices.choose_device(options.device)
    model, settings = checkpoints.load_model(run, "best")
    model.to(device)
    embeddings = EncodedOnDemand(model.encoder, panel) if settings.reads_embeddings else None
    return predict(
        model,
        BatchMaker(panel, index, embeddings, settings.retrieval),
        samples,
        hidden_sites.over_windows(target.is_hidden, panel.windows),
        batch_size=settings.training.batch_size,
        device=device,
        focal_gamma=settings.loss.focal_gamma,
        reference_masks=masking.of_evaluation(settings.masks, settings.seed, panel.windows),
    )


def _open_index(
    home: Workspace, settings: Config, panel: PanelReader
) -> IndexReader | IndexedOnDemand:
    """The newest index; of a run without retrieval one made here, for the baselines alone."""
    if settings.retrieval.space == "none":
        return IndexedOnDemand(panel)
    index = open_index(home.newest("indexes"), panel_fingerprint=panel.fingerprint)
    if index.kind != "exact":
        raise StoreError(
            f"{index.path} is a dense index, which answers under its own mask and encoder only. "
            "Make an exact one with: vcfbert build-index --kind exact"
        )
    return index


def _facts(
    checkpoint: Checkpoint, panel: PanelReader, index: IndexReader | IndexedOnDemand
) -> dict[str, Any]:
    """What the report says of the run and what it retrieved from."""
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
