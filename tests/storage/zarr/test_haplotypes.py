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


def copy_sites(packed, rows, sites, target, place):
    """Read-only, as the windows of a panel are."""
    packed.flags.writeable = False
    haplotypes._copy_sites(packed, rows, sites, target, place, slice(0, len(rows)))


@given(data=st.data(), bits=st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_bits_land_where_they_are_put_and_nowhere_else(data, bits):
    """A run of sites and single ones are copied by different kernels."""
    start = data.draw(st.integers(0, len(bits) - 1))
    sites = np.arange(start, data.draw(st.integers(start + 1, len(bits))))
    if data.draw(st.booleans()):
        sites = np.array(sorted(data.draw(st.sets(st.sampled_from(sites.tolist()), min_size=1))))
    place = data.draw(st.integers(0, 40))
    size = place + len(sites) + data.draw(st.integers(0, 20))
    alleles = np.array([bits, bits[::-1], bits], np.uint8)
    rows = np.array(data.draw(st.sampled_from([[0, 1, 2], [1], [1, 2]])))
    target = np.zeros((len(rows), -(-size // 8)), np.uint8)
    copy_sites(tokens.pack(alleles), rows, sites, target, place)
    expected = np.zeros((len(rows), 8 * target.shape[1]), np.uint8)
    expected[:, place : place + len(sites)] = alleles[rows][:, sites]
    npt.assert_array_equal(tokens.unpack(target, expected.shape[1]), expected)


@pytest.mark.parametrize("sites", [[0, 1], [0, 2]])
def test_bits_already_there_stay(sites):
    target = np.array([[0b101]], np.uint8)
    copy_sites(np.array([[0b111]], np.uint8), np.array([0]), np.array(sites), target, 3)
    assert target.tolist() == [[0b11101]]


@given(data=st.data())
@pytest.mark.slow
def test_chosen_sites_are_those_of_the_panel(fx_workspace, data):
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, 119)))), np.int64)
    rows = data.draw(st.none() | st.sets(st.integers(0, 119)).map(sorted))
    rows = None if rows is None else np.array(rows, np.int64)
    with open_panel(fx_workspace.panel) as panel:
        bits = haplotypes.read_sites(panel, chosen, rows, threads=data.draw(st.integers(1, 3)))
    unpacked = tokens.unpack(bits.view(np.uint8), 64 * bits.shape[1])
    alleles = panels.mosaic_alleles(120, 120)[chosen].T
    npt.assert_array_equal(unpacked[:, : len(chosen)], alleles if rows is None else alleles[rows])
    assert not unpacked[:, len(chosen) :].any()
