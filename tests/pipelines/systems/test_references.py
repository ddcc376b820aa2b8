"""encode-refs, build-index and refresh on the small panel."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest
import torch

from tests import panels
from tests.pipelines import evaluations
from vcfbert import config
from vcfbert.config import presets
from vcfbert.domain import sites, tokens
from vcfbert.errors import ConfigError, DeviceError, StoreError
from vcfbert.files import digests
from vcfbert.pipelines.systems import refresh as refreshing
from vcfbert.pipelines.systems.build_index import IndexOptions, build_index
from vcfbert.pipelines.systems.encode import EncodeOptions, encode_refs
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import exact, fast, manifest, similarity
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.index import open_index
from vcfbert.retrieval.query import Query
from vcfbert.storage.zarr import embeddings, masks
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import encoding_workers

SETTINGS = config.merge(presets.get("tiny"), {"model": {"width": 8, "num_heads": 2}}, source="test")


@pytest.fixture
def fx_own(fx_workspace, tmp_path) -> Workspace:
    """A copy of the small workspace with one mask version, to write to."""
    shutil.copytree(fx_workspace.root, tmp_path / "work")
    workspace = Workspace(tmp_path / "work")
    refresh(workspace, masks=True)
    return workspace


def encode(workspace: Workspace, *, overwrite=False, **options):
    return encode_refs(
        workspace, SETTINGS, EncodeOptions(**options), progress=Silent(), overwrite=overwrite
    )


def index(workspace: Workspace, *, overwrite=False, **options):
    return build_index(workspace, IndexOptions(**options), progress=Silent(), overwrite=overwrite)


def refresh(workspace: Workspace, settings=SETTINGS, **options):
    return refreshing.refresh(workspace, settings, RefreshOptions(**options), progress=Silent())


def test_an_index_holds_train_samples_only_and_their_very_alleles(fx_own):
    summary = index(fx_own)
    with open_panel(fx_own.panel) as panel:
        reader = open_index(summary.path, panel_fingerprint=panel.fingerprint)
        npt.assert_array_equal(reader.reference_haplotypes, panel.samples.haplotypes(sites.TRAIN))
        held_out = panel.samples.haplotypes(sites.VALIDATION, sites.TEST)
        assert len(held_out) > 0
        npt.assert_array_equal(reader.rows_of(held_out), -1)
        for window in range(len(panel.windows)):
            npt.assert_array_equal(
                reader.window(window).reference_bits,
                panel.packed(window)[reader.reference_haplotypes],
            )


def test_max_references_draws_whole_train_samples_by_the_seed(fx_own):
    rows = [
        manifest.read(index(fx_own, max_references=12, seed=seed, overwrite=True).path)
        for seed in (1, 1, 2)
    ]
    drawn = [content.reference_haplotypes for content in rows]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 12
    with open_panel(fx_own.panel) as panel:
        train = set(panel.samples.haplotypes(sites.TRAIN).tolist())
    assert set(drawn[0]) <= train
    assert {haplotype ^ 1 for haplotype in drawn[0]} == set(drawn[0])


@pytest.mark.parametrize("kind", ["exact", "fast", "dense"])
def test_an_index_does_not_depend_on_threads(fx_own, kind):
    encode(fx_own)
    contents = []
    for threads in (1, 3):
        made = index(fx_own, kind=kind, threads=threads, overwrite=True)
        assert made.num_windows > 3
        contents.append({file.name: digests.of_file(file) for file in made.path.iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize("number", [1, 7, 10_000])
def test_max_references_that_cannot_be_had_is_refused(fx_own, number):
    with pytest.raises(ConfigError, match=rf"even number from 2 to 96.*got {number}"):
        index(fx_own, max_references=number)
    assert fx_own.versions("indexes") == []


def test_both_layouts_and_both_kinds_find_the_same_neighbours(fx_own):
    encode(fx_own, layout="dense")
    by_bits = index(fx_own).path
    by_l2 = fx_own.version("indexes", 1)
    shutil.copytree(by_bits, by_l2)
    assert index(fx_own, kind="dense", overwrite=True).path == by_l2
    mask = masks.read_masks(fx_own.newest("masks"))
    with (
        open_panel(fx_own.panel) as panel,
        embeddings.open_embeddings(fx_own.newest("embeddings")) as encoded,
    ):
        exact, dense = (
            open_index(path, panel_fingerprint=panel.fingerprint) for path in (by_bits, by_l2)
        )
        dense.require_parent("masks", mask.fingerprint)
        dense.require_parent("embeddings", encoded.fingerprint)
        own = exact.reference_haplotypes[:10]
        excluded = np.repeat(np.arange(10).reshape(-1, 2), 2, axis=0)
        for window in range(len(panel.windows)):
            queries = tokens.hide(panel.tokens(window, own), mask.is_masked[window])
            codebook = encoded.codebook(window)
            masked = encoded.masked(window, np.arange(10), queries)
            npt.assert_array_equal(masked, codebook[queries, np.arange(panel.length)])
            query = Query(queries, similarity.site_weights(codebook), masked)
            hits = [nearest(kind.window(window), query, 6, excluded) for kind in (exact, dense)]
            npt.assert_allclose(hits[0].distances, hits[1].distances, rtol=1e-4, atol=1e-6)
            differs = hits[0].rows != hits[1].rows
            npt.assert_allclose(
                hits[0].distances[differs], hits[1].distances[differs], rtol=1e-5, atol=1e-6
            )


def test_a_fast_index_has_the_rows_of_an_exact_one_and_finds_its_neighbours(fx_own):
    by_bits = index(fx_own, max_references=60, seed=3).path
    shutil.copytree(by_bits, fx_own.version("indexes", 1))
    by_scan = index(fx_own, kind="fast", max_references=60, seed=3, overwrite=True).path
    with open_panel(fx_own.panel) as panel:
        readers = [
            open_index(path, panel_fingerprint=panel.fingerprint) for path in (by_bits, by_scan)
        ]
        assert [reader.kind for reader in readers] == ["exact", "fast"]
        npt.assert_array_equal(*(reader.reference_haplotypes for reader in readers))
        weights = similarity.token_weights(panel.length)
        for window in range(len(panel.windows)):
            query = Query(panel.tokens(window, np.arange(8)), weights)
            hits = [nearest(reader.window(window), query, 6) for reader in readers]
            npt.assert_array_equal(hits[0].distances, hits[1].distances)


def test_refresh_keeps_a_fast_index(fx_own):
    index(fx_own, kind="fast")
    lines = refresh(fx_own, masks=True).lines()
    assert any("is fast: it fits all masks and embeddings" in line for line in lines)


def test_a_fast_index_that_cannot_be_searched_is_refused_and_not_written(fx_own, monkeypatch):
    monkeypatch.setattr(fast, "MAX_SITES", 8)
    with pytest.raises(ConfigError, match=r"at most 8 sites.*--kind exact"):
        index(fx_own, kind="fast")
    assert fx_own.versions("indexes") == []


@pytest.mark.parametrize(
    "options", [{}, {"layout": "dense", "dtype": "float16"}], ids=["codebook", "dense"]
)
@pytest.mark.slow
def test_several_processes_write_the_bytes_of_one(fx_own, options):
    one = encode(fx_own, **options)
    expected = content_of(one.path)
    counted = Counting()
    several = encode_refs(
        fx_own,
        SETTINGS,
        EncodeOptions(**options, num_devices=2),
        progress=counted,
        overwrite=True,
    )
    assert content_of(several.path) == expected
    assert counted.steps == several.num_windows == one.num_windows
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_that_fails_or_is_stopped_leaves_nothing(fx_own, monkeypatch):
    encode(fx_own)
    before = content_of(fx_own.newest("embeddings"))
    task_of = encoding_workers.task_of

    def lost(panel, *rest):
        return task_of(panel.with_name("absent.zarr"), *rest)

    monkeypatch.setattr(encoding_workers, "task_of", lost)
    with pytest.raises(StoreError, match=r"No store at .*absent\.zarr"):
        encode(fx_own, num_devices=2, overwrite=True)
    monkeypatch.setattr(encoding_workers, "task_of", task_of)

    def stop():
        raise KeyboardInterrupt

    counted = Counting()
    counted.advance = stop
    with pytest.raises(KeyboardInterrupt):
        encode_refs(
            fx_own, SETTINGS, EncodeOptions(num_devices=2), progress=counted, overwrite=True
        )
    assert multiprocessing.active_children() == []
    assert content_of(fx_own.newest("embeddings")) == before
    assert len(list((fx_own.root / "embeddings").iterdir())) == 1


def test_a_process_that_is_killed_is_named(fx_own):
    killed = Counting()

    def kill():
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGKILL)

    killed.advance = kill
    with pytest.raises(DeviceError, match=r"--devices 2 ended with exit code -9.*memory"):
        encode_refs(fx_own, SETTINGS, EncodeOptions(num_devices=2), progress=killed)
    assert fx_own.versions("embeddings") == []


def test_more_gpus_than_there_are_and_numbers_without_a_layout_are_refused(fx_own, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert encoding_workers.devices_for("cuda", 2) == ["cuda:0", "cuda:1"]
    with pytest.raises(DeviceError, match=r"--devices 3: PyTorch finds 2 CUDA devices"):
        encode(fx_own, device="cuda", num_devices=3)
    with pytest.raises(ConfigError, match=r"--dtype .* add --layout dense"):
        encode(fx_own, dtype="float16")


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Counting(Silent):
    """Counts the steps."""

    steps = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps


def test_encoding_is_repeatable_and_follows_the_seed(fx_own):
    codebooks = []
    for seed in (1, 1, 2):
        settings = config.merge(SETTINGS, {"seed": seed}, source="test")
        path = encode_refs(
            fx_own, settings, EncodeOptions(), progress=Silent(), overwrite=True
        ).path
        with embeddings.open_embeddings(path) as reader:
            codebooks.append((reader.codebook(1), reader.encoder_fingerprint))
    npt.assert_array_equal(codebooks[0][0], codebooks[1][0])
    assert codebooks[0][1] == codebooks[1][1] != codebooks[2][1]
    assert (codebooks[0][0] != codebooks[2][0]).any()


def test_finished_stores_are_replaced_on_demand_only(fx_own):
    for make in (encode, index):
        first = make(fx_own).path
        with pytest.raises(StoreError, match=r"v0000.* already exists"):
            make(fx_own)
        assert make(fx_own, overwrite=True).path == first


def test_a_dense_index_needs_embeddings_of_this_panel(fx_own):
    with pytest.raises(StoreError, match="vcfbert encode-refs"):
        index(fx_own, kind="dense")
    encode(fx_own, layout="dense")
    panels.write_small_panel(fx_own.panel, seed=8, overwrite=True)
    with pytest.raises(StoreError, match="another panel"):
        index(fx_own, kind="dense")
    with pytest.raises(StoreError, match="another panel"):
        encode(fx_own, layout="dense", overwrite=True)
    assert fx_own.versions("indexes") == []


def test_a_seed_without_a_draw_is_refused(fx_own):
    with pytest.raises(ConfigError, match="--seed is the seed of the draw of --max-references"):
        index(fx_own, seed=3)


def test_a_mask_version_is_for_the_dense_layout(fx_own):
    with pytest.raises(ConfigError, match="--mask-version needs --layout dense"):
        encode(fx_own, mask_version=0)
    refresh(fx_own, masks=True)
    with embeddings.open_embeddings(encode(fx_own, layout="dense", mask_version=0).path) as reader:
        assert reader.mask_version == 0


def test_refresh_adds_versions_beside_the_old(fx_own):
    encode(fx_own)
    index(fx_own)
    before = {path: path.read_bytes() for path in files_below(fx_own.root)}
    summary = refresh(fx_own, masks=True, embeddings=True, rate=0.8)
    assert fx_own.versions("masks") == [0, 1]
    assert fx_own.versions("embeddings") == [0, 1]
    assert all(path.read_bytes() == content for path, content in before.items())
    first, second = (masks.read_masks(fx_own.version("masks", v)) for v in (0, 1))
    assert (first.rate, second.rate, second.version) == (0.5, 0.8, 1)
    assert second.is_masked.sum() > first.is_masked.sum()
    assert any("it fits all masks and embeddings" in line for line in summary.lines())


def test_refresh_keeps_half_precision_and_a_dense_index_of_it_is_searched(fx_own):
    encode(fx_own, layout="dense", dtype="float16")
    assert refresh(fx_own, masks=True, embeddings=True).encoded.dtype == "float16"
    path = index(fx_own, kind="dense").path
    with (
        open_panel(fx_own.panel) as panel,
        embeddings.open_embeddings(fx_own.newest("embeddings")) as encoded,
    ):
        found = open_index(path, panel_fingerprint=panel.fingerprint).window(1)
        npt.assert_array_equal(
            found.embeddings, encoded.dense_masked(1).reshape(found.num_references, -1)
        )
        is_masked, codebook = encoded.is_masked()[1], encoded.codebook(1)
        queries = tokens.hide(panel.tokens(1, encoded.reference_haplotypes[:8]), is_masked)
        masked = codebook[queries, np.arange(panel.length)]
        weights = similarity.site_weights(codebook)
        hits = nearest(found, Query(queries, weights, masked), 6)
        bits = exact.ExactIndex(
            exact.build(panel.packed(1)[encoded.reference_haplotypes]), panel.length
        )
        expected = nearest(bits, Query(queries, weights), 6)
        npt.assert_allclose(hits.distances, expected.distances, rtol=5e-3, atol=1e-4)


def test_refresh_says_that_a_dense_index_falls_behind(fx_own):
    encode(fx_own, layout="dense")
    index(fx_own, kind="dense")
    lines = refresh(fx_own, masks=True, embeddings=True).lines()
    assert any("is dense" in line and "build-index --kind dense --force" in line for line in lines)
    with embeddings.open_embeddings(fx_own.newest("embeddings")) as reader:
        assert (reader.layout, reader.mask_version) == ("dense", 1)


def test_refresh_without_anything_to_do_is_refused(fx_own):
    with pytest.raises(ConfigError, match="Nothing to refresh"):
        refresh(fx_own)
    with pytest.raises(ConfigError, match="--rate is the rate of new masks"):
        refresh(fx_own, embeddings=True, rate=0.5)
    with pytest.raises(ConfigError, match="--run gives settings and weights"):
        refresh(fx_own, prune=1, run="r")
    with pytest.raises(StoreError, match="No run 'absent'"):
        refresh(fx_own, embeddings=True, run="absent")
    with pytest.raises(ConfigError, match="of mosaic, which has neither masks nor embeddings"):
        refresh(fx_own, presets.get("mosaic"), masks=True, run="m")


def test_masks_and_embeddings_are_made_for_a_run_of_this_panel_only(fx_own):
    evaluations.add_run(fx_own, "tiny")
    tiny = presets.tiny()
    assert refresh(fx_own, tiny, masks=True, run="tiny").mask.rate == tiny.masks.start_rate
    panels.write_small_panel(fx_own.panel, seed=8, overwrite=True)
    wanted = r"The run tiny was trained on another panel than the one in .*leave out --run"
    for kind in ("masks", "embeddings"):
        with pytest.raises(StoreError, match=wanted):
            refresh(fx_own, tiny, run="tiny", **{kind: True})
    with pytest.raises(StoreError, match=wanted):
        encode(fx_own, run="tiny")
    assert fx_own.versions("masks") == [0, 1]
    assert fx_own.versions("embeddings") == []


def test_masks_of_a_run_need_the_list_of_typed_sites_it_was_trained_with(fx_own, tmp_path):
    evaluations.add_run(fx_own, "tiny")  # which had no list
    listed = tmp_path / "array.tsv"
    with open_panel(fx_own.panel) as panel:
        evaluations.typed_list(listed, panel, np.arange(len(panel.sites)) % 3 == 0)
    masks_of_list = {"policy": "array", "sites": str(listed)}
    settings = config.merge(presets.tiny(), {"masks": masks_of_list}, source="test")
    with pytest.raises(StoreError, match="trained on another list of typed sites"):
        refresh(fx_own, settings, masks=True, run="tiny")


def test_pruning_keeps_the_newest_and_what_is_depended_on(fx_own):
    encode(fx_own, layout="dense")
    index(fx_own, kind="dense")  # from masks 0 and embeddings 0
    for _ in range(3):
        refresh(fx_own, masks=True, embeddings=True)
    needed = masks.read_masks(fx_own.version("masks", 2))
    run = fx_own.run("r") / "run.json"
    run.parent.mkdir(parents=True)
    run.write_bytes(digests.sealed_json({"parents": {"masks": needed.fingerprint}}))
    summary = refresh(fx_own, prune=1)
    assert fx_own.versions("masks") == [0, 2, 3]
    assert fx_own.versions("embeddings") == [0, 3]
    assert fx_own.versions("indexes") == [0]
    assert len(summary.pruned) == 3


def test_pruning_stops_at_a_run_it_cannot_read(fx_own):
    refresh(fx_own, masks=True)
    run = fx_own.run("r") / "run.json"
    run.parent.mkdir(parents=True)
    run.write_text("{")
    with pytest.raises(StoreError, match="Repair or delete"):
        refresh(fx_own, prune=1)
    assert fx_own.versions("masks") == [0, 1]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_system_without_embeddings_says_so(fx_workspace):
    settings, none = presets.get("mosaic"), "mosaic needs neither embeddings nor an index"
    with pytest.raises(ConfigError, match=none):
        encode_refs(fx_workspace, settings, EncodeOptions(), progress=Silent())
    again = RefreshOptions(embeddings=True)
    with pytest.raises(ConfigError, match=none):
        refreshing.refresh(fx_workspace, settings, again, progress=Silent())
