"""Fixtures of the pipelines: whole workspaces. A session fixture is read-only: copy to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import panels
from tests.pipelines import workspaces
from vcfbert.pipelines.auditing import estimates
from vcfbert.storage.zarr.workspace import Workspace


@pytest.fixture(scope="session")
def fx_built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The small panel with masks, embeddings and index of `workspaces.SMALL`; read-only."""
    return workspaces.build(panels.small_workspace(tmp_path_factory.mktemp("built")))


@pytest.fixture
def fx_quick_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits do not search what else would fit, seconds of arithmetic that test_audit tests."""
    monkeypatch.setattr(estimates, "_largest_batch", lambda *_: 1)
    monkeypatch.setattr(estimates, "_largest_width", lambda *_: 0)
    monkeypatch.setattr(estimates, "_largest_preset", lambda *_: None)


@pytest.fixture
def fx_own(fx_built: Workspace, tmp_path: Path) -> Workspace:
    """A copy to break."""
    shutil.copytree(fx_built.root, tmp_path / "own")
    return Workspace(tmp_path / "own")
