"""Costs and validation scores of a run, read from its own files."""

from __future__ import annotations

import csv
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert.config import Config
from vcfbert.errors import StoreError
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs, network_sizes
from vcfbert.training.systems import checkpoints

Row = Mapping[str, str]


@dataclass(frozen=True)
class Costs:
    """Costs of a training run; None if the run's files do not record a value.

    best_f1          validation F1 of the best checkpoint, under the run's own validation masks
    agreement        share of hidden alleles there that equal the nearest neighbour's
    batch            samples per batch x batches per optimizer step
    epoch_seconds    mean per epoch, with refresh and validation
    batch_ms         mean per training batch, with waiting and optimizer steps
    refreshes        versions of masks and embeddings made in training, including the first
    refresh_seconds  total for all of them
    peak_bytes       tensors on a GPU, the resident process on a CPU
    device           times and bytes of different devices cannot be compared
    """

    parameters: int
    best_f1: float | None
    agreement: float | None
    batch: str | None
    epochs: int | None
    seconds: float | None
    epoch_seconds: float | None
    batch_ms: float | None
    refreshes: str | None
    refresh_seconds: float | None
    peak_bytes: float | None
    device: str | None


@dataclass(frozen=True)
class RunFacts:
    """Settings and costs of a run.

    panel  fingerprint of the panel it was trained on
    """

    name: str
    settings: Config
    panel: str
    costs: Costs


def of_run(workspace: Workspace, name: str) -> RunFacts:
    """Read a run of any system; StoreError if any of its files is missing or damaged."""
    run = runs.folder_of(workspace, name)
    if mosaic_runs.system_of(run) == "retrieval":
        return _of_retrieval(run)
    return _of_mosaic(run)


def _of_retrieval(run: Path) -> RunFacts:
    checkpoint = checkpoints.read(run, "best")
    rows = _rows(run / "metrics.csv")
    best = [row for row in rows if row.get("epoch") == str(checkpoint.state["epoch"])]
    training = checkpoint.settings.training
    weights = checkpoints.load_tensors(checkpoint.weights_file)
    seconds = _total(rows, "seconds")
    trained = [row for row in rows if row.get("epoch") != "0"]  # epoch 0 is before training
    batches, busy = _total(rows, "batches"), _total(rows, "train_seconds")
    renewed = _rows(run / "refresh.csv") if (run / "refresh.csv").exists() else []
    costs = Costs(
        parameters=sum(tensor.numel() for tensor in weights.values()),
        best_f1=_total(best, "val_f1"),
        agreement=_total(best, "val_retrieval_agreement"),
        batch=f"{training.batch_size} x {training.accumulation}",
        epochs=len(trained),
        seconds=seconds,
        epoch_seconds=_combined(trained, "seconds", statistics.fmean),
        batch_ms=None if not batches or busy is None else 1000 * busy / batches,
        refreshes=_refreshes(renewed),
        refresh_seconds=_total(renewed, "seconds"),
        peak_bytes=_combined(rows, "peak_memory_bytes", max),
        device=rows[-1].get("device"),
    )
    return RunFacts(run.name, checkpoint.settings, checkpoint.parents["panel"], costs)


def _of_mosaic(run: Path) -> RunFacts:
    read = mosaic_runs.read(run)
    costs = Costs(
        parameters=sum(network_sizes.parameters(network_sizes.num_units(read.network)).values()),
        best_f1=None,
        agreement=None,
        batch=None,
        epochs=None,
        seconds=_number(read.record, "seconds"),
        epoch_seconds=None,
        batch_ms=None,
        refreshes=None,
        refresh_seconds=None,
        peak_bytes=_number(read.record, "peak_memory_bytes"),
        device=read.record.get("device"),
    )
    return RunFacts(run.name, read.settings, read.parents["panel"], costs)


def _refreshes(rows: list[Row]) -> str | None:
    """Number of new versions of each kind.

    >>> _refreshes([{"kind": "embeddings"}, {"kind": "masks"}, {"kind": "masks"}])
    '2 masks, 1 embeddings'
    """
    if not rows:
        return None  # a run without refreshes, or one trained before they were recorded
    found = Counter(row.get("kind") for row in rows)
    return f"{found['masks']} masks, {found['embeddings']} embeddings"


def _rows(path: Path) -> list[Row]:
    """The rows of a run's table; at least one, because a table is written with its first row."""
    again = f"Train the run again: vcfbert train --run {path.parent.name} --force"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows: list[Row] = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read ({error}). {again}") from error
    if not rows:
        raise StoreError(f"{path} has no rows. {again}")
    return rows


def _total(rows: list[Row], name: str) -> float | None:
    return _combined(rows, name, sum)


def _combined(rows: list[Row], name: str, how: Callable[[list[float]], float]) -> float | None:
    """A column of some epochs as one number; None if there are no epochs or a value is missing."""
    try:
        found = how([float(row[name]) for row in rows]) if rows else math.nan
    except (KeyError, TypeError, ValueError):
        return None  # a run trained before this was recorded
    return None if math.isnan(found) else found


def _number(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    return None if value is None else float(value)
