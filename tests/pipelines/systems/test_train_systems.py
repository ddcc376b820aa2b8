"""Training from a workspace to a run folder."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import numpy.testing as npt
import pytest
from safetensors.torch import load_file

from tests import panels, tampering
from vcfbert import config
from vcfbert.config import presets
from vcfbert.domain import masks
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.model import imputer
from vcfbert.pipelines.systems import build_index, encode, learning_curves, refresh, train_systems
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.systems import checkpoints, loop, objective

MOVED_BY_THE_CLOCK = (
    "seconds",
    "wait_seconds",
    "make_seconds",
    "refresh_seconds",
    "train_seconds",
    "peak_memory_bytes",
    "device",
)


def small_settings(**training):
    base = config.merge(
        presets.tiny(),
        {
            "model": {"width": 16, "num_layers": 1, "dropout": 0.1},
            "retrieval": {"num_neighbours": 6, "num_segments": 2},
            "masks": {"levels": [0.3, 0.5], "start_rate": 0.3, "epochs_per_level": 1},
        },
        source="test",
    )
    wanted = {"max_epochs": 3, "batches_per_epoch": 6, "accumulation": 2, "checkpoint_every": 2}
    return config.merge(base, {"training": wanted | training}, source="test")


@pytest.fixture
def fx_copy(fx_workspace, tmp_path) -> Workspace:
    """A workspace of one's own to write to."""
    root = tmp_path / "workspace"
    shutil.copytree(fx_workspace.root, root)
    return Workspace(root)


def train(workspace, settings, name="run", *, resume=False, overwrite=False, progress=None):
    options = SystemOptions(name=name, resume=resume, device="cpu")
    return train_systems.train(
        workspace, settings, options, progress=progress or Silent(), overwrite=overwrite
    )


def all_rows(workspace, name="run"):
    """Rows of the metrics, from epoch 0 on."""
    with (workspace.run(name) / "metrics.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def rows(workspace, name="run"):
    """Rows of the epochs that were trained, without what the clock changes."""
    untrained, *trained = all_rows(workspace, name)
    assert untrained["epoch"] == "0"
    return [{k: v for k, v in row.items() if k not in MOVED_BY_THE_CLOCK} for row in trained]


def weights(workspace, name="run", which="last"):
    return load_file(checkpoints.read(workspace.run(name), which).weights_file)


class KilledError(Exception):
    """Stands for a process that is killed."""


class KillAt(Silent):
    """Progress that kills the run after so many optimizer steps, or batches of validation.

    The validation before training does not count.
    """

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.is_counting = True

    def start(self, stage: str, total: int | None) -> None:
        self.is_counting = not stage.startswith("epoch 0,")

    def advance(self, steps: int = 1) -> None:
        self.left -= self.is_counting
        if self.left == 0:
            raise KilledError


def test_training_works_right_after_prepare_and_leaves_a_whole_run(fx_copy):
    summary = train(fx_copy, small_settings())
    run = fx_copy.run("run")
    table = rows(fx_copy)
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert [row["mask_level"] for row in table] == ["0.3", "0.5", "0.5"]
    for row in table:
        assert float(row["mask_rate"]) == pytest.approx(float(row["mask_level"]), abs=0.15)
    assert summary.lines()
    assert (
        config.merge(config.Config(), config.load(run / "config.toml"), source="saved")
        == small_settings()
    )
    assert json.loads((run / "run.json").read_text())["parents"]["panel"]
    assert list((run / "tensorboard").iterdir())
    named = {checkpoints.read(run, which).weights_file.name for which in ("best", "last")}
    kept = {path.name for path in (run / "checkpoints").glob("*.safetensors")}
    assert named <= kept
    assert len(kept) == len(named) + 1  # and the optimizer of the last


def test_an_epoch_says_what_it_cost(fx_copy):
    with pytest.raises(KilledError):
        train(fx_copy, small_settings(), progress=KillAt(6))  # building the index advances, too
    train(fx_copy, small_settings(), resume=True)
    _, *table = all_rows(fx_copy)
    assert [row["batches"] for row in table] == ["6", "6", "6"]
    for row in table:
        assert 0 < float(row["train_seconds"]) < float(row["seconds"])
        assert float(row["peak_memory_bytes"]) > 50e6  # PyTorch alone takes more
        assert row["device"].startswith("cpu, ")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(fx_copy):
    train(fx_copy, small_settings(), "one")
    train(fx_copy, small_settings(), "other")
    assert rows(fx_copy, "one") == rows(fx_copy, "other")


def check_resuming(workspace, settings, steps):
    """The run `cut-{steps}`, killed after so many steps, ends as the run `whole` did."""
    name = f"cut-{steps}"
    with pytest.raises(KilledError):
        train(workspace, settings, name, progress=KillAt(steps))
    train(workspace, settings, name, resume=True)
    assert rows(workspace, name) == rows(workspace, "whole")
    whole, cut = weights(workspace, "whole"), weights(workspace, name)
    for key, value in whole.items():
        npt.assert_array_equal(cut[key], value, err_msg=key)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_losses_and_weights(fx_copy):
    train(fx_copy, small_settings(), "whole")
    for steps in (1, 2, 10, 20):
        check_resuming(fx_copy, small_settings(), steps)


@pytest.mark.slow
def test_a_finished_run_can_be_given_more_epochs(fx_copy):
    train(fx_copy, small_settings(max_epochs=2), "grown")
    train(fx_copy, small_settings(max_epochs=3), "grown", resume=True)
    train(fx_copy, small_settings(max_epochs=3), "whole")
    assert rows(fx_copy, "grown") == rows(fx_copy, "whole")


def test_a_resumed_run_needs_its_own_index(fx_copy):
    train(fx_copy, small_settings(max_epochs=1))
    path = fx_copy.version("indexes", 0)
    shutil.copytree(path, fx_copy.version("indexes", 1))
    few = IndexOptions(max_references=20)
    made = build_index.build_index(fx_copy, few, progress=Silent(), overwrite=True)
    assert "The index that was replaced is that of the runs run." in made.lines()[-1]
    assert made.path == fx_copy.version("indexes", 1)
    again = build_index.build_index(fx_copy, few, progress=Silent(), overwrite=True)
    assert again.left == []
    assert train(fx_copy, small_settings(max_epochs=2), resume=True).epochs == 2
    shutil.rmtree(path)
    size = 96
    with pytest.raises(StoreError, match=rf"with an index \(exact, {size} reference haplotypes"):
        train(fx_copy, small_settings(max_epochs=3), resume=True)


def test_a_resumed_run_refuses_settings_that_change_what_it_computes(fx_copy):
    settings = small_settings(max_epochs=1)
    train(fx_copy, settings)
    other = config.merge(settings, {"model": {"num_layers": 2}}, source="test")
    with pytest.raises(ConfigError, match=r"model\.num_layers = 1"):
        train(fx_copy, other, resume=True)


def test_a_run_is_not_replaced_unasked(fx_copy):
    train(fx_copy, small_settings(max_epochs=1))
    before = weights(fx_copy)
    with pytest.raises(StoreError, match="--resume"):
        train(fx_copy, small_settings(max_epochs=1))
    npt.assert_array_equal(weights(fx_copy)["norm.weight"], before["norm.weight"])
    train(fx_copy, small_settings(max_epochs=1), overwrite=True)


def test_a_replaced_run_stays_until_the_new_one_can_be_gone_on_from(fx_copy, monkeypatch):
    train(fx_copy, small_settings(max_epochs=1))
    before = weights(fx_copy)

    def fail(*_, **__):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", fail)
        with pytest.raises(KilledError):
            train(fx_copy, small_settings(max_epochs=1), overwrite=True)
    npt.assert_array_equal(weights(fx_copy)["norm.weight"], before["norm.weight"])
    train(fx_copy, small_settings(max_epochs=1), overwrite=True)
    assert [path.name for path in fx_copy.run("run").parent.iterdir()] == ["run"]


def test_resuming_needs_a_run(fx_copy):
    with pytest.raises(StoreError, match="no last checkpoint"):
        train(fx_copy, small_settings(), "nowhere", resume=True)


def test_a_run_does_not_go_on_with_another_panel(fx_copy):
    train(fx_copy, small_settings(max_epochs=1))
    panels.write_small_panel(fx_copy.panel, seed=8, overwrite=True)
    with pytest.raises(StoreError, match="made from another panel"):
        train(fx_copy, small_settings(max_epochs=2), resume=True)


def test_more_neighbours_than_references_are_refused_before_anything_is_written(fx_copy):
    settings = config.merge(small_settings(), {"retrieval": {"num_neighbours": 500}}, source="test")
    with pytest.raises(ConfigError, match="--retrieve-k"):
        train(fx_copy, settings)
    assert not fx_copy.run("run").exists()


def test_a_fold_that_leaves_too_few_references_is_refused_before_anything_is_written(fx_copy):
    settings = config.merge(
        small_settings(folds=2), {"retrieval": {"num_neighbours": 60}}, source="test"
    )
    with pytest.raises(ConfigError, match=r"training\.folds = 2.*only 48 of 96 references"):
        train(fx_copy, settings)
    assert not fx_copy.run("run").exists()


def test_epoch_0_is_the_network_before_training(fx_copy):
    """Killed in its validation, a run begins with it again; it is best if nothing is better."""
    summary = train(fx_copy, small_settings(max_epochs=1, learning_rate=1e-9))
    before, after = all_rows(fx_copy)
    assert (before["epoch"], before["step"], before["train_loss"]) == ("0", "0", "")
    assert before["batches"] == "0"
    assert float(before["val_log_loss"]) == pytest.approx(float(after["val_log_loss"]), rel=1e-4)
    assert summary.epochs == 1
    start = imputer.build(small_settings().model, small_settings().seed).state_dict()
    train(fx_copy, small_settings(max_epochs=1, learning_rate=0.5), "worse")
    assert checkpoints.read(fx_copy.run("worse"), "best").state["epoch"] == 0
    for name, value in weights(fx_copy, "worse", "best").items():
        npt.assert_array_equal(value, start[name].numpy(), err_msg=name)


def test_a_run_killed_before_its_first_row_starts_with_epoch_0_again(fx_copy):
    class Killed(Silent):
        def start(self, stage: str, total: int | None) -> None:
            if stage.startswith("epoch 0,"):
                raise KilledError

    train(fx_copy, small_settings(max_epochs=1), "whole")
    with pytest.raises(KilledError):
        train(fx_copy, small_settings(max_epochs=1), "cut", progress=Killed())
    train(fx_copy, small_settings(max_epochs=1), "cut", resume=True)
    assert rows(fx_copy, "cut") == rows(fx_copy, "whole")


@pytest.mark.parametrize(("age", "drawn"), [(0.0, [1, 2, 3, 3]), (1000.0, [3])])
def test_learning_curves_are_drawn_at_the_end_and_if_they_are_old(fx_copy, monkeypatch, age, drawn):
    written = []
    honest = learning_curves.write

    def watched(run, history):
        honest(run, history)
        written.append((len(history), (run / "learning.png").read_bytes()))

    monkeypatch.setattr(learning_curves, "write", watched)
    monkeypatch.setattr(learning_curves, "_png", learning_curves._png.__wrapped__)
    monkeypatch.setattr(learning_curves, "_LEAST_SECONDS", age)
    train(fx_copy, small_settings(max_epochs=2))
    assert [number for number, _ in written] == drawn
    assert len({content for _, content in written}) == len(set(drawn))
    assert all(content.startswith(b"\x89PNG") for _, content in written)


def test_a_panel_without_validation_samples_is_refused(fx_copy, monkeypatch):
    monkeypatch.setattr(
        panels, "split_of", lambda samples: np.where(np.arange(samples) % 9, 0, 2).astype(np.int8)
    )
    panels.write_small_panel(fx_copy.panel, overwrite=True)
    with pytest.raises(InputError, match="--validation-fraction"):
        train(fx_copy, small_settings())


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(fx_copy, monkeypatch):
    train(fx_copy, small_settings(max_epochs=1))
    before = weights(fx_copy)
    honest, made = objective.Terms.total, []

    def diverging(found, counted):
        made.append(honest(found, counted))
        return made[-1] * (float("nan") if len(made) > 2 else 1)  # two are before training

    monkeypatch.setattr(objective.Terms, "total", diverging)
    with pytest.raises(loop.DivergedError, match="learning_rate"):
        train(fx_copy, small_settings(max_epochs=2), resume=True)
    for name, value in weights(fx_copy).items():
        npt.assert_array_equal(value, before[name], err_msg=name)


def test_training_and_validation_masks_never_share_a_stream():
    drawn = {
        role: masks.generator(1, role, 0, 0).random(64).tobytes()
        for role in ("train", "validation", "test")
    }
    assert len(set(drawn.values())) == 3


def test_masks_stay_where_refresh_is_off(fx_copy):
    settings = config.merge(small_settings(), {"refresh": {"masks_every": 0}}, source="test")
    train(fx_copy, settings)
    found = [(row["mask_version"], row["mask_level"]) for row in rows(fx_copy)]
    assert found == [("0", "0.3")] * 3


def test_embeddings_stay_where_refresh_is_off(fx_copy):
    settings = config.merge(
        small_settings(max_epochs=2), {"refresh": {"embeddings_every": 0}}, source="test"
    )
    train(fx_copy, settings)
    kept = [path.name for path in (fx_copy.run("run") / "embeddings").iterdir()]
    assert kept == ["v0000.zarr"]


def test_a_store_of_the_workspace_serves_where_it_is_the_runs_own_encoding(fx_copy):
    settings = small_settings(max_epochs=1)
    encode.encode_refs(fx_copy, settings, EncodeOptions(), progress=Silent())
    train(fx_copy, settings, "with")
    assert not (fx_copy.run("with") / "embeddings" / "v0000.zarr").exists()
    shutil.rmtree(fx_copy.root / "embeddings")
    train(fx_copy, settings, "without")
    assert rows(fx_copy, "with") == rows(fx_copy, "without")


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-4), ("float16", 1e-2)])
@pytest.mark.slow
def test_a_dense_workspace_trains_to_the_same_metrics_as_a_codebook(fx_copy, dtype, error):
    settings = config.merge(
        small_settings(max_epochs=1), {"refresh": {"embeddings_every": 0}}, source="test"
    )
    train(fx_copy, settings, "codebook")
    mask_store(fx_copy)
    options = EncodeOptions(layout="dense", dtype=dtype)
    encode.encode_refs(fx_copy, settings, options, progress=Silent())
    train(fx_copy, settings, "dense")
    for one, other in zip(rows(fx_copy, "codebook"), rows(fx_copy, "dense"), strict=True):
        for name in one:
            assert float(one[name]) == pytest.approx(float(other[name]), abs=error), name


@pytest.mark.slow
def test_a_fast_index_trains_resumes_and_is_named_when_it_is_gone(fx_copy):
    settings = small_settings(max_epochs=1)
    train(fx_copy, settings, "exact")
    build_index.build_index(fx_copy, IndexOptions(kind="fast"), progress=Silent(), overwrite=True)
    train(fx_copy, settings, "fast")  # so few references are searched exactly
    for one, other in zip(rows(fx_copy, "exact"), rows(fx_copy, "fast"), strict=True):
        for name in one:
            assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-4), name
    longer = small_settings(max_epochs=2)
    train(fx_copy, longer, "fast", resume=True)
    build_index.build_index(fx_copy, IndexOptions(), progress=Silent(), overwrite=True)
    with pytest.raises(StoreError, match="build-index --kind fast --force"):
        train(fx_copy, small_settings(max_epochs=3), "fast", resume=True)


def test_a_dense_index_trains_under_its_own_mask_only(fx_copy):
    settings = small_settings(max_epochs=1)
    mask_store(fx_copy)
    encode.encode_refs(fx_copy, settings, EncodeOptions(layout="dense"), progress=Silent())
    build_index.build_index(fx_copy, IndexOptions(kind="dense"), progress=Silent())
    with pytest.raises(ConfigError, match="dense index"):
        train(fx_copy, settings)
    still = {"refresh": {"masks_every": 0, "embeddings_every": 0}, "retrieval": {"num_segments": 1}}
    train(fx_copy, config.merge(settings, still, source="test"))


def mask_store(workspace):
    options = RefreshOptions(masks=True)
    refresh.refresh(workspace, small_settings(), options, progress=Silent())


def test_a_dense_index_of_another_encoder_gives_training_that_encoder(fx_copy):
    settings = config.merge(
        small_settings(max_epochs=1),
        {"refresh": {"masks_every": 0, "embeddings_every": 0}, "retrieval": {"num_segments": 1}},
        source="test",
    )
    mask_store(fx_copy)
    encode.encode_refs(fx_copy, settings, EncodeOptions(layout="dense"), progress=Silent())
    build_index.build_index(fx_copy, IndexOptions(kind="dense"), progress=Silent())
    other = config.merge(settings, {"seed": 9}, source="test")
    train(fx_copy, other)
    with open_embeddings(fx_copy.newest("embeddings")) as reader:
        started = checkpoints.read(fx_copy.run("run"), "last").parents["first encoder"]
        assert started == reader.encoder_fingerprint
    shutil.rmtree(fx_copy.newest("embeddings"))
    with pytest.raises(StoreError, match="build-index --kind dense --force"):
        train(fx_copy, other, "again")
    assert not fx_copy.run("again").exists()


def test_a_run_without_a_finished_epoch_is_summed_up_all_the_same(fx_copy):
    build_index.build_index(fx_copy, IndexOptions(), progress=Silent())
    with pytest.raises(KilledError):
        train(fx_copy, small_settings(), progress=KillAt(3))
    summary = train(fx_copy, small_settings(max_minutes=1e-9), resume=True)
    assert any("Best before training" in line for line in summary.lines())


def test_samples_in_the_index_are_not_trained_on_their_own_haplotypes(fx_copy):
    other = {"retrieval": {"exclude_same_sample": False}}
    with pytest.raises(ConfigError, match="exclude_same_sample"):
        train(fx_copy, config.merge(small_settings(), other, source="test"))


@pytest.mark.parametrize(
    ("which", "section", "key"),
    [
        ("last", "parents", "index"),
        ("last", "state", "history"),
        ("last", "state", "step"),
        ("best", "files", "weights"),
    ],
)
def test_a_checkpoint_that_lost_a_field_is_an_explained_error(fx_copy, which, section, key):
    train(fx_copy, small_settings(max_epochs=1))
    path = fx_copy.run("run") / "checkpoints" / f"{which}.json"

    def lose(record):
        del record[section][key]
        record["files"] = record["files"] or None  # the best one names its weights and nothing else

    tampering.edit_json(path, lose)
    with pytest.raises(StoreError, match="damaged"):
        train(fx_copy, small_settings(max_epochs=2), resume=True)


def test_progress_counts_every_batch_of_an_epoch_once(fx_copy):
    class Counting(Silent):
        planned = done = 0

        def start(self, stage, total):
            self.planned += total

        def advance(self, steps=1):
            self.done += steps

    counting = Counting()
    train(fx_copy, small_settings(max_epochs=2, batches_per_epoch=5), progress=counting)
    assert counting.done == counting.planned


def test_going_on_and_replacing_at_once_is_refused(fx_copy):
    train(fx_copy, small_settings(max_epochs=1))
    with pytest.raises(ConfigError, match="one of them"):
        train(fx_copy, small_settings(max_epochs=1), resume=True, overwrite=True)


def test_events_that_cannot_be_written_are_explained(fx_copy):
    train(fx_copy, small_settings(max_epochs=1))
    folder = fx_copy.run("run") / "tensorboard"
    shutil.rmtree(folder)
    folder.write_text("a file in the way", encoding="utf-8")
    with pytest.raises(StoreError, match=r"tensorboard.*--resume"):
        train(fx_copy, small_settings(max_epochs=2), resume=True)


@pytest.mark.slow
def test_patience_counts_gains_above_min_delta_while_any_gain_is_best(fx_copy, monkeypatch):
    f1 = iter([0.4, 0.5, 0.5002, 0.5004, 0.50045, 0.9])
    honest = loop.validate

    def scripted(*inputs, **options):
        return dataclasses.replace(honest(*inputs, **options), f1=next(f1))

    monkeypatch.setattr(loop, "validate", scripted)
    settings = small_settings(
        max_epochs=5, patience=3, min_delta=0.001, batches_per_epoch=2, val_metric="f1"
    )
    summary = train(fx_copy, settings)
    assert (summary.epochs, summary.best_epoch) == (4, 4)
    assert "3 epochs" in summary.stopped_by


SCRIPT = {
    "f1": (0.5, 0.7, 0.6),
    "rare_f1": (0.3, 0.2, 0.4),
    "loss": (0.10, 0.20, 0.30),
    "r2": (0.1, 0.3, 0.2),
}


@pytest.mark.parametrize(("metric", "best"), [("f1", 2), ("rare_f1", 3), ("loss", 1), ("r2", 2)])
def test_the_metric_chooses_the_best_checkpoint(fx_copy, monkeypatch, metric, best):
    script(monkeypatch, SCRIPT)
    settings = small_settings(val_metric=metric, batches_per_epoch=2)
    summary = train(fx_copy, settings)
    assert (summary.epochs, summary.best_epoch) == (3, best)
    assert any(f"chosen by {metric}" in line for line in summary.lines())
    assert checkpoints.read(fx_copy.run("run"), "best").state["epoch"] == best
    assert [float(row[f"val_{metric}"]) for row in rows(fx_copy)] == list(SCRIPT[metric])


@pytest.mark.parametrize(("metric", "epochs_run"), [("f1", 4), ("loss", 3)])
def test_the_metric_decides_the_early_stop(fx_copy, monkeypatch, metric, epochs_run):
    script(monkeypatch, {"f1": (0.1, 0.2, 0.2, 0.2, 0.2), "loss": (0.1, 0.2, 0.3, 0.4, 0.5)})
    settings = small_settings(val_metric=metric, patience=2, max_epochs=5, batches_per_epoch=2)
    summary = train(fx_copy, settings)
    assert summary.epochs == epochs_run
    assert summary.stopped_by == f"no improvement of the validation {metric} in 2 epochs"


def test_the_rare_threshold_decides_which_sites_are_rare(fx_copy):
    found = {}
    for name, rare_maf in (("all", 0.5), ("none", 0.0)):
        train(fx_copy, small_settings(max_epochs=1, rare_maf=rare_maf), name)
        found[name] = rows(fx_copy, name)[0]
    assert float(found["none"]["val_rare_f1"]) == 0.0
    assert found["none"]["val_common_f1"] == found["none"]["val_f1"] == found["all"]["val_f1"]
    assert float(found["all"]["val_rare_f1"]) > 0.0


def test_the_warmup_reaches_the_optimizer(fx_copy):
    """A rate that has hardly begun to rise hardly moves the weights."""
    train(fx_copy, small_settings(max_epochs=1, warmup_steps=0), "at-once")
    train(fx_copy, small_settings(max_epochs=1, warmup_steps=1000), "slowly")
    first = loop.new_state(
        small_settings().model,
        small_settings().training,
        small_settings().seed,
        devices.choose_device("cpu"),
        focal_gamma=small_settings().loss.focal_gamma,
    ).model.state_dict()
    moved = {
        name: max(
            float((value - first[key]).abs().max()) for key, value in weights(fx_copy, name).items()
        )
        for name in ("at-once", "slowly")
    }
    assert 0 < moved["slowly"] < 0.05 * moved["at-once"]


def script(monkeypatch, values):
    """Make the validations of the epochs come to these values; that before training is worse."""
    honest, calls = loop.validate, iter(range(99))

    def scripted(*inputs, **options):
        epoch = next(calls)
        poor = {name: 9.0 if name == "loss" else 0.0 for name in values}
        told = {name: series[epoch - 1] for name, series in values.items()} if epoch else poor
        return dataclasses.replace(honest(*inputs, **options), **told)

    monkeypatch.setattr(loop, "validate", scripted)
