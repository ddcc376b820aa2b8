"""Neighbours are those of a slow exact search, whatever the kind of index."""

import threading

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.retrieval import windows
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, StoreError
from vcfbert.retrieval import candidates, dense, exact
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.query import Query


def exact_index(window: windows.Window) -> exact.ExactIndex:
    return exact.ExactIndex(exact.build(window.bits()), window.alleles.shape[1])


def dense_index(window: windows.Window, is_masked: np.ndarray) -> dense.DenseIndex:
    return dense.DenseIndex(dense.build(window.masked_references(is_masked)), is_masked, 0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    references=st.integers(6, 150),
    length=st.integers(1, 70),
    hidden=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    k=st.integers(1, 4),
    spare=st.sampled_from([0, 1, 32]),
)
def test_exact_neighbours_are_those_of_a_loop_over_pairs(
    seed, references, length, hidden, k, spare
):
    window = windows.random_window(seed, references=references, length=length, width=2)
    rng = np.random.default_rng(seed)
    own = rng.integers(references, size=5)
    excluded = np.stack([own, np.where(rng.random(5) < 0.5, own ^ 1, -1)], axis=1)
    excluded[excluded >= references] = -1
    queries = window.alleles[own].copy()
    queries[rng.random(queries.shape) < 0.05] = tokens.MISSING
    queries = tokens.hide(queries, rng.random(queries.shape) < hidden)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_SPARE", spare)  # few candidates: most queries are asked again
        hits = nearest(exact_index(window), window.query(queries), k, excluded)
    rows, distances = windows.slow_nearest(window, queries, k, [set(row) for row in excluded])
    npt.assert_allclose(hits.distances, distances, rtol=1e-5, atol=1e-9)
    differs = hits.rows != rows
    # The loop sums in another order, so it may take a near tie for a tie or the other way round.
    npt.assert_allclose(hits.distances[differs], distances[differs], rtol=1e-6)


def test_hamming_ties_are_broken_by_row():
    alleles = np.zeros((400, 9), dtype=np.uint8)
    alleles[::2, 0] = 1
    index = exact.ExactIndex(exact.build(tokens.pack(alleles)), 9)
    query = Query(np.zeros((1, 9), dtype=np.uint8), np.ones(9, dtype=np.float32))
    hits = nearest(index, query, 202, np.array([[3, 5]]))
    odd = [row for row in range(1, 400, 2) if row not in (3, 5)]
    npt.assert_array_equal(hits.rows[0], [*odd, 0, 2, 4, 6])
    npt.assert_array_equal(hits.distances[0], [0] * 198 + [1] * 4)


def test_exact_serves_every_mask_and_encoder_with_one_index_as_dense_does_with_many():
    window = windows.random_window(5, references=300, length=120, width=16)
    index = exact_index(window)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        is_masked = rng.random(120) < 0.5
        encoder = windows.random_window(seed + 10, length=120, width=16)
        window = windows.Window(window.alleles, encoder.codebook)
        queries = tokens.hide(window.alleles[::13], is_masked)
        excluded = np.stack([np.arange(0, 300, 13), np.arange(0, 300, 13) ^ 1], axis=1)
        by_bits = nearest(index, window.query(queries), 10, excluded)
        by_l2 = nearest(dense_index(window, is_masked), window.query(queries), 10, excluded)
        npt.assert_allclose(by_bits.distances, by_l2.distances, rtol=1e-4, atol=1e-4)
        differs = by_bits.rows != by_l2.rows
        npt.assert_allclose(by_bits.distances[differs], by_l2.distances[differs], rtol=1e-5)


def test_a_dense_search_that_may_tie_at_its_end_looks_at_all_rows():
    window = windows.random_window(2, references=150, length=20)
    alleles = np.repeat(window.alleles[:2], 75, axis=0)
    window = windows.Window(alleles, window.codebook)
    is_masked = np.arange(20) < 8
    index = dense_index(window, is_masked)
    hits = nearest(index, window.query(tokens.hide(alleles[80:81], is_masked)), 6)
    npt.assert_array_equal(hits.rows[0], np.arange(75, 81))


@pytest.mark.parametrize("kind", ["exact", "dense"])
def test_no_query_finds_itself_its_sibling_or_its_relatives(kind):
    window = windows.random_window(3, references=40)
    is_masked = np.arange(37) % 2 == 0
    index = exact_index(window) if kind == "exact" else dense_index(window, is_masked)
    own = np.arange(40)
    excluded = np.stack([own, own ^ 1, (own + 2) % 40, (own + 2) % 40 ^ 1], axis=1)
    query = window.query(tokens.hide(window.alleles, is_masked))
    hits = nearest(index, query, 36, excluded)
    assert not (hits.rows[:, :, None] == excluded[:, None, :]).any()
    assert all(len(set(row)) == 36 for row in hits.rows.tolist())


@pytest.mark.parametrize("kind", ["exact", "dense"])
def test_hidden_alleles_do_not_influence_the_search(kind):
    window = windows.random_window(4)
    is_masked = np.arange(37) % 3 == 0
    index = exact_index(window) if kind == "exact" else dense_index(window, is_masked)
    queries = window.alleles[:8]
    flipped = np.where(is_masked, 1 - queries, queries)
    hits = [
        nearest(index, window.query(tokens.hide(alleles, is_masked)), 5)
        for alleles in (queries, flipped)
    ]
    npt.assert_array_equal(hits[0].rows, hits[1].rows)
    npt.assert_array_equal(hits[0].distances, hits[1].distances)


def test_neighbours_of_a_query_do_not_depend_on_the_batch():
    window = windows.random_window(6, references=200, length=64)
    index = exact_index(window)
    queries = tokens.hide(window.alleles[:30], np.arange(64) % 2 == 0)
    together = nearest(index, window.query(queries), 7)
    for number in range(30):
        alone = nearest(index, window.query(queries[number : number + 1]), 7)
        npt.assert_array_equal(alone.rows[0], together.rows[number])
        npt.assert_array_equal(alone.distances[0], together.distances[number])


def test_threads_share_an_index():
    window = windows.random_window(7, references=300, length=64)
    index = exact_index(window)
    query = window.query(tokens.hide(window.alleles[:30], np.arange(64) % 2 == 0))
    expected = nearest(index, query, 7)
    found: list[candidates.Hits] = []
    threads = [
        threading.Thread(target=lambda: found.append(nearest(index, query, 7))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for hits in found:
        npt.assert_array_equal(hits.rows, expected.rows)


def test_asking_for_more_than_is_allowed_names_both_numbers():
    window = windows.random_window(8, references=10)
    query = window.query(window.alleles[:2])
    assert nearest(exact_index(window), query, 8, np.array([[0, 1], [2, 2]])).rows.shape == (2, 8)
    with pytest.raises(ConfigError, match="num_neighbours is 9, but a query may only use 8 of 10"):
        nearest(exact_index(window), query, 9, np.array([[0, 1], [2, 2]]))


def test_weights_that_are_no_numbers_are_refused():
    window = windows.random_window(8)
    weights = window.weights.copy()
    weights[3] = np.nan
    with pytest.raises(ConfigError, match="site 3 of the window is nan"):
        nearest(exact_index(window), Query(window.alleles[:2], weights), 2)


def test_a_query_of_another_length_is_refused():
    window = windows.random_window(8)
    query = Query(window.alleles[:2, :30], window.weights[:30])
    with pytest.raises(ConfigError, match="30 sites and 30 weights"):
        nearest(exact_index(window), query, 2)


def test_a_dense_index_refuses_another_mask_and_counts_the_sites():
    window = windows.random_window(9)
    is_masked = np.arange(37) < 10
    index = dense_index(window, is_masked)
    with pytest.raises(StoreError, match=r"mask version 0, which differs .* at 3 sites"):
        nearest(index, window.query(tokens.hide(window.alleles[:2], np.arange(37) < 13)), 2)
    holey = tokens.hide(window.alleles[:2], is_masked)
    holey[0, 20] = tokens.MISSING
    with pytest.raises(StoreError, match="at 1 site"):
        nearest(index, window.query(holey), 2)


def test_a_dense_index_needs_embeddings_of_its_width():
    window = windows.random_window(9)
    is_masked = np.arange(37) < 10
    queries = tokens.hide(window.alleles[:2], is_masked)
    with pytest.raises(ConfigError, match="the query has none"):
        nearest(dense_index(window, is_masked), Query(queries, window.weights), 2)
    narrow = Query(queries, window.weights, window.embedded(queries)[:, :, :2])
    with pytest.raises(ConfigError, match="37 sites x 2"):
        nearest(dense_index(window, is_masked), narrow, 2)
