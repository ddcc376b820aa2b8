"""The stores of a workspace against the settings, and what is found where they disagree."""

import dataclasses
import shutil

import pytest

from tests import panels, tampering
from vcfbert.config import presets
from vcfbert.errors import StoreError
from vcfbert.pipelines.auditing import audit, estimates
from vcfbert.pipelines.systems import build_index, encode, refresh, store_checks
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.devices import choose_device
from vcfbert.training.systems import checkpoints, loop

TINY = presets.tiny()


def build(workspace, settings=TINY):
    options = RefreshOptions(masks=True)
    refresh.refresh(workspace, settings, options, progress=Silent())
    encode.encode_refs(workspace, settings, EncodeOptions(), progress=Silent())
    build_index.build_index(workspace, IndexOptions(), progress=Silent())
    return workspace


@pytest.fixture(scope="module")
def fx_built(tmp_path_factory):
    """A workspace with every store; read-only."""
    return build(panels.small_workspace(tmp_path_factory.mktemp("built")))


@pytest.fixture
def fx_own(fx_built, tmp_path):
    """A copy to change."""
    shutil.copytree(fx_built.root, tmp_path / "own")
    return Workspace(tmp_path / "own")


def save_run(workspace, settings, name="tiny", parents=None):
    """A run with a checkpoint of initial weights; by default its parents are elsewhere."""
    parents = parents or {"panel": "no such panel", "index": "none"}
    state = loop.new_state(
        settings.model,
        settings.training,
        settings.seed,
        choose_device("cpu"),
        focal_gamma=settings.loss.focal_gamma,
    )
    checkpoints.save(
        workspace.run(name),
        "best",
        settings=settings,
        parents=parents,
        state={"epoch": 0, "step": 0},
        weights=state.model.state_dict(),
        optimizer=None,
    )


def parents_in(workspace):
    """Fingerprints of the panel and the newest index."""
    with open_panel(workspace.panel) as panel:
        fingerprint = manifest.fingerprint(manifest.read(workspace.newest("indexes")))
        return {"panel": panel.fingerprint, "index": fingerprint}


def failed(workspace, settings=TINY, run=None):
    found = store_checks.of_workspace(settings, workspace, run)
    return {check.what: check for check in found if not check.holds}


def test_what_was_made_together_agrees(fx_built):
    found = store_checks.of_workspace(TINY, fx_built, None)
    assert [check.sentence() for check in found if not check.holds] == []
    names = {check.what for check in found}
    assert {"panel alleles", "masks is_masked", "index rows", "embeddings codebook"} <= names
    assert {"complete embeddings", "masked embeddings", "embeddings encoder"} <= names


def test_the_dense_layout_agrees_too(fx_own):
    options = EncodeOptions(layout="dense")
    encode.encode_refs(fx_own, TINY, options, progress=Silent(), overwrite=True)
    found = store_checks.of_workspace(TINY, fx_own, None)
    assert [check.sentence() for check in found if not check.holds] == []
    assert {"embeddings complete", "embeddings masked"} <= {check.what for check in found}


def test_embeddings_of_another_width_are_left_aside_with_both_named(fx_built):
    wider = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, width=64))
    assert failed(fx_built, wider) == {}  # train encodes for itself
    found = store_checks.of_workspace(wider, fx_built, None)
    line = next(check.line() for check in found if check.what == "embeddings")
    assert "width 32, but the settings have 64" in line


def test_embeddings_of_another_seed_are_those_of_the_encoder_in_them(fx_built):
    other = dataclasses.replace(TINY, seed=9)
    assert failed(fx_built, other) == {}
    found = {check.what: check for check in store_checks.of_workspace(other, fx_built, None)}
    assert "other weights, stored with them" in found["embeddings encoder"].line()
    assert "distance 0" in found["complete embeddings"].found


def test_another_panel_makes_its_children_stale(fx_own):
    panels.write_small_panel(fx_own.panel, seed=8, overwrite=True)
    assert {"masks parent panel", "index parent panel"} <= set(failed(fx_own))


def test_a_panel_of_another_size_is_seen_in_every_store(fx_own):
    panels.write_small_panel(fx_own.panel, num_sites=200, length=40, overwrite=True)
    assert {
        "masks is_masked",
        "index windows",
        "index sites in a window",
    } <= (set(failed(fx_own)))


def test_a_held_out_sample_in_the_index_is_found(fx_own):
    path = fx_own.newest("indexes") / "manifest.json"
    held_out = 2 * 7  # sample 7 is a test sample
    tampering.edit_json(
        path, lambda record: record["reference_haplotypes"].__setitem__(0, held_out)
    )
    check = failed(fx_own)["index rows of held-out samples"]
    assert (check.found, check.needed) == ("1", "0")


def test_a_run_of_another_size_and_panel_is_found(fx_own):
    model = dataclasses.replace(TINY.model, width=64, num_layers=3)
    save_run(fx_own, dataclasses.replace(TINY, model=model))
    found = failed(fx_own)
    assert found["run vocabulary x width"].found == "5 x 64"
    assert found["run layers, heads"].found == "3, 2"
    assert "run parent panel" in found


def test_embeddings_of_a_run_are_known_as_its_own(fx_own):
    other = dataclasses.replace(TINY, seed=9)
    save_run(fx_own, other, parents=parents_in(fx_own))
    options = EncodeOptions(run="tiny")
    encode.encode_refs(fx_own, other, options, progress=Silent(), overwrite=True)
    assert "embeddings encoder" not in failed(fx_own)


def test_an_index_that_is_not_the_runs_is_found(fx_own):
    save_run(fx_own, TINY, parents=parents_in(fx_own))
    assert failed(fx_own, run="tiny") == {}
    few = IndexOptions(max_references=8)
    build_index.build_index(fx_own, few, progress=Silent(), overwrite=True)
    check = failed(fx_own, run="tiny")["index of the run"]
    assert str(fx_own.root / "indexes") in check.sentence()
    assert f"vcfbert train --run tiny --config {fx_own.run('tiny')}" in check.remedy


def test_a_run_that_was_named_must_be_there(fx_built):
    with pytest.raises(StoreError, match="vcfbert train --run mine"):
        store_checks.of_workspace(TINY, fx_built, "mine")


@pytest.mark.usefixtures("fx_quick_audit")
def test_the_report_has_the_panels_numbers_and_fails_on_a_mismatch(fx_built, fx_own, monkeypatch):
    monkeypatch.setattr(estimates, "_largest_width", lambda *_: 0)
    good = audit.audit(TINY, fx_built, audit.AuditOptions())
    assert (good.size.sites, good.size.samples, good.size.length) == (120, 60, 32)
    assert any(line.startswith("  ok ") for line in good.lines())
    good.raise_mismatch()
    path = fx_own.newest("indexes") / "manifest.json"
    tampering.edit_json(path, lambda record: record.update(length=31))
    bad = audit.audit(TINY, fx_own, audit.AuditOptions())
    with pytest.raises(StoreError, match="index sites in a window"):
        bad.raise_mismatch()
