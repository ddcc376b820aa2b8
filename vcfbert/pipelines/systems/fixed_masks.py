"""The one mask version that a dense index can be searched under, and what that rules out."""

from __future__ import annotations

from vcfbert.config import Config
from vcfbert.errors import ConfigError, StoreError
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr.masks import MaskVersion, read_masks
from vcfbert.storage.zarr.workspace import Workspace


def of_index(
    workspace: Workspace, settings: Config, index: IndexReader | None
) -> MaskVersion | None:
    """Return the masks of a dense index; None for an exact or no index.

    Raises ConfigError where the settings ask for what such an index cannot do, StoreError where
    its mask version is gone.
    """
    if index is None or index.kind != "dense":
        return None
    check_refresh(settings, index)
    return stored(workspace, settings, index)


def stored(workspace: Workspace, settings: Config, index: IndexReader) -> MaskVersion:
    """Find the masks of a dense index, and refuse settings that ask for others."""
    if settings.retrieval.space != "embedding":
        raise ConfigError(
            f"{index.path} is a dense index, which holds embeddings, but retrieval.space = "
            f"{settings.retrieval.space!r} compares token ids. Build an exact one: "
            "vcfbert build-index --kind exact --force"
        )
    _check_masks(settings, index)
    for version in workspace.versions("masks"):
        mask = read_masks(workspace.version("masks", version))
        if mask.fingerprint == index.parents["masks"]:
            return mask
    raise StoreError.stale(index.path, parent="mask version", made_by="build-index --kind dense")


def check_refresh(settings: Config, index: IndexReader) -> None:
    """Raise ConfigError where masks or encodings are to be renewed, or segments searched."""
    refresh = settings.refresh
    if refresh.masks_every or refresh.embeddings_every or settings.retrieval.num_segments > 1:
        raise ConfigError(
            f"{index.path} is a dense index, which answers for whole windows under one mask and "
            "one encoding. Set refresh.masks_every=0, refresh.embeddings_every=0 and "
            "retrieval.num_segments=1, or build an exact one: "
            "vcfbert build-index --kind exact --force"
        )


def _check_masks(settings: Config, index: IndexReader) -> None:
    """Refuse masks that one mask a window, that of the index, cannot stand for."""
    masks = settings.masks
    if masks.policy != "random" or masks.scope != "window" or not masks.align:
        raise ConfigError(
            f"{index.path} is a dense index, which answers under the masks it was made from, but "
            f"masks.policy = {masks.policy!r}, masks.scope = {masks.scope!r} and masks.align = "
            f"{str(masks.align).lower()} ask for others. Build an exact one: "
            "vcfbert build-index --kind exact --force"
        )
