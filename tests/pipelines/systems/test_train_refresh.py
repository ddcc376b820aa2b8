"""Masks and encodings renewed while a run trains, each by its own rule."""

import csv
import time

import numpy.testing as npt
import pytest

from tests.pipelines.systems.test_train_systems import (
    KillAt,
    KilledError,
    all_rows,
    check_resuming,
    fx_copy,
    rows,
    script,
    small_settings,
    train,
)
from vcfbert import config
from vcfbert.domain import masks
from vcfbert.pipelines.systems import build_index, training_run
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training.systems import checkpoints, encoding, loop

__all__ = ["fx_copy"]

EPOCHS, BATCHES = 3, 6  # of small_settings: 18 batches, two in a step


def with_refresh(training=None, **refresh):
    return config.merge(small_settings(**training or {}), {"refresh": refresh}, source="test")


def log(workspace, kind, name="run"):
    """(version, epoch, batch, cause) of the refreshes of a kind."""
    with (workspace.run(name) / "refresh.csv").open(encoding="utf-8") as stream:
        found = [row for row in csv.DictReader(stream) if row["kind"] == kind]
    for row in found:
        assert float(row["seconds"]) >= 0
        assert row["seed"] == "1"
        assert (row["mask_level"] != "") == (kind == "masks")
        assert (row["mask_rate"] != "") == (kind == "masks")
    return [(*(int(row[k]) for k in ("version", "epoch", "batch")), row["cause"]) for row in found]


def test_the_defaults_renew_both_every_epoch(fx_copy):
    train(fx_copy, small_settings())
    assert log(fx_copy, "masks") == [
        (0, 1, 0, "start"),
        (1, 2, 6, "epochs"),
        (2, 3, 12, "epochs"),
    ]
    assert log(fx_copy, "embeddings") == [
        (0, 1, 0, "start"),
        (1, 2, 6, "epochs"),
        (2, 3, 12, "epochs"),
        (3, 4, 18, "epochs"),
    ]


def test_masks_and_embeddings_follow_rules_of_their_own(fx_copy):
    settings = with_refresh(masks_on="batches", masks_every=4, embeddings_every=2)
    train(fx_copy, settings)
    assert [row[:3] for row in log(fx_copy, "masks")] == [
        (0, 1, 0), (1, 1, 4), (2, 2, 8), (3, 3, 12), (4, 3, 16),
    ]  # fmt: skip
    assert [row[:3] for row in log(fx_copy, "embeddings")] == [(0, 1, 0), (1, 3, 12)]
    assert [row["mask_version"] for row in rows(fx_copy)] == ["1", "2", "4"]
    assert [row["embeddings_version"] for row in rows(fx_copy)] == ["0", "1", "1"]


def test_embeddings_every_few_batches_hold_the_weights_of_their_moment(fx_copy, monkeypatch):
    """A batch searches with the encoder of the last refresh, and that is the one of its moment.

    A refresh waits for the end of an optimizer step, which is of two batches.
    """
    made = []
    honest = training_run.encode

    def watched(path, encoder, panel, index):
        honest(path, encoder, panel, index)
        made.append((path.name, encoding.encoder_fingerprint(encoder)))

    monkeypatch.setattr(training_run, "encode", watched)
    train(fx_copy, with_refresh(embeddings_on="batches", embeddings_every=3))
    assert [row[:3] for row in log(fx_copy, "embeddings")] == [
        (0, 1, 0), (1, 1, 4), (2, 2, 8), (3, 3, 12), (4, 3, 16),
    ]  # fmt: skip
    assert [name for name, _ in made] == [f"v{version:04d}.zarr" for version in range(5)]
    assert len({fingerprint for _, fingerprint in made}) == 5
    left = sorted((fx_copy.run("run") / "embeddings").iterdir())
    assert [path.name for path in left] == ["v0002.zarr", "v0003.zarr", "v0004.zarr"]
    for path, (_, fingerprint) in zip(left, made[2:], strict=True):
        with open_embeddings(path) as reader:
            assert reader.encoder_fingerprint == fingerprint


@pytest.mark.parametrize(
    "refresh",
    [
        {
            "masks_on": "batches",
            "masks_every": 4,
            "embeddings_on": "batches",
            "embeddings_every": 5,
        },
        {
            "masks_on": "batches",
            "masks_every": 1,
            "embeddings_on": "batches",
            "embeddings_every": 1,
        },
        {
            "masks_on": "plateau",
            "masks_every": 1,
            "embeddings_on": "plateau",
            "embeddings_every": 1,
        },
    ],
    ids=["some", "each", "plateau"],
)
@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_refreshes_and_weights(fx_copy, refresh):
    settings = with_refresh({"min_delta": 0.5}, **refresh)
    train(fx_copy, settings, "whole")
    for steps in (2, 6, 11):
        check_resuming(fx_copy, settings, steps)
        for kind in ("masks", "embeddings"):
            assert log(fx_copy, kind, f"cut-{steps}") == log(fx_copy, kind, "whole")


@pytest.mark.parametrize(
    ("metric", "drawn_after"), [("f1", [2, 3, 5]), ("loss", [3, 5])], ids=["f1", "loss"]
)
def test_a_plateau_of_the_metric_renews(fx_copy, monkeypatch, metric, drawn_after):
    """Epochs 1 and 4 gain by F1; by the loss, where less is better, 1, 2 and 4 do."""
    script(
        monkeypatch,
        {"f1": (0.5, 0.5, 0.5, 0.9, 0.9, 0.9), "loss": (0.5, 0.4, 0.4, 0.2, 0.2, 0.1)},
    )
    settings = with_refresh(
        {"val_metric": metric, "max_epochs": 6, "batches_per_epoch": 2, "patience": 9},
        masks_on="plateau",
        embeddings_on="plateau",
    )
    train(fx_copy, settings)
    for kind in ("masks", "embeddings"):
        refreshed = [row for row in log(fx_copy, kind) if row[3] == "plateau"]
        assert [epoch - 1 for _, epoch, _, _ in refreshed] == drawn_after


def test_the_curriculum_moves_with_new_masks_only(fx_copy):
    settings = config.merge(
        with_refresh(masks_every=2),
        {"masks": {"levels": [0.3, 0.5, 0.7], "epochs_per_level": 1}},
        source="test",
    )
    train(fx_copy, settings)
    assert [row["mask_level"] for row in rows(fx_copy)] == ["0.3", "0.3", "0.7"]


def test_validation_masks_stay_while_training_masks_move(fx_copy, monkeypatch):
    used = {"train": [], "validation": []}

    def watch(name, function, place):
        def watched(*inputs, **named):
            queries = inputs[place].queries
            used[name].append(queries.of(0, None, None).tobytes())
            return function(*inputs, **named)

        return watched

    monkeypatch.setattr(loop, "train_epoch", watch("train", loop.train_epoch, 4))
    monkeypatch.setattr(loop, "validate", watch("validation", loop.validate, 3))
    train(fx_copy, small_settings())
    assert len(set(used["train"])) == EPOCHS
    assert len(used["validation"]) == EPOCHS + 1  # and before training
    assert len(set(used["validation"])) == 1
    assert not set(used["train"]) & set(used["validation"])


def test_the_drawn_version_is_that_of_seed_version_and_rate(fx_copy, monkeypatch):
    """What the log says is enough to draw the masks again, anywhere."""
    seen = []
    honest = loop.train_epoch

    def watched(*inputs, **named):
        seen.append(inputs[4].queries.is_masked)
        return honest(*inputs, **named)

    monkeypatch.setattr(loop, "train_epoch", watched)
    train(fx_copy, small_settings())
    with open_panel(fx_copy.panel) as panel:
        for version, (is_masked, row) in enumerate(zip(seen, rows(fx_copy), strict=True)):
            again = masks.draw_masks(
                panel.windows, seed=1, role="train", version=version, rate=float(row["mask_level"])
            )
            npt.assert_array_equal(is_masked, again)


def test_a_checkpoint_inside_an_epoch_keeps_the_encoding_it_goes_on_with(fx_copy):
    settings = with_refresh(
        {"checkpoint_every": 1, "max_epochs": 1}, embeddings_on="batches", embeddings_every=1
    )
    build_index.build_index(fx_copy, IndexOptions(), progress=Silent())
    with pytest.raises(KilledError):
        train(fx_copy, settings, progress=KillAt(3))
    run = fx_copy.run("run")
    version = checkpoints.read(run, "last").state["embeddings"]["version"]
    assert version == 1  # two steps of two batches each; the second comes before the third step
    kept = {path.name for path in (run / "embeddings").iterdir()}
    assert "v0001.zarr" in kept
    assert len(kept) <= settings.refresh.keep + 1


def test_times_of_refreshes_are_in_the_metrics_and_not_in_those_of_batches(fx_copy, monkeypatch):
    honest = training_run.encode
    clock = []

    def slow(*inputs):
        begun = time.perf_counter()
        honest(*inputs)
        time.sleep(0.3)
        clock.append(time.perf_counter() - begun)

    monkeypatch.setattr(training_run, "encode", slow)
    settings = with_refresh({"max_epochs": 1}, embeddings_on="batches", embeddings_every=3)
    train(fx_copy, settings)
    _, row = all_rows(fx_copy)
    assert float(row["refresh_seconds"]) >= 0.99 * sum(
        clock[1:]
    )  # the first is made before training
    assert float(row["seconds"]) >= float(row["refresh_seconds"]) + float(row["train_seconds"])
