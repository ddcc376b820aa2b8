"""What `encode-refs`, `build-index` and `refresh` share: references, and where to write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.errors import InputError, StoreError
from vcfbert.files import digests
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Versioned, Workspace


def train_haplotypes(panel: PanelReader) -> NDArray[np.int64]:
    """Panel haplotypes of the train samples; InputError if there are none."""
    haplotypes = panel.samples.haplotypes(site_tables.TRAIN)
    if len(haplotypes) == 0:
        raise InputError(
            f"{panel.path} has no train samples, so there are no references. "
            "Prepare it again with a sample table whose split column names some."
        )
    return haplotypes


def version_to_write(workspace: Workspace, kind: Versioned, overwrite: bool) -> Path:
    """Version 0 if there is no version yet; otherwise the newest, which is to be replaced."""
    versions = workspace.versions(kind)
    path = workspace.version(kind, versions[-1] if versions else 0)
    if versions and not overwrite:
        raise StoreError.exists(path)
    return path


def runs_trained_with(workspace: Workspace, fingerprint: str) -> list[str]:
    """Names of the runs that have a store with this fingerprint among their parents."""
    names = []
    for path in sorted((workspace.root / "runs").glob("*/run.json")):
        try:
            if fingerprint in digests.read_json(path)["parents"].values():
                names.append(path.parent.name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # `verify` reports damaged runs
    return names


def bytes_below(folder: Path) -> int:
    """Bytes of the files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
