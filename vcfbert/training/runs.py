"""Folder of a training run.

RUN/config.toml       all settings, which --config reads
RUN/run.json          versions, seeds, fingerprints of panel and index, SHA-256 of config.toml
RUN/metrics.csv       a row for each epoch
RUN/refresh.csv       a row for each new version of masks and of encodings
RUN/checkpoints/      see `checkpoints`
RUN/embeddings/       encodings of the references that training made
RUN/tensorboard/      events
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vcfbert import config
from vcfbert import versions as installed
from vcfbert.config import Config
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import digests, locks
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints

# Settings that may change when a run is resumed: its length, not what it computes.
_EXTENSIBLE = {
    "training.max_epochs",
    "training.max_minutes",
    "training.patience",
    "training.checkpoint_every",
    "training.log_every",
}


def folder_of(workspace: Workspace, name: str) -> Path:
    """The folder of an existing run; StoreError listing the runs there are if it is missing."""
    run = workspace.run(name)
    if run.is_dir():
        return run
    folder = run.parent
    known = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    raise StoreError(
        f"No run {name!r} in {workspace.root}; there are: {', '.join(known) or 'none'}. "
        f"Train one with: vcfbert train --run {name}"
    )


def check_new(run: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise StoreError if the run exists and is neither to be resumed nor replaced.

    Raises ConfigError if it is to be both.
    """
    if resume and overwrite:
        raise ConfigError(
            "--resume continues a run and --force replaces it. Pass only one of them."
        )
    if run.exists() and not (resume or overwrite):
        raise StoreError(
            f"The run {run} already exists. Resume it with: vcfbert train --run {run.name} "
            "--resume; or choose another --run; or pass --force to replace it."
        )


def create(run: Path, settings: Config, parents: dict[str, str]) -> None:
    """Write settings, versions and fingerprints into the folder of a new run."""
    text = config.to_toml(settings).encode()
    stores.write_file(run / "config.toml", text)
    record = {
        "versions": versions(),
        "seed": settings.seed,
        "parents": parents,
        "files": {"config.toml": digests.of_bytes(text)},
    }
    stores.write_file(run / "run.json", digests.sealed_json(record))


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Lock a run for training, and delete unfinished files of a killed training."""
    with locks.hold(run):
        for folder in (run / "checkpoints", run / "embeddings"):
            locks.clear_below(folder)
        yield


def reopen(run: Path, settings: Config) -> checkpoints.Checkpoint:
    """Return the last checkpoint of a run that is resumed with these settings.

    Raises ConfigError naming the first setting that would change what the run computes.
    """
    last = checkpoints.read(run, "last")
    saved, asked = config.fields_of(last.settings), config.fields_of(settings)
    for name, value in asked.items():
        if name not in _EXTENSIBLE and saved[name] != value:
            raise ConfigError(
                f"The run {run.name} has {name} = {saved[name]!r}, so it cannot be resumed "
                f"with {value!r}. Resume it with its own settings: vcfbert train --run {run.name} "
                "--resume; or start a new run with --run."
            )
    return dataclasses.replace(last, settings=settings)


def write_metrics(run: Path, history: list[dict[str, Any]]) -> None:
    """Write the whole CSV, so that a resumed run has no rows of epochs that it repeats."""
    if history:
        stores.write_file(run / "metrics.csv", as_csv(history))


def write_refreshes(run: Path, refreshes: list[dict[str, Any]]) -> None:
    """Write the whole CSV of new masks and encodings, for the same reason."""
    if refreshes:
        stores.write_file(run / "refresh.csv", as_csv(refreshes))


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """Rows as CSV; all have the keys of the first."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _short(v) for k, v in row.items()} for row in rows)
    return stream.getvalue().encode()


def versions() -> dict[str, str]:
    """Return what a run depends on besides its inputs: packages and machine."""
    here = installed.machine() | {"threads": torch.get_num_threads()}
    return installed.packages() | {name: str(value) for name, value in here.items()}


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
