"""The fast index proposes nearly what the exact one finds, with the same distances."""

import faiss
import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.retrieval import windows
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, DeviceError
from vcfbert.retrieval import candidates, exact, fast
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.query import OtherMask, Query
from vcfbert.retrieval.segments import nearest_in_segments

MOST_STEPS, STEPS = 65_535, 255


def indexes(alleles: np.ndarray) -> tuple[fast.FastIndex, exact.ExactIndex]:
    """The fast and the exact index of the same references."""
    bits, length = tokens.pack(alleles), alleles.shape[1]
    return fast.FastIndex(fast.build(bits), length), exact.ExactIndex(exact.build(bits), length)


def mosaics(seed: int, references: int, length: int, founders: int = 40) -> np.ndarray:
    """Haplotypes that change their founder now and then, and mutate: many agree over a stretch."""
    rng = np.random.default_rng(seed)
    of_founders = (rng.random((founders, length)) < rng.beta(0.3, 0.9, length)).astype(np.uint8)
    changes = rng.random((references, length)) < 4 / length
    changes[:, 0] = True
    drawn = rng.integers(founders, size=(references, length))
    last = np.maximum.accumulate(np.where(changes, np.arange(length), 0), axis=1)
    alleles = of_founders[np.take_along_axis(drawn, last, axis=1), np.arange(length)]
    return np.asarray(alleles ^ (rng.random(alleles.shape) < 0.002))


def recall(found: candidates.Hits, best: candidates.Hits) -> float:
    """Share of found neighbours that are no farther than the last of the exact search."""
    return float((found.distances <= best.distances[:, -1:]).mean())


@pytest.mark.parametrize("length", [7, 1_024, 1_032, 1_072, 1_600, 4_001, fast.MAX_SITES])
def test_a_reference_equal_to_the_query_is_found_in_windows_of_any_length(length):
    # FAISS adds 16-bit numbers without a limit: from 1,032 sites on, a perfect score wraps to 0.
    alleles = (np.random.default_rng(0).random((400, length)) < 0.3).astype(np.uint8)
    index, _ = indexes(alleles)
    hits = nearest(index, Query(alleles[:9], np.ones(length, dtype=np.float32)), 1)
    assert (hits.distances == 0).all()
    npt.assert_array_equal(alleles[hits.rows[:, 0]], alleles[:9])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    length=st.sampled_from([1, 4, 5, 63, 1_031, 2_500, fast.MAX_SITES]),
    spread=st.sampled_from([0.0, 0.5, 2.0, 6.0]),
    hidden=st.sampled_from([0.0, 0.5, 1.0]),
)
@example(seed=3154, length=4, spread=6.0, hidden=0.0)
def test_rounded_sums_fit_into_16_bits_and_no_visible_site_vanishes(seed, length, spread, hidden):
    rng = np.random.default_rng(seed)
    wide = 8 * -(-length // 8)
    vectors = np.zeros((1, wide), dtype=np.float32)
    values = rng.lognormal(0, spread, length) * rng.choice([-1, 1], length)
    vectors[0, :length] = np.where(rng.random(length) < hidden, 0, values)
    scanned = fast.scan_vectors(vectors)[0]
    positive = np.maximum(scanned, 0).reshape(-1, 4).sum(axis=1)
    negative = np.minimum(scanned, 0).reshape(-1, 4).sum(axis=1)
    spans = positive - negative
    # FAISS rounds with 255 steps of the largest range, which a sum of four may miss by one ulp.
    assert spans.max() == pytest.approx(1.0, rel=3e-7)
    best = np.rint(STEPS * spans[:-2]).sum() + STEPS
    assert STEPS <= best <= MOST_STEPS  # and FAISS does not return a score of 0
    visible = np.abs(scanned[: vectors.shape[1]][vectors[0] != 0])
    coarse = 1.0 if length < 5_000 else 0.5
    assert (visible >= coarse * 0.999 / STEPS / 2).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    references=st.integers(60, 400),
    length=st.integers(1, 70),
    hidden=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    k=st.integers(1, 4),
)
def test_distances_are_exact_under_any_mask_and_excluded_rows_are_not_found(
    seed, references, length, hidden, k
):
    window = windows.random_window(seed, references=references, length=length, width=2)
    rng = np.random.default_rng(seed)
    own = rng.integers(references, size=5)
    excluded = np.stack([own, np.where(rng.random(5) < 0.5, own ^ 1, -1)], axis=1)
    excluded[excluded >= references] = -1
    queries = window.alleles[own].copy()
    queries[rng.random(queries.shape) < 0.05] = tokens.MISSING
    query = window.query(tokens.hide(queries, rng.random(queries.shape) < hidden))
    index, slow = indexes(window.alleles)
    hits = nearest(index, query, k, excluded)
    true = slow.search(query).distances(hits.rows).astype(np.float32)
    npt.assert_array_equal(hits.distances, true)
    best = nearest(slow, query, k, excluded)
    assert (hits.distances >= best.distances).all()
    for rows, banned in zip(hits.rows, excluded, strict=True):
        assert len(set(rows)) == k
        assert not set(rows) & set(banned)
        assert set(rows) <= set(range(references))


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_windows_have_nearly_the_neighbours_of_the_exact_index(rate, spread):
    alleles = mosaics(1, 3_000, 800)
    index, slow = indexes(alleles[20:])
    rng = np.random.default_rng(2)
    hidden = tokens.hide(alleles[:20], rng.random((20, 800)) < rate)
    query = Query(hidden, rng.lognormal(0, spread, 800).astype(np.float32))
    assert recall(nearest(index, query, 16), nearest(slow, query, 16)) > 0.99


def test_segments_have_nearly_the_neighbours_of_the_exact_index():
    alleles = mosaics(3, 5_000, 800, founders=8)  # so hundreds are equal within a segment
    index, slow = indexes(alleles[20:])
    is_masked = np.random.default_rng(4).random(800) < 0.5
    query = Query(tokens.hide(alleles[:20], is_masked), np.ones(800, dtype=np.float32))
    found, best = (nearest_in_segments(one, query, 32, 8) for one in (index, slow))
    shared = [len(set(a) & set(b)) for a, b in zip(found.rows, best.rows, strict=True)]
    assert sum(shared) / best.rows.size > 0.97  # .91 if sites could vanish in the rounding
    narrow = query.weights * np.float32(1e-3)
    narrow[100:280] = 1
    segment = Query(query.tokens, narrow)
    assert recall(nearest(index, segment, 4), nearest(slow, segment, 4)) > 0.97


def test_references_under_another_mask_are_ranked_by_the_same_distances():
    window = windows.random_window(5, references=300, length=60)
    rng = np.random.default_rng(5)
    costs = rng.random((2, 60)).astype(np.float32)
    other = OtherMask(rng.random(60) < 0.4, costs)
    hidden = tokens.hide(window.alleles[:8], rng.random((8, 60)) < 0.4)
    query = Query(hidden, window.weights, other_mask=other)
    index, slow = indexes(window.alleles)
    found, best = (nearest(one, query, 5) for one in (index, slow))
    npt.assert_array_equal(found.distances, slow.search(query).distances(found.rows).astype("f4"))
    assert recall(found, best) > 0.95


def test_neighbours_depend_on_neither_batch_nor_threads_though_most_references_tie():
    alleles = mosaics(6, 4_000, 200, founders=3)
    index, _ = indexes(alleles)
    query = tokens.hide(alleles[:40], np.arange(200) % 3 > 0)
    weights = np.ones(200, dtype=np.float32)
    whole = nearest(index, Query(query, weights), 12).rows
    threads = faiss.omp_get_max_threads()
    try:
        for count in (1, 2, 4):
            faiss.omp_set_num_threads(count)
            for size in (1, 3, 7, 33):
                parts = [
                    nearest(index, Query(query[first : first + size], weights), 12).rows
                    for first in range(0, 40, size)
                ]
                npt.assert_array_equal(np.concatenate(parts), whole)
    finally:
        faiss.omp_set_num_threads(threads)


def test_a_panel_smaller_than_the_first_pass_is_searched_exactly():
    window = windows.random_window(7, references=20, length=33)
    index, slow = indexes(window.alleles)
    query = window.query(tokens.hide(window.alleles[:6], np.arange(33) % 2 == 0))
    found, best = (nearest(one, query, 20) for one in (index, slow))
    npt.assert_array_equal(found.rows, best.rows)
    npt.assert_array_equal(found.distances, best.distances)


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0])
def test_weights_that_are_not_numbers_are_refused_and_not_taken_for_the_last_row(weight):
    window = windows.random_window(8, references=80, length=16)
    weights = window.weights.copy()
    weights[3] = weight
    with pytest.raises(ConfigError, match="at site 3 of the window"):
        nearest(indexes(window.alleles)[0], Query(window.alleles[:2], weights), 2)


def test_a_processor_without_vector_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(fast, "has_vector_instructions", lambda: False)
    with pytest.raises(DeviceError, match=r"--kind fast needs a processor.*--kind exact"):
        fast.FastIndex(fast.build(np.zeros((40, 2), dtype=np.uint8)), 16)


@pytest.mark.parametrize(("options", "is_fast"), [("OPTIMIZE AVX2 ", True), ("OPTIMIZE ", False)])
def test_a_faiss_that_cannot_choose_its_instructions_names_them_in_its_options(
    monkeypatch, options, is_fast
):
    monkeypatch.delattr(faiss, "SIMDConfig", raising=False)
    monkeypatch.setattr(faiss, "get_compile_options", lambda: options)
    assert fast.has_vector_instructions() is is_fast


def test_windows_of_too_many_sites_are_refused():
    with pytest.raises(ConfigError, match=r"at most 16,384 sites.*have 16,385.*--kind exact"):
        fast.require_usable(fast.MAX_SITES + 1)
