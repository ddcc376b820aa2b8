"""Checks of runs, of the QC report and of the shipped network."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from vcfbert import config, plurals
from vcfbert.errors import StoreError
from vcfbert.files import digests
from vcfbert.model import imputer
from vcfbert.pipelines.verifying import check_stores
from vcfbert.pipelines.verifying.check_stores import Known
from vcfbert.pipelines.verifying.store_report import StoreReport
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs, weight_files
from vcfbert.training.systems import checkpoints, index_of_run, selection
from vcfbert.training.systems.checkpoints import Checkpoint, Which

LATER = ("eval",)
"""Folders that other commands write into a run."""


def check_run(run: Path, known: Known, report: StoreReport) -> None:
    """Check a run of any system."""
    with report.catching():
        system = mosaic_runs.system_of(run)
        if system == "mosaic" or (run / weight_files.FILE).exists():
            _check_mosaic(run, known, report)
            return
    _check_retrieval(run, known, report)


def _check_mosaic(run: Path, known: Known, report: StoreReport) -> None:
    """Check the seal, then the network and its parent."""
    made_by = f"train --preset mosaic --run {run.name} --force"
    is_sealed = report.check_seal(run, made_by, besides=LATER)
    with report.catching(is_sealed=is_sealed):
        found = mosaic_runs.read(run)
        report.content = f"{found.settings.preset}, seed {found.record['seed']}"
        if known.panel is not None:
            panel = found.parents["panel"]
            check_stores.check_parent(run, panel, known.panel, made_by, report)


def _check_retrieval(run: Path, known: Known, report: StoreReport) -> None:
    """Check settings, checkpoints and logs against the digests in other files."""
    again = f"Train it again with: vcfbert train --run {run.name} --force"
    with report.catching():
        _check_settings(run, again)
    found: dict[Which, Checkpoint] = {}
    for which in _expected(run, report, again):
        with report.catching():
            found[which] = checkpoints.read(run, which)
            _check_weights(found[which])
    if "last" in found:
        last = found["last"]
        with report.catching():
            _check_last(run, last, "best" in found, report, again)
        report.content = f"{last.settings.preset}, step {last.state['step']}, seed " + str(
            last.settings.seed
        )
    for checkpoint in list(found.values())[:1]:
        _check_parents(run, checkpoint, known, report, again)
    for path in sorted((run / "embeddings").glob("*.zarr")):
        with report.catching():
            made_by = f"train --run {run.name} --force"
            own = StoreReport(path.name)
            if own.check_seal(path, made_by):
                check_stores.check_embeddings(path, known, own, made_by=made_by)
            report.faults += own.faults
    _check_masks(run, known, report)
    _note_leftovers(run, found, report)


def _check_masks(run: Path, known: Known, report: StoreReport) -> None:
    """Check the masks that a run trained with."""
    own = dataclasses.replace(known, masks={})  # its numbers are not those of the workspace
    for path in sorted((run / "masks").glob("v*.zarr")):
        with report.catching():
            made_by = f"train --run {run.name} --force"
            found = StoreReport(path.name)
            if found.check_seal(path, made_by):
                check_stores.check_masks(path, int(path.stem[1:]), own, found)
            report.faults += found.faults


def _check_settings(run: Path, again: str) -> None:
    """Check run.json by its own digest, and config.toml by the one in run.json."""
    path = run / "run.json"
    try:
        record = digests.read_json(path)
        wanted = dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}). {again}") from error
    for name, digest in wanted.items():
        file = run / Path(name).name
        if not file.is_file() or digests.of_file(file) != digest:
            raise StoreError(f"{file} is missing or was changed. {again}")
    settings = config.from_dict(config.load(run / "config.toml"), source=str(run))
    if settings.seed != record["seed"]:
        raise StoreError(f"{path} and config.toml have different seeds. {again}")


def _expected(run: Path, report: StoreReport, again: str) -> list[Which]:
    """The checkpoints to read; adds a fault if `last` is missing."""
    folder = run / "checkpoints"
    weights = [path for path in folder.glob("step-*") if int(path.name[5:13] or 0)]
    has_best = (folder / "best.json").exists()
    if not (folder / "last.json").exists() and not weights and not has_best:
        report.content = "no checkpoint"
        report.notes.append(
            f"{run} was stopped before its first checkpoint, so there is nothing to resume. {again}"
        )
        return []
    expected: list[Which] = ["best"] if has_best else []
    if (folder / "last.json").exists():
        return ["last", *expected]
    report.faults.append(f"{folder / 'last.json'} is missing. {again}")
    return expected


def _check_weights(checkpoint: Checkpoint) -> None:
    """Check that weights fit the network, and that weights and moments are finite."""
    model = imputer.build(checkpoint.settings.model, checkpoint.settings.seed)
    checkpoints.load_weights(model, checkpoint.weights_file)
    if checkpoint.optimizer_file is not None:
        checkpoints.check_moments(checkpoint.optimizer_file)


def _check_last(
    run: Path, last: Checkpoint, has_best: bool, report: StoreReport, again: str
) -> None:
    """Check the logs against the last checkpoint, and that the best epoch has a checkpoint."""
    training = last.settings.training
    try:
        history, refreshes = last.state["history"], last.state["refreshes"]
        selection.standing(history, training.val_metric, training.min_delta)  # reads every row
        logs = {"metrics.csv": _log(history), "refresh.csv": _log(refreshes)}
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"The last checkpoint of {run} lacks {error}. {again}") from error
    if last.optimizer_file is None:
        report.faults.append(f"The last checkpoint of {run} has no optimizer. {again}")
    if history and not has_best:
        report.faults.append(f"{run / 'checkpoints' / 'best.json'} is missing. {again}")
    for name, wanted in logs.items():
        path = run / name
        written = path.read_bytes() if path.is_file() else b""
        if not written.startswith(wanted):
            report.faults.append(f"{path} is missing or lacks rows of the last checkpoint. {again}")
        elif written != wanted:
            report.notes.append(
                f"{path} has rows after the last checkpoint; continue with --resume."
            )


def _log(rows: list[dict[str, Any]]) -> bytes:
    return runs.as_csv(rows) if rows else b""


def _check_parents(
    run: Path, checkpoint: Checkpoint, known: Known, report: StoreReport, again: str
) -> None:
    """Check that the run was trained on this panel and an index of this workspace."""
    if known.panel is not None:
        made_by = f"train --run {run.name} --force"
        fingerprint = checkpoint.parents["panel"]
        check_stores.check_parent(run, fingerprint, known.panel, made_by, report)
    index = checkpoint.parents.get("index")
    if index is not None and index not in known.indexes:
        try:
            index_of_run.find(Workspace(run.parent.parent), run, index)
        except StoreError:
            known.miss(run, "indexes", report, again)


def _note_leftovers(run: Path, found: dict[Which, Checkpoint], report: StoreReport) -> None:
    """Note weights that no checkpoint refers to, left over from a stopped run."""
    named = {"last.json", "best.json"}
    for checkpoint in found.values():
        named.add(checkpoint.weights_file.name)
        if checkpoint.optimizer_file is not None:
            named.add(checkpoint.optimizer_file.name)
    if not found or report.faults:
        return  # the list of named files is incomplete then
    report.notes += [
        f"{path} belongs to no checkpoint and will be deleted at the next one."
        for path in sorted((run / "checkpoints").glob("*"))
        if path.name not in named
    ]


def check_shipped(report: StoreReport) -> None:
    """Check the shipped network, which `impute` reads."""
    with report.catching():
        report.content = f"fingerprint {weight_files.shipped().fingerprint[:12]}"


def check_qc(workspace: Workspace, known: Known, report: StoreReport) -> None:
    """Check the QC report of `prepare` by its own digest and against the panel."""
    path = workspace.qc
    again = "Prepare again with: vcfbert prepare PANEL --force"
    try:
        qc = digests.read_json(path)
        kept = qc["kept"]
        samples, fingerprint = qc["samples"]["kept"], qc["fingerprint"]
        found = (kept["sites"], kept["windows"], samples)
        pairs_sha256 = qc["relatedness"]["table_sha256"]
        report.content = f"{plurals.of(kept['sites'], 'site')}, {plurals.of(samples, 'sample')}"
    except FileNotFoundError:
        report.faults.append(f"{path} is missing. {again}")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        report.faults.append(f"{path} is damaged ({error}). {again}")
        return
    pairs = workspace.relatives
    if not pairs.is_file():
        report.faults.append(f"{pairs} is missing. {again}")
    elif hashlib.sha256(pairs.read_bytes()).hexdigest() != pairs_sha256:
        report.faults.append(f"{pairs} was changed after prepare wrote it. {again}")
    if known.panel is None:
        return
    panel = known.panel
    if fingerprint != panel.fingerprint:
        report.faults.append(f"{path} describes another panel than {panel.path}. {again}")
    elif found != (len(panel.sites), len(panel.windows), len(panel.samples)):
        report.faults.append(
            f"{path} and the panel differ in the number of sites, windows or samples. {again}"
        )
