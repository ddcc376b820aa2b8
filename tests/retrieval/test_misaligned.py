"""Search under two masks against flat L2 between embeddings with different masks."""

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.retrieval import dense, exact, similarity
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.dense import DenseIndex
from vcfbert.retrieval.exact import ExactIndex
from vcfbert.retrieval.query import OtherMask, Query
from vcfbert.retrieval.segments import nearest_in_segments

SITES, LENGTH, WIDTH = 27, 30, 4


def window(seed, num_references=40, num_queries=5, query_rate=0.5, reference_rate=0.5):
    """Codebook, padded tokens of queries under masks of their own, references, their mask."""
    rng = np.random.default_rng(seed)
    codebook = rng.normal(size=(tokens.VOCABULARY_SIZE, LENGTH, WIDTH)).astype(np.float32)
    alleles = (rng.random((num_references + num_queries, SITES)) < 0.4).astype(np.uint8)
    complete = tokens.pad(alleles, LENGTH)
    hidden = rng.random((num_queries, LENGTH)) < query_rate
    queries = tokens.hide(complete[:num_queries], hidden)
    other = rng.random(LENGTH) < reference_rate
    other[SITES:] = False
    return codebook, queries, complete[num_queries:], other


def brute_force(codebook, queries, references, other):
    """(B, R) squared L2 between the embeddings of both sides, each under its own mask."""
    site = np.arange(LENGTH)
    left = codebook[queries, site].astype(np.float64)
    right = codebook[tokens.hide(references, other), site].astype(np.float64)
    return ((left[:, None] - right[None]) ** 2).sum(axis=(2, 3))


def index_of(references):
    return ExactIndex(exact.build(tokens.pack(references[:, :LENGTH] == tokens.ALT)), LENGTH)


def query_of(codebook, queries, other):
    costs = similarity.mask_costs(codebook)
    return Query(queries, similarity.site_weights(codebook), None, OtherMask(other, costs))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), query_rate=st.floats(0, 1), reference_rate=st.floats(0, 1))
def test_distances_are_those_of_the_embeddings_under_their_own_masks(
    seed, query_rate, reference_rate
):
    codebook, queries, references, other = window(
        seed, query_rate=query_rate, reference_rate=reference_rate
    )
    expected = brute_force(codebook, queries, references, other)
    hits = nearest(index_of(references), query_of(codebook, queries, other), len(references))
    found = np.take_along_axis(expected, hits.rows, axis=1)
    npt.assert_allclose(hits.distances, found, rtol=1e-4, atol=1e-4)
    npt.assert_allclose(np.sort(expected, axis=1), hits.distances, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_few_neighbours_of_many_are_the_right_ones(seed):
    """The candidates of the index must suffice, or be searched again if they do not."""
    codebook, queries, references, other = window(seed, num_references=600)
    expected = brute_force(codebook, queries, references, other)
    hits = nearest(index_of(references), query_of(codebook, queries, other), 3)
    npt.assert_allclose(hits.distances, np.sort(expected, axis=1)[:, :3], rtol=1e-4, atol=1e-4)


def test_token_ids_are_compared_likewise():
    _, queries, references, other = window(4)
    ids = np.repeat(np.arange(tokens.VOCABULARY_SIZE, dtype=np.float32)[:, None, None], LENGTH, 1)
    npt.assert_array_equal(similarity.mask_costs(ids), similarity.token_mask_costs(LENGTH))
    npt.assert_array_equal(similarity.site_weights(ids), np.ones(LENGTH))
    hits = nearest(index_of(references), query_of(ids, queries, other), 40)
    expected = brute_force(ids, queries, references, other)
    npt.assert_allclose(hits.distances, np.sort(expected, axis=1), rtol=1e-6)


def test_the_flat_index_finds_the_same():
    """Its embeddings contain the references' mask; the query has another mask."""
    codebook, queries, references, other = window(9)
    site = np.arange(LENGTH)
    flat = dense.build(codebook[tokens.hide(references, other), site])
    embedded = codebook[queries, site].reshape(len(queries), -1)
    distances, _ = flat.search(embedded, len(references))
    hits = nearest(index_of(references), query_of(codebook, queries, other), len(references))
    npt.assert_allclose(hits.distances, distances, rtol=1e-3, atol=1e-3)


def test_one_mask_on_both_sides_is_the_aligned_search():
    codebook, queries, references, other = window(2)
    queries = tokens.hide(np.where(queries == tokens.MASK, 0, queries), other)
    index = index_of(references)
    aligned = nearest(index, Query(queries, similarity.site_weights(codebook)), 7)
    same = nearest(index, query_of(codebook, queries, other), 7)
    npt.assert_array_equal(same.rows, aligned.rows)
    npt.assert_allclose(same.distances, aligned.distances)


def test_segments_search_their_own_stretch_under_two_masks():
    codebook, queries, references, other = window(6)
    index, query = index_of(references), query_of(codebook, queries, other)
    hits = nearest_in_segments(index, query, 6, 3)
    expected = brute_force(codebook, queries, references, other)
    npt.assert_allclose(hits.distances, np.take_along_axis(expected, hits.rows, axis=1), rtol=1e-4)
    scale = np.full(LENGTH, 1e-3)
    scale[:13] = 1.0  # the first of three stretches of 27 sites
    site = np.arange(LENGTH)
    left, right = codebook[queries, site], codebook[tokens.hide(references, other), site]
    within = (((left[:, None] - right[None]) ** 2).sum(axis=3) * scale).sum(axis=2)
    for query_number, row in enumerate(within.argmin(axis=1)):
        assert row in hits.rows[query_number]


def test_a_dense_index_refuses_two_masks():
    codebook, queries, references, other = window(1)
    masked = codebook[tokens.hide(references, other), np.arange(LENGTH)]
    index = DenseIndex(dense.build(masked), other, 0)
    with pytest.raises(ConfigError, match=r"masks\.align"):
        index.search(query_of(codebook, queries, other))
