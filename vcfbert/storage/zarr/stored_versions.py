"""Versions of masks and embeddings by name: those of a workspace, and those that runs wrote.

WORKSPACE/masks/v0001.zarr            the number 1
WORKSPACE/runs/R/masks/v0003.zarr     runs/R/masks/v0003.zarr, or any other path to it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from vcfbert.errors import StoreError
from vcfbert.storage.zarr import embeddings, masks
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.workspace import Workspace

Stored = Literal["masks", "embeddings"]
VersionName = int | str
"""A number of a version of the workspace, or a path."""

NEW = "new"
"""Name for `train` of a version that it makes itself, as if none were stored."""

_MADE_BY: dict[Stored, str] = {"masks": "refresh --masks", "embeddings": "encode-refs"}


def path_of(workspace: Workspace, kind: Stored, name: VersionName) -> Path:
    """The store that a command line names.

    name  a number of a version of the workspace; or the path of a store, from the current folder or
          from that of the workspace

    Raises StoreError listing what there is if there is no such store.
    """
    text = str(name)
    if text.isdecimal():
        if int(text) in workspace.versions(kind):
            return workspace.version(kind, int(text))
    else:
        for path in (Path(text), workspace.root / text):
            if path.is_dir():
                return path
    numbers = ", ".join(str(number) for number in workspace.versions(kind)) or "none"
    of_runs = ", ".join(_relative(workspace, path) for path in of_all_runs(workspace, kind))
    what = "mask version" if kind == "masks" else "embeddings version"
    runs = f", and of runs: {of_runs}" if of_runs else ""
    raise StoreError(
        f"No {what} {name} in {workspace.root}; there are: {numbers}{runs}. "
        f"Make one with: vcfbert {_MADE_BY[kind]}"
    )


def every(workspace: Workspace, kind: Stored) -> Iterator[Path]:
    """All versions: those of the workspace, the newest first, then those that runs wrote."""
    for version in reversed(workspace.versions(kind)):
        yield workspace.version(kind, version)
    yield from of_all_runs(workspace, kind)


def of_all_runs(workspace: Workspace, kind: Stored) -> list[Path]:
    """Versions that the runs of a workspace wrote."""
    return sorted((workspace.root / "runs").glob(f"[!.]*/{kind}/v*.zarr"))


def mask_with(paths: Iterable[Path], fingerprint: str) -> MaskVersion | None:
    """The mask version with this fingerprint among some; None if it is not there."""
    for path in paths:
        with suppress(StoreError):  # `verify` reports damaged stores
            found = masks.read_masks(path)
            if found.fingerprint == fingerprint:
                return found
    return None


def embeddings_with(paths: Iterable[Path], fingerprint: str) -> Path | None:
    """Path of the embeddings with this fingerprint among some; None if they are not there."""
    for path in paths:
        with suppress(StoreError), embeddings.open_embeddings(path) as reader:
            if reader.fingerprint == fingerprint:
                return path
    return None


def _relative(workspace: Workspace, path: Path) -> str:
    """A path from the folder of the workspace, if it is in there."""
    return (
        str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path)
    )
