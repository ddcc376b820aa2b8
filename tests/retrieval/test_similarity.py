"""The exact form of L2 is L2."""

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.retrieval import windows
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.retrieval import similarity


def test_a_site_weighs_what_separates_its_alleles():
    codebook = np.zeros((tokens.VOCABULARY_SIZE, 2, 2), dtype=np.float32)
    codebook[tokens.ALT] = [[3, 4], [0, 1]]
    npt.assert_array_equal(similarity.site_weights(codebook), [25, 1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), length=st.integers(1, 40), hidden=st.floats(0, 1))
def test_both_forms_equal_l2_between_masked_embeddings(seed, length, hidden):
    window = windows.random_window(seed, references=7, length=length, width=3)
    rng = np.random.default_rng(seed)
    is_masked = rng.random((4, length)) < hidden
    queries = tokens.hide(rng.integers(2, size=(4, length), dtype=np.uint8), is_masked)
    expected = np.stack(
        [
            np.square(
                window.masked_references(mask).astype(np.float64) - window.embedded(query[None])
            ).sum(axis=(1, 2))
            for query, mask in zip(queries, is_masked, strict=True)
        ]
    )
    vectors = similarity.search_vectors(queries, window.weights)
    offset = np.maximum(vectors, 0).sum(axis=1, keepdims=True)
    npt.assert_allclose(
        offset - vectors[:, :length] @ window.alleles.T, expected, rtol=1e-4, atol=1e-3
    )
    bits = np.broadcast_to(window.bits(), (4, *window.bits().shape))
    visible = tokens.pack(tokens.is_observed(queries).view(np.uint8))
    alt = tokens.pack((queries == tokens.ALT).view(np.uint8))
    table = similarity.byte_weights(window.weights)
    actual = similarity.mismatch_distances(table, alt, visible, bits)
    npt.assert_allclose(actual, expected, rtol=1e-5, atol=1e-9)


def test_hidden_missing_and_padded_sites_count_for_nothing():
    row = np.array([[tokens.MASK, tokens.MISSING, tokens.PAD]], dtype=np.uint8)
    npt.assert_array_equal(similarity.search_vectors(row, np.ones(3, dtype=np.float32)), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_diverged_encoder_is_reported_with_its_site(value):
    weights = np.ones(9, dtype=np.float32)
    weights[4] = value
    with pytest.raises(ConfigError, match="at site 4"):
        similarity.check_weights(weights)
