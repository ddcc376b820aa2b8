"""Neighbours of stretches: different, allowed, and the right ones for a query that recombined."""

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.retrieval import windows
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.retrieval import exact, segments
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.query import Query


def indexed(alleles: np.ndarray) -> exact.ExactIndex:
    return exact.ExactIndex(exact.build(tokens.pack(alleles)), alleles.shape[1])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), num_segments=st.integers(1, 9), k=st.integers(1, 20))
def test_neighbours_are_different_allowed_and_in_order(seed, num_segments, k):
    window = windows.random_window(seed, references=40, length=60)
    index = indexed(window.alleles)
    own = np.arange(12)
    excluded = np.stack([own, own ^ 1], axis=1)
    query = window.query(tokens.hide(window.alleles[own], np.arange(60) % 2 == 0))
    hits = segments.nearest_in_segments(index, query, k, num_segments, excluded)
    assert hits.rows.shape == (12, k)
    assert all(len(set(row)) == k for row in hits.rows.tolist())
    assert not (hits.rows[:, :, None] == excluded[:, None, :]).any()
    assert (np.diff(hits.distances, axis=1) >= 0).all()
    exact_distances = index.search(query).distances(hits.rows).astype(np.float32)
    npt.assert_array_equal(hits.distances, exact_distances)


def test_one_segment_is_the_window():
    window = windows.random_window(1)
    query = window.query(window.alleles[:4])
    npt.assert_array_equal(
        segments.nearest_in_segments(indexed(window.alleles), query, 5, 1).rows,
        nearest(indexed(window.alleles), query, 5).rows,
    )


def test_both_sources_of_a_recombined_query_are_found():
    rng = np.random.default_rng(0)
    alleles = rng.integers(2, size=(200, 400), dtype=np.uint8)
    query = np.concatenate([alleles[17, :200], alleles[170, 200:]])[None]
    alleles[50:80] = query ^ (rng.random((30, 400)) < 0.2)  # nearer on the whole than the sources
    weights = np.ones(400, dtype=np.float32)
    asked = Query(tokens.hide(query, rng.random(400) < 0.3), weights)
    assert not {17, 170} & set(nearest(indexed(alleles), asked, 8).rows[0].tolist())
    hits = segments.nearest_in_segments(indexed(alleles), asked, 8, 4)
    assert {17, 170} <= set(hits.rows[0].tolist())


def test_hidden_alleles_do_not_influence_the_search_of_segments():
    window = windows.random_window(4)
    is_masked = np.arange(37) % 3 == 0
    queries = window.alleles[:8]
    found = [
        segments.nearest_in_segments(
            indexed(window.alleles), window.query(tokens.hide(alleles, is_masked)), 6, 3
        ).rows
        for alleles in (queries, np.where(is_masked, 1 - queries, queries))
    ]
    npt.assert_array_equal(found[0], found[1])


def test_more_than_is_allowed_is_refused():
    window = windows.random_window(4, references=10)
    with pytest.raises(ConfigError, match="num_neighbours is 11"):
        segments.nearest_in_segments(
            indexed(window.alleles), window.query(window.alleles[:2]), 11, 3
        )


def test_fewer_neighbours_than_segments_come_from_the_whole_window():
    """With K = 1 the neighbour is the window's nearest, not the nearest of its first segment."""
    window = windows.random_window(3, references=50, length=80)
    query = window.query(tokens.hide(window.alleles[:6], np.arange(80) % 2 == 0))
    own = np.arange(6)[:, None]
    index = indexed(window.alleles)
    hits = segments.nearest_in_segments(index, query, 1, 8, own)
    npt.assert_array_equal(hits.rows, nearest(index, query, 1, own).rows)


def test_segments_cover_the_sites_and_not_the_padding():
    window = windows.random_window(5, references=50, length=64)
    short = window.query(tokens.hide(window.alleles[:6], np.arange(64) % 2 == 0))
    padded = Query(tokens.pad(short.tokens, 200), np.pad(short.weights, (0, 136)))
    wide = np.pad(window.alleles, ((0, 0), (0, 136)))
    npt.assert_array_equal(
        segments.nearest_in_segments(indexed(wide), padded, 8, 4).rows,
        segments.nearest_in_segments(indexed(window.alleles), short, 8, 4).rows,
    )
