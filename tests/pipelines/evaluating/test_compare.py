"""`compare` from runs to table, CSV and PNG: what it scores, writes and refuses."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

from tests import panels
from tests.pipelines.mosaic.test_train_mosaic import train as train_mosaic
from vcfbert import config
from vcfbert.config import presets
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines import train as pipeline
from vcfbert.pipelines.evaluating import compare
from vcfbert.pipelines.evaluating.compare import CompareOptions
from vcfbert.pipelines.train import TrainOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

OPTIONS = CompareOptions(runs=("good", "poor"), device="cpu", draws=50)
SMALL = {
    "model": {"width": 16, "num_layers": 1},
    "retrieval": {"num_neighbours": 6, "num_segments": 2},
    "training": {"max_epochs": 2, "batches_per_epoch": 3, "validation_batches": 2},
}


def train(workspace, name, **changes):
    settings = config.merge(presets.tiny(), SMALL, source="test")
    settings = config.merge(settings, changes, source="test")
    pipeline.train(workspace, settings, TrainOptions(name=name, device="cpu"), progress=Silent())


@pytest.fixture(scope="module")
def fx_runs(tmp_path_factory):
    """Two runs that differ in quality, seed and masks; tests write elsewhere."""
    workspace = panels.small_workspace(tmp_path_factory.mktemp("runs"))
    train(workspace, "good")
    only_one = {"num_neighbours": 1, "num_segments": 1, "space": "token"}
    poor = {"seed": 9, "retrieval": only_one, "masks": {"validation_rate": 0.7}}
    train(workspace, "poor", model={"copy_skip": False, "fusion": "mean"}, **poor)
    return workspace


@pytest.fixture(scope="module")
def fx_found(fx_runs, tmp_path_factory):
    """A comparison, and the folder it was written to."""
    out = tmp_path_factory.mktemp("out")
    options = dataclasses.replace(OPTIONS, out=out)
    return compare.compare(fx_runs, options, progress=Silent()), out


def line_of(found, quantity, group):
    return next(s for s in found.scores if (s.quantity, s.group) == (quantity, group))


def test_scores_are_those_of_an_evaluation_of_each_run(fx_found):
    found, out = fx_found
    for number, name in enumerate(OPTIONS.runs):
        record = json.loads((out / name / "test-rate-0.5-seed-1.json").read_text())
        for group, scored in record["systems"]["model"].items():
            line = line_of(found, "r2", group)
            assert line.values[number] == pytest.approx(scored["r2"])
            assert line.sites == scored["sites"]
        every = record["systems"]["model"]["all"]["f1"]
        assert line_of(found, "F1", "all").values[number] == pytest.approx(every)


def test_all_runs_are_evaluated_alike_regardless_of_their_settings(fx_found):
    found, out = fx_found
    records = [
        json.loads((out / name / "test-rate-0.5-seed-1.json").read_text()) for name in OPTIONS.runs
    ]
    for fact in ("samples", "sites", "hidden_sites", "masks_from", "rare_maf", "edges"):
        assert records[0][fact] == records[1][fact] == found.facts.get(fact, records[0][fact])
    assert [record["seed"] for record in records] == [1, 9]


def test_iqs_is_that_of_an_evaluation(fx_found):
    found, out = fx_found
    for number, name in enumerate(OPTIONS.runs):
        record = json.loads((out / name / "test-rate-0.5-seed-1.json").read_text())
        for group in ("all", "common >=0.05"):
            value = line_of(found, "IQS", group).values[number]
            assert value == pytest.approx(record["systems"]["model"][group]["iqs"], abs=1e-5)
    (by, low, high) = line_of(found, "IQS", "all").differences[0]
    assert low <= by <= high < 0


def test_the_baselines_are_those_of_the_first_run_that_has_them(fx_found):
    """The second run does not copy, so it has no network of copying only."""
    found, out = fx_found
    assert found.baselines == ["copying only", "nearest haplotype", "most frequent allele"]
    record = json.loads((out / "good" / "test-rate-0.5-seed-1.json").read_text())
    for place, name in enumerate(found.baselines, start=len(OPTIONS.runs)):
        expected = record["systems"][name]["all"]["f1"]
        assert line_of(found, "F1", "all").values[place] == pytest.approx(expected)
    poor = json.loads((out / "poor" / "test-rate-0.5-seed-1.json").read_text())
    assert "copying only" not in poor["systems"]
    with (out / "comparison.csv").open() as stream:
        named = {row["run"] for row in csv.DictReader(stream)}
    assert named == {*OPTIONS.runs, *found.baselines}


def test_copying_only_is_the_network_before_training(fx_runs, tmp_path):
    train(fx_runs, "still", training={"learning_rate": 1e-9, "max_epochs": 1})
    options = dataclasses.replace(OPTIONS, runs=("still", "good"), out=tmp_path)
    found = compare.compare(fx_runs, options, progress=Silent())
    for quantity in ("F1", "r2", "IQS", "log loss"):
        values = line_of(found, quantity, "all").values
        assert values[2] == pytest.approx(values[0], rel=1e-4)
        assert values[2] != pytest.approx(values[1], rel=1e-4)


def test_a_better_run_differs_by_more_than_its_interval(fx_found):
    line = line_of(fx_found[0], "F1", "all")
    (by, low, high) = line.differences[0]
    assert by == pytest.approx(line.values[1] - line.values[0])
    assert low <= by <= high < 0


def test_swapping_the_runs_negates_the_differences(fx_runs, fx_found, tmp_path):
    options = dataclasses.replace(OPTIONS, runs=("poor", "good"), seed=1, rate=0.5, out=tmp_path)
    turned = line_of(compare.compare(fx_runs, options, progress=Silent()), "F1", "all")
    straight = line_of(fx_found[0], "F1", "all")
    assert turned.differences[0][0] == pytest.approx(-straight.differences[0][0])
    assert turned.differences[0][1] == pytest.approx(-straight.differences[0][2])


def test_costs_come_from_the_runs_own_files(fx_runs, fx_found):
    found, _ = fx_found
    with (fx_runs.run("good") / "metrics.csv").open() as stream:
        untrained, *rows = csv.DictReader(stream)
    costs = found.runs[0].costs
    assert untrained["epoch"] == "0"
    assert costs.epochs == len(rows) == 2
    assert costs.epoch_seconds == pytest.approx(np.mean([float(r["seconds"]) for r in rows]))
    busy, batches = (sum(float(r[name]) for r in rows) for name in ("train_seconds", "batches"))
    assert costs.batch_ms == pytest.approx(1000 * busy / batches)
    assert costs.peak_bytes == max(float(r["peak_memory_bytes"]) for r in rows)
    best = min([untrained, *rows], key=lambda row: float(row["val_loss"]))
    assert costs.best_f1 == float(best["val_f1"])
    assert costs.agreement == float(best["val_retrieval_agreement"])
    with (fx_runs.run("good") / "refresh.csv").open() as stream:
        renewed = list(csv.DictReader(stream))
    kinds = [row["kind"] for row in renewed]
    assert costs.refreshes == (
        f"{kinds.count('masks')} masks, {kinds.count('embeddings')} embeddings"
    )
    assert costs.refresh_seconds == pytest.approx(sum(float(row["seconds"]) for row in renewed))
    assert costs.batch == "8 x 1"
    assert costs.device is not None
    assert costs.parameters > found.runs[1].costs.parameters  # which has no gate and no scores


def test_table_csv_and_figure_agree(fx_found):
    found, out = fx_found
    text = "\n".join(found.lines())
    for word in ("best validation F1", "F1 rare <0.05", "r2 (0.05,0.5]", "ms per batch", "95 %"):
        assert word in text
    with (out / "comparison.csv").open() as stream:
        rows = {(r["quantity"], r["group"], r["run"]): r for r in csv.DictReader(stream)}
    line = line_of(found, "r2", "all")
    assert float(rows["r2", "all", "good"]["value"]) == pytest.approx(line.values[0], abs=1e-6)
    assert rows["r2", "all", "good"]["difference"] == ""
    assert float(rows["r2", "all", "poor"]["low"]) == pytest.approx(
        line.differences[0][1], abs=1e-6
    )
    assert int(rows["parameters", "", "poor"]["value"]) == found.runs[1].costs.parameters
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((out / "comparison.json").read_text())
    assert (record["draws"], record["seed"]) == (50, 1)
    assert record["settings"]["poor"]["retrieval"]["num_neighbours"] == 1


def test_an_existing_comparison_is_not_replaced(fx_runs, fx_found):
    _, out = fx_found
    options = dataclasses.replace(OPTIONS, out=out)
    with pytest.raises(StoreError, match=r"comparison\.csv already exists"):
        compare.compare(fx_runs, options, progress=Silent())


@pytest.mark.slow
def test_mosaic_and_a_run_without_retrieval_can_be_compared(fx_runs, tmp_path):
    shutil.copytree(fx_runs.root, tmp_path / "own")
    workspace = Workspace(tmp_path / "own")
    train_mosaic(workspace, "mosaic", steps=60)
    nothing = {"space": "none", "num_neighbours": 0, "num_segments": 1}
    train(
        workspace, "alone", retrieval=nothing, model={"retrieved": "none", "copy_skip": False},
        refresh={"embeddings_every": 0},
    )  # fmt: skip
    options = dataclasses.replace(OPTIONS, runs=("good", "mosaic", "alone"))
    found = compare.compare(workspace, options, progress=Silent())
    line = line_of(found, "r2", "all")
    assert len(line.values) == 3 + len(found.baselines)
    assert np.isfinite(line.differences).all()
    costs = found.runs[1].costs
    assert (costs.best_f1, costs.batch_ms, costs.epochs) == (None, None, None)
    assert costs.parameters > 100
    assert costs.peak_bytes > 50e6
    assert found.runs[2].costs.agreement is None  # nothing was retrieved
    shown = next(text for text in found.lines() if text.startswith("ms per batch"))
    assert " - " in f"{shown} "


def test_runs_of_different_panels_are_refused_naming_both(fx_runs, tmp_path):
    shutil.copytree(fx_runs.root, tmp_path / "own")
    workspace = Workspace(tmp_path / "own")
    panels.write_small_panel(workspace.panel, seed=8, overwrite=True)
    shutil.rmtree(workspace.root / "indexes")
    train(workspace, "other")
    with panel.open_panel(workspace.panel) as reader:
        theirs = reader.fingerprint[:12]
    options = dataclasses.replace(OPTIONS, runs=("good", "other"))
    expected = rf"run good was trained on the panel \w{{12}} and other on {theirs}"
    with pytest.raises(StoreError, match=expected):
        compare.compare(workspace, options, progress=Silent())
    with pytest.raises(StoreError, match="good was trained on another panel"):
        compare.compare(workspace, OPTIONS, progress=Silent())


def test_a_missing_run_is_named(fx_runs):
    options = dataclasses.replace(OPTIONS, runs=("good", "absent"))
    with pytest.raises(StoreError, match="No run 'absent'"):
        compare.compare(fx_runs, options, progress=Silent())


def test_costs_that_were_not_recorded_are_a_dash_and_a_note(fx_runs, fx_found, tmp_path):
    shutil.copytree(fx_runs.root, tmp_path / "own")
    workspace = Workspace(tmp_path / "own")
    path = workspace.run("poor") / "metrics.csv"
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    kept = [name for name in rows[0] if name not in ("batches", "peak_memory_bytes", "device")]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    found = compare.compare(workspace, OPTIONS, progress=Silent())
    assert found.runs[1].costs.batch_ms is None
    assert any("were recorded: poor" in note for note in found.notes())
    assert found.csv_path.parent == workspace.root / "compare" / "good-vs-poor"


def test_a_log_with_an_endless_field_is_refused(fx_runs, tmp_path):
    shutil.copytree(fx_runs.root, tmp_path / "own")
    workspace = Workspace(tmp_path / "own")
    path = workspace.run("poor") / "metrics.csv"
    path.write_text(path.read_text() + '"' + "7" * (csv.field_size_limit() + 1))
    with pytest.raises(StoreError, match=r"metrics\.csv cannot be read \(field larger"):
        compare.compare(workspace, OPTIONS, progress=Silent())


@pytest.mark.parametrize("runs", [(), ("a",), ("a", "a"), ("a", "b", "a")])
def test_two_different_runs_are_needed(runs):
    with pytest.raises(ConfigError, match="two different runs"):
        CompareOptions(runs=runs)
