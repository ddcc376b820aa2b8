"""Preset, file, --set and short flags, laid one over the other."""

import pytest

from vcfbert import config
from vcfbert.config import presets
from vcfbert.errors import ConfigError
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert_cli import settings


def write(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_without_anything_the_default_preset_is_meant():
    assert settings.resolve(None, None, None) == presets.v18_large()


def test_each_layer_covers_the_one_below(tmp_path):
    path = write(tmp_path, "seed = 2\n[training]\nbatch_size = 3\nmax_epochs = 4\n")
    chosen = settings.resolve(
        "tiny", path, ["training.batch_size=5", "retrieval.num_neighbours=6"], seed=7, retrieve_k=8
    )
    assert chosen.preset == "tiny"
    assert chosen.model == presets.tiny().model
    assert chosen.training.max_epochs == 4
    assert chosen.training.batch_size == 5
    assert chosen.seed == 7
    assert chosen.retrieval.num_neighbours == 8


def test_a_saved_config_reads_back_as_itself(tmp_path):
    saved = settings.resolve("v18-xl", None, ["model.width=96", "seed=5"])
    path = write(tmp_path, config.to_toml(saved))
    assert settings.resolve(None, path, None) == saved


def test_a_file_may_describe_a_system_that_is_no_preset(tmp_path):
    path = write(tmp_path, 'preset = "mine"\n[model]\nwidth = 64\nnum_heads = 4\n')
    chosen = settings.resolve(None, path, None)
    assert (chosen.preset, chosen.model.width) == ("mine", 64)


@pytest.mark.parametrize(
    ("preset", "text", "sets", "message"),
    [
        ("v99", "", [], "Unknown preset 'v99'"),
        ("tiny", 'preset = "v18-xl"', [], "disagree"),
        (None, "[model]\nwidht = 3", [], "mine.toml: unknown key 'model.widht'"),
        (None, "[model", [], "not valid TOML"),
        (None, "", ["model.width"], "--set takes section.key=value"),
        (None, "", ["model.width=wide"], "--set: model.width takes int"),
        (None, "", ["preset=tiny"], "--preset NAME"),
    ],
)
def test_a_bad_setting_is_named(tmp_path, preset, text, sets, message):
    with pytest.raises(ConfigError, match=r".") as caught:
        settings.resolve(preset, write(tmp_path, text), sets)
    assert message in str(caught.value)


@pytest.fixture
def fx_run(tmp_path, monkeypatch):
    """The workspace of a run named mine, and its settings."""
    own = config.merge(presets.tiny(), {"seed": 5, "masks": {"start_rate": 0.3}}, source="test")
    monkeypatch.setattr(
        "vcfbert.pipelines.systems.run_settings.of_run", lambda workspace, name: own
    )
    return Workspace(tmp_path), own


def test_a_run_brings_its_own_settings(fx_run, tmp_path):
    workspace, own = fx_run
    whole = write(tmp_path, config.to_toml(own))
    for given in (
        (None, None, None),
        ("tiny", None, None),
        (None, whole, None),
        (None, None, ["masks.start_rate=0.3"]),
    ):
        assert settings.of_run(workspace, "mine", *given) == own
    assert settings.of_run(workspace, "mine", None, None, None, seed=5) == own
    assert settings.of_run(workspace, None, None, None, None) == presets.v18_large()


@pytest.mark.parametrize(
    ("preset", "text", "sets", "seed", "message"),
    [
        ("v18-large", "", [], None, "preset = 'tiny', but the options ask for 'v18-large'"),
        ("v99", "", [], None, "Unknown preset 'v99'"),
        (None, "[masks]\nstart_rate = 0.2", [], None, "masks.start_rate = 0.3"),
        (None, "", ["model.width=64"], None, "model.width = 32, but the options ask for 64"),
        (None, "", [], 6, "seed = 5, but the options ask for 6"),
    ],
)
def test_an_option_that_contradicts_a_run_is_refused(
    fx_run, tmp_path, preset, text, sets, seed, message
):
    with pytest.raises(ConfigError) as caught:
        settings.of_run(fx_run[0], "mine", preset, write(tmp_path, text), sets, seed=seed)
    assert message in str(caught.value)


def test_a_flag_that_is_out_of_range_is_named_as_the_flag():
    with pytest.raises(ConfigError, match="--retrieve-k"):
        settings.resolve("tiny", None, None, retrieve_k=0)


def test_a_list_of_numbers_is_read_or_refused():
    assert settings.numbers("--edges", "0,0.5") == (0.0, 0.5)
    with pytest.raises(ConfigError, match="--edges"):
        settings.numbers("--edges", "0;0.5")
