"""Fixtures shared by all tests. A session fixture is read-only: copy what you change."""

from __future__ import annotations

import hypothesis
import pytest

from tests import panels
from vcfbert.storage.zarr.workspace import Workspace

# How long an example takes is the machine's business, and no reason to fail.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def fx_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """60 samples, 120 sites, L = 32, flank 2, two superpopulations; the panel store only."""
    return panels.small_workspace(tmp_path_factory.mktemp("workspace"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of the shared panel where it is not there.

    The panel is real samples' data beside the repository and never a part of it; the reason of the
    skip names the folder, and the same code is tested on small panels everywhere.
    """
    if panels.SHARED_CHR20.is_dir():
        return
    reason = f"needs {panels.SHARED_CHR20}"
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=reason))
