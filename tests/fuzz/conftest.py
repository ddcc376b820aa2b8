"""Small valid files of every kind, made once; a test copies what it changes."""

from __future__ import annotations

import pytest

from benchmarks.fuzzing import seeds
from benchmarks.fuzzing.seeds import Seeds


@pytest.fixture(scope="session")
def fx_seeds(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    return seeds.build(tmp_path_factory.mktemp("seeds") / "seeds")
