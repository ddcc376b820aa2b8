"""The eight checks before training: they pass on whole stores, and each sees what it is for."""

import dataclasses
import json
import re
import shutil

import faiss
import numpy as np
import pytest
import zarr

from tests import panels, tampering
from tests.pipelines.workspaces import DENSE, SMALL, build, changed
from vcfbert import config
from vcfbert.config import presets
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, StoreError, VcfbertError
from vcfbert.files import digests
from vcfbert.pipelines.auditing import stored_preflight
from vcfbert.pipelines.systems import build_index, encode, preflight, train_systems
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import manifest
from vcfbert.retrieval.fast import FastSearch
from vcfbert.storage.zarr import masks as mask_store
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.devices import choose_device
from vcfbert.training.systems import checkpoints, loop

NAMES = [
    "dataset", "pre-encoding", "FAISS retrieval", "batch collation", "model forward and backward",
    "memory", "embedding refresh", "data alignment",
]  # fmt: skip


def failures(workspace, settings=SMALL, run=None):
    return {
        one.name: one.figures for one in stored_preflight.check(settings, workspace, run).failed
    }


def test_whole_stores_pass_all_eight_with_figures(fx_built):
    before = sorted(path for path in fx_built.root.rglob("*"))
    done = stored_preflight.check(SMALL, fx_built, None)
    assert [one.name for one in done.outcomes] == NAMES
    assert done.failed == []
    done.raise_mismatch()
    for one in done.outcomes:
        assert any(letter.isdigit() for letter in one.figures), one.name
        assert one.line().startswith("passed  ")
    record = json.loads(done.to_json())
    assert record["passed"] is True
    assert len(record["checks"]) == 8
    assert sorted(path for path in fx_built.root.rglob("*")) == before


@pytest.mark.parametrize("name", ["v13", "v17"])
def test_systems_without_embeddings_pass_on_what_they_read(fx_own, name):
    small = {"model": {"width": 16, "num_layers": 1, "num_heads": 2}}
    small["training"] = {"batch_size": 4}
    settings = config.merge(presets.get(name), small, source="test")
    shutil.rmtree(fx_own.root / "embeddings")
    assert failures(fx_own, settings) == {}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_dense_index_passes_too(tmp_path, dtype):
    home = panels.small_workspace(tmp_path)
    workspace = build(home, DENSE, layout="dense", kind="dense", dtype=dtype)
    assert failures(workspace, DENSE) == {}


def test_a_fast_index_passes_too(fx_own):
    options = IndexOptions(kind="fast")
    build_index.build_index(fx_own, options, progress=Silent(), overwrite=True)
    assert failures(fx_own) == {}


@pytest.mark.parametrize(("num_missed", "passes"), [(4, True), (8, False)])
def test_a_fast_index_may_miss_a_few_neighbours(fx_own, monkeypatch, num_missed, passes):
    options = IndexOptions(kind="fast")
    build_index.build_index(fx_own, options, progress=Silent(), overwrite=True)

    def candidates(self, count, queries=None):
        """All references, except the nearest ones of a query or of all."""
        num_queries, num_references = len(self._vectors), self._window.num_references
        rows = np.tile(np.arange(num_references), (num_queries, 1))
        order = np.argsort(self.distances(rows), axis=1)
        for query in range(1 if passes else num_queries):
            rows[query, order[query, :num_missed]] = order[query, -1]
        return rows, np.full(num_queries, np.inf)

    monkeypatch.setattr(FastSearch, "candidates", candidates)
    outcomes = stored_preflight.check(SMALL, fx_own, None).outcomes
    outcome = next(one for one in outcomes if one.name == "FAISS retrieval")
    assert outcome.passed is passes
    expected = "exhaustive search but for" if passes else "index misses .* --kind exact --force"
    assert re.search(expected, outcome.figures)


@pytest.mark.slow
def test_a_trained_run_passes_with_its_own_weights(fx_own):
    settings = changed(training={"max_epochs": 1, "batches_per_epoch": 3})
    train_systems.train(fx_own, settings, SystemOptions("mine", device="cpu"), progress=Silent())
    assert failures(fx_own, settings, "mine") == {}
    encode.encode_refs(
        fx_own, settings, EncodeOptions(run="mine"), progress=Silent(), overwrite=True
    )
    assert failures(fx_own, settings, "mine") == {}
    assert failures(fx_own, settings) == {}


def test_dataset_fails_where_an_allele_was_flipped(fx_own):
    root = zarr.open_group(fx_own.panel, mode="r+")
    block = root["alleles"][0]
    block[0, 0] ^= 128  # the first site of the first haplotype
    root["alleles"][0] = block
    assert "ALT counts of site" in failures(fx_own)["dataset"]


def test_dataset_fails_where_windows_leave_sites_out(fx_own):
    root = zarr.open_group(fx_own.panel, mode="r+")
    cores = root["windows/core_stop"][:]
    cores[1] -= 2
    root["windows/core_stop"][:] = cores
    assert "window" in failures(fx_own)["dataset"]


def test_without_a_panel_every_check_fails_for_one_reason(tmp_path):
    found = failures(Workspace(tmp_path))
    assert list(found) == NAMES
    assert "vcfbert prepare" in found["dataset"]
    assert found["memory"] == "not run, because of what the check 'dataset' found"


def test_pre_encoding_fails_where_a_stored_vector_moved(fx_own):
    root = zarr.open_group(fx_own.newest("embeddings"), mode="r+")
    codebook = root["codebook"][0]
    codebook[tokens.ALT] += 0.05
    root["codebook"][0] = codebook
    assert "differs from a new encoding" in failures(fx_own)["pre-encoding"]


def lose(kind):
    return lambda workspace: shutil.rmtree(workspace.root / kind)


def encode_otherwise(workspace):
    settings = dataclasses.replace(SMALL, seed=9)
    encode.encode_refs(workspace, settings, EncodeOptions(), progress=Silent(), overwrite=True)


def damage(kind):
    def change(workspace):
        path = min(path for path in workspace.newest(kind).rglob("0") if path.is_file())
        content = bytearray(path.read_bytes())
        content[-1] ^= 255
        path.write_bytes(content)

    return change


def swap_rows(workspace):
    rewrite_manifest(workspace, lambda record: record["reference_haplotypes"].reverse())


def renew_panel(workspace):
    panels.write_small_panel(workspace.panel, seed=8, overwrite=True)


ANY = {
    "whole": (lambda workspace: None, {}, True),
    "no embeddings": (lose("embeddings"), {}, True),
    "no masks": (lose("masks"), {}, True),
    "no index": (lose("indexes"), {}, True),
    "other encoder": (encode_otherwise, {}, True),
    "other width": (lambda workspace: None, {"model": {"width": 32}}, True),
    "masks of samples": (lambda workspace: None, {"masks": {"scope": "sample"}}, True),
    "damaged masks": (damage("masks"), {}, False),
    "damaged embeddings": (damage("embeddings"), {}, False),
    "other rows": (swap_rows, {}, False),
    "other panel": (renew_panel, {}, False),
    "no panel": (lambda workspace: shutil.rmtree(workspace.panel), {}, False),
    "many neighbours": (lambda workspace: None, {"retrieval": {"num_neighbours": 500}}, False),
}


@pytest.mark.parametrize("name", ANY)
@pytest.mark.slow
def test_the_strict_checks_refuse_what_train_refuses_and_nothing_else(fx_own, name):
    change, sections, is_taken = ANY[name]
    change(fx_own)
    settings = changed(**{"training": {"max_epochs": 1, "batches_per_epoch": 2}} | sections)
    assert (failures(fx_own, settings) == {}) is is_taken
    assert not fx_own.run("mine").exists()
    chosen = SystemOptions("mine", device="cpu")
    if is_taken:
        train_systems.train(fx_own, settings, chosen, progress=Silent())
        return
    with pytest.raises(VcfbertError):
        train_systems.train(fx_own, settings, chosen, progress=Silent())
    assert not fx_own.run("mine").exists()


def rewrite_manifest(workspace, change):
    path = workspace.newest("indexes") / manifest.NAME
    tampering.edit_json(path, change)


def test_retrieval_fails_where_rows_are_named_after_others(fx_own):
    rewrite_manifest(fx_own, lambda record: record["reference_haplotypes"].reverse())
    assert "its rows are not the haplotypes of this panel" in failures(fx_own)["FAISS retrieval"]


def test_retrieval_fails_where_a_file_was_damaged(fx_own):
    path = next(fx_own.newest("indexes").glob("*.faiss"))
    content = bytearray(path.read_bytes())
    content[-9] ^= 255
    path.write_bytes(content)
    assert "is damaged" in failures(fx_own)["FAISS retrieval"]


def test_retrieval_fails_where_codes_were_swapped_behind_the_checksum(fx_own):
    folder = fx_own.newest("indexes")
    path = folder / "w00000.faiss"
    index = faiss.read_index(str(path))
    codes = faiss.vector_to_array(index.codes)
    faiss.copy_array_to_vector(np.ascontiguousarray(codes.reshape(index.ntotal, -1)[::-1]).ravel(),
                               index.codes)  # fmt: skip
    faiss.write_index(index, str(path))
    digest = digests.of_file(path)
    rewrite_manifest(fx_own, lambda record: record["files"][0].update(sha256=digest))
    assert "its rows are not the haplotypes of this panel" in failures(fx_own)["FAISS retrieval"]


def test_retrieval_fails_where_a_dense_index_is_of_another_encoding(tmp_path):
    workspace = build(panels.small_workspace(tmp_path), DENSE, layout="dense", kind="dense")
    other = dataclasses.replace(DENSE, seed=9)
    encode.encode_refs(
        workspace, other, EncodeOptions(layout="dense"), progress=Silent(), overwrite=True
    )
    found = failures(workspace, other)
    assert "the embeddings that it was made from are not in" in found["pre-encoding"]
    assert found["FAISS retrieval"].startswith("not run")


def test_retrieval_fails_where_a_held_out_sample_is_in_the_index(fx_own):
    def replace(record):
        record["reference_haplotypes"][0] = 2 * 7  # sample 7 is a test sample

    rewrite_manifest(fx_own, replace)
    assert "1 haplotype of validation and test" in failures(fx_own)["FAISS retrieval"]


def test_collation_fails_where_queries_may_find_themselves(fx_built):
    settings = changed(retrieval={"exclude_same_sample": False})
    assert (
        "a neighbour of a query is of the same sample"
        in failures(fx_built, settings)["batch collation"]
    )


def test_collation_fails_where_masks_leave_nothing_to_read(tmp_path):
    workspace = build(panels.small_workspace(tmp_path), DENSE, layout="dense", kind="dense")
    path = workspace.newest("masks")
    drawn = mask_store.read_masks(path)
    blind = dataclasses.replace(drawn, is_masked=np.ones_like(drawn.is_masked))
    mask_store.write_masks(path, blind, overwrite=True)
    quiet = Silent()
    dense = EncodeOptions(layout="dense")
    encode.encode_refs(workspace, DENSE, dense, progress=quiet, overwrite=True)
    build_index.build_index(workspace, IndexOptions(kind="dense"), progress=quiet, overwrite=True)
    assert "no site is visible" in failures(workspace, DENSE)["batch collation"]


def save_run(workspace, change):
    """A run of initial weights, changed."""
    state = loop.new_state(
        SMALL.model,
        SMALL.training,
        SMALL.seed,
        choose_device("cpu"),
        focal_gamma=SMALL.loss.focal_gamma,
    )
    weights = {name: value.clone() for name, value in state.model.state_dict().items()}
    change(weights)
    with open_panel(workspace.panel) as panel:
        index = manifest.fingerprint(manifest.read(workspace.newest("indexes")))
        parents = {"panel": panel.fingerprint, "index": index}
    checkpoints.save(
        workspace.run("mine"),
        "last",
        settings=SMALL,
        parents=parents,
        state=state.counters(),
        weights=weights,
        optimizer=checkpoints.optimizer_tensors(state.optimizer),
    )


def test_the_step_fails_where_weights_have_diverged(fx_own):
    def inflate(weights):
        weights["haplotype_head.bias"].copy_(3e38 * weights["haplotype_head.bias"].sign().add(1))
        weights["norm.weight"].mul_(3e38)
        weights["genotype_out.weight"].add_(3e38)

    save_run(fx_own, inflate)
    found = failures(fx_own, run="mine")
    assert "have diverged" in found["model forward and backward"]
    assert "dataset" not in found


def test_memory_fails_where_a_batch_is_too_large(fx_built):
    found = failures(fx_built, changed(training={"batch_size": 50_000_000}))
    assert list(found) == ["memory"]
    assert "samples fit: lower training.batch_size" in found["memory"]
    assert "GB free on" in found["memory"]


def test_the_refresh_fails_where_nothing_can_be_written(fx_own):
    (fx_own.root / "runs").write_text("a file in the way")
    assert list(failures(fx_own)) == ["embedding refresh"]


def test_the_refresh_fails_where_a_dense_index_cannot_follow(tmp_path):
    workspace = build(panels.small_workspace(tmp_path), DENSE, layout="dense", kind="dense")
    settings = changed(retrieval={"num_segments": 1})  # renews masks and encodings every epoch
    assert "refresh.masks_every=0" in failures(workspace, settings)["embedding refresh"]


def test_the_refresh_fails_where_weights_do_not_reach_the_encoding(fx_own):
    save_run(fx_own, lambda weights: weights["encoder.token.weight"].zero_())
    assert "has no effect" in failures(fx_own, run="mine")["embedding refresh"]


def test_alignment_fails_where_masks_are_not_aligned(fx_built):
    found = failures(fx_built, changed(masks={"align": False}))
    assert list(found) == ["data alignment"]
    assert "masks.align = false asks for" in found["data alignment"]


def test_alignment_fails_where_references_are_of_other_rows(fx_own):
    rewrite_manifest(fx_own, lambda record: record["reference_haplotypes"].reverse())
    assert "the search reports" in failures(fx_own)["data alignment"].lower()


def test_training_is_refused_before_anything_is_written(fx_own):
    rewrite_manifest(fx_own, lambda record: record["reference_haplotypes"].reverse())
    with pytest.raises(StoreError, match="FAISS retrieval: In window 0") as caught:
        train_systems.train(fx_own, SMALL, SystemOptions("mine", device="cpu"), progress=Silent())
    assert "pre-flight checks failed" in str(caught.value)
    assert not fx_own.run("mine").exists()


@pytest.mark.slow
def test_a_run_that_is_to_be_replaced_outlives_a_failed_check(fx_own):
    quick = changed(training={"max_epochs": 1, "batches_per_epoch": 2})
    train_systems.train(fx_own, quick, SystemOptions("mine", device="cpu"), progress=Silent())
    before = (fx_own.run("mine") / "metrics.csv").read_bytes()
    rewrite_manifest(fx_own, lambda record: record["reference_haplotypes"].reverse())
    with pytest.raises(StoreError, match="pre-flight"):
        train_systems.train(
            fx_own, quick, SystemOptions("mine", device="cpu"), progress=Silent(), overwrite=True
        )
    assert (fx_own.run("mine") / "metrics.csv").read_bytes() == before


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def test_training_runs_all_eight_and_says_so(fx_own):
    quick = changed(training={"max_epochs": 1, "batches_per_epoch": 2})
    notes = Notes()
    train_systems.train(fx_own, quick, SystemOptions("mine", device="cpu"), progress=notes)
    said = [line for line in notes.lines if line.startswith("pre-flight: passed")]
    assert [name for name, line in zip(NAMES, said, strict=True) if name not in line] == []


def test_training_out_of_line_on_purpose_is_noted_and_goes_on(fx_own):
    quick = changed(training={"max_epochs": 1, "batches_per_epoch": 2}, masks={"align": False})
    notes = Notes()
    train_systems.train(fx_own, quick, SystemOptions("mine", device="cpu"), progress=notes)
    assert any(line.startswith("pre-flight: FAILED  data alignment") for line in notes.lines)


@pytest.mark.slow
def test_a_resumed_run_is_checked_with_its_own_encoding(fx_own):
    quick = changed(training={"max_epochs": 1, "batches_per_epoch": 2})
    train_systems.train(fx_own, quick, SystemOptions("mine", device="cpu"), progress=Silent())
    longer = changed(training={"max_epochs": 2, "batches_per_epoch": 2})
    notes = Notes()
    train_systems.train(
        fx_own, longer, SystemOptions("mine", resume=True, device="cpu"), progress=notes
    )
    encoded = next(line for line in notes.lines if "pre-encoding" in line)
    assert "v0001.zarr" in encoded


def test_systems_that_are_not_trained_on_windows_are_refused(fx_built):
    with pytest.raises(ConfigError, match="is of mosaic"):
        stored_preflight.check(presets.mosaic(), fx_built, None)
    with pytest.raises(StoreError, match="No run 'absent'"):
        stored_preflight.check(SMALL, fx_built, "absent")


def test_a_mistake_of_ours_is_not_taken_for_a_failed_check(fx_built, monkeypatch):
    def broken(bench):
        raise ZeroDivisionError

    monkeypatch.setitem(preflight.CHECKS, "memory", broken)
    with pytest.raises(ZeroDivisionError):
        stored_preflight.check(SMALL, fx_built, None)
