"""The folder of a training run.

RUN/config.toml       the resolved settings; feed them back with --config
RUN/run.json          versions, seeds, fingerprints of panel and index
RUN/metrics.csv       a row an epoch
RUN/refresh.csv       a row for each new version of masks and of encodings
RUN/checkpoints/      see `checkpoints`
RUN/embeddings/       encodings of the references that training made for itself
RUN/tensorboard/      events
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from vcfbert import config
from vcfbert import versions as installed
from vcfbert.config import Config
from vcfbert.errors import ConfigError, StoreError
from vcfbert.storage import stores
from vcfbert.training import checkpoints

# What may differ between a run and its continuation: how long it goes on, not what it computes.
_EXTENSIBLE = {
    "training.max_epochs",
    "training.max_minutes",
    "training.patience",
    "training.checkpoint_every",
    "training.log_every",
}


def check_new(run: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse to replace a run unasked, before anything costs time.

    Raises StoreError where one stands there, ConfigError where it is to go on and to go at once.
    """
    if resume and overwrite:
        raise ConfigError("--resume goes on with a run and --force replaces it. Give one of them.")
    if run.exists() and not (resume or overwrite):
        raise StoreError(
            f"The run {run} already exists. Go on with it: vcfbert train --run {run.name} "
            "--resume; or choose another --run; or pass --force to replace it."
        )


def create(run: Path, settings: Config, parents: dict[str, str]) -> None:
    """Make the folder of a new run; one that stands there is put aside."""
    if run.exists():
        drop_replaced(run)
        run.rename(_replaced(run))  # kept until the new run has a checkpoint to go on from
    stores.write_file(run / "config.toml", config.to_toml(settings).encode())
    record = {"versions": versions(), "seed": settings.seed, "parents": parents}
    stores.write_file(run / "run.json", json.dumps(record, indent=1).encode())


def drop_replaced(run: Path) -> None:
    """Delete the run that a new one of the same name has replaced."""
    shutil.rmtree(_replaced(run), ignore_errors=True)


def _replaced(run: Path) -> Path:
    return run.with_name(f".{run.name}.replaced")


def reopen(run: Path, settings: Config) -> checkpoints.Checkpoint:
    """Return the last checkpoint of a run that is to go on under these settings.

    Raises ConfigError naming the first setting that would change what the run computes.
    """
    last = checkpoints.read(run, "last")
    saved, asked = config.fields_of(last.settings), config.fields_of(settings)
    for name, value in asked.items():
        if name not in _EXTENSIBLE and saved[name] != value:
            raise ConfigError(
                f"The run {run.name} has {name} = {saved[name]!r}, so it cannot go on with "
                f"{value!r}. Go on with its own settings: vcfbert train --run {run.name} --resume; "
                "or start a new run with --run."
            )
    return dataclasses.replace(last, settings=settings)


def write_metrics(run: Path, history: list[dict[str, Any]]) -> None:
    """Write the whole CSV: a resumed run leaves no row of the epochs it repeats."""
    if history:
        stores.write_file(run / "metrics.csv", _csv(history))


def write_refreshes(run: Path, refreshes: list[dict[str, Any]]) -> None:
    """Write the log of new masks and encodings, whole, likewise."""
    if refreshes:
        stores.write_file(run / "refresh.csv", _csv(refreshes))


def _csv(rows: list[dict[str, Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _short(v) for k, v in row.items()} for row in rows)
    return stream.getvalue().encode()


def versions() -> dict[str, str]:
    """Return what a run depends on beside its inputs: packages, and the machine it ran on."""
    here = installed.machine() | {"threads": torch.get_num_threads()}
    return installed.packages() | {name: str(value) for name, value in here.items()}


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
