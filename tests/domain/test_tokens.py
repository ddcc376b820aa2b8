from __future__ import annotations

import numpy as np
import numpy.testing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vcfbert.domain import tokens

ALLELES = npst.arrays(
    np.uint8,
    npst.array_shapes(min_dims=2, max_dims=2, max_side=150),
    elements=st.integers(0, 1),
)


@settings(max_examples=50, deadline=None)
@given(alleles=ALLELES)
def test_unpacking_gives_back_what_was_packed(alleles):
    packed = tokens.pack(alleles)
    assert packed.shape == (len(alleles), -(-alleles.shape[1] // 8))
    npt.assert_array_equal(tokens.unpack(packed, alleles.shape[1]), alleles)


@settings(max_examples=50, deadline=None)
@given(alleles=ALLELES, seed=st.integers(0, 99))
def test_counts_of_packed_alleles_are_those_of_a_sum(alleles, seed):
    is_member = np.random.default_rng(seed).random((3, alleles.shape[1])) < 0.5
    counts = tokens.count_alt(tokens.pack(alleles), tokens.pack(is_member.astype(np.uint8)))
    npt.assert_array_equal(counts, alleles.astype(int) @ is_member.T.astype(int))


def test_counts_without_groups_have_no_columns():
    counts = tokens.count_alt(np.zeros((4, 2), np.uint8), np.zeros((0, 2), np.uint8))
    assert counts.shape == (4, 0)


def test_hiding_touches_observed_alleles_only():
    every = np.arange(tokens.VOCABULARY_SIZE, dtype=np.uint8)
    hidden = tokens.hide(every, np.ones(len(every), dtype=bool))
    npt.assert_array_equal(
        hidden, [tokens.MASK, tokens.MASK, tokens.MASK, tokens.PAD, tokens.MISSING]
    )
    npt.assert_array_equal(tokens.hide(every, np.zeros(len(every), dtype=bool)), every)


def test_padding_stands_behind_the_last_site():
    padded = tokens.pad(np.array([[0, 1]], dtype=np.uint8), 4)
    npt.assert_array_equal(padded, [[0, 1, tokens.PAD, tokens.PAD]])
