from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import panels
from vcfbert.domain import tokens
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import open_panel


@given(data=st.data(), bits=st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_bits_land_where_they_are_put_and_nowhere_else(data, bits):
    start = data.draw(st.integers(0, len(bits) - 1))
    stop = data.draw(st.integers(start + 1, len(bits)))
    place = data.draw(st.integers(0, 40))
    size = place + stop - start + data.draw(st.integers(0, 20))
    source = tokens.pack(np.array([bits, bits[::-1]], np.uint8))
    target = np.zeros((2, -(-size // 8)), np.uint8)
    haplotypes.copy_bits(source, start, stop, target, place)
    expected = np.zeros((2, 8 * target.shape[1]), np.uint8)
    expected[0, place : place + stop - start] = bits[start:stop]
    expected[1, place : place + stop - start] = bits[::-1][start:stop]
    npt.assert_array_equal(tokens.unpack(target, expected.shape[1]), expected)


def test_bits_already_there_stay():
    target = np.array([[0b101]], np.uint8)
    haplotypes.copy_bits(np.array([[0b11]], np.uint8), 0, 2, target, 3)
    assert target.tolist() == [[0b11101]]


@given(data=st.data())
@pytest.mark.slow
def test_chosen_sites_are_those_of_the_panel(fx_workspace, data):
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, 119)))), np.int64)
    with open_panel(fx_workspace.panel) as panel:
        bits = haplotypes.read_sites(panel, chosen)
    unpacked = tokens.unpack(bits.view(np.uint8), 64 * bits.shape[1])
    npt.assert_array_equal(unpacked[:, : len(chosen)], panels.mosaic_alleles(120, 120)[chosen].T)
    assert not unpacked[:, len(chosen) :].any()
