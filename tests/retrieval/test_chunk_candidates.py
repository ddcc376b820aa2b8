from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import panels
from vcfbert.domain import tokens
from vcfbert.domain.tokens import MISSING
from vcfbert.retrieval import chunk_candidates


def bits_of(alleles: np.ndarray) -> np.ndarray:
    """(R, T) alleles as (R, ceil(T / 64)) words."""
    packed = tokens.pack(alleles)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def slow_candidates(alleles, query, banned, chosen):
    """One query by sorting plain distances, site by site."""
    num_typed = alleles.shape[1]
    free = [row for row in range(len(alleles)) if row not in set(banned.tolist())]
    differs = np.zeros((len(alleles), 8 * -(-num_typed // 8)), int)
    differs[:, :num_typed] = alleles != query
    ranked = []
    for search in chosen.searches:
        near = differs[:, 8 * search.near : 8 * search.near_stop].sum(axis=1)
        around = differs[:, 8 * search.start : 8 * search.stop].sum(axis=1)
        distance = chunk_candidates.NEARBY * near + around
        ranked.append(sorted(free, key=lambda row: (distance[row], row))[: chosen.hits])
    by_rank = [row for rank in zip(*ranked, strict=True) for row in rank]
    return np.sort(list(dict.fromkeys(by_rank))[: chosen.most])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_typed=st.integers(1, 300),
    num_references=st.integers(40, 120),
    most=st.integers(1, 30),
)
def test_candidates_are_those_of_the_slow_search(seed, num_typed, num_references, most):
    rng = np.random.default_rng(seed)
    founders = rng.integers(0, 2, (6, num_typed), dtype=np.uint8)  # so that ties abound
    alleles = founders[rng.integers(6, size=num_references)]
    alleles ^= rng.random(alleles.shape) < 0.02
    queries = founders[:4] ^ (rng.random((4, num_typed)) < 0.05).astype(np.uint8)
    excluded = [rng.integers(num_references, size=rng.integers(0, 9)) for _ in queries]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_candidates, "MOST", most)
        patch.setattr(chunk_candidates, "LEAST", most)
        patch.setattr(chunk_candidates, "MIN_TOTAL", 20)
        found = chunk_candidates.find(bits_of(alleles), queries, excluded)
        chosen = chunk_candidates.plan(num_typed)
    for query, banned, rows in zip(queries, excluded, found, strict=True):
        npt.assert_array_equal(rows, slow_candidates(alleles, query, banned, chosen))


@pytest.fixture(scope="module")
def fx_panel():
    """1,000 references and 40 queries at 500 typed sites."""
    alleles = np.ascontiguousarray(panels.mosaic_alleles(500, 1040, founders=60).T)
    return bits_of(alleles[:1000]), alleles[1000:]


def test_rows_rise_and_are_few(fx_panel):
    for rows in chunk_candidates.find(*fx_panel):
        assert (np.diff(rows) > 0).all()
        assert 50 < len(rows) <= chunk_candidates.MOST


def test_the_same_for_any_number_of_threads_and_for_a_query_alone(fx_panel):
    bits, queries = fx_panel
    excluded = [np.arange(n, dtype=np.int64) for n in range(len(queries))]
    together = chunk_candidates.find(bits, queries, excluded)
    in_threads = chunk_candidates.find(bits, queries, excluded, threads=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_candidates, "_QUERIES_PER_BLOCK", 7)
        in_blocks = chunk_candidates.find(bits, queries, excluded)
    alone = [
        chunk_candidates.find(bits, queries[n : n + 1], excluded[n : n + 1])[0]
        for n in range(len(queries))
    ]
    for others in (in_threads, in_blocks, alone):
        for first, second in zip(together, others, strict=True):
            npt.assert_array_equal(first, second)


def test_a_query_finds_its_own_row_unless_it_is_excluded(fx_panel):
    bits, _ = fx_panel
    alleles = tokens.unpack(bits.view(np.uint8), 500)
    own = np.array([3, 500, 999])
    rows = chunk_candidates.find(bits, alleles[own])
    assert all(row in found for row, found in zip(own, rows, strict=True))
    excluded = [np.array([row, row ^ 1]) for row in own]
    for banned, found in zip(
        excluded, chunk_candidates.find(bits, alleles[own], excluded), strict=True
    ):
        assert not np.isin(banned, found).any()


def test_one_with_many_relatives_takes_all_others_and_leaves_the_rest_alone(fx_panel):
    bits, queries = fx_panel
    plain = chunk_candidates.find(bits, queries[:2])
    relatives = np.arange(700)
    found = chunk_candidates.find(bits, queries[:2], [relatives, np.empty(0, np.int64)])
    npt.assert_array_equal(found[0], np.arange(700, 1000))
    npt.assert_array_equal(found[1], plain[1])


def test_a_small_panel_is_taken_whole(fx_panel):
    bits, queries = fx_panel
    found = chunk_candidates.find(bits[: chunk_candidates.MOST], queries[:1], [np.array([5])])
    npt.assert_array_equal(found[0], np.delete(np.arange(chunk_candidates.MOST), 5))


def test_a_missing_allele_is_searched_as_the_major_one(fx_panel):
    bits, queries = fx_panel
    alleles = tokens.unpack(bits.view(np.uint8), 500)
    filled = queries.copy()
    holes = queries.copy()
    holes[:, ::3] = MISSING
    filled[:, ::3] = alleles[:, ::3].mean(axis=0) > 0.5
    for first, second in zip(
        chunk_candidates.find(bits, holes), chunk_candidates.find(bits, filled), strict=True
    ):
        npt.assert_array_equal(first, second)


@pytest.mark.parametrize("num_typed", [1, 7, 8, 9, 40, 100, 999, 1000, 2_500, 4_000, 40_000])
def test_the_plan_covers_all_typed_sites(num_typed):
    chosen = chunk_candidates.plan(num_typed)
    width = -(-num_typed // 8)
    covered = np.zeros(width, bool)
    for search in chosen.searches:
        assert 0 <= search.start <= search.near < search.near_stop <= search.stop <= width
        covered[search.start : search.stop] = True
    if num_typed < 10_000:  # beyond that, stretches of 512 sites lie apart
        assert covered.all()
    assert len(chosen.searches) <= 2 * chunk_candidates.MAX_POSITIONS
    assert chosen.hits * len(chosen.searches) >= min(
        chunk_candidates.MIN_TOTAL, chunk_candidates.MOST
    )


def test_few_typed_sites_get_a_floor_and_many_a_lower_cap():
    few, some, many = (chunk_candidates.plan(typed) for typed in (10, 500, 8_000))
    assert few.hits == chunk_candidates.MOST
    assert (some.most, many.most) == (chunk_candidates.MOST, chunk_candidates.LEAST)


def test_no_queries_give_no_candidates(fx_panel):
    assert chunk_candidates.find(fx_panel[0], np.empty((0, 500), np.uint8)) == []


@pytest.mark.parametrize("num_typed", [20, 900, 9_000, 32_768, 40_000, 200_000])
def test_every_typed_site_is_in_a_search(num_typed):
    width = -(-num_typed // 8)
    covered = np.zeros(width, np.bool_)
    for search in chunk_candidates.plan(num_typed).searches:
        covered[search.start : search.stop] = True
    assert covered.all()
