"""From a trained run to a dense index of its encoder and on: nothing on the way is a dead end."""

import shutil

import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines.systems.test_train_systems import KillAt, KilledError, rows
from tests.pipelines.workspaces import changed
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.auditing import stored_preflight
from vcfbert.pipelines.evaluating import evaluate as evaluating
from vcfbert.pipelines.evaluating.evaluate import EvalOptions
from vcfbert.pipelines.systems import build_index, refresh, train_systems
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.pipelines.systems.start import StartOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.pipelines.verifying import verify
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import manifest
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints

SHORT = {"max_epochs": 2, "batches_per_epoch": 3, "validation_batches": 3}
MOVING = changed(training=SHORT)
STILL = changed(
    training=SHORT,
    retrieval={"num_segments": 1},
    refresh={"masks_every": 0, "embeddings_every": 0},
)


def train(workspace, name, settings=MOVING, *, resume=False, progress=None, **start):
    chosen = SystemOptions(name, resume, device="cpu", threads=1, start=StartOptions(**start))
    return train_systems.train(workspace, settings, chosen, progress=progress or Silent())


def index(workspace, **options):
    chosen = IndexOptions(**options)
    return build_index.build_index(workspace, chosen, progress=Silent(), overwrite=True)


def scores(workspace, name, **options):
    chosen = EvalOptions(run=name, device="cpu", **options)
    found = evaluating.evaluate(workspace, chosen, progress=Silent(), overwrite=True)
    return found.to_csv()


@pytest.fixture
def fx_refreshed(tmp_path) -> Workspace:
    """A run R, then a dense index of its encoder instead of the exact index it was trained with."""
    workspace = panels.small_workspace(tmp_path)
    train(workspace, "R")
    chosen = RefreshOptions(masks=True, embeddings=True, run="R")
    refresh.refresh(workspace, MOVING, chosen, progress=Silent())
    assert index(workspace, kind="dense").left == []
    return workspace


def test_the_run_is_evaluated_from_the_references_of_the_dense_index(fx_refreshed):
    by_dense = scores(fx_refreshed, "R", mask_version=0)
    index(fx_refreshed, kind="exact")
    assert scores(fx_refreshed, "R", mask_version=0) == by_dense


@pytest.mark.slow
def test_a_dense_index_of_a_trained_encoder_can_be_trained_with(fx_refreshed):
    train(fx_refreshed, "from-R", STILL, init_from="R")
    train(fx_refreshed, "encoder-of-R", STILL)
    best = checkpoints.read(fx_refreshed.run("R"), "best").parents["encoder"]
    for name in ("from-R", "encoder-of-R"):
        parents = checkpoints.read(fx_refreshed.run(name), "best").parents
        assert parents["first encoder"] == best
        scores(fx_refreshed, name, mask_version=0)
    assert rows(fx_refreshed, "from-R") != rows(fx_refreshed, "encoder-of-R")
    assert stored_preflight.check(STILL, fx_refreshed, None).failed == []
    assert stored_preflight.check(STILL, fx_refreshed, "from-R").failed == []


def test_a_dense_index_refuses_weights_it_is_not_made_of(fx_refreshed):
    train(fx_refreshed, "other", STILL)
    with pytest.raises(StoreError, match=r"not that of other.*--run other --layout dense"):
        train(fx_refreshed, "third", STILL, init_from="other")
    with pytest.raises(ConfigError, match="--embeddings new"):
        train(fx_refreshed, "third", STILL, embeddings="new")
    with pytest.raises(ConfigError, match="--mask-version new"):
        train(fx_refreshed, "third", STILL, mask_version="new")


@pytest.mark.slow
def test_a_killed_run_resumes_from_the_references_of_another_kind_of_index(fx_refreshed):
    index(fx_refreshed, kind="exact")
    train(fx_refreshed, "whole", init_from="R")
    with pytest.raises(KilledError):
        train(fx_refreshed, "cut", init_from="R", progress=KillAt(4))
    index(fx_refreshed, kind="dense")
    train(fx_refreshed, "cut", resume=True)
    assert rows(fx_refreshed, "cut") == rows(fx_refreshed, "whole")
    parents = checkpoints.read(fx_refreshed.run("cut"), "last").parents
    assert parents == checkpoints.read(fx_refreshed.run("whole"), "last").parents
    index(fx_refreshed, max_references=20)
    with pytest.raises(StoreError, match="Build the run's index again"):
        scores(fx_refreshed, "cut")


def test_a_dense_index_is_built_from_versions_that_a_run_wrote(fx_refreshed):
    names = {
        "embeddings": "runs/R/embeddings/v0001.zarr",
        "mask_version": "runs/R/masks/v0001.zarr",
    }
    path = index(fx_refreshed, kind="dense", **names).path
    assert manifest.read(path).mask_version == 1
    train(fx_refreshed, "more", STILL)
    scores(fx_refreshed, "more", mask_version=names["mask_version"])
    written = fx_refreshed.run("more") / "eval" / "test-mask-R-v0001.json"
    assert written.exists()
    found = verify.verify(fx_refreshed, VerifyOptions(), progress=Silent())
    faults = [fault for store in found.stores for fault in store.faults]
    assert [fault for fault in faults if "panel.qc.json" not in fault] == []
    with pytest.raises(ConfigError, match="are for --kind dense"):
        index(fx_refreshed, kind="exact", mask_version=0)


def test_dense_indexes_of_a_codebook_and_of_dense_embeddings_are_equal(fx_refreshed):
    path = fx_refreshed.newest("indexes")
    by_codebook = manifest.read(path)
    chosen = refresh.encode.EncodeOptions(layout="dense", run="R")
    refresh.encode.encode_refs(fx_refreshed, MOVING, chosen, progress=Silent(), overwrite=True)
    index(fx_refreshed, kind="dense")
    by_rows = manifest.read(path)
    assert [one.sha256 for one in by_codebook.files] == [one.sha256 for one in by_rows.files]
    refresh.refresh(fx_refreshed, MOVING, RefreshOptions(masks=True), progress=Silent())
    with pytest.raises(ConfigError, match="was encoded under mask version 0"):
        index(fx_refreshed, kind="dense", mask_version=1)
    opened = open_index(path, panel_fingerprint=by_rows.parents["panel"])
    npt.assert_array_equal(opened.reference_haplotypes, by_codebook.reference_haplotypes)


def test_new_makes_what_a_workspace_without_stores_gives(fx_refreshed):
    index(fx_refreshed, kind="exact")
    train(fx_refreshed, "new", mask_version="new", embeddings="new")
    for kind in ("masks", "embeddings"):
        shutil.rmtree(fx_refreshed.root / kind)
    train(fx_refreshed, "alone")
    assert rows(fx_refreshed, "new") == rows(fx_refreshed, "alone")
