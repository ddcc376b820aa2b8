"""Cutting the rows of haplotypes into stretches."""

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcfbert.domain import stretches

SIZES = st.lists(st.integers(0, 50), max_size=5)


def bounds_of(sizes):
    return np.cumsum([0, *sizes])


@given(sizes=SIZES, length=st.integers(1, 20), data=st.data())
def test_every_row_is_answered_for_once_with_context_where_there_is_any(sizes, length, data):
    overlap = data.draw(st.integers(0, (length - 1) // 2))
    bounds = bounds_of(sizes)
    found = stretches.cut(bounds, length, overlap)
    owned = np.zeros(bounds[-1], int)
    for start, stop, first, last in zip(
        found.start, found.stop, found.own_start, found.own_stop, strict=True
    ):
        haplotype = np.searchsorted(bounds, start, side="right") - 1
        begin, end = bounds[haplotype], bounds[haplotype + 1]
        assert begin <= start <= first < last <= stop <= end
        assert stop - start == min(length, end - begin)
        assert first - start >= min(overlap, first - begin)
        assert stop - last >= min(overlap, end - last)
        owned[first:last] += 1
    npt.assert_array_equal(owned, 1)


@given(sizes=SIZES, length=st.integers(1, 20))
def test_rows_and_padding_are_those_of_the_ranges(sizes, length):
    found = stretches.cut(bounds_of(sizes), length, (length - 1) // 4)
    rows, is_row = found.rows()
    for number in range(len(found)):
        expected = np.arange(found.start[number], found.stop[number])
        npt.assert_array_equal(rows[number][is_row[number]], expected)
        own = rows[number][found.is_own()[number]]
        npt.assert_array_equal(own, np.arange(found.own_start[number], found.own_stop[number]))
    assert not found.is_own()[~is_row].any()
    if len(found):
        assert rows.max() < sum(sizes)


@pytest.mark.parametrize(
    ("row", "expected"), [(0, (0, 6)), (5, (2, 8)), (9, (4, 10)), (11, (10, 13))]
)
def test_a_stretch_around_a_row_stays_in_its_haplotype(row, expected):
    found = stretches.around(np.array([row]), np.array([0, 10, 13]), 6)
    assert (found.start[0], found.stop[0]) == expected
    assert (found.own_start[0], found.own_stop[0]) == expected
