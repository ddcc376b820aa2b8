"""Probabilities of the compiled kernel against a slow oracle. All tests share one compiled path."""

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks, kernels, oracle
from vcfbert.copying import inputs, mosaic

LAYOUTS = {
    "one typed site": (150, np.array([70])),
    "first and last typed": (130, np.array([0, 129])),
    "every site typed": (70, np.arange(70)),
    "every other site": (260, np.arange(1, 260, 2)),
    "long gaps": (700, np.array([200, 201, 430, 600])),
    "two blocks": (400, 65),
    "four blocks": (900, 200),
    "one word": (40, 9),
    "one site": (1, np.array([0])),
}
CLUSTERS = (chunks.SINGLE, 0.02, 0.3, 5.0)  # cM; at most one site, a few, many, a block of 64


def limit(rows):
    """The weight from which on a candidate votes."""
    return min(float(mosaic.ACTIVE), 0.5 / len(rows))


@pytest.mark.parametrize("cluster_cm", CLUSTERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_probabilities_are_those_of_the_oracle(layout, cluster_cm):
    num_sites, typed = LAYOUTS[layout]
    case = chunks.make(1, num_sites=num_sites, typed=typed, cluster_cm=cluster_cm)
    for number in range(2):
        rows = chunks.some_rows(number, case, 33)
        query = case.typed_alleles(number)
        found = kernels.impute(case, query, rows)
        expected = oracle.impute(case, query, rows, limit(rows))
        npt.assert_allclose(found.probabilities, expected.probabilities, atol=2e-5)
        npt.assert_allclose(found.shares, expected.shares, atol=2e-5)


@pytest.mark.parametrize("cluster_cm", CLUSTERS)
@pytest.mark.parametrize("seed", range(6))
def test_probabilities_with_missing_alleles_are_those_of_the_oracle(seed, cluster_cm):
    generator = np.random.default_rng(seed)
    num_typed = int(generator.integers(2, 150))
    case = chunks.make(
        20 + seed, num_sites=333, typed=num_typed, num_references=80, cluster_cm=cluster_cm
    )
    rows = chunks.some_rows(seed, case, int(generator.integers(1, 80)))
    missing = tuple(np.flatnonzero(generator.random(num_typed) < 0.25))
    query = case.typed_alleles(0, missing)
    found = kernels.impute(case, query, rows)
    expected = oracle.impute(case, query, rows, limit(rows))
    npt.assert_allclose(found.probabilities, expected.probabilities, atol=2e-5)


def test_leaving_light_candidates_out_moves_probabilities_by_little():
    """Six founders with 60 copies each are the worst case: each copy's weight is small."""
    for seed in range(4):
        case = chunks.make(seed, num_sites=600, typed=60, num_references=400)
        rows = np.arange(400)
        query = case.typed_alleles(0)
        found = kernels.impute(case, query, rows)
        exact = oracle.impute(case, query, rows, 0.0)
        moved = np.abs(found.probabilities - exact.probabilities)
        assert moved.mean() < 5e-3
        assert moved.max() < 0.2


@pytest.mark.parametrize("cluster_cm", CLUSTERS)
def test_inputs_are_those_of_the_oracle(cluster_cm):
    case = chunks.make(21, num_sites=420, typed=150, cluster_cm=cluster_cm)
    rows, query = chunks.some_rows(3, case, 33), case.typed_alleles(1, (4, 66))
    found = kernels.impute(case, query, rows)
    answer = oracle.impute(case, query, rows, limit(rows))
    expected = oracle.network_inputs(case, query, rows, answer.probabilities)
    for place, name in enumerate(inputs.NAMES[: inputs.ANCESTRY]):
        mine, theirs = found.rows[:, place], expected[found.sites, place]
        if name.startswith(("parameter", "vote")):
            mine, theirs = 1 / (1 + np.exp(-mine)), 1 / (1 + np.exp(-theirs))
        npt.assert_allclose(mine, theirs, atol=1e-3, err_msg=name)


def test_observed_alleles_are_kept_and_missing_ones_imputed():
    case = chunks.make(3, num_sites=200, typed=80)
    query = case.typed_alleles(0, (0, 40, 79))
    found = kernels.impute(case, query, chunks.some_rows(3, case, 30))
    at_typed = found.probabilities[case.chunk.typed]
    seen = query <= 1
    npt.assert_array_equal(at_typed[seen], np.repeat(query[seen, None], 3, axis=1))
    assert (at_typed[~seen] >= 0).all()
    assert (at_typed[~seen] <= 1 + 1e-6).all()


def test_more_candidates_than_pruning_lets_vote_one_by_one_still_vote():
    """Without an observed allele 1,500 candidates weigh less than ACTIVE each."""
    case = chunks.make(4, num_sites=90, typed=3, num_references=1500)
    found = kernels.impute(case, case.typed_alleles(0, (0, 1, 2)), np.arange(1500))
    frequency = case.alleles.mean(axis=0)
    npt.assert_allclose(found.probabilities, np.repeat(frequency[:, None], 3, 1), atol=1e-4)


def test_a_haplotype_among_the_candidates_is_copied():
    case = chunks.make(5, num_sites=500, typed=64)
    query = case.alleles[7, case.chunk.typed]
    rows = np.arange(len(case.alleles))
    others = np.delete(case.alleles[:, case.chunk.typed], 7, axis=0)
    assert not (others == query).all(axis=1).any()  # so that 7 alone fits throughout
    found = kernels.impute(case, query, rows)
    best = np.round(found.probabilities[:, 1])
    assert (best == case.alleles[7]).mean() > 0.97


def test_between_typed_sites_weights_move_in_proportion_to_genetic_distance():
    case = chunks.make(6, num_sites=120, typed=np.array([10, 100]))
    query = case.typed_alleles(0)
    found = kernels.impute(case, query, np.arange(40))
    cm, start, stop = case.chunk.cm, case.chunk.cm[10], case.chunk.cm[100]
    expected = 9 + (cm[found.sites] - start) / (stop - start)
    inside = (found.sites > 10) & (found.sites < 100)
    npt.assert_allclose(found.places[inside], expected[inside] - 9, atol=1e-5)
    assert (found.places[found.sites < 10] == 0).all()
    assert (found.places[found.sites > 100] == 1).all()


def test_sites_at_one_position_with_a_typed_one_have_its_weights():
    case = chunks.make(7, num_sites=60, typed=np.array([20, 40]))
    case.chunk.cm[18:24] = case.chunk.cm[20]
    query, rows = case.typed_alleles(0), chunks.some_rows(7, case, 30)
    found = kernels.impute(case, query, rows)
    exact = oracle.impute(case, query, rows, limit(rows))
    at_typed = exact.weights[:, 0] @ case.alleles[rows].astype(float)  # (A, S)
    for site in (18, 19, 21, 22, 23):
        npt.assert_allclose(found.probabilities[site], at_typed[:, site], atol=5e-3)


def test_a_chunk_without_genetic_length_is_finite():
    case = chunks.make(8, num_sites=100, typed=20, length_cm=0.0)
    found = kernels.impute(case, case.typed_alleles(0), np.arange(40))
    ready = ~np.isnan(found.rows).all(
        axis=0
    )  # the columns of the other haplotype are filled in later
    assert np.isfinite(found.probabilities).all()
    assert np.isfinite(found.rows[:, ready]).all()
    share = 1 / (1 + np.exp(-found.rows[:, inputs.VOTES]))
    npt.assert_allclose(share, case.alleles[:, found.sites].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("low", [1e-3, 0.05, 0.6])
def test_open_sites_are_those_where_some_parameter_set_is_undecided(low):
    case = chunks.make(9, num_sites=400, typed=50)
    rows = chunks.some_rows(9, case, 30)
    query = case.typed_alleles(0, (3, 9))
    found = kernels.impute(case, query, rows, low=low)
    every = kernels.impute(case, query, rows)
    npt.assert_array_equal(found.probabilities, every.probabilities)
    untyped = np.setdiff1d(np.arange(400), case.chunk.typed)
    low32 = np.float32(low)
    highest, lowest = every.probabilities.max(axis=1), every.probabilities.min(axis=1)
    expected = untyped[(highest > low32)[untyped] & (lowest < np.float32(1) - low32)[untyped]]
    npt.assert_array_equal(np.sort(found.sites), expected)
    npt.assert_array_equal(np.sort(every.sites), untyped)
    kept = np.isin(every.sites, found.sites)
    npt.assert_array_equal(found.rows, every.rows[kept])


def test_haplotypes_that_are_not_candidates_have_no_influence():
    case = chunks.make(10, num_sites=200, typed=70)
    rows, query = chunks.some_rows(10, case, 20), case.typed_alleles(0)
    before = kernels.impute(case, query, rows)
    others = np.setdiff1d(np.arange(len(case.alleles)), rows)
    for bits in (case.chunk.bits, case.chunk.typed_bits):
        bits[others] = ~bits[others]
    after = kernels.impute(case, query, rows)
    npt.assert_array_equal(before.probabilities, after.probabilities)
    npt.assert_array_equal(before.rows, after.rows)


def test_bits_beyond_the_last_site_are_not_read():
    case = chunks.make(11, num_sites=70, typed=5)
    rows, query = np.arange(40), case.typed_alleles(0)
    before = kernels.impute(case, query, rows)
    case.chunk.bits[:, -1] |= np.uint64(0xFFFF_FFFF_FFFF_FFFF) << np.uint64(70 - 64)
    case.chunk.typed_bits[:, -1] |= np.uint64(0xFFFF_FFFF_FFFF_FFFF) << np.uint64(5)
    after = kernels.impute(case, query, rows)
    npt.assert_array_equal(before.probabilities, after.probabilities)
    npt.assert_array_equal(before.rows, after.rows)


@pytest.mark.parametrize("cluster_cm", CLUSTERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_site_is_left_out_as_if_its_allele_were_deleted(layout, cluster_cm):
    num_sites, typed = LAYOUTS[layout]
    case = chunks.make(12, num_sites=num_sites, typed=typed, cluster_cm=cluster_cm)
    rows, every = chunks.some_rows(12, case, 33), len(case.chunk.typed)
    query = case.typed_alleles(0, (3, 40) if every > 50 else ())
    found = kernels.impute(case, query, rows)
    for number in range(0, every, max(every // 12, 1)):
        expected = oracle.left_out(case, query, rows, number)
        assert found.left_out[number] == pytest.approx(expected, abs=1e-4)
    assert ((found.left_out >= 0) & (found.left_out <= 1)).all()
