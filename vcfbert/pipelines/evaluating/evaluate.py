"""`vcfbert eval`: impute held-out samples with a run or the shipped network, and score them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from vcfbert.domain.metrics import Scores
from vcfbert.pipelines.evaluating import cases, evaluate_mosaic, evaluate_systems, scoring
from vcfbert.pipelines.evaluating.cases import Case, EvalOptions
from vcfbert.pipelines.evaluating.score_report import EvalSummary
from vcfbert.pipelines.evaluating.scoring import Imputation, OnCore
from vcfbert.progress import Progress
from vcfbert.storage.vcf import prediction_writer
from vcfbert.storage.vcf.prediction_writer import PredictionWriter
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.mosaic.mosaic_runs import MosaicRun
from vcfbert.training.systems import checkpoints
from vcfbert.training.systems.checkpoints import Checkpoint

__all__ = ["EvalOptions", "evaluate"]


def evaluate(
    workspace: Workspace,
    options: EvalOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
    on_core: OnCore | None = None,
) -> EvalSummary:
    """Impute held-out samples, score them and two baselines, write the report.

    on_core  is called with each stretch of imputed sites

    Raises StoreError if the run, its weights, the panel, the index or the mask version is missing
    or stale, or the report exists; InputError if the split has no samples or the typed list hides
    no site or every site; ConfigError if options contradict each other or do not suit the run.
    """
    begun = time.perf_counter()
    run = _read_run(workspace, options.run)
    with ExitStack() as stack:
        case = cases.open_case(
            stack,
            workspace,
            options,
            run.settings,
            run.parents.get("panel"),
            overwrite=overwrite,
            takes_haploid=isinstance(run, MosaicRun),
        )
        imputation = _impute(workspace, run, case)
        writer = _open_vcf(stack, case, overwrite=overwrite)
        progress.start("imputing", len(case.panel.sites))
        predicting = time.perf_counter()
        scores = scoring.score(
            case.panel,
            imputation.cores,
            imputation.systems,
            groups=case.groups,
            writer=writer,
            progress=progress,
            on_core=on_core,
        )
    now = time.perf_counter()
    seconds = {"predict_seconds": now - predicting, "seconds": now - begun}
    return _write_report(case, scores, imputation.facts() | seconds)


def _read_run(workspace: Workspace, name: str | None) -> Checkpoint | MosaicRun:
    if name is None:
        return mosaic_runs.shipped()
    path = runs.folder_of(workspace, name)
    if mosaic_runs.system_of(path) == "mosaic":
        return mosaic_runs.read(path)
    return checkpoints.read(path, "best")


def _impute(workspace: Workspace, run: Checkpoint | MosaicRun, case: Case) -> Imputation:
    """Impute from the train samples: chunk by chunk (mosaic) or window by window (the others)."""
    if isinstance(run, MosaicRun):
        return evaluate_mosaic.impute(run, case)
    assert case.options.run is not None, "only mosaic has a shipped network"
    return evaluate_systems.impute(workspace.run(case.options.run), run, case)


def _open_vcf(stack: ExitStack, case: Case, *, overwrite: bool) -> PredictionWriter | None:
    path = case.options.vcf
    if path is None:
        return None
    writer = prediction_writer.create_predictions(
        path, case.panel.sites, case.names, overwrite=overwrite
    )
    return stack.enter_context(writer)


def _write_report(
    case: Case, scores: dict[str, dict[str, Scores]], facts: dict[str, Any]
) -> EvalSummary:
    """Write JSON and CSV.

    facts  of this run; the facts common to all evaluations are added here
    """
    options, panel, groups = case.options, case.panel, case.groups
    common = {
        "run": options.run_name,
        "split": options.split,
        "panel": str(panel.path),
        "samples": len(case.samples),
        "sites": len(panel.sites),
        "hidden_sites": int(case.is_hidden.sum()),
        "masks": case.hidden.description,
        "masks_from": case.hidden.origin,
        "genotypes": options.genotypes,
        "edges": list(groups.edges),
        "rare_maf": groups.rare_maf,
        "versions": runs.versions(),
        "notes": case.notes,
    }
    json_path, csv_path = case.report_files
    summary = EvalSummary(scores, common | facts, json_path, csv_path, options.vcf)
    stores.write_file(csv_path, summary.to_csv().encode())
    stores.write_file(json_path, summary.to_json().encode())  # last: it marks a finished report
    return summary
