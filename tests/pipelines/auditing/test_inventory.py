"""Versions of what is in a workspace, and the feature space of real batches, in the audit."""

import dataclasses
import json
import shutil
from contextlib import ExitStack

import numpy as np
import numpy.testing as npt
import pytest
import torch

from tests import panels
from tests.pipelines.workspaces import DENSE, SMALL, build, changed
from vcfbert.domain import tokens
from vcfbert.pipelines.auditing import audit, estimates, inventory, stored_preflight
from vcfbert.pipelines.auditing.audit import AuditOptions
from vcfbert.pipelines.systems import refresh, train_systems
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.pipelines.systems.start import TrainingStart
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import masks as mask_store
from vcfbert.training.systems import alignment, features
from vcfbert.training.systems.batches import Batch


def test_every_version_is_listed_with_its_masks_and_encoder(fx_own):
    quick = changed(training={"max_epochs": 1, "batches_per_epoch": 2})
    train_systems.train(fx_own, quick, SystemOptions("mine", device="cpu"), progress=Silent())
    options = RefreshOptions(masks=True, embeddings=True, run="mine", rate=0.7)
    refresh.refresh(fx_own, quick, options, progress=Silent())
    found = inventory.take(quick, fx_own)
    by_place = {item.place: item for item in found.items}
    stores = {f"{kind}/v000{n}.zarr" for kind in ("masks", "embeddings") for n in (0, 1)}
    assert set(by_place) == stores | {
        "indexes/v0000",
        "runs/mine",
        "runs/mine/masks/v0000.zarr",
        "runs/mine/embeddings/v0001.zarr",
    }
    assert [by_place[f"masks/v000{n}.zarr"].mask_version for n in (0, 1)] == [0, 1]
    assert "rate 0.7" in by_place["masks/v0001.zarr"].content
    origins = [found.encoders[by_place[f"embeddings/v000{n}.zarr"].encoder] for n in (0, 1)]
    assert origins[0] == "seed 1"
    assert origins[1].startswith("mine, ")
    assert all(item.is_of_panel for item in found.items)
    text = "\n".join(found.lines())
    assert "exact, 96 references" in text
    assert found.damaged == {}


def test_a_dense_store_and_index_have_their_mask_version(tmp_path):
    workspace = build(panels.small_workspace(tmp_path), DENSE, layout="dense", kind="dense")
    found = {item.place: item for item in inventory.take(DENSE, workspace).items}
    assert found["embeddings/v0000.zarr"].mask_version == 0
    assert found["indexes/v0000"].mask_version == 0


def test_stores_of_another_panel_and_unknown_weights_are_marked(fx_own):
    panels.write_small_panel(fx_own.panel, seed=8, overwrite=True)
    found = inventory.take(dataclasses.replace(SMALL, seed=9), fx_own)
    assert not any(item.is_of_panel for item in found.items)
    text = "\n".join(found.lines())
    assert "ANOTHER PANEL" in text
    assert "weights not in this workspace" in text


def test_a_damaged_version_is_named_and_the_others_listed(fx_own):
    path = fx_own.newest("masks")
    drawn = mask_store.read_masks(path)
    shutil.rmtree(path / "is_masked")
    found = inventory.take(SMALL, fx_own)
    assert drawn.version == 0
    assert list(found.damaged) == ["masks/v0000.zarr"]
    assert len(found.items) == 2


@pytest.fixture(scope="module")
def fx_space(fx_built):
    found, reason = stored_preflight.feature_space(SMALL, fx_built, None)
    assert reason == ""
    return found


def bench_of(workspace, stack):
    return TrainingStart(SMALL, workspace, workspace.run("new"), stack)


def test_figures_equal_a_slow_computation_on_the_same_batches(fx_built, fx_space):
    with ExitStack() as stack:
        bench = bench_of(fx_built, stack)
        besides = bench.probed_batches()
        model = bench.state.model
        norms, right, distances = [], [], []
        for one in besides:
            batch: Batch = one.batch
            codebook = model.encoder.codebook(features.of_window(bench.panel, batch.window))
            codebook = codebook.detach().numpy()
            nearest = batch.neighbour_tokens[:, 0]
            seen = batch.query_tokens <= tokens.ALT
            hidden = batch.is_hidden
            embedded = codebook[batch.query_tokens, np.arange(bench.panel.length)]
            norms.append(np.linalg.norm(embedded, axis=-1)[seen].mean())
            right.append((nearest == batch.labels)[hidden].mean())
            masked = np.where(batch.query_tokens == tokens.MASK, tokens.MASK, nearest)
            apart = embedded - codebook[masked, np.arange(bench.panel.length)]
            distances.append((apart**2).sum(axis=(1, 2)).mean())
    assert fx_space.query_norm == pytest.approx(np.mean(norms), rel=1e-5)
    assert fx_space.nearest_right == pytest.approx(np.mean(right))
    assert fx_space.true_distance == pytest.approx(np.mean(distances), rel=1e-4)
    assert fx_space.found_distance == pytest.approx(fx_space.true_distance, rel=1e-4)
    assert fx_space.nearest_right > fx_space.random_right
    assert fx_space.queries == 8 * 4  # four samples, four windows


def test_query_and_reference_differ_more_where_the_query_is_masked(fx_space):
    assert fx_space.hidden_distance > fx_space.visible_distance
    assert fx_space.fused_hidden_distance > fx_space.fused_visible_distance


def test_a_feature_space_that_cannot_be_measured_has_a_reason(fx_own):
    found, reason = stored_preflight.feature_space(
        changed(retrieval={"space": "none", "num_neighbours": 0},
                model={"retrieved": "none", "copy_skip": False},
                refresh={"embeddings_every": 0}),
        fx_own, None,
    )  # fmt: skip
    assert (found, reason) == (None, "this system retrieves nothing")
    next(fx_own.newest("indexes").glob("*.faiss")).write_bytes(b"damaged")
    found, reason = stored_preflight.feature_space(SMALL, fx_own, None)
    assert found is None
    assert "vcfbert build-index" in reason


def test_the_report_contains_versions_tensors_and_feature_space(fx_built, monkeypatch):
    monkeypatch.setattr(estimates, "_largest_width", lambda *_: 0)
    report = audit.audit(SMALL, fx_built, AuditOptions())
    text = "\n".join(report.lines())
    for word in ("versions", "activations by tensor", "feature space, 32 queries", "emb_fusion",
                 "nearest neighbour correct at 99 %", "  blocks "):  # fmt: skip
        assert word in text
    record = json.loads(report.to_json())
    assert record["feature_space"]["nearest_right"] == report.feature_space.nearest_right
    assert record["inventory"]["items"][0]["place"] == "masks/v0000.zarr"
    kept = sum(one["bytes_each"] * one["forward"] for one in record["memory"]["step"]["tensors"])
    assert kept == record["memory"]["step"]["forward"]


def test_measuring_does_not_change_the_mode_of_the_network(fx_built):
    with ExitStack() as stack:
        bench = bench_of(fx_built, stack)
        bench.state.model.train()
        found = alignment.measure(bench.state.model, bench.probed_batches(), torch.device("cpu"))
        assert bench.state.model.training
    npt.assert_array_less(0, dataclasses.astuple(found)[:9])
