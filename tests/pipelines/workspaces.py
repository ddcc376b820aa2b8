"""Workspaces with every store, and the settings they were made with."""

from __future__ import annotations

from typing import Any

from vcfbert import config, presets
from vcfbert.config import Config
from vcfbert.pipelines import references
from vcfbert.pipelines.references import EncodeOptions, IndexOptions, RefreshOptions
from vcfbert.progress import Silent
from vcfbert.retrieval.manifest import Kind
from vcfbert.storage.embeddings import Layout
from vcfbert.storage.workspace import Workspace


def changed(**sections: Any) -> Config:
    """Small settings with some sections changed."""
    small = {"model": {"width": 16, "num_layers": 1}, "retrieval": {"num_neighbours": 6}}
    settings = config.merge(presets.tiny(), small, source="test")
    return config.merge(settings, sections, source="test")


SMALL = changed()
DENSE = changed(
    retrieval={"num_segments": 1}, refresh={"masks_every": 0, "embeddings_every": 0}
)  # what a dense index can serve


def build(
    workspace: Workspace,
    settings: Config = SMALL,
    layout: Layout = "codebook",
    kind: Kind = "exact",
) -> Workspace:
    """Masks, embeddings and index beside a panel."""
    quiet = Silent()
    references.refresh(workspace, settings, RefreshOptions(masks=True), progress=quiet)
    references.encode_refs(workspace, settings, EncodeOptions(layout=layout), progress=quiet)
    references.build_index(workspace, IndexOptions(kind=kind), progress=quiet)
    return workspace
