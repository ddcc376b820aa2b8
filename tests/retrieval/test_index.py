"""Index folders: written once, verified, mapped, refused when they do not fit."""

import dataclasses
from pathlib import Path

import faiss
import numpy as np
import numpy.testing as npt
import pytest

from tests import tampering
from tests.retrieval import windows
from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.retrieval import dense, exact, fast, manifest
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.exact import ExactIndex
from vcfbert.retrieval.fast import FastIndex
from vcfbert.retrieval.index import open_index, write_windows

NUM_WINDOWS = 6


def random_windows() -> list[windows.Window]:
    return [windows.random_window(seed, references=30) for seed in range(NUM_WINDOWS)]


@pytest.fixture
def fx_folder(tmp_path) -> Path:
    """An exact index of six windows; its 30 rows are panel haplotypes 58, 56, ... 0."""
    files = write_windows(tmp_path, (exact.build(window.bits()) for window in random_windows()))
    content = manifest.Manifest(
        kind="exact",
        length=37,
        parents={"panel": "p"},
        reference_haplotypes=list(range(58, -2, -2)),
        max_references=None,
        seed=1,
        files=files,
    )
    manifest.write(tmp_path, content)
    return tmp_path


def test_a_saved_index_answers_as_the_built_one(fx_folder):
    reader = open_index(fx_folder, panel_fingerprint="p")
    for number, window in enumerate(random_windows()):
        query = window.query(tokens.hide(window.alleles[:5], np.arange(37) % 2 == 0))
        built = ExactIndex(exact.build(window.bits()), 37)
        found = nearest(reader.window(number), query, 4)
        npt.assert_array_equal(found.rows, nearest(built, query, 4).rows)


def test_codes_of_a_saved_index_are_the_packed_alleles(fx_folder):
    reader = open_index(fx_folder, panel_fingerprint="p")
    index = reader.window(2)
    assert isinstance(index, ExactIndex)
    npt.assert_array_equal(index.reference_bits, random_windows()[2].bits())


@pytest.mark.parametrize("kind", ["exact", "fast", "dense"])
def test_codes_are_mapped_and_not_read(kind, tmp_path):
    rows = 2_000_000
    if kind == "exact":
        index = exact.build(np.zeros((rows, 8), dtype=np.uint8))
    elif kind == "fast":
        index = fast.build(np.zeros((rows, 7), dtype=np.uint8))
    else:
        index = dense.build(np.zeros((rows, 2, 1), dtype=np.float32))
    write_windows(tmp_path, [index])
    del index
    before = anonymous_bytes()
    mapped = faiss.read_index(str(tmp_path / "w00000.faiss"), faiss.IO_FLAG_MMAP_IFC)
    assert mapped.ntotal == rows
    assert anonymous_bytes() - before < 4_000_000  # of 16 million


def anonymous_bytes() -> int:
    """Resident memory of this process that no file backs."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc/self/status")
    line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.fixture
def fx_fast(tmp_path_factory) -> Path:
    """A fast index of windows of 37 sites with 300 rows."""
    tmp_path = tmp_path_factory.mktemp("fast")
    alleles = [windows.random_window(seed, references=300) for seed in range(2)]
    files = write_windows(tmp_path, (fast.build(window.bits()) for window in alleles))
    content = manifest.Manifest(
        kind="fast",
        length=37,
        parents={"panel": "p"},
        reference_haplotypes=list(range(300)),
        max_references=None,
        seed=1,
        files=files,
    )
    manifest.write(tmp_path, content)
    return tmp_path


def test_a_saved_fast_index_answers_as_the_built_one(fx_fast):
    reader = open_index(fx_fast, panel_fingerprint="p")
    reader.require_parent("masks", "any")
    for number in range(2):
        window = windows.random_window(number, references=300)
        query = window.query(tokens.hide(window.alleles[:5], np.arange(37) % 2 == 0))
        built = FastIndex(fast.build(window.bits()), 37)
        found = reader.window(number)
        assert isinstance(found, FastIndex)
        npt.assert_array_equal(found.reference_bits, window.bits())
        hits, expected = nearest(found, query, 4), nearest(built, query, 4)
        npt.assert_array_equal(hits.rows, expected.rows)
        npt.assert_array_equal(hits.distances, expected.distances)


@pytest.mark.parametrize("kind", ["exact", "fast"])
def test_a_file_of_another_kind_than_the_manifest_is_refused(fx_folder, fx_fast, kind):
    folder, other = (fx_folder, "fast") if kind == "exact" else (fx_fast, "exact")
    tampering.edit_json(folder / manifest.NAME, lambda record: record.update(kind=other))
    with pytest.raises(StoreError, match=r"w00001\.faiss is not an index.*build-index --force"):
        open_index(folder, panel_fingerprint="p").window(1)


def test_few_windows_are_open_at_a_time(fx_folder):
    reader = open_index(fx_folder, panel_fingerprint="p")
    first = reader.window(0)
    assert reader.window(0) is first
    for number in range(NUM_WINDOWS):
        reader.window(number)
    assert reader.window(0) is not first


def test_rows_of_haplotypes_and_strangers(fx_folder):
    reader = open_index(fx_folder, panel_fingerprint="p")
    npt.assert_array_equal(
        reader.rows_of(np.array([[58, 57], [0, 1000], [-1, 2]])), [[0, -1], [29, -1], [-1, 28]]
    )


def test_a_flipped_byte_is_found_at_first_use_of_its_window(fx_folder):
    path = fx_folder / "w00003.faiss"
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    reader = open_index(fx_folder, panel_fingerprint="p")
    reader.window(2)
    with pytest.raises(StoreError, match=r"w00003\.faiss is damaged.*build-index --force"):
        reader.window(3)


def test_a_lost_file_is_named(fx_folder):
    (fx_folder / "w00001.faiss").unlink()
    reader = open_index(fx_folder, panel_fingerprint="p")
    with pytest.raises(StoreError, match=r"Cannot read .*w00001\.faiss: No such file"):
        reader.window(1)


def test_an_index_of_another_panel_is_refused(fx_folder):
    with pytest.raises(StoreError, match="another panel"):
        open_index(fx_folder, panel_fingerprint="other")


def test_no_index_names_the_command(tmp_path):
    with pytest.raises(StoreError, match="vcfbert build-index"):
        open_index(tmp_path / "v0000", panel_fingerprint="p")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"vcfbert_kind": "panel"}, "'index' is needed"),
        ({"kind": "other"}, "exact, fast or dense"),
        ({"unknown": 1}, "cannot be read"),
    ],
    ids=str,
)
def test_a_manifest_of_another_format_is_refused(fx_folder, change, message):
    path = fx_folder / manifest.NAME
    tampering.edit_json(path, lambda record: record.update(change))
    with pytest.raises(StoreError, match=message):
        open_index(fx_folder, panel_fingerprint="p")


def test_a_manifest_that_is_no_json_is_refused(fx_folder):
    (fx_folder / manifest.NAME).write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        open_index(fx_folder, panel_fingerprint="p")


def test_a_manifest_comes_back_with_the_masks_of_a_dense_index(fx_folder):
    is_masked = np.random.default_rng(0).random((NUM_WINDOWS, 37)) < 0.5
    content = dataclasses.replace(
        manifest.read(fx_folder),
        kind="dense",
        mask_version=3,
        masks=manifest.masks_as_hex(is_masked),
    )
    manifest.write(fx_folder, content)
    found = manifest.read(fx_folder)
    assert found == content
    npt.assert_array_equal(found.is_masked(4), is_masked[4])


def test_a_dense_index_knows_the_masks_and_embeddings_it_was_made_from(fx_folder):
    content = manifest.read(fx_folder)
    parents = {"panel": "p", "masks": "m", "embeddings": "e"}
    hidden = manifest.masks_as_hex(np.zeros((len(content.files), content.length), dtype=np.bool_))
    dense = dataclasses.replace(
        content, kind="dense", parents=parents, mask_version=0, masks=hidden
    )
    manifest.write(fx_folder, dense)
    reader = open_index(fx_folder, panel_fingerprint="p")
    reader.require_parent("masks", "m")
    with pytest.raises(StoreError, match=r"another masks version.*build-index --kind dense"):
        reader.require_parent("masks", "other")
    manifest.write(fx_folder, content)
    exact_reader = open_index(fx_folder, panel_fingerprint="p")
    exact_reader.require_parent("masks", "any")
    assert exact_reader.fingerprint != reader.fingerprint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reference_haplotypes", ["one"]),
        ("reference_haplotypes", None),
        ("parents", []),
        ("length", "37"),
        ("files", [{"name": None, "sha256": "", "bytes": 1}]),
    ],
)
def test_a_manifest_with_a_field_of_the_wrong_type_is_an_explained_error(fx_folder, field, value):
    path = fx_folder / manifest.NAME
    tampering.edit_json(path, lambda record: record.update({field: value}))
    with pytest.raises(StoreError, match="build-index --force"):
        open_index(fx_folder, panel_fingerprint="p")
