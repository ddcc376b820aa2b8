from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.domain import windows
from vcfbert.domain.windows import Segment, Windows
from vcfbert.errors import ConfigError, InputError


@st.composite
def panels(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """Contig of each site, window length, flank."""
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    length = draw(st.integers(1, 20))
    flank = draw(st.integers(0, (length - 1) // 2))
    return np.repeat(np.arange(len(sizes)), sizes), length, flank


def answered(cut: Windows) -> list[int]:
    """The sites of all cores, window by window."""
    return [
        site
        for window in range(len(cut))
        for site in range(cut.core_start[window], cut.core_stop[window])
    ]


@settings(max_examples=200, deadline=None)
@given(panel=panels())
def test_cores_cover_each_site_once_and_in_order(panel):
    contig, length, flank = panel
    cut = windows.cut(contig, length, flank)
    assert answered(cut) == list(range(len(contig)))


@settings(max_examples=200, deadline=None)
@given(panel=panels())
def test_a_window_keeps_to_its_contig_its_length_and_its_flanks(panel):
    contig, length, flank = panel
    cut = windows.cut(contig, length, flank)
    for window in range(len(cut)):
        here = cut.sites(window)
        core = range(cut.core_start[window], cut.core_stop[window])
        assert len(set(contig[here].tolist())) == 1
        assert cut.num_sites(window) <= length
        same = np.flatnonzero(contig == contig[core[0]])
        assert here.start <= max(core[0] - flank, same[0])
        assert here.stop >= min(core[-1] + 1 + flank, same[-1] + 1)
        npt.assert_array_equal(
            np.flatnonzero(cut.is_core(window)) + here.start, np.fromiter(core, int)
        )


def test_cores_of_a_contig_are_of_nearly_equal_size():
    cut = windows.cut(np.zeros(101, dtype=int), 30, 5)
    assert np.ptp(cut.core_stop - cut.core_start) <= 1


def test_context_fills_a_window_where_the_contig_has_sites():
    cut = windows.cut(np.zeros(101, dtype=int), 30, 5)
    assert (cut.stop - cut.start == 30).all()


@pytest.mark.parametrize(("length", "flank"), [(0, 0), (10, 5), (10, -1)])
def test_windows_without_room_for_a_core_are_refused(length, flank):
    with pytest.raises(ConfigError, match="window size"):
        windows.cut(np.zeros(5, dtype=int), length, flank)


SEGMENTS = [[Segment("1", 1, 30), Segment("1", 31, 50), Segment("1", 70, 90)]]
POSITION = np.array([5, 30, 31, 40, 50, 70])


def test_segments_become_cores():
    cut = windows.from_segments(SEGMENTS, np.zeros(6, dtype=int), POSITION, 8, 2)
    npt.assert_array_equal(cut.core_start, [0, 2, 5])
    npt.assert_array_equal(cut.core_stop, [2, 5, 6])
    assert (cut.stop - cut.start == 6).all()


def test_a_segment_without_sites_makes_no_window():
    cut = windows.from_segments(SEGMENTS, np.zeros(2, dtype=int), POSITION[:2], 8, 2)
    assert len(cut) == 1


def test_a_segment_with_more_sites_than_fit_is_named():
    with pytest.raises(InputError, match=r"1:31-50 has 3 sites.*room for 2.*--window-size"):
        windows.from_segments(SEGMENTS, np.zeros(6, dtype=int), POSITION, 4, 1)


@settings(max_examples=100, deadline=None)
@given(edges=st.sets(st.integers(1, 60), max_size=12))
def test_inside_is_what_a_loop_over_segments_finds(edges):
    rising = sorted(edges)
    segments = [Segment("1", a, b - 1) for a, b in zip(rising[::2], rising[1::2], strict=False)]
    position = np.arange(1, 62)
    expected = [any(s.start <= p <= s.end for s in segments) for p in position.tolist()]
    npt.assert_array_equal(windows.is_inside(segments, position), expected)
