"""The compiled forward-backward steps against the float64 oracle."""

import math

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks
from tests.copying.kernels import copying_weights
from tests.copying.oracle import reference_weights
from vcfbert.copying.forward_backward import clusters

TOLERANCE = 1e-5


def steps_of(case):
    """(C,) float64 distances of clusters."""
    places = case.chunk.cm[case.chunk.typed[case.chunk.points]].astype(np.float64)
    return np.diff(places, prepend=places[0])


def weights_of(case, query, rows, rates, errors, steps=None):
    return copying_weights(
        case.chunk.typed_bits,
        rows,
        query,
        case.chunk.stops,
        steps_of(case) if steps is None else steps,
        np.asarray(rates, np.float32),
        np.asarray(errors, np.float32),
    )


@pytest.mark.parametrize("num_typed", [1, 2, 63, 64, 65, 127, 128, 200])
def test_weights_are_those_of_the_oracle_across_blocks_of_64(num_typed):
    case = chunks.make(num_typed, num_sites=300, typed=num_typed)
    rows = chunks.some_rows(num_typed, case, 31)
    query = case.typed_alleles(0)
    rates, errors = case.chunk.rates, case.chunk.errors
    found = weights_of(case, query, rows, rates, errors)
    typed = case.alleles[rows][:, case.chunk.typed]
    for a in range(len(rates)):
        expected = reference_weights(
            typed, query, case.chunk.stops, steps_of(case), rates[a], errors[a]
        )
        npt.assert_allclose(found[:, a], expected, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(12))
def test_weights_are_those_of_the_oracle_for_any_rates_and_missing_alleles(seed):
    generator = np.random.default_rng(100 + seed)
    num_typed = int(generator.integers(1, 220))
    case = chunks.make(seed, num_sites=250, typed=num_typed, num_references=90)
    rows = chunks.some_rows(seed, case, int(generator.integers(1, 90)))
    missing = np.flatnonzero(generator.random(num_typed) < 0.3)
    query = case.typed_alleles(0, tuple(missing))
    rate, error = 10 ** generator.uniform(-3, 3), 10 ** generator.uniform(-5, -0.7)
    found = weights_of(case, query, rows, [rate], [error])
    typed = case.alleles[rows][:, case.chunk.typed]
    rate, error = float(np.float32(rate)), float(np.float32(error))
    expected = reference_weights(typed, query, case.chunk.stops, steps_of(case), rate, error)
    npt.assert_allclose(found[:, 0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("error", [1e-5, 1e-3])
def test_a_long_chunk_neither_under_nor_overflows(error):
    num_typed = 20_000
    case = chunks.make(3, num_sites=num_typed, typed=np.arange(num_typed), length_cm=80.0)
    rows = chunks.some_rows(3, case, 40)
    query = np.random.default_rng(4).integers(2, size=num_typed).astype(np.uint8)  # fits none
    found = weights_of(case, query, rows, [1e-3, 40.0], [error, error])
    assert np.isfinite(found).all()
    npt.assert_allclose(found.sum(axis=2), 1.0, atol=1e-5)
    for a, rate in enumerate((1e-3, 40.0)):
        expected = reference_weights(
            case.alleles[rows],
            query,
            case.chunk.stops,
            steps_of(case),
            float(np.float32(rate)),
            error,
        )
        npt.assert_allclose(found[:, a], expected, atol=1e-4)


def test_many_mismatches_in_a_row_leave_finite_weights():
    case = chunks.make(5, num_sites=128, typed=128)
    query = 1 - case.alleles[0]
    found = weights_of(case, query, np.array([0]), [1e-6], [1e-6])
    npt.assert_allclose(found, np.ones((128, 1, 1)), atol=1e-6)


def test_a_query_with_no_observed_allele_copies_all_alike():
    case = chunks.make(6, num_sites=100, typed=70)
    rows = chunks.some_rows(6, case, 13)
    query = case.typed_alleles(0, tuple(range(70)))
    found = weights_of(case, query, rows, case.chunk.rates, case.chunk.errors)
    npt.assert_allclose(found, 1 / 13, atol=1e-6)


def test_an_unobserved_allele_is_the_same_as_a_site_that_is_not_typed():
    case = chunks.make(7, num_sites=150, typed=80)
    rows = chunks.some_rows(7, case, 20)
    kept = np.arange(80) % 3 > 0
    kept[0] = True
    query = case.typed_alleles(0, tuple(np.flatnonzero(~kept)))
    with_gaps = weights_of(case, query, rows, case.chunk.rates, case.chunk.errors)
    places = case.chunk.cm[case.chunk.typed[kept]].astype(np.float64)
    fewer = copying_weights(
        chunks.pack(case.alleles[:, case.chunk.typed[kept]]),
        rows,
        query[kept],
        np.arange(1, kept.sum() + 1),
        np.diff(places, prepend=places[0]),
        case.chunk.rates,
        case.chunk.errors,
    )
    # Not to the last digits: sites at one position are taken to be MIN_STEP_CM apart.
    npt.assert_allclose(with_gaps[kept], fewer, atol=1e-4)


@pytest.mark.parametrize("value", [2, 3, 255])
def test_every_allele_above_one_means_unobserved(value):
    case = chunks.make(8, num_sites=90, typed=66)
    rows = chunks.some_rows(8, case, 20)
    query = case.typed_alleles(0, (0, 5, 64, 65))
    other = np.where(query == chunks.MISSING, value, query).astype(np.uint8)
    rates, errors = case.chunk.rates, case.chunk.errors
    npt.assert_array_equal(
        weights_of(case, query, rows, rates, errors), weights_of(case, other, rows, rates, errors)
    )


def test_haplotypes_that_are_not_candidates_have_no_influence():
    case = chunks.make(9, num_sites=90, typed=70)
    rows = chunks.some_rows(9, case, 20)
    query = case.typed_alleles(0)
    before = weights_of(case, query, rows, case.chunk.rates, case.chunk.errors)
    others = np.setdiff1d(np.arange(len(case.alleles)), rows)
    case.chunk.typed_bits[others] = ~case.chunk.typed_bits[others]
    after = weights_of(case, query, rows, case.chunk.rates, case.chunk.errors)
    npt.assert_array_equal(before, after)


@pytest.mark.parametrize("longest", [0.01, 0.1, 10.0])
def test_weights_of_clusters_are_those_of_the_oracle(longest):
    case = chunks.make(11, num_sites=400, typed=300, cluster_cm=longest)
    rows = chunks.some_rows(11, case, 25)
    query = case.typed_alleles(1, (0, 70, 71, 72))
    found = weights_of(case, query, rows, case.chunk.rates, case.chunk.errors)
    assert 5 <= len(case.chunk.stops) < 300
    typed = case.alleles[rows][:, case.chunk.typed]
    for a, (rate, error) in enumerate(zip(case.chunk.rates, case.chunk.errors, strict=True)):
        expected = reference_weights(
            typed, query, case.chunk.stops, steps_of(case), float(rate), float(error)
        )
        npt.assert_allclose(found[:, a], expected, atol=TOLERANCE)


@pytest.mark.parametrize("error", [1e-5, 1e-3, 0.05])
def test_every_mismatch_of_a_cluster_counts(error):
    """A query that fits no candidate has up to 64 mismatches in a cluster."""
    case = chunks.make(13, num_sites=640, typed=np.arange(640), cluster_cm=10.0)
    rows = chunks.some_rows(13, case, 30)
    query = case.typed_alleles(2)
    query[::3] = np.random.default_rng(6).integers(2, size=len(query[::3]))
    found = weights_of(case, query, rows, [0.7], [error])
    assert len(case.chunk.stops) == 10
    differ = case.alleles[rows] != query
    assert (np.add.reduceat(differ, np.arange(0, 640, 64), axis=1) > 8).any(axis=0).all()
    expected = reference_weights(
        case.alleles[rows], query, case.chunk.stops, steps_of(case), float(np.float32(0.7)), error
    )
    npt.assert_allclose(found[:, 0], expected, atol=1e-4)


def test_clusters_are_short_and_stay_within_words():
    generator = np.random.default_rng(12)
    cm = np.cumsum(generator.exponential(0.01, 1000) * (generator.random(1000) > 0.2))
    stops = clusters(cm, 0.03)
    starts = np.append(0, stops[:-1])
    assert stops[-1] == 1000
    assert (cm[stops - 1] - cm[starts] <= 0.03).all()
    assert (starts // 64 == (stops - 1) // 64).all()
    grown = (stops < 1000) & (stops % 64 > 0)
    assert (cm[stops[grown]] - cm[starts[grown]] > 0.03).all()  # none could be longer


def test_the_oracle_is_the_hidden_markov_model_by_its_definition():
    """Sums over every path of three sites and three candidates."""
    alleles = np.array([[0, 1, 1], [0, 0, 1], [1, 1, 0]], np.uint8)
    query, steps = np.array([0, 1, 1], np.uint8), np.array([0.0, 0.3, 0.5])
    rate, error = 1.3, 0.02
    weights = np.zeros((3, 3))
    for path in np.ndindex(3, 3, 3):
        chance = 1 / 3
        for t in range(3):
            chance *= 1 - error if alleles[path[t], t] == query[t] else error
            if t:
                rho = 1 - math.exp(-rate * steps[t])
                chance *= rho / 3 + (1 - rho) * (path[t] == path[t - 1])
        for t in range(3):
            weights[t, path[t]] += chance
    weights /= weights.sum(axis=1, keepdims=True)
    npt.assert_allclose(
        reference_weights(alleles, query, np.arange(1, 4), steps, rate, error), weights, atol=1e-12
    )
