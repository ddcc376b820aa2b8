"""Fixtures shared by all tests. A session fixture is read-only: copy what you change."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests import panels
from vcfbert.pipelines.systems import learning_curves
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import memory

# A busy machine is not a reason to fail.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def fx_fast() -> Iterator[None]:
    """Skip work that every training and every store repeats, a third of the suite's time.

    Nothing is flushed to the disk; tests of crashes run in processes of their own, which do. The
    memory of a step, a pure function of the settings, is measured once for each of them. Learning
    curves are drawn once, and all runs get that figure; a test of the figure draws others.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(memory, "measure_step", functools.cache(memory.measure_step))
        patch.setattr(learning_curves, "_png", _first_of(learning_curves._png))
        yield


def _first_of(function: Callable[..., bytes]) -> Callable[..., bytes]:
    """A function that returns what it returned at first."""
    found: list[bytes] = []

    @functools.wraps(function)
    def first(*arguments: object) -> bytes:
        if not found:
            found.append(function(*arguments))
        return found[0]

    return first


@pytest.fixture(scope="session")
def fx_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """60 samples, 120 sites, L = 32, flank 2, two superpopulations; the panel store only."""
    return panels.small_workspace(tmp_path_factory.mktemp("workspace"))


_NEEDS_SHARED = pytest.mark.skip(
    reason=f"{panels.SHARED_CHR20} is absent: real samples, kept outside the repository. "
    "Other tests run the same code on simulated panels"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of the shared panel if it is absent.

    It has genotypes of real samples, which are kept outside the repository, so a clone lacks it. CI
    has it and skips nothing here. The same code is tested on small simulated panels everywhere.
    """
    if panels.SHARED_CHR20.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(_NEEDS_SHARED)
