from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.domain import chunks
from vcfbert.domain.chunks import Chunks
from vcfbert.errors import ConfigError, InputError


@st.composite
def panels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Genetic position and contig of each site; ties, gaps and falls between contigs occur."""
    steps = st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.3, 5.0]), min_size=1, max_size=40)
    contigs = draw(st.lists(steps, min_size=1, max_size=3))
    cm = [np.cumsum(contig) - 1.0 for contig in contigs]
    return np.concatenate(cm), np.repeat(np.arange(len(cm)) + 3, [len(one) for one in cm])


LENGTHS = {
    "chunk_cm": st.sampled_from([0.0005, 0.01, 0.25, 1.0, 4.0, 1000.0]),
    "overlap_cm": st.sampled_from([0.0, 0.01, 0.5, 3.0]),
    "max_sites": st.sampled_from([1, 2, 3, 7, 20, 1000]),
}


@settings(max_examples=300, deadline=None)
@given(panel=panels(), **LENGTHS)
def test_each_site_is_in_exactly_one_core_and_cores_are_in_order(
    panel, chunk_cm, overlap_cm, max_sites
):
    cm, contig = panel
    cut = chunks.cut(cm, contig, chunk_cm, overlap_cm, max_sites)
    owned = [site for chunk in range(len(cut)) for site in range(len(cm))[cut.core(chunk)]]
    assert owned == list(range(len(cm)))


@settings(max_examples=300, deadline=None)
@given(panel=panels(), **LENGTHS)
def test_a_chunk_keeps_to_its_contig_its_length_and_its_room(
    panel, chunk_cm, overlap_cm, max_sites
):
    cm, contig = panel
    cut = chunks.cut(cm, contig, chunk_cm, overlap_cm, max_sites)
    for chunk in range(len(cut)):
        here, core = cut.sites(chunk), cut.core(chunk)
        assert here.start <= core.start < core.stop <= here.stop
        assert len(set(contig[here].tolist())) == 1
        assert here.stop - here.start <= max_sites
        assert cm[core.stop - 1] - cm[core.start] <= chunk_cm + 1e-9
        assert cm[core.start] - cm[here.start] <= overlap_cm + 1e-9
        assert cm[here.stop - 1] - cm[core.stop - 1] <= overlap_cm + 1e-9


@settings(max_examples=200, deadline=None)
@given(panel=panels(), chunk_cm=LENGTHS["chunk_cm"], overlap_cm=LENGTHS["overlap_cm"])
def test_with_room_enough_all_sites_within_the_overlap_are_read(panel, chunk_cm, overlap_cm):
    cm, contig = panel
    cut = chunks.cut(cm, contig, chunk_cm, overlap_cm, 1000)
    for chunk in range(len(cut)):
        core = cut.core(chunk)
        low, high = cm[core.start] - overlap_cm, cm[core.stop - 1] + overlap_cm
        is_near = (contig == contig[core.start]) & (cm >= low) & (cm <= high)
        inside = np.flatnonzero(is_near)
        if overlap_cm > 0:
            assert (inside[0], inside[-1] + 1) == (cut.start[chunk], cut.stop[chunk])
        else:
            assert cut.sites(chunk) == core


def cores(cut: Chunks) -> list[tuple[int, int]]:
    return list(zip(cut.core_start.tolist(), cut.core_stop.tolist(), strict=True))


def reads(cut: Chunks) -> list[tuple[int, int]]:
    return list(zip(cut.start.tolist(), cut.stop.tolist(), strict=True))


ONE_CONTIG = np.zeros(100, dtype=np.int32)
EVEN = np.arange(100) / 10.0


def test_one_site_is_one_chunk():
    cut = chunks.cut(np.array([7.5]), np.array([0]), 5.0, 1.0, 10)
    assert (reads(cut), cores(cut)) == ([(0, 1)], [(0, 1)])


def test_a_chunk_longer_than_the_contig_is_the_contig():
    cut = chunks.cut(EVEN, ONE_CONTIG, 40.0, 3.0, 1000)
    assert (reads(cut), cores(cut)) == ([(0, 100)], [(0, 100)])


def test_cores_are_equally_long_so_that_the_last_is_no_runt():
    cut = chunks.cut(EVEN, ONE_CONTIG, 3.2, 0.5, 1000)  # 9.9 cM: not three of 3.2 and one of .3
    assert cores(cut) == [(0, 25), (25, 50), (50, 75), (75, 100)]


def test_context_reaches_the_overlap_at_both_sides():
    cut = chunks.cut(EVEN, ONE_CONTIG, 5.0, 0.55, 1000)
    assert reads(cut) == [(0, 55), (45, 100)]


def test_without_overlap_a_chunk_reads_what_it_answers_for():
    cut = chunks.cut(np.zeros(9), np.zeros(9, dtype=int), 1.0, 0.0, 4)
    assert reads(cut) == cores(cut) == [(0, 3), (3, 6), (6, 9)]


def test_sites_at_one_genetic_position_are_cut_by_number():
    cut = chunks.cut(np.full(100, 2.0), ONE_CONTIG, 1.0, 1.0, 40)
    npt.assert_array_equal(cut.core_stop - cut.core_start, [20] * 5)
    assert reads(cut) == [(0, 40), (10, 50), (30, 70), (50, 90), (60, 100)]


def test_a_gap_without_sites_makes_no_chunk():
    cm = np.concatenate([np.arange(10) / 10, 50 + np.arange(10) / 10])
    assert cores(chunks.cut(cm, np.zeros(20, dtype=int), 1.0, 0.2, 100)) == [(0, 10), (10, 20)]


def test_contigs_do_not_share_a_chunk():
    contig = np.repeat([4, 9], 50)
    cut = chunks.cut(np.tile(np.arange(50) / 10, 2), contig, 100.0, 100.0, 1000)
    assert reads(cut) == [(0, 50), (50, 100)]


def test_dense_sites_are_cut_smaller_and_keep_their_overlap():
    cm = np.concatenate([np.arange(50) / 10, 5 + np.arange(1000) / 1000, 6 + np.arange(50) / 10])
    cut = chunks.cut(cm, np.zeros(len(cm), dtype=int), 20.0, 0.1, 500)
    assert len(cut) == 4
    assert (cut.stop - cut.start <= 500).all()
    assert (cm[cut.core_start[1:]] - cm[cut.start[1:]] >= 0.099).all()


@pytest.mark.parametrize(
    ("chunk_cm", "overlap_cm", "max_sites", "message"),
    [
        (0.0, 1.0, 10, r"longer than 0 cM \(--chunk-cm\), got 0"),
        (-1.0, 1.0, 10, "got -1"),
        (np.nan, 1.0, 10, "--chunk-cm"),
        (np.inf, 1.0, 10, "--chunk-cm"),
        (1.0, -0.1, 10, r"at least 0 cM \(--overlap-cm\), got -0.1"),
        (1.0, np.inf, 10, "--overlap-cm"),
        (1.0, 0.0, 0, "room for at least 1 site, got 0"),
    ],
)
def test_lengths_out_of_range_are_refused(chunk_cm, overlap_cm, max_sites, message):
    with pytest.raises(ConfigError, match=message):
        chunks.cut(EVEN, ONE_CONTIG, chunk_cm, overlap_cm, max_sites)


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
        chunks.cut(np.array(cm), np.zeros(len(cm), dtype=int), 1.0, 0.5, 10)
