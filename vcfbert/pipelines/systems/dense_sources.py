"""What a dense index is made from: embeddings of either layout, under a mask version.

W windows, L sites in a window, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.systems import encode
from vcfbert.storage.zarr import embeddings, stored_versions
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace


@dataclass(frozen=True)
class DenseSource:
    """Open embeddings of the references, and the masks under which they are indexed.

    is_masked  (W, L)
    """

    reader: EmbeddingsReader
    panel: PanelReader
    is_masked: NDArray[np.bool_]
    mask_version: int
    mask_fingerprint: str

    def rows(self, window: int, haplotypes: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, L, D) masked embeddings of panel haplotypes (n,), all or some of the references."""
        if self.reader.layout == "codebook":
            return gathered(self.reader, self.panel, window, haplotypes, self.is_masked[window])
        # All rows go from the memory map straight into the index; only a subset is copied.
        masked = self.reader.dense_masked(window)
        rows = np.flatnonzero(np.isin(self.reader.reference_haplotypes, haplotypes))
        return masked if len(rows) == len(masked) else masked[rows]


def gathered(
    reader: EmbeddingsReader,
    panel: PanelReader,
    window: int,
    haplotypes: NDArray[np.int64],
    is_masked: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """(n, L, D) masked embeddings of panel haplotypes (n,), from the codebook.

    is_masked  (L,)
    """
    hidden = tokens.hide(panel.tokens(window, haplotypes), is_masked)
    return reader.codebook(window)[hidden, np.arange(reader.length)]


@contextmanager
def open_source(
    workspace: Workspace,
    panel: PanelReader,
    name: VersionName | None,
    mask_name: VersionName | None,
) -> Iterator[DenseSource]:
    """Open embeddings and the masks for a dense index.

    name       of the embeddings; None is the newest
    mask_name  of the masks; None is those of dense embeddings, or the newest for a codebook

    Raises StoreError if something is missing or of another panel, ConfigError if dense embeddings
    have other masks than those that are named.
    """
    path = _path(workspace, name)
    with embeddings.open_embeddings(path) as reader:
        if reader.panel_fingerprint != panel.fingerprint:
            raise StoreError.stale(path, parent="panel", made_by="encode-refs --force")
        if reader.layout == "codebook":
            mask = encode.masks_of(workspace, panel, mask_name)
            yield DenseSource(reader, panel, mask.is_masked, mask.version, mask.fingerprint)
            return
        own = reader.parents["masks"]
        if (
            mask_name is not None
            and encode.masks_of(workspace, panel, mask_name).fingerprint != own
        ):
            raise ConfigError(
                f"{path} has the layout dense and was encoded under mask version "
                f"{reader.mask_version}, not --mask-version {mask_name}. Leave out --mask-version, "
                "or encode under those masks: vcfbert encode-refs --layout dense --mask-version "
                f"{mask_name} --force"
            )
        assert reader.mask_version is not None
        yield DenseSource(reader, panel, reader.is_masked(), reader.mask_version, own)


def _path(workspace: Workspace, name: VersionName | None) -> Path:
    if name is None:
        return workspace.newest("embeddings")
    return stored_versions.path_of(workspace, "embeddings", name)
