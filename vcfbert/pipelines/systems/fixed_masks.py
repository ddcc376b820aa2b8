"""The only mask version that a dense index can be searched under, and the settings it rules out."""

from __future__ import annotations

from vcfbert.config import MaskConfig, RefreshConfig, RetrievalConfig
from vcfbert.errors import ConfigError, StoreError
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import stored_versions
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.workspace import Workspace


def stored(
    workspace: Workspace, retrieval: RetrievalConfig, masks: MaskConfig, index: IndexReader
) -> MaskVersion:
    """Read the masks of a dense index; ConfigError if the settings ask for others."""
    if retrieval.space != "embedding":
        raise ConfigError(
            f"{index.path} is a dense index, which compares embeddings, but retrieval.space = "
            f"{retrieval.space!r} compares token ids. Build an exact one: "
            "vcfbert build-index --kind exact --force"
        )
    _check_masks(masks, index)
    mask = stored_versions.mask_with(
        stored_versions.every(workspace, "masks"), index.parents["masks"]
    )
    if mask is not None:
        return mask
    raise StoreError.stale(index.path, parent="mask version", made_by="build-index --kind dense")


def check_refresh(refresh: RefreshConfig, retrieval: RetrievalConfig, index: IndexReader) -> None:
    """Raise ConfigError if the settings ask for a refresh or for segments."""
    if refresh.masks_every or refresh.embeddings_every or retrieval.num_segments > 1:
        raise ConfigError(
            f"{index.path} is a dense index, which searches whole windows under one mask and one "
            "encoding. Set refresh.masks_every=0, refresh.embeddings_every=0 and "
            "retrieval.num_segments=1, or build an exact one: "
            "vcfbert build-index --kind exact --force"
        )


def _check_masks(settings: MaskConfig, index: IndexReader) -> None:
    """Raise ConfigError if the settings ask for other masks than one for each window."""
    if settings.policy != "random" or settings.by_sample or not settings.align:
        raise ConfigError(
            f"{index.path} is a dense index, which searches under the masks it was made from, but "
            f"masks.policy = {settings.policy!r}, masks.scope = {settings.scope!r} and masks.align "
            f"= {str(settings.align).lower()} ask for others. Build an exact one: "
            "vcfbert build-index --kind exact --force"
        )
