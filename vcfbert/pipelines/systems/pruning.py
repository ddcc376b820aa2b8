"""Deletion of old versions of masks, embeddings and indexes that nothing depends on.

Masks and embeddings that a dense index was made from stay, and so do indexes that a run uses.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vcfbert.errors import StoreError
from vcfbert.files import digests, locks, replacing
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr import embeddings, masks
from vcfbert.storage.zarr.workspace import Versioned, Workspace


def prune(workspace: Workspace, keep: int) -> list[Path]:
    """Delete all but the newest `keep` versions of each kind; returns the deleted paths.

    A version that is being read stays, and so does one that something kept depends on.
    """
    with workspace.writing("masks", "embeddings", "indexes"):
        needed = _needed_by_runs(workspace)
        deleted = _prune_kind(workspace, "indexes", keep, needed, _index_fingerprint)
        for version in workspace.versions("indexes"):
            parents = manifest.read(workspace.version("indexes", version)).parents
            needed |= set(parents.values())
        deleted += _prune_kind(workspace, "embeddings", keep, needed, _embeddings_fingerprint)
        deleted += _prune_kind(workspace, "masks", keep, needed, _masks_fingerprint)
    return deleted


def _prune_kind(
    workspace: Workspace,
    kind: Versioned,
    keep: int,
    needed: set[str],
    fingerprint_of: Callable[[Path], str],
) -> list[Path]:
    paths = [workspace.version(kind, version) for version in workspace.versions(kind)[:-keep]]
    unneeded = [
        path for path in paths if fingerprint_of(path) not in needed and not locks.is_read(path)
    ]
    for path in unneeded:
        replacing.drop(path)
    return unneeded


def _needed_by_runs(workspace: Workspace) -> set[str]:
    """Fingerprints of everything that the runs of a workspace depend on."""
    needed: set[str] = set()
    for path in sorted((workspace.root / "runs").glob("*/run.json")):
        try:
            record: Any = digests.read_json(path)
            needed |= set(record["parents"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path} cannot be read ({error}), so what its run depends on is unknown. "
                f"Repair or delete {path.parent}, then prune again."
            ) from error
    return needed


def _index_fingerprint(path: Path) -> str:
    return manifest.fingerprint(manifest.read(path))


def _embeddings_fingerprint(path: Path) -> str:
    with embeddings.open_embeddings(path) as reader:
        return reader.fingerprint


def _masks_fingerprint(path: Path) -> str:
    return masks.read_masks(path).fingerprint
