import numpy as np
import pytest

from research.pretraining import recipe
from research.pretraining.recipe import PretrainOptions
from vcfbert.config import MosaicConfig
from vcfbert.copying import network
from vcfbert.progress import Silent
from vcfbert.training.mosaic import weight_files

SMALL = PretrainOptions(
    panels=2,
    designs=1,
    samples=2,
    rows_per_design=500,
    scale=0.05,
    network=MosaicConfig(units=4, steps=5, batch_rows=64, check_every=5),
)


@pytest.mark.slow
def test_the_recipe_gives_the_same_network_twice(tmp_path):
    first = recipe.pretrain(tmp_path / "a.safetensors", SMALL, progress=Silent())
    second = recipe.pretrain(tmp_path / "b.safetensors", SMALL, progress=Silent())
    assert first.fingerprint == second.fingerprint
    assert first.rows > 0


def test_the_shipped_network_loads_and_returns_the_copying_model_far_from_its_training():
    shipped = weight_files.shipped()
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, shipped.weights.first.shape[1])).astype(np.float32) * 1e4
    rows[:, :3] = np.clip(rows[:, :3], -8, 8)
    answer, num_outside = shipped.probabilities(rows)
    copying, _ = network.copying_only().probabilities(rows)
    assert num_outside == 200
    np.testing.assert_allclose(answer, copying, atol=1e-5)


def test_the_shipped_network_is_small_enough_to_ship():
    assert weight_files.shipped_path().stat().st_size < 5_000_000
