"""`train --preset mosaic` from a panel to a run folder."""

import csv
import dataclasses
import json

import numpy as np
import numpy.testing as npt
import pytest
from safetensors import safe_open

from tests import panels
from vcfbert import config
from vcfbert.config import presets
from vcfbert.copying import network
from vcfbert.domain.sites import TEST
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import digests
from vcfbert.pipelines import train as pipeline
from vcfbert.pipelines.mosaic import train_mosaic
from vcfbert.pipelines.train import TrainOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import fitting, mosaic_runs, weight_files
from vcfbert.training.mosaic.fitting import OpenData

SMALL = {
    "start": "scratch",
    "units": 6,
    "folds": 2,
    "held_out": 6,
    "designs": 2,
    "steps": 40,
    "check_every": 20,
    "batch_rows": 256,
    "rows_per_design": 2000,
}


def settings_with(**changes):
    return config.merge(presets.get("mosaic"), {"mosaic": SMALL | changes}, source="test")


def train(workspace, name="run", *, typed=(), resume=False, overwrite=False, seed=1, **changes):
    settings = dataclasses.replace(settings_with(**changes), seed=seed)
    options = TrainOptions(name=name, resume=resume, device="cpu", threads=2, typed=tuple(typed))
    return pipeline.train(workspace, settings, options, progress=Silent(), overwrite=overwrite)


def facts_of(path):
    """How a network was made, from its file."""
    with safe_open(path, framework="numpy") as stream:
        metadata = json.loads(stream.metadata()[weight_files.METADATA_KEY])
    return json.loads(metadata["facts"])


def tensors(workspace, name="run"):
    run = mosaic_runs.read(workspace.run(name))
    return run.network.weights._asdict()


@pytest.fixture(scope="module")
def fx_own(tmp_path_factory) -> Workspace:
    """A workspace with one finished run, `first`; tests add runs of other names."""
    workspace = panels.small_workspace(tmp_path_factory.mktemp("mosaic"))
    train(workspace, "first")
    return workspace


@pytest.fixture
def fx_shipped(fx_own, monkeypatch):
    """The run `first` stands for the weights that come with vcfbert."""
    path = fx_own.run("first") / weight_files.FILE
    monkeypatch.setattr(weight_files, "shipped_path", lambda: path)
    monkeypatch.setattr(weight_files, "SHIPPED_SHA256", digests.of_file(path))
    return weight_files.shipped()


def test_a_run_folder_is_whole(fx_own):
    summary = train(fx_own, "whole")
    folder = fx_own.run("whole")
    run = mosaic_runs.read(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.toml", "metrics.csv", "mosaic.safetensors", "run.json", "seal.sha256",
    ]  # fmt: skip
    assert run.settings == settings_with()
    assert mosaic_runs.system_of(folder) == "mosaic"
    with (folder / "metrics.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["0", "20", "40"]
    in_file = facts_of(folder / weight_files.FILE)
    assert in_file.items() < run.record.items()
    assert run.record.keys() - in_file.keys() == {"seconds", "peak_memory_bytes"}
    assert run.record["undecided_sites"] == summary.rows > 100
    assert run.record["designs"] == summary.designs
    assert sum(summary.designs.values()) == 4
    assert run.record["samples"] == 12
    assert set(summary.scores) == {"copying", "trained"}
    assert summary.losses["trained"] <= summary.losses["copying"] + 1e-6
    assert any(line.startswith("Validation loss") for line in summary.lines())


def test_the_same_seed_gives_the_same_weights_and_another_does_not(fx_own):
    train(fx_own, "again")
    train(fx_own, "other", seed=2)
    first = tensors(fx_own, "first")
    for name, values in tensors(fx_own, "again").items():
        npt.assert_array_equal(values, first[name], err_msg=name)
    files = [fx_own.run(name) / weight_files.FILE for name in ("first", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (tensors(fx_own, "other")["mean"] != first["mean"]).any()


def test_test_samples_change_nothing(fx_own, tmp_path):
    """Their alleles are others; sites, splits and counts are the same."""
    other = Workspace(tmp_path)
    with open_panel(fx_own.panel) as panel:
        rows = panel.samples.haplotypes(TEST)

        def scrambled(window):
            packed = panel.packed(window).copy()
            packed[rows] ^= np.uint8(0b01011010)
            return packed

        panel_store.write_panel(
            other.panel, panel.sites, panel.samples, panel.windows, scrambled, settings={}
        )
    train(other)
    for name, values in tensors(other).items():
        npt.assert_array_equal(values, tensors(fx_own, "first")[name], err_msg=name)


def test_shuffled_labels_teach_nothing(fx_own, monkeypatch):
    """Shuffled labels do not beat the copying model, and the network stays as it started."""
    real = fitting.fit
    seen = {}

    def shuffled(begin, data, *rest, **keywords):
        seen["before"] = begin.arrays()
        labels = np.random.default_rng(1).permutation(data.labels)
        seen["fitted"] = real(begin, OpenData(data.rows, labels), *rest, **keywords)
        return seen["fitted"]

    monkeypatch.setattr(fitting, "fit", shuffled)
    summary = train(fx_own, "nonsense", steps=120)
    fitted = seen["fitted"]
    losses = [loss for _, _, loss in fitted.history[1:]]
    assert min(losses) > summary.losses["copying"]
    assert losses[-1] > 1.5 * summary.losses["copying"]
    assert summary.losses["trained"] == pytest.approx(summary.losses["copying"], abs=1e-6)
    for name, values in tensors(fx_own, "nonsense").items():
        npt.assert_array_equal(values, seen["before"][name], err_msg=name)


def test_lists_of_typed_sites_are_the_designs(fx_own, tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("".join(f"chr20\t{1000 * site}\n" for site in range(1, 120, 6)))
    summary = train(fx_own, "listed", typed=[path])
    assert summary.designs == {"mine.tsv": 4}  # more folds, for as many units as drawn designs
    path.write_text("20\t1000\n20\t2000\n")
    with pytest.raises(InputError, match=r"mine\.tsv names 2 sites"):
        train(fx_own, "short", typed=[path])
    assert not fx_own.run("short").exists()


def test_typed_lists_are_of_no_use_to_a_system_of_masks(fx_own, tmp_path):
    options = TrainOptions("tiny", typed=(tmp_path / "mine.tsv",))
    with pytest.raises(ConfigError, match="--typed is an option of mosaic"):
        pipeline.train(fx_own, presets.tiny(), options, progress=Silent())


def test_training_starts_from_the_shipped_network(fx_own, fx_shipped):
    summary = train(fx_own, "from-shipped", start="shipped", units=3, steps=20)
    assert list(summary.losses) == ["copying", "shipped", "trained"]
    assert summary.losses["trained"] <= summary.losses["shipped"]
    run = mosaic_runs.read(fx_own.run("from-shipped"))
    assert run.record["start"] == fx_shipped.fingerprint
    assert len(run.network.weights.first_bias) == SMALL["units"]  # those of the shipped one


def test_within_its_range_a_continued_network_answers_as_before(fx_shipped):
    weights = fx_shipped.weights
    inside = weights.mean + 0.2 * weights.spread * np.array([[-1], [0], [1]], np.float32)
    far = weights.mean + 50 * weights.spread
    data = OpenData(np.concatenate([inside, far[None]]).astype(np.float32), np.zeros(4, np.uint8))
    grown = fitting.continued(weights, data)
    answer = network.from_arrays(grown.arrays(), name="", fingerprint="", source="test")
    npt.assert_allclose(
        answer.probabilities(inside.astype(np.float32))[0],
        fx_shipped.probabilities(inside.astype(np.float32))[0],
        atol=1e-6,
    )
    assert fx_shipped.probabilities(data.rows)[1] == 1
    assert answer.probabilities(data.rows)[1] == 0


def test_without_shipped_weights_the_remedy_is_named(fx_own, monkeypatch, tmp_path):
    monkeypatch.setattr(weight_files, "shipped_path", lambda: tmp_path / "absent")
    with pytest.raises(StoreError, match=r"--set mosaic\.start=scratch"):
        train(fx_own, "absent", start="shipped")


def test_a_network_worse_than_the_shipped_one_is_not_kept(fx_own, fx_shipped, monkeypatch):
    real = train_mosaic.loss
    monkeypatch.setattr(
        train_mosaic, "loss", lambda answer, data: real(answer, data) + (answer.name == "trained")
    )
    train(fx_own, "kept", start="shipped", steps=20)
    for name, values in tensors(fx_own, "kept").items():
        npt.assert_array_equal(values, fx_shipped.weights._asdict()[name], err_msg=name)


def test_a_run_is_replaced_only_when_asked(fx_own):
    with pytest.raises(StoreError, match="already exists"):
        train(fx_own, "first")
    train(fx_own, "replaced")
    train(fx_own, "replaced", overwrite=True, seed=2)
    assert mosaic_runs.read(fx_own.run("replaced")).settings.seed == 2


def test_a_run_cannot_be_resumed(fx_own):
    with pytest.raises(ConfigError, match="Leave out --resume"):
        train(fx_own, "first", resume=True)
    with pytest.raises(ConfigError, match="Leave out --resume"):
        pipeline.saved_settings(fx_own, "first")


def test_an_interrupted_run_leaves_nothing(fx_own, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(weight_files, "save", stop)
    before = sorted(path.name for path in (fx_own.root / "runs").iterdir())
    with pytest.raises(KeyboardInterrupt):
        train(fx_own, "stopped")
    assert sorted(path.name for path in (fx_own.root / "runs").iterdir()) == before


def test_a_damaged_run_is_an_error(fx_own):
    train(fx_own, "damaged")
    path = fx_own.run("damaged") / "run.json"
    path.write_text(json.dumps({"parents": None}))
    with pytest.raises(StoreError, match=r"run\.json is missing or damaged"):
        mosaic_runs.read(fx_own.run("damaged"))
