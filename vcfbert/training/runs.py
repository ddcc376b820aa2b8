"""The settings, versions and tables in the folder of a training run.

RUN/config.toml       the resolved settings; pass them with --config to repeat the run
RUN/run.json          versions, seeds, fingerprints of panel and index, SHA-256 of config.toml
RUN/metrics.csv       one row for each epoch
RUN/refresh.csv       a row for each new version of masks and of encodings
RUN/checkpoints/      see `training.systems.checkpoints`
RUN/embeddings/       encodings of the references that this run made
RUN/tensorboard/      events
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch

from vcfbert import config
from vcfbert import versions as installed
from vcfbert.config import Config
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import digests
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.workspace import Workspace

_EXTENSIBLE = {
    "training.max_epochs",
    "training.max_minutes",
    "training.patience",
    "training.checkpoint_every",
    "training.log_every",
}
"""Settings that may differ when a run is resumed: they do not change what it computes."""


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
    """Raise StoreError if the run exists and is neither resumed nor replaced.

    Raises ConfigError if it is to be both resumed and replaced.
    """
    if resume and overwrite:
        raise ConfigError(
            "--resume continues a run and --force replaces it. Pass only one of them."
        )
    if run.exists() and not (resume or overwrite):
        raise StoreError(
            f"The run {run} already exists. Resume it: vcfbert train --run {run.name} --resume; "
            "choose another --run; or pass --force to replace it."
        )


def create(
    run: Path, settings: Config, parents: dict[str, str], index: dict[str, Any] | None
) -> None:
    """Write the settings and the record of a new run to its folder.

    index  what is noted about the index besides its fingerprint; None if nothing is retrieved
    """
    text = config.to_toml(settings).encode()
    stores.write_file(run / "config.toml", text)
    record = {
        "versions": versions(),
        "seed": settings.seed,
        "parents": parents,
        "index": index,
        "files": {"config.toml": digests.of_bytes(text)},
    }
    stores.write_file(run / "run.json", digests.sealed_json(record))


def check_resumable(run: Path, saved: Config, asked: Config) -> None:
    """Raise ConfigError naming the first setting that would change what a resumed run computes."""
    before = config.fields_of(saved)
    for name, value in config.fields_of(asked).items():
        if name not in _EXTENSIBLE and before[name] != value:
            raise ConfigError(
                f"The run {run.name} has {name} = {before[name]!r}, so it cannot be resumed with "
                f"{value!r}. Resume it with its own settings: vcfbert train --run {run.name} "
                "--resume; or start a new run with --run."
            )


def check_parents(
    name: str, saved: dict[str, str], found: dict[str, str], *, place: str, remedy: str
) -> None:
    """Raise StoreError naming the first input that is not the one the run was trained on.

    saved  fingerprints of the inputs of the run
    found  fingerprints of the inputs in use
    place  where they are
    """
    for parent, fingerprint in found.items():
        if saved.get(parent) != fingerprint:
            raise StoreError(
                f"The run {name} was trained on another {parent} than the one in {place}. {remedy}"
            )


def write_metrics(run: Path, history: list[dict[str, Any]]) -> None:
    """Write metrics.csv as a whole, so that a resumed run leaves no rows of epochs it repeats."""
    if history:
        stores.write_file(run / "metrics.csv", as_csv(history))


def write_refreshes(run: Path, refreshes: list[dict[str, Any]]) -> None:
    """Write refresh.csv, the log of new masks and encodings, as a whole."""
    if refreshes:
        stores.write_file(run / "refresh.csv", as_csv(refreshes))


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """Rows as CSV text; all have the keys of the first."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _short(v) for k, v in row.items()} for row in rows)
    return stream.getvalue().encode()


def versions() -> dict[str, str]:
    """What a run depends on besides its inputs: package versions and the machine."""
    here = installed.machine() | {"threads": torch.get_num_threads()}
    return installed.packages() | {name: str(value) for name, value in here.items()}


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
