"""Training reads what the stages wrote: other stores give other losses, equal stores equal ones."""

import dataclasses
import json
import shutil

import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines.systems.test_train_masks import Noting
from tests.pipelines.systems.test_train_systems import KillAt, KilledError, rows, weights
from tests.pipelines.workspaces import changed
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.systems import build_index, encode, refresh, train_systems
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.pipelines.systems.start import StartOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints

QUICK = changed(
    masks={"start_rate": 0.3, "levels": [0.3, 0.5]},
    training={"max_epochs": 3, "batches_per_epoch": 4, "validation_batches": 3},
)


@pytest.fixture
def fx_home(tmp_path) -> Workspace:
    """A panel and an index, and nothing else."""
    workspace = panels.small_workspace(tmp_path)
    build_index.build_index(workspace, IndexOptions(), progress=Silent())
    return workspace


def train(workspace, name="run", settings=QUICK, *, resume=False, progress=None, **start):
    chosen = SystemOptions(name, resume, device="cpu", threads=1, start=StartOptions(**start))
    quiet = progress or Silent()
    return train_systems.train(workspace, settings, chosen, progress=quiet)


def draw(workspace, seed=QUICK.seed, settings=QUICK, **options):
    settings = dataclasses.replace(settings, seed=seed)
    chosen = RefreshOptions(masks=True, **options)
    return refresh.refresh(workspace, settings, chosen, progress=Silent())


def encode_refs(workspace, seed=QUICK.seed, overwrite=False, **options):
    settings = dataclasses.replace(QUICK, seed=seed)
    encode.encode_refs(
        workspace, settings, EncodeOptions(**options), progress=Silent(), overwrite=overwrite
    )


def losses(workspace, name="run"):
    return [row["train_loss"] for row in rows(workspace, name)]


@pytest.mark.slow
def test_a_run_on_stored_versions_equals_one_that_makes_them_itself(fx_home):
    keeping = dataclasses.replace(QUICK, refresh=dataclasses.replace(QUICK.refresh, keep=9))
    train(fx_home, "alone", keeping)
    draw(fx_home)
    encode_refs(fx_home)
    train(fx_home, "stored", keeping)
    assert rows(fx_home, "stored") == rows(fx_home, "alone")
    for name, value in weights(fx_home, "alone").items():
        npt.assert_array_equal(weights(fx_home, "stored")[name], value)
    for kind in ("masks", "embeddings"):
        stored = files_of(fx_home.version(kind, 0))
        assert files_of(fx_home.run("alone") / kind / "v0000.zarr") == stored
    assert files_of(fx_home.run("stored") / "masks" / "v0000.zarr") == files_of(
        fx_home.version("masks", 0)
    )
    assert not (fx_home.run("stored") / "embeddings" / "v0000.zarr").exists()


def files_of(folder):
    """Content of every file of a folder, by its place in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_prepare_stores_the_masks_that_the_default_settings_draw(tmp_path):
    alleles = panels.mosaic_alleles(120, 60)
    vcf = panels.write_vcf(tmp_path / "panel.vcf.gz", panels.records_of(alleles, step=1000))
    workspace = Workspace(tmp_path / "work")
    options = PrepareOptions(window_size=31, flank=2, validation_fraction=0.1)
    prepare.prepare(vcf, workspace, options, progress=Silent())
    first = read_masks(workspace.version("masks", 0))
    shutil.rmtree(workspace.root / "masks")
    assert read_masks(draw(workspace).mask_path).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda home: draw(home, seed=7),
        lambda home: draw(home, rate=0.6),
        lambda home: encode_refs(home, seed=7),
    ],
    ids=["seed of masks", "rate of masks", "seed of the encoder"],
)
@pytest.mark.slow
def test_losses_follow_what_is_stored_and_come_back_when_it_is_made_again(fx_home, change):
    train(fx_home, "before")
    change(fx_home)
    train(fx_home, "changed")
    assert losses(fx_home, "changed")[0] != losses(fx_home, "before")[0]
    for kind in ("masks", "embeddings"):
        shutil.rmtree(fx_home.root / kind, ignore_errors=True)
    draw(fx_home)
    encode_refs(fx_home)
    train(fx_home, "again")
    assert rows(fx_home, "again") == rows(fx_home, "before")


def test_validation_masks_do_not_follow_the_stored_ones(fx_home):
    still = changed(
        training={"max_epochs": 1, "batches_per_epoch": 2, "learning_rate": 1e-9},
        refresh={"masks_every": 0, "embeddings_every": 0},
    )
    train(fx_home, "before", still)
    draw(fx_home, seed=7)
    train(fx_home, "changed", still)
    one, other = rows(fx_home, "before")[0], rows(fx_home, "changed")[0]
    assert one["val_retrieval_f1"] == other["val_retrieval_f1"]
    assert one["train_retrieval_f1"] != other["train_retrieval_f1"]


def test_versions_go_on_from_the_stored_one_and_the_last_few_stay(fx_home):
    for _ in range(3):
        draw(fx_home, rate=0.4)
    settings = dataclasses.replace(
        QUICK, refresh=dataclasses.replace(QUICK.refresh, masks_on="batches", keep=2)
    )
    settings = dataclasses.replace(
        settings, refresh=dataclasses.replace(settings.refresh, masks_every=2)
    )
    train(fx_home, settings=settings)
    run = fx_home.run("run")
    found = sorted(path.name for path in (run / "masks").iterdir())
    assert found == ["v0006.zarr", "v0007.zarr"]  # 2, then one more every two of twelve batches
    assert [row["mask_version"] for row in rows(fx_home)] == ["3", "5", "7"]
    assert len(list((run / "embeddings").iterdir())) == 2
    last = read_masks(run / "masks" / "v0007.zarr")
    assert (last.version, last.seed, last.rate) == (7, QUICK.seed, 0.5)


@pytest.mark.slow
def test_a_version_of_a_run_can_be_named(fx_home):
    train(fx_home, "first")
    path = fx_home.run("first") / "masks" / "v0002.zarr"
    encoded = "runs/first/embeddings/v0002.zarr"
    train(fx_home, "second", mask_version=str(path), embeddings=encoded)
    record = json.loads((fx_home.run("second") / "run.json").read_text())
    assert record["start"]["masks"]["store"] == "runs/first/masks/v0002.zarr"
    assert record["start"]["embeddings"]["store"] == encoded
    assert record["parents"]["masks"] == read_masks(path).fingerprint
    assert losses(fx_home, "second")[0] != losses(fx_home, "first")[0]
    with pytest.raises(StoreError, match=r"No mask version 9 .*runs/first/masks/v0000.zarr"):
        train(fx_home, "third", mask_version=9)
    with pytest.raises(StoreError, match="No embeddings version nowhere"):
        train(fx_home, "third", embeddings="nowhere")


def test_masks_of_another_policy_are_left_and_that_is_said(fx_home):
    draw(fx_home)
    settings = changed(
        masks={"policy": "array", "common_maf": 0.1},
        training={"max_epochs": 1, "batches_per_epoch": 2},
    )
    noting = Noting()
    train(fx_home, settings=settings, progress=noting)
    assert any("has the policy 'random', but masks.policy = 'array'" in n for n in noting.notes)
    stored = read_masks(draw(fx_home, settings=settings).mask_path)
    assert read_masks(fx_home.run("run") / "masks" / "v0001.zarr").fingerprint == stored.fingerprint
    with pytest.raises(ConfigError, match="--mask-version 0"):
        train(fx_home, "named", settings, mask_version=0)


def test_masks_of_samples_are_not_stored_and_that_is_said(fx_home):
    draw(fx_home)
    settings = changed(
        masks={"scope": "sample"}, training={"max_epochs": 1, "batches_per_epoch": 2}
    )
    noting = Noting()
    train(fx_home, settings=settings, progress=noting)
    assert any("each sample draws its own" in note for note in noting.notes)
    assert not (fx_home.run("run") / "masks").exists()
    with pytest.raises(ConfigError, match="each sample draws its own"):
        train(fx_home, "named", settings, mask_version=0)


def test_a_rate_that_the_settings_do_not_have_is_said_with_the_command(fx_home):
    draw(fx_home, rate=0.6)
    noting = Noting()
    train(fx_home, progress=noting)
    assert any("rate 0.6" in note and "start at 0.3" in note for note in noting.notes)
    assert rows(fx_home)[0]["mask_level"] == "0.6"


@pytest.mark.parametrize("step", [1, 5, 9])
@pytest.mark.slow
def test_a_killed_run_resumes_although_the_stores_have_changed(fx_home, step):
    draw(fx_home, seed=7)
    encode_refs(fx_home, seed=7)
    train(fx_home, "whole")
    with pytest.raises(KilledError):
        train(fx_home, "cut", progress=KillAt(step))
    draw(fx_home, seed=8)
    options = RefreshOptions(embeddings=True)
    other = dataclasses.replace(QUICK, seed=8)
    refresh.refresh(fx_home, other, options, progress=Silent())
    train(fx_home, "cut", resume=True)
    assert rows(fx_home, "cut") == rows(fx_home, "whole")
    for name, value in weights(fx_home, "whole").items():
        npt.assert_array_equal(weights(fx_home, "cut")[name], value)


def test_a_run_whose_first_encoding_is_gone_cannot_be_resumed(fx_home):
    encode_refs(fx_home, seed=7)
    with pytest.raises(KilledError):
        train(fx_home, progress=KillAt(1))
    encode_refs(fx_home, seed=8, overwrite=True)
    with pytest.raises(StoreError, match="started with the embeddings of the encoder"):
        train(fx_home, resume=True)


def test_pruning_leaves_what_a_run_started_with(fx_home):
    draw(fx_home, seed=7)
    encode_refs(fx_home, seed=7)
    train(fx_home)
    for _ in range(2):
        chosen = RefreshOptions(masks=True, embeddings=True, prune=1)
        refresh.refresh(fx_home, QUICK, chosen, progress=Silent())
    assert fx_home.versions("masks") == [0, 2]
    assert fx_home.versions("embeddings") == [0, 2]


def test_what_a_new_run_starts_with_is_not_for_a_resumed_one(fx_home):
    train(fx_home)
    with pytest.raises(ConfigError, match="--mask-version and --init-from"):
        train(fx_home, resume=True, mask_version=0, init_from="run")


@pytest.mark.slow
def test_a_network_of_the_same_shape_is_taken_over_whole(fx_home):
    train(fx_home, "first")
    still = dataclasses.replace(
        QUICK, seed=5, training=dataclasses.replace(QUICK.training, learning_rate=1e-9)
    )
    summary = train(fx_home, "second", still, init_from="first")
    assert any("the whole network starts with" in line for line in summary.lines())
    best = checkpoints.load_model(fx_home.run("first"), "best")[0].state_dict()
    for name, value in weights(fx_home, "second").items():
        npt.assert_allclose(value, best[name], atol=1e-5, err_msg=name)
    record = json.loads((fx_home.run("second") / "run.json").read_text())
    assert record["start"]["weights"]["part"] == "network"
    assert record["start"]["weights"]["initial"] == []
    assert record["parents"]["first weights"] == record["start"]["weights"]["weights_sha256"]


def test_only_the_encoder_of_another_preset_of_the_same_width_is_taken_over(fx_home):
    train(fx_home, "first")
    deeper = changed(model={"num_layers": 2}, training={"max_epochs": 1, "batches_per_epoch": 2})
    summary = train(fx_home, "second", deeper, init_from="first")
    line = next(line for line in summary.lines() if line.startswith("init: "))
    assert "the encoder starts with" in line
    assert "initial weights in: blocks, copy_gate, emb_fusion" in line
    with open_embeddings(fx_home.run("second") / "embeddings" / "v0000.zarr") as reader:
        best = checkpoints.read(fx_home.run("first"), "best").parents["encoder"]
        assert reader.encoder_fingerprint == best


@pytest.mark.slow
def test_the_embeddings_of_a_run_serve_the_run_that_starts_from_it(fx_home):
    train(fx_home, "first")
    encode_refs(fx_home, run="first")
    train(fx_home, "second", init_from="first")
    assert not (fx_home.run("second") / "embeddings" / "v0000.zarr").exists()
    record = json.loads((fx_home.run("second") / "run.json").read_text())
    assert record["start"]["embeddings"]["store"] == "embeddings/v0000.zarr"


def test_a_network_of_another_width_is_refused_with_both(fx_home):
    train(fx_home, "first")
    wider = changed(model={"width": 32})
    with pytest.raises(ConfigError, match="the width 16 and this one 32"):
        train(fx_home, "second", wider, init_from="first")
    assert not fx_home.run("second").exists()
    with pytest.raises(StoreError, match="there are: first"):
        train(fx_home, "second", init_from="absent")


@pytest.mark.slow
def test_weights_that_have_seen_held_out_samples_are_refused(tmp_path):
    home = panels.small_workspace(tmp_path / "one")
    train(home, "first")
    other = panels.small_workspace(tmp_path / "other")
    panels.write_small_panel(other.panel, seed=8, overwrite=True)
    path = str(home.run("first"))
    assert any("on none of the samples held out" in n for n in noted(other, init_from=path))
    panels_split = panels.split_of
    panels.split_of = lambda samples: panels_split(samples)[::-1]
    try:
        panels.write_small_panel(other.panel, seed=9, overwrite=True)
    finally:
        panels.split_of = panels_split
    shutil.rmtree(other.root / "indexes")
    with pytest.raises(StoreError, match="holds out for validation and test"):
        train(other, "second", init_from=path)


def noted(workspace, **start):
    noting = Noting()
    train(workspace, "noted", progress=noting, **start)
    return noting.notes
