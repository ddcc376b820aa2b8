"""Mask stores: what goes in comes out, and nothing else is accepted."""

import dataclasses

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import masks as drawing
from vcfbert.domain import windows
from vcfbert.errors import StoreError
from vcfbert.storage.zarr import masks


@pytest.fixture(scope="module")
def fx_windows() -> windows.Windows:
    return windows.cut(np.zeros(50, dtype=np.int32), length=24, flank=4)


@pytest.fixture
def fx_mask(fx_windows) -> masks.MaskVersion:
    return masks.MaskVersion(
        version=3,
        policy="random",
        rate=0.4,
        seed=7,
        role="train",
        panel_fingerprint="panel",
        is_masked=drawing.draw_masks(fx_windows, seed=7, role="train", version=3, rate=0.4),
    )


def test_a_mask_version_comes_back_as_it_was_written(fx_mask, tmp_path):
    path = tmp_path / "v0003.zarr"
    masks.write_masks(path, fx_mask)
    found = masks.read_masks(path)
    npt.assert_array_equal(found.is_masked, fx_mask.is_masked)
    assert found.fingerprint == fx_mask.fingerprint
    assert (found.version, found.rate, found.role) == (3, 0.4, "train")


def test_a_finished_version_is_not_replaced_unasked(fx_mask, tmp_path):
    path = tmp_path / "v0003.zarr"
    masks.write_masks(path, fx_mask)
    with pytest.raises(StoreError, match="already exists"):
        masks.write_masks(path, fx_mask)
    masks.write_masks(path, dataclasses.replace(fx_mask, rate=0.5), overwrite=True)
    assert masks.read_masks(path).rate == 0.5


def test_a_missing_version_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(StoreError, match="refresh --masks"):
        masks.read_masks(tmp_path / "v0000.zarr")


def test_a_changed_byte_is_noticed(fx_mask, tmp_path):
    path = tmp_path / "v0003.zarr"
    masks.write_masks(path, fx_mask)
    chunk = path / "is_masked" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match="its masks are not those"):
        masks.read_masks(path)


@pytest.mark.parametrize(
    "change",
    [{"version": 4}, {"rate": 0.41}, {"role": "test"}, {"panel_fingerprint": "other"}],
    ids=str,
)
def test_the_fingerprint_tells_every_change(fx_mask, change):
    assert dataclasses.replace(fx_mask, **change).fingerprint != fx_mask.fingerprint


def test_drawing_is_repeatable_and_differs_by_version_role_and_window(fx_windows):
    def draw(**changes):
        settings = {"seed": 1, "role": "train", "version": 0, "rate": 0.5} | changes
        return drawing.draw_masks(fx_windows, **settings)

    npt.assert_array_equal(draw(), draw())
    for changes in ({"seed": 2}, {"role": "validation"}, {"version": 1}):
        assert (draw(**changes) != draw()).any()
    assert (draw()[0, :16] != draw()[1, :16]).any()


def test_padding_is_never_masked(fx_windows):
    is_masked = drawing.draw_masks(fx_windows, seed=1, role="train", version=0, rate=0.9)
    for window in range(len(fx_windows)):
        num_sites = fx_windows.num_sites(window)
        assert is_masked[window, :num_sites].any()
        assert not is_masked[window, num_sites:].any()
