"""What is in the folders of runs, in the QC report and in the shipped network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from vcfbert import config
from vcfbert.errors import StoreError
from vcfbert.files import digests
from vcfbert.model import imputer
from vcfbert.pipelines.verifying import check_stores
from vcfbert.pipelines.verifying.check_stores import Known
from vcfbert.pipelines.verifying.verification import Findings
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs, weight_files
from vcfbert.training.systems import checkpoints, selection
from vcfbert.training.systems.checkpoints import Checkpoint, Which

LATER = ("eval",)
"""Folders that other commands put into a run."""


def check_run(run: Path, known: Known, findings: Findings) -> None:
    """A run of any system."""
    with findings.explained():
        system = mosaic_runs.system_of(run)
        if system == "mosaic" or (run / weight_files.FILE).exists():
            _check_mosaic(run, known, findings)
            return
    _check_retrieval(run, known, findings)


def _check_mosaic(run: Path, known: Known, findings: Findings) -> None:
    """The seal over everything, then the network and its parent."""
    made_by = f"train --preset mosaic --run {run.name} --force"
    is_sealed = findings.check_seal(run, made_by, besides=LATER)
    with findings.explained(besides_seal=is_sealed):
        found = mosaic_runs.read(run)
        findings.content = f"{found.settings.preset}, seed {found.record['seed']}"
        if known.panel is not None:
            panel = found.parents["panel"]
            check_stores.check_parent(run, panel, known.panel, made_by, findings)


def _check_retrieval(run: Path, known: Known, findings: Findings) -> None:
    """Settings, versions, checkpoints and logs, each against the digest that another file holds."""
    again = f"Train it again with: vcfbert train --run {run.name} --force"
    with findings.explained():
        _check_settings(run, again)
    found: dict[Which, Checkpoint] = {}
    for which in _expected(run, findings, again):
        with findings.explained():
            found[which] = checkpoints.read(run, which)
            _check_weights(found[which])
    if "last" in found:
        last = found["last"]
        with findings.explained():
            _check_last(run, last, "best" in found, findings, again)
        findings.content = f"{last.settings.preset}, step {last.state['step']}, seed " + str(
            last.settings.seed
        )
    for checkpoint in list(found.values())[:1]:
        _check_parents(run, checkpoint, known, findings, again)
    for path in sorted((run / "embeddings").glob("*.zarr")):
        with findings.explained():
            made_by = f"train --run {run.name} --force"
            own = Findings(path.name)
            if own.check_seal(path, made_by):
                check_stores.check_embeddings(path, known, own, made_by=made_by)
            findings.faults += own.faults
    _name_strangers(run, found, findings)


def _check_settings(run: Path, again: str) -> None:
    """run.json by its own digest, config.toml by the one in run.json."""
    path = run / "run.json"
    try:
        record = digests.read_json(path)
        wanted = dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}). {again}") from error
    for name, digest in wanted.items():
        file = run / Path(name).name
        if not file.is_file() or digests.of_file(file) != digest:
            raise StoreError(f"{file} is missing or is not what was written. {again}")
    settings = config.from_dict(config.load(run / "config.toml"), source=str(run))
    if settings.seed != record["seed"]:
        raise StoreError(f"{path} and config.toml name different seeds. {again}")


def _expected(run: Path, findings: Findings, again: str) -> list[Which]:
    """Checkpoints to read: those that are there, and a fault where `last` is not."""
    folder = run / "checkpoints"
    weights = [path for path in folder.glob("step-*") if int(path.name[5:13] or 0)]
    has_best = (folder / "best.json").exists()
    if not (folder / "last.json").exists() and not weights and not has_best:
        findings.content = "no checkpoint"
        findings.notes.append(
            f"{run} was stopped before its first checkpoint and holds nothing. {again}"
        )
        return []
    expected: list[Which] = ["best"] if has_best else []
    if (folder / "last.json").exists():
        return ["last", *expected]
    findings.faults.append(f"{folder / 'last.json'} is missing. {again}")
    return expected


def _check_weights(checkpoint: Checkpoint) -> None:
    """Weights fit the network and are finite, and so are the optimizer's moments."""
    model = imputer.build(checkpoint.settings.model, checkpoint.settings.seed)
    checkpoints.load_weights(model, checkpoint.weights_file)
    if checkpoint.optimizer_file is not None:
        checkpoints.check_moments(checkpoint.optimizer_file)


def _check_last(
    run: Path, last: Checkpoint, has_best: bool, findings: Findings, again: str
) -> None:
    """The logs hold what the checkpoint knows of, and the best epoch has its checkpoint."""
    training = last.settings.training
    try:
        history, refreshes = last.state["history"], last.state["refreshes"]
        chosen = selection.standing(history, training.val_metric, training.min_delta)
        logs = {"metrics.csv": _log(history), "refresh.csv": _log(refreshes)}
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"The last checkpoint of {run} lacks {error}. {again}") from error
    if last.optimizer_file is None:
        findings.faults.append(f"The last checkpoint of {run} has no optimizer. {again}")
    if chosen.best_epoch and not has_best:
        findings.faults.append(f"{run / 'checkpoints' / 'best.json'} is missing. {again}")
    for name, wanted in logs.items():
        path = run / name
        written = path.read_bytes() if path.is_file() else b""
        if not written.startswith(wanted):
            findings.faults.append(
                f"{path} is missing or does not hold the rows of the last checkpoint. {again}"
            )
        elif written != wanted:
            findings.notes.append(f"{path} is ahead of the last checkpoint; go on with --resume.")


def _log(rows: list[dict[str, Any]]) -> bytes:
    return runs.as_csv(rows) if rows else b""


def _check_parents(
    run: Path, checkpoint: Checkpoint, known: Known, findings: Findings, again: str
) -> None:
    """The panel and the index that the run stands on are those that stand here."""
    if known.panel is not None:
        made_by = f"train --run {run.name} --force"
        fingerprint = checkpoint.parents["panel"]
        check_stores.check_parent(run, fingerprint, known.panel, made_by, findings)
    index = checkpoint.parents.get("index")
    if index is not None and index not in known.indexes:
        known.miss(run, "indexes", findings, again)


def _name_strangers(run: Path, found: dict[Which, Checkpoint], findings: Findings) -> None:
    """Weights that no checkpoint names are what a stopped run left behind."""
    named = {"last.json", "best.json"}
    for checkpoint in found.values():
        named.add(checkpoint.weights_file.name)
        if checkpoint.optimizer_file is not None:
            named.add(checkpoint.optimizer_file.name)
    if not found or findings.faults:
        return  # nobody knows then what is named
    findings.notes += [
        f"{path} is named by no checkpoint and is dropped at the next."
        for path in sorted((run / "checkpoints").glob("*"))
        if path.name not in named
    ]


def check_shipped(findings: Findings) -> None:
    """The network that comes with vcfbert, which `impute` reads."""
    with findings.explained():
        findings.content = f"fingerprint {weight_files.shipped().fingerprint[:12]}"


def check_qc(workspace: Workspace, known: Known, findings: Findings) -> None:
    """The QC report of `prepare`, by its own digest, and against the panel it is of."""
    path = workspace.qc
    again = "Prepare again with: vcfbert prepare PANEL --force"
    try:
        report = digests.read_json(path)
        kept = report["kept"]
        samples, fingerprint = report["samples"]["kept"], report["fingerprint"]
        found = (kept["sites"], kept["windows"], samples)
        pairs_sha256 = report["relatedness"]["table_sha256"]
        findings.content = f"{kept['sites']:,} sites, {samples:,} samples"
    except FileNotFoundError:
        findings.faults.append(f"{path} is missing. {again}")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        findings.faults.append(f"{path} is damaged ({error}). {again}")
        return
    pairs = workspace.relatives
    if not pairs.is_file():
        findings.faults.append(f"{pairs} is missing. {again}")
    elif hashlib.sha256(pairs.read_bytes()).hexdigest() != pairs_sha256:
        findings.faults.append(f"{pairs} is not what prepare wrote. {again}")
    if known.panel is None:
        return
    panel = known.panel
    if fingerprint != panel.fingerprint:
        findings.faults.append(f"{path} tells of another panel than {panel.path}. {again}")
    elif found != (len(panel.sites), len(panel.windows), len(panel.samples)):
        findings.faults.append(f"{path} counts other sites or samples than the panel has. {again}")
