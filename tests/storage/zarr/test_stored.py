"""What is read without zarr is what zarr reads."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.errors import StoreError
from vcfbert.files import replacing
from vcfbert.storage.zarr import stored, stores
from vcfbert.storage.zarr.stored import StoredGroup


def group_of(path):
    return StoredGroup(path, replacing.identity(path), {})


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    chunk=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    level=st.sampled_from([None, 3]),
    seed=st.integers(0, 99),
)
def test_windows_and_whole_arrays_of_any_chunks(tmp_path_factory, shape, chunk, level, seed):
    folder = tmp_path_factory.mktemp("stored")
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    root = zarr.create_group(folder / "s")
    array = stores.create_array(root, "panel", "alleles", shape, (1, *chunk), level=level)
    with zarr.config.set({"array.write_empty_chunks": True}):
        array[...] = values
    read = stored.member(group_of(folder / "s"), "alleles")
    npt.assert_array_equal(read.whole(), values)
    for window in range(shape[0]):
        npt.assert_array_equal(read.window(window), array[window])


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("panel", "sites/position", np.arange(1000, dtype=np.int32) ** 2),
        ("panel", "sites/cm", np.linspace(0, 1, 77)),
        ("panel", "sites/alt_count", np.arange(30, dtype=np.int32).reshape(10, 3)),
        ("panel", "samples/split", np.array([0, 1, 2], np.int8)),
        ("masks", "is_masked", np.eye(5, 9) > 0),
        ("embeddings", "encoder", np.empty(0, np.float32)),
    ],
)
def test_columns_of_every_type(tmp_path, kind, name, values):
    root = zarr.create_group(tmp_path / "s")
    with zarr.config.set({"array.write_empty_chunks": True}):
        stores.write_column(root, kind, name, values)
    found = stored.read_column(group_of(tmp_path / "s"), name)
    npt.assert_array_equal(found, zarr.open_group(tmp_path / "s", mode="r")[name][...])
    assert found.dtype == values.dtype
    assert found.flags.writeable


@pytest.mark.parametrize("place", [0, 9, -5, -1])
def test_a_changed_byte_is_noticed(tmp_path, place):
    root = zarr.create_group(tmp_path / "s")
    stores.write_column(root, "panel", "sites/position", np.arange(1000, dtype=np.int32))
    file = tmp_path / "s/sites/position/c/0"
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        stored.read_column(group_of(tmp_path / "s"), "sites/position")


def test_a_missing_chunk_is_no_zeros(tmp_path):
    root = zarr.create_group(tmp_path / "s")
    stores.write_column(root, "panel", "sites/position", np.arange(9, dtype=np.int32))
    (tmp_path / "s/sites/position/c/0").unlink()
    with pytest.raises(StoreError, match="is missing"):
        stored.read_column(group_of(tmp_path / "s"), "sites/position")
