"""Neighbours in the order of Burrows and Wheeler are the longest matches of a plain search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.phasing import mosaics
from vcfbert.domain import tokens
from vcfbert.phasing import neighbours
from vcfbert.phasing.genotype_search import words

HITS = 5


@pytest.fixture(scope="module")
def fx_panel():
    rng = np.random.default_rng(4)
    references, cm = mosaics.panel(rng, 60, 150)
    return references, mosaics.copies(rng, references, cm, 6)


def find(references, queries, places, excluded=None, threads=1):
    none = [mosaics.NO_ROWS] * len(queries)
    return neighbours.find(
        words(references), queries, np.array(places), HITS, excluded or none, threads=threads
    )


def match_lengths(references, query, place, *, is_reverse):
    """(R,) sites of the match that ends at a place, or starts there."""
    is_equal = references == query
    part = is_equal[:, place:] if is_reverse else is_equal[:, place::-1]
    return np.cumprod(part, axis=1).sum(axis=1)


def test_the_longest_matches_are_found_in_both_directions(fx_panel):
    references, queries = fx_panel
    places = [0, 30, 63, 64, 149]
    found = find(references, queries, places)
    for query, rows in zip(queries, found, strict=True):
        for number, place in enumerate(places):
            for is_reverse in (False, True):
                lengths = match_lengths(references, query, place, is_reverse=is_reverse)
                here = rows[len(places) * is_reverse + number]
                here = here[here >= 0]
                assert len(set(here)) == len(here) == min(HITS, (lengths > 0).sum())
                assert sorted(lengths[here]) == sorted(lengths)[-len(here) :]


def test_excluded_rows_are_not_found_and_the_next_ones_are(fx_panel):
    references, queries = fx_panel
    before = find(references, queries, [75])
    excluded = [rows[rows >= 0].astype(np.int64) for rows in before[:, 0]]
    after = find(references, queries, [75], excluded)
    for query, rows, own in zip(queries, after, excluded, strict=True):
        lengths = match_lengths(references, query, 75, is_reverse=False)
        lengths[own] = 0
        here = rows[0][rows[0] >= 0]
        assert not set(here) & set(own)
        assert sorted(lengths[here]) == sorted(lengths)[-len(here) :]


def test_a_missing_allele_does_not_end_the_match(fx_panel):
    references, _ = fx_panel
    query = references[7:8].copy()
    query[0, [20, 21, 50]] = tokens.MISSING
    assert 7 in find(references, query, [75])[0, 0]
    assert 7 in find(references, query, [10])[0, 1]


def test_queries_do_not_depend_on_one_another(fx_panel):
    references, queries = fx_panel
    together = find(references, queries, [10, 100], threads=2)
    alone = [find(references, queries[n : n + 1], [10, 100])[0] for n in range(len(queries))]
    assert (together == np.stack(alone)).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    num_rows=st.integers(1, 150),
    num_typed=st.integers(1, 200),
    hits=st.integers(1, 14),
    num_founders=st.sampled_from([1, 3, 20]),
    error=st.sampled_from([0.0, 0.02, 0.4]),
)
def test_a_comparison_with_all_references_finds_what_a_sweep_finds(
    seed, num_rows, num_typed, hits, num_founders, error
):
    """Few founders make many equal matches, whose order counts."""
    rng = np.random.default_rng(seed)
    founders = rng.integers(0, 2, (num_founders, num_typed), dtype=np.uint8)
    references = founders[rng.integers(0, num_founders, num_rows)]
    references ^= (rng.random(references.shape) < error).astype(np.uint8)
    queries = founders[rng.integers(0, num_founders, 3)]
    queries ^= (rng.random(queries.shape) < error / 2).astype(np.uint8)
    places = np.unique(rng.integers(0, num_typed, 5))
    excluded = [rng.integers(0, num_rows + 2, rng.integers(4)) for _ in queries]
    compared = np.full((len(queries), 2, len(places), hits), -1, np.int32)
    swept = compared.copy()
    task = words(references), queries, places, excluded
    assert neighbours._compare(*task, compared, 1, 10**9)
    neighbours._sweep_both(*task, swept, 1)
    assert (compared == swept).all()


def test_equal_references_are_swept_after_all(monkeypatch):
    """Each comparison of two that are equal reads all of their words."""
    references = np.ones((200, 2_000), np.uint8)
    query, places = references[:1].copy(), list(range(0, 2_000, 10))
    query[0, 700] = 0
    compare, finished = neighbours._compare, []
    monkeypatch.setattr(
        neighbours, "_compare", lambda *task: finished.append(compare(*task)) or finished[-1]
    )
    found = find(references, query, places)
    assert finished == [False]
    monkeypatch.setattr(neighbours, "_compare", lambda *task: False)
    assert (found == find(references, query, places)).all()
