"""`vcfbert eval`: a panel and a run in; metrics, and predictions as VCF, out.

S sites in the panel, W windows, L sites in a window, N people to be imputed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import config
from vcfbert.domain import metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.metrics import Groups
from vcfbert.errors import InputError, StoreError
from vcfbert.pipelines import scoring, targets
from vcfbert.pipelines.report import EvalSummary
from vcfbert.pipelines.scoring import Genotypes
from vcfbert.pipelines.targets import Target
from vcfbert.progress import Progress
from vcfbert.retrieval.index import IndexReader, open_index
from vcfbert.storage import stores, vcf_writer
from vcfbert.storage.panel import PanelReader, open_panel
from vcfbert.storage.workspace import Workspace
from vcfbert.training import checkpoints, devices, runs
from vcfbert.training.batches import BatchMaker
from vcfbert.training.checkpoints import Checkpoint
from vcfbert.training.encoding import EncodedOnDemand
from vcfbert.training.predict import WindowPrediction, predict

Split = Literal["test", "validation"]
_SPLIT_CODES = {"test": site_tables.TEST, "validation": site_tables.VALIDATION}


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalOptions:
    """Who is imputed by which run, and what is hidden from it."""

    run: str
    """Name of the run; its best checkpoint is used."""

    split: Split = "test"
    """People to impute."""

    rate: float | None = None
    """Hide this share of the sites; the default way, with the run's validation rate."""

    mask_version: int | None = None
    """Hide the sites of a mask version."""

    typed: Path | None = None
    """Hide all but the sites of this list."""

    panel: Path | None = None
    """Another prepared workspace, whose people are imputed from its own references."""

    vcf: Path | None = None
    """Also write the predictions here, .vcf.gz or .bcf."""

    output: Path | None = None
    """Folder of the JSON and CSV; None is runs/NAME/eval."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    genotypes: Genotypes = "haplotypes"
    """Dosages and genotype probabilities from independent haplotypes or the genotype head."""

    edges: tuple[float, ...] = metrics.EDGES
    """Bounds of the bins of minor allele frequency."""

    rare_maf: float | None = None
    """Sites below this minor allele frequency are rare; None is what the run was trained with."""


def evaluate(
    workspace: Workspace, options: EvalOptions, *, progress: Progress, overwrite: bool = False
) -> EvalSummary:
    """Impute people the run has not seen, score them beside two baselines, write the report.

    Raises StoreError where the run, its checkpoint, the panel, the index or the mask version is
    missing or stale, or the report exists; InputError where the split has nobody or a typed list
    is of no use; ConfigError where two ways of hiding sites are given.
    """
    begun = time.perf_counter()
    run = _run_folder(workspace, options.run)
    checkpoint = checkpoints.read(run, "best")
    settings = checkpoint.settings
    home = workspace if options.panel is None else Workspace(options.panel)
    rare_maf = settings.training.rare_maf if options.rare_maf is None else options.rare_maf
    groups = Groups(options.edges, rare_maf)
    with ExitStack() as stack:
        panel = stack.enter_context(open_panel(home.panel))
        notes = _check_strangers(workspace, options, checkpoint, panel)
        people = _people(panel, options.split)
        index = _open_index(home, panel)
        refuse_indexed(index, panel, people)
        target = targets.choose(
            home,
            panel,
            seed=settings.seed,
            default_rate=settings.masks.validation_rate,
            rate=options.rate,
            mask_version=options.mask_version,
            typed=options.typed,
        )
        stem = _report_stem(run, home, options, target)
        _refuse_existing(stem, options.vcf, overwrite=overwrite)
        predictions = _predictions(run, panel, index, people, target, options)
        writer = None
        if options.vcf is not None:
            names = [panel.samples.names[person] for person in people]
            writer = stack.enter_context(
                vcf_writer.create_predictions(options.vcf, panel.sites, names, overwrite=overwrite)
            )
        progress.start("imputing", len(panel.windows))
        predicting = time.perf_counter()
        scores = scoring.score(
            panel,
            target.is_hidden,
            predictions,
            genotypes=options.genotypes,
            groups=groups,
            writer=writer,
            progress=progress,
        )
        facts = _facts(options, checkpoint, panel, index, people, target, groups)
    now = time.perf_counter()
    facts |= {"notes": notes, "predict_seconds": now - predicting, "seconds": now - begun}
    json_path, csv_path = _report_files(stem)
    summary = EvalSummary(scores, facts, json_path, csv_path, options.vcf)
    stores.write_file(json_path, summary.to_json().encode())
    stores.write_file(csv_path, summary.to_csv().encode())
    return summary


def refuse_indexed(index: IndexReader, panel: PanelReader, people: NDArray[np.int64]) -> None:
    """Raise StoreError where a person to be imputed is among the references of the index."""
    is_inside = (index.rows_of(site_tables.haplotypes_of(people)) >= 0).reshape(-1, 2).any(axis=1)
    if is_inside.any():
        name = panel.samples.names[people[np.argmax(is_inside)]]
        raise StoreError(
            f"{index.path} holds {int(is_inside.sum())} of the people to be imputed, such as "
            f"{name}, who would be copied from themselves. Make it again with: vcfbert "
            "build-index --force"
        )


def _predictions(
    run: Path,
    panel: PanelReader,
    index: IndexReader,
    people: NDArray[np.int64],
    target: Target,
    options: EvalOptions,
) -> Iterator[WindowPrediction]:
    """The network of the best checkpoint over all windows."""
    device = devices.choose_device(options.device)
    model, settings = checkpoints.load_model(run, "best")
    model.to(device)
    embeddings = EncodedOnDemand(model.encoder, panel)
    return predict(
        model,
        BatchMaker(panel, index, embeddings, settings.retrieval),
        people,
        targets.over_windows(target.is_hidden, panel.windows),
        batch_size=settings.training.batch_size,
        device=device,
        focal_gamma=settings.loss.focal_gamma,
    )


def _run_folder(workspace: Workspace, name: str) -> Path:
    run = workspace.run(name)
    if run.is_dir():
        return run
    folder = run.parent
    known = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    raise StoreError(
        f"No run {name!r} in {workspace.root}; there are: {', '.join(known) or 'none'}. "
        f"Train one with: vcfbert train --run {name}"
    )


def _check_strangers(
    workspace: Workspace, options: EvalOptions, checkpoint: Checkpoint, panel: PanelReader
) -> list[str]:
    """Make sure that nobody to be imputed has trained the run; what is doubtful is noted."""
    if checkpoint.parents["panel"] == panel.fingerprint:
        return []
    if options.panel is None:
        raise StoreError(
            f"The run {options.run} was trained on another panel than the one in {workspace.root}, "
            "maybe on its test people. Train again with: "
            f"vcfbert train --run {options.run} --force"
        )
    unknown = "It is not known who trained the run: its own panel is gone."
    try:
        with open_panel(workspace.panel) as own:
            if own.fingerprint != checkpoint.parents["panel"]:
                return [unknown]
            seen = {own.samples.names[n] for n in own.samples.people(site_tables.TRAIN)}
    except StoreError:
        return [unknown]
    people = panel.samples.people(_SPLIT_CODES[options.split])
    shared = seen & {panel.samples.names[person] for person in people}
    return [f"{len(shared)} of the people have trained the run on its own panel."] if shared else []


def _people(panel: PanelReader, split: Split) -> NDArray[np.int64]:
    people = panel.samples.people(_SPLIT_CODES[split])
    if len(people) == 0:
        raise InputError(
            f"{panel.path} has no {split} people. Prepare it again with a sample table that names "
            f"some, or with --{split}-fraction above 0."
        )
    return people


def _open_index(home: Workspace, panel: PanelReader) -> IndexReader:
    index = open_index(home.newest("indexes"), panel_fingerprint=panel.fingerprint)
    if index.kind != "exact":
        raise StoreError(
            f"{index.path} is a dense index, which answers under its own mask and encoder only. "
            "Make an exact one with: vcfbert build-index --kind exact"
        )
    return index


def _report_stem(run: Path, home: Workspace, options: EvalOptions, target: Target) -> Path:
    """Path of the report without its ending."""
    folder = run / "eval" if options.output is None else options.output
    where = "" if options.panel is None else f"-on-{home.root.resolve().name}"
    return folder / f"{options.split}-{target.description}{where}"


def _report_files(stem: Path) -> tuple[Path, Path]:
    """JSON and CSV; a rate in the name has a dot of its own, so no `with_suffix`."""
    return stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.csv")


def _refuse_existing(stem: Path, vcf: Path | None, *, overwrite: bool) -> None:
    """Find out before the work what would stand in the way after it."""
    if vcf is not None:
        vcf_writer.check_path(vcf, overwrite=overwrite)
    for path in _report_files(stem):
        if path.exists() and not overwrite:
            raise StoreError.exists(path)


def _facts(
    options: EvalOptions,
    checkpoint: Checkpoint,
    panel: PanelReader,
    index: IndexReader,
    people: NDArray[np.int64],
    target: Target,
    groups: Groups,
) -> dict[str, Any]:
    """What the report says beside the scores."""
    return {
        "run": options.run,
        "split": options.split,
        "panel": str(panel.path),
        "index": str(index.path),
        "people": len(people),
        "sites": len(panel.sites),
        "hidden_sites": int(target.is_hidden.sum()),
        "reference_haplotypes": len(index.reference_haplotypes),
        "masks": target.description,
        "masks_from": target.origin,
        "seed": checkpoint.settings.seed,
        "genotypes": options.genotypes,
        "edges": list(groups.edges),
        "rare_maf": groups.rare_maf,
        "checkpoint": {key: checkpoint.state[key] for key in ("epoch", "step")},
        "weights": checkpoint.weights_file.name,
        "fingerprints": {
            "panel": panel.fingerprint,
            **{f"run_{name}": value for name, value in checkpoint.parents.items()},
        },
        "versions": runs.versions(),
        "settings": config.to_dict(checkpoint.settings),
    }
