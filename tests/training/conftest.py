"""Open inputs of training, over the small panel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import panels
from tests.pipelines.systems.test_train_systems import small_settings
from vcfbert.config import RetrievalConfig
from vcfbert.pipelines.systems import build_index
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.progress import Silent
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import encoding
from vcfbert.training.systems.batches import BatchMaker

SETTINGS = RetrievalConfig(num_neighbours=6, num_segments=2)


@pytest.fixture(scope="session")
def fx_maker(tmp_path_factory) -> Iterator[BatchMaker]:
    """A batch maker over the small panel, with the embeddings of initial weights."""
    workspace: Workspace = panels.small_workspace(tmp_path_factory.mktemp("batches"))
    build_index.build_index(workspace, IndexOptions(), progress=Silent())
    with open_panel(workspace.panel) as panel:
        index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
        embeddings = encoding.EncodedOnDemand(
            encoding.new_encoder(small_settings().model, small_settings().seed), panel
        )
        yield BatchMaker(panel, index, embeddings, SETTINGS)
