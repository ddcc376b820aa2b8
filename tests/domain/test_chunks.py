from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.domain import chunks
from vcfbert.errors import InputError


@st.composite
def panels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Genetic position and contig of each site; ties, gaps and falls between contigs occur."""
    steps = st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.3, 5.0]), min_size=1, max_size=40)
    contigs = draw(st.lists(steps, min_size=1, max_size=3))
    cm = [np.cumsum(contig) - 1.0 for contig in contigs]
    return np.concatenate(cm), np.repeat(np.arange(len(cm)) + 3, [len(one) for one in cm])


LENGTHS = {
    "chunk_cm": st.sampled_from([0.0005, 0.01, 0.25, 1.0, 4.0, 1000.0]),
    "max_sites": st.sampled_from([1, 2, 3, 7, 20, 1000]),
}
ONE_CONTIG = np.zeros(100, dtype=np.int32)
EVEN = np.arange(100) / 10.0


@settings(max_examples=300, deadline=None)
@given(panel=panels(), **LENGTHS)
def test_chunks_cover_all_sites_and_keep_to_their_contig_length_and_number(
    panel, chunk_cm, max_sites
):
    cm, contig = panel
    edges = chunks.cut(cm, contig, chunk_cm, max_sites)
    assert (edges[0], edges[-1]) == (0, len(cm))
    for first, stop in itertools.pairwise(edges.tolist()):
        assert 0 < stop - first <= max_sites
        assert len(set(contig[first:stop].tolist())) == 1
        assert cm[stop - 1] - cm[first] <= chunk_cm + 1e-9


def test_one_site_is_one_chunk():
    assert chunks.cut(np.array([7.5]), np.array([0]), 5.0, 10).tolist() == [0, 1]


def test_a_chunk_longer_than_the_contig_is_the_contig():
    assert chunks.cut(EVEN, ONE_CONTIG, 40.0, 1000).tolist() == [0, 100]


def test_chunks_are_equally_long_so_that_the_last_is_not_too_short():
    edges = chunks.cut(EVEN, ONE_CONTIG, 3.2, 1000)  # 9.9 cM: not three of 3.2 and one of .3
    assert edges.tolist() == [0, 25, 50, 75, 100]


def test_sites_at_one_genetic_position_are_cut_by_number():
    assert chunks.cut(np.zeros(9), np.zeros(9, dtype=int), 1.0, 4).tolist() == [0, 3, 6, 9]


def test_a_gap_without_sites_makes_no_chunk():
    cm = np.concatenate([np.arange(10) / 10, 50 + np.arange(10) / 10])
    assert chunks.cut(cm, np.zeros(20, dtype=int), 1.0, 100).tolist() == [0, 10, 20]


def test_contigs_do_not_share_a_chunk():
    contig = np.repeat([4, 9], 50)
    assert chunks.cut(np.tile(np.arange(50) / 10, 2), contig, 100.0, 1000).tolist() == [0, 50, 100]


@pytest.mark.parametrize(
    ("cm", "message"),
    [
        ([], "no sites to cut"),
        ([1.0, np.nan], r"Site 1 has no genetic position \(nan\)"),
        ([1.0, 2.0, 1.5], "falls from 2 to 1.5 cM after site 1"),
    ],
)
def test_sites_that_cannot_be_cut_are_refused(cm, message):
    with pytest.raises(InputError, match=message):
        chunks.cut(np.array(cm), np.zeros(len(cm), dtype=int), 1.0, 10)
