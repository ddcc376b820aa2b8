"""Nearest codes, with those that many references share searched once."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcfbert.retrieval import distinct_codes


def nearest(references, queries, count):
    return distinct_codes.nearest(references, queries, count, lambda codes: codes, slice(None))


def by_hand(references, queries, count):
    """Rows by distance and row."""
    distance = np.bitwise_count(references[None] ^ queries[:, None]).sum(axis=2)
    return np.argsort(distance, axis=1, kind="stable")[:, :count]


@given(
    seed=st.integers(0, 2**32 - 1),
    num_codes=st.integers(1, 40),
    width=st.sampled_from([4, 8, 16, 24, 40]),
    count=st.integers(1, 20),
    num_bits=st.sampled_from([1, 3, 8]),
)
def test_the_nearest_are_those_of_all_references(seed, num_codes, width, count, num_bits):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << num_bits, (num_codes, width), dtype=np.uint8)
    references = codes[rng.integers(0, num_codes, 120)]
    queries = rng.integers(0, 1 << num_bits, (distinct_codes.FEWEST_QUERIES, width), dtype=np.uint8)
    found = nearest(references, queries, count)
    npt.assert_array_equal(found, by_hand(references, queries, count))


def test_groups_have_all_rows_of_a_code_in_order():
    references = np.array([[5], [3], [5], [9], [3], [5]], np.uint8)
    found = distinct_codes.distinct(references)
    assert found.order.tolist() == [0, 2, 5, 1, 4, 3]
    assert found.start.tolist() == [0, 3, 5, 6]


def test_codes_are_told_apart_by_all_of_their_words():
    references = np.zeros((6, 24), np.uint8)
    references[[1, 3], 23] = 7
    references[[2, 3], 5] = 1
    found = distinct_codes.distinct(references)
    assert found.order.tolist() == [0, 4, 5, 1, 2, 3]
    assert found.start.tolist() == [0, 3, 4, 5, 6]


def test_some_bytes_are_grouped_and_too_many_codes_are_none():
    references = np.arange(40, dtype=np.uint8)[:, None] // np.array([1, 4, 40], np.uint8)
    assert len(distinct_codes.distinct(references, slice(1, 3)).start) == 11
    assert distinct_codes.distinct(references, slice(1, 3), most=9) is None
    assert len(distinct_codes.distinct(references, slice(1, 3), most=10).start) == 11


@pytest.mark.parametrize(("num_queries", "count"), [(5, 4), (40, 70)])
def test_few_queries_and_many_hits_are_searched_directly(monkeypatch, num_queries, count):
    monkeypatch.setattr(distinct_codes, "distinct", None)
    rng = np.random.default_rng(4)
    references = rng.integers(0, 4, (90, 8), dtype=np.uint8)
    queries = rng.integers(0, 4, (num_queries, 8), dtype=np.uint8)
    found = nearest(references, queries, count)
    npt.assert_array_equal(found, by_hand(references, queries, count))
