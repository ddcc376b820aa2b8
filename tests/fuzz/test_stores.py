"""Stores, indexes and weights made to do harm: refused, and before memory is taken.

Each is sealed again after the change, as whoever means harm would: the seal is not what stops it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import safetensors.numpy
from numcodecs.checksum32 import CRC32C

from benchmarks.fuzzing import readers
from benchmarks.fuzzing.seeds import Seeds
from vcfbert.errors import StoreError
from vcfbert.files import bounded, digests, seals
from vcfbert.storage.zarr import declared_sizes
from vcfbert.training.mosaic import mosaic_runs, weight_files
from vcfbert.training.systems import checkpoints

HUGE = 10**9
MOST = 64 << 20  # of memory that a refusal may take


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def fx_panel(fx_seeds: Seeds, tmp_path: Path) -> Path:
    path = tmp_path / "panel.zarr"
    shutil.copytree(fx_seeds.workspace.panel / "20.zarr", path)
    return path


def chunks_of(shape: list[int]) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": shape}}


BYTES = {"name": "bytes"}
SHARDS = {"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1, 1],
          "codecs": [BYTES], "index_codecs": [BYTES], "index_location": "end"}}  # fmt: skip

METADATA = {
    "huge shape": {"shape": [HUGE, HUGE, HUGE]},
    "huge shape and chunk": {"shape": [4, HUGE, HUGE], "chunk_grid": chunks_of([1, HUGE, HUGE])},
    "huge chunk": {"chunk_grid": chunks_of([1, HUGE, 4])},
    "negative shape": {"shape": [-1, 24, 2]},
    "shape of floats": {"shape": [4.0, 24, 2]},
    "other dimensions": {"shape": [4], "chunk_grid": chunks_of([1])},
    "chunk of zeros": {"chunk_grid": chunks_of([0, 24, 2])},
    "other grid": {"chunk_grid": {"name": "rectangular", "configuration": {}}},
    "other type": {"data_type": "float64"},
    "type of any size": {"data_type": {"name": "fixed_length_utf32",
                                       "configuration": {"length_bytes": 4 * HUGE}}},
    "codec of another": {"codecs": [BYTES, {"name": "gzip", "configuration": {"level": 5}}]},
    "codec that is installed": {"codecs": [BYTES, {"name": "numcodecs.pickle"}]},
    "shards": {"codecs": [SHARDS]},
    "fill value": {"fill_value": 1},
    "fill value as text": {"fill_value": "0"},
    "storage transformers": {"storage_transformers": [{"name": "cache"}]},
    "unknown key": {"must_understand": {"name": "x"}},
    "another format": {"zarr_format": 2},
    "group": {"node_type": "group"},
}  # fmt: skip


@pytest.mark.parametrize("change", METADATA.values(), ids=METADATA.keys())
def test_metadata_of_another_make_is_refused(fx_panel, change):
    edited(fx_panel / "alleles" / "zarr.json", lambda record: record.update(change))
    seals.write(fx_panel)
    with little_memory(), pytest.raises(StoreError, match=r"not a readable Zarr store of vcfbert"):
        readers.read_panel(fx_panel)


def test_metadata_of_a_group_cannot_stand_in_for_that_of_arrays(fx_panel):
    hidden = {"consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": {}}}
    edited(fx_panel / "zarr.json", lambda record: record.update(hidden))
    seals.write(fx_panel)
    with pytest.raises(StoreError, match="consolidated metadata"):
        readers.read_panel(fx_panel)


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, '{"a":' * 100_000, "9" * 5000])
def test_metadata_that_is_nested_without_end_is_refused(fx_panel, text):
    (fx_panel / "alleles" / "zarr.json").write_text(text)
    seals.write(fx_panel)
    with pytest.raises(StoreError):
        readers.read_panel(fx_panel)


def test_metadata_of_any_length_is_refused(fx_panel):
    with (fx_panel / "zarr.json").open("r+b") as stream:
        stream.truncate(1 << 40)
    with little_memory(), pytest.raises(StoreError, match="is larger than"):
        readers.read_panel(fx_panel)


def zstd(data: bytes) -> bytes:
    return numcodecs.Zstd(level=3).encode(data)


def checked(data: bytes) -> bytes:
    return data + struct.pack("<I", google_crc32c.value(data))


CHUNKS = {
    "bomb": lambda data: zstd(bytes(200_000_000)),
    "too little": lambda data: zstd(bytes(47)),
    "size not given": lambda data: b"\x28\xb5\x2f\xfd\x00\x58" + data[6:],
    "no zstd": lambda data: bytes(len(data)),
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS.keys())
def test_a_chunk_that_holds_another_number_of_bytes_is_refused(fx_panel, chunk):
    file = fx_panel / "alleles" / "c" / "0" / "0" / "0"
    file.write_bytes(checked(chunk(file.read_bytes())))
    seals.write(fx_panel)
    with little_memory(), pytest.raises(StoreError, match=r"c/0/0/0 is damaged"):
        readers.read_panel(fx_panel)


def test_the_sizes_in_chunks_are_read_as_they_were_written():
    for size in (1, 255, 256, 65_791, 65_792, 3_000_000):
        assert declared_sizes._zstd_size(zstd(bytes(size))[:32]) == size


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_refused(fx_panel, tmp_path, kind):
    file = fx_panel / "alleles" / "c" / "0" / "0" / "0"
    (tmp_path / "outside").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(tmp_path / "outside") if kind == "link" else os.mkfifo(file)
    with pytest.raises(StoreError, match="not a regular file"):
        readers.read_panel(fx_panel)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_a_seal_names_files_of_its_folder_alone(fx_panel, name):
    lines = f"{'0' * 64}  {name}\n".encode()
    seal = lines + f"# the lines above: {hashlib.sha256(lines).hexdigest()}\n".encode()
    (fx_panel / seals.NAME).write_bytes(seal)
    with pytest.raises(StoreError, match="not in the folder"):
        readers.read_panel(fx_panel)


@pytest.fixture(params=["exact", "dense"])
def fx_index(request, fx_seeds: Seeds, tmp_path: Path) -> Path:
    home = fx_seeds.workspace if request.param == "exact" else fx_seeds.dense
    shutil.copytree(home.version("indexes", 0), tmp_path / "v0000")
    return tmp_path / "v0000"


def refit(folder: Path, data: bytes) -> None:
    """Put a FAISS file in place, and its SHA-256 into the manifest."""
    (folder / "w00000.faiss").write_bytes(data)
    record = digests.read_json(folder / "manifest.json")
    record["files"][0]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_bytes(digests.sealed_json(record))
    if (folder / seals.NAME).exists():
        seals.write(folder)


def put(layout: str, place: int, value: int) -> Callable[[bytes], bytes]:
    new = struct.pack(layout, value)
    return lambda data: data[:place] + new + data[place + len(new) :]


FAISS = {
    "rows": put("<q", 8, 1 << 62),
    "a row more": put("<q", 8, 17),
    "numbers a row": put("<i", 4, (1 << 31) - 1),
    "no numbers": put("<i", 4, 0),
    "first vector": put("<Q", 37, 1 << 61),
    "centroids": put("<Q", 61, 1 << 61),
    "metric": put("<i", 33, 23),
    "another kind": lambda data: b"IwFl" + data[4:],
    "nested kinds": lambda data: b"IxPT" + data[4:],
    "bytes behind": lambda data: data + b"\0",
    "cut": lambda data: data[:-1],
    "head alone": lambda data: data[:20],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("change", FAISS.values(), ids=FAISS.keys())
def test_a_faiss_file_of_other_sizes_is_refused(fx_index, change):
    if json.loads((fx_index / "manifest.json").read_text())["kind"] == "dense":
        if change is FAISS["centroids"]:
            pytest.skip("a dense index has none")
    refit(fx_index, change((fx_index / "w00000.faiss").read_bytes()))
    with little_memory(), pytest.raises(StoreError, match="not an index written by vcfbert"):
        readers.read_index(fx_index)


def test_an_index_as_it_was_is_searched(fx_index):
    refit(fx_index, (fx_index / "w00000.faiss").read_bytes())
    readers.read_index(fx_index)


MANIFEST = {
    "file outside": lambda record: record["files"][0].update(name="../../w00000.faiss"),
    "absolute file": lambda record: record["files"][0].update(name="/etc/passwd"),
    "file of no text": lambda record: record["files"][0].update(name=3),
    "huge length": lambda record: record.update(length=1 << 60),
    "no rows": lambda record: record.update(reference_haplotypes=[]),
    "a row twice": lambda record: record.update(reference_haplotypes=[1, 1]),
    "huge row": lambda record: record.update(reference_haplotypes=[1 << 70]),
    "masks of an exact index": lambda record: record.update(masks=["zz"], mask_version=1),
    "parents": lambda record: record.update(parents={"panel": ["x"]}),
    "unknown key": lambda record: record.update(more=1),
}


@pytest.mark.parametrize("change", MANIFEST.values(), ids=MANIFEST.keys())
def test_a_manifest_out_of_range_is_refused(fx_index, change):
    record = digests.read_json(fx_index / "manifest.json")
    change(record)
    (fx_index / "manifest.json").write_bytes(digests.sealed_json(record))
    with little_memory(), pytest.raises(StoreError):
        readers.read_index(fx_index)


@pytest.fixture
def fx_run(fx_seeds: Seeds, tmp_path: Path) -> Path:
    shutil.copytree(fx_seeds.workspace.run("small"), tmp_path / "small")
    return tmp_path / "small"


def with_weights(run: Path, data: bytes) -> None:
    """Put other weights in place, and their SHA-256 into the checkpoint."""
    (run / "checkpoints" / "step-00000003.safetensors").write_bytes(data)
    path = run / "checkpoints" / "best.json"
    record = digests.read_json(path)
    record["files"]["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
    path.write_bytes(digests.sealed_json(record))


def header(tensors: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape: list[int], *place: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(place)}


WEIGHTS = {
    "huge header": struct.pack("<Q", 1 << 62) + b"{}",
    "header beyond the end": struct.pack("<Q", 99_000_000) + b"{}",
    "nested header": struct.pack("<Q", 90_000) + b"[" * 90_000,
    "huge shape": header({"a": tensor([HUGE, HUGE, HUGE], 0, 4)}, bytes(4)),
    "overflowing shape": header({"a": tensor([1 << 62, 4], 0, 4)}, bytes(4)),
    "overlap": header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
    "hole": header({"a": tensor([1], 4, 8)}, bytes(8)),
    "other type": header({"a": tensor([1], 0, 8, dtype="I64")}, bytes(8)),
    "unknown type": header({"a": tensor([1], 0, 8, dtype="OBJECT")}, bytes(8)),
    "other names": safetensors.numpy.save({"x": np.zeros(3, np.float32)}),
    "numpy's own": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False}",
    "pickle": b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system",
    "empty": b"",
}


@pytest.mark.parametrize("data", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_weights_made_to_do_harm_are_refused(fx_run, tmp_path, data):
    with_weights(fx_run, data)
    (tmp_path / "network.safetensors").write_bytes(data)
    with little_memory():
        with pytest.raises(StoreError):
            checkpoints.load_model(fx_run, "best")
        with pytest.raises(StoreError):
            weight_files.load(tmp_path / "network.safetensors", name="network")


def test_weights_of_another_type_are_refused(fx_run):
    path = fx_run / "checkpoints" / "step-00000003.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    name = min(arrays)
    arrays[name] = arrays[name].astype(np.float64)
    with_weights(fx_run, safetensors.numpy.save(arrays))
    with pytest.raises(StoreError, match=r"torch\.float64"):
        checkpoints.load_model(fx_run, "best")


CHECKPOINTS = {
    "file outside": lambda record: record["files"]["weights"].update(name="../../x.safetensors"),
    "huge width": lambda record: record["config"]["model"].update(width=8 * HUGE),
    "huge depth": lambda record: record["config"]["model"].update(num_layers=HUGE),
    "unknown setting": lambda record: record["config"]["model"].update(code="x"),
    "no parents": lambda record: record.update(parents=[]),
    "state of no numbers": lambda record: record.update(state=3),
}


@pytest.mark.parametrize("change", CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
def test_a_checkpoint_out_of_range_is_refused(fx_run, change):
    path = fx_run / "checkpoints" / "best.json"
    record = digests.read_json(path)
    change(record)
    path.write_bytes(digests.sealed_json(record))
    with little_memory(), pytest.raises(Exception, match=r"checkpoints") as found:
        checkpoints.load_model(fx_run, "best")
    assert found.type.__module__ == "vcfbert.errors"


def test_json_of_any_length_is_refused(fx_run, monkeypatch):
    monkeypatch.setattr(bounded, "MAX_JSON", 1000)
    with pytest.raises(StoreError, match=r"larger than 1,000 bytes"):
        checkpoints.read(fx_run, "best")


def test_a_pipe_in_place_of_a_record_does_not_hold_a_command_up(fx_seeds, tmp_path):
    shutil.copytree(fx_seeds.workspace.run("mosaic"), tmp_path / "mosaic")
    (tmp_path / "mosaic" / "run.json").unlink()
    os.mkfifo(tmp_path / "mosaic" / "run.json")
    with pytest.raises(StoreError, match="not a regular file"):
        mosaic_runs.read(tmp_path / "mosaic")


def remade(panel: Path, name: str, values: np.ndarray) -> None:
    """Another column in a panel store, which is sealed again."""
    with_shape = [len(values), *values.shape[1:]]
    file = panel / name / "zarr.json"
    edited(file, lambda record: record.update(shape=with_shape, chunk_grid=chunks_of(with_shape),
           codecs=[{"name": "bytes", "configuration": {"endian": "little"}},
                   {"name": "crc32c"}]))  # fmt: skip
    chunk = next(path for path in (panel / name / "c").rglob("*") if path.is_file())
    chunk.write_bytes(bytes(CRC32C(location="end").encode(values.tobytes())))
    seals.write(panel)


COLUMNS = {
    "a site less": ("sites/position", np.arange(5, dtype=np.int32)),
    "samples": ("samples/split", np.zeros(3, dtype=np.int8)),
    "window outside": ("windows/stop", np.array([16, 30, 40, 1 << 40])),
    "window before": ("windows/start", np.array([-5, 0, 0, 0])),
}


@pytest.mark.parametrize(("name", "values"), COLUMNS.values(), ids=COLUMNS.keys())
def test_tables_of_a_panel_that_do_not_fit_one_another_are_refused(fx_panel, name, values):
    remade(fx_panel, name, values)
    with pytest.raises(StoreError, match=r"panel\.zarr is damaged \(ValueError"):
        readers.read_panel(fx_panel)


@pytest.mark.parametrize("parents", [{}, {"panel": "x"}, None, "text"])
def test_embeddings_without_parents_are_refused(fx_seeds, tmp_path, parents):
    path = tmp_path / "v0000.zarr"
    shutil.copytree(fx_seeds.workspace.version("embeddings", 0), path)
    edited(path / "zarr.json", lambda record: record["attributes"].update(parents=parents))
    seals.write(path)
    with pytest.raises(StoreError):
        readers._read_embeddings(path)
