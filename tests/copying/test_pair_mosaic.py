"""Both haplotypes in one pass against the mean over all phases, each imputed by a slow oracle."""

from itertools import product

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks, oracle
from vcfbert.copying import engine, mosaic
from vcfbert.copying.branches import of_phases
from vcfbert.copying.network import copying_only

ROWS = np.arange(1, 40)
LIMIT = min(float(mosaic.ACTIVE), 0.5 / len(ROWS))


@pytest.fixture(scope="module", params=[chunks.SINGLE, 0.02], ids=["one site", "some sites"])
def fx_case(request):
    case = chunks.make(4, num_sites=420, typed=150, cluster_cm=request.param)
    query = np.stack([case.typed_alleles(0, (4, 66)), case.typed_alleles(1, (4, 90))])
    return case, query


def heterozygotes(query):
    return np.flatnonzero((query[0] != query[1]) & (query <= 1).all(axis=0))


def turned(query, *hets):
    """The haplotypes exchanged from each of some heterozygotes on."""
    found = query.copy()
    for het in hets:
        found[:, het:] = found[::-1, het:]
    return found


def track_weights(case, phase, query, turns):
    """(2, A, C, K) weights of the haplotype of a phase that is on each track of `query`.

    turns  False if the phase differs by flips, which leave the haplotypes on their tracks
    """
    both = np.stack([oracle.copying_weights(case, one, ROWS) for one in phase])
    hets = heterozygotes(query)
    is_other = phase[0, hets] != query[0, hets]
    for c, stop in enumerate(case.chunk.stops):
        past = np.flatnonzero(hets < stop)
        if turns and len(past) and is_other[past[-1]]:
            both[:, :, c] = both[::-1, :, c]
    return both


def pair(case, query, phases, low=-1.0):
    prepared = engine.Prepared(case.chunk, case.group_frequency)
    branches = of_phases(np.stack(phases), query, case.chunk.stops)
    return engine.open_sites_of_pair(prepared, query, ROWS, branches, low=low)


def assert_mean(case, query, phases, *, turns):
    found = pair(case, query, phases)
    weights = np.mean([track_weights(case, phase, query, turns) for phase in phases], axis=0)
    for v in range(2):
        expected = oracle.answer(case, query[v], ROWS, weights[v], LIMIT).probabilities
        npt.assert_allclose(found[v].probabilities, expected, atol=3e-5)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.5, 0.98])
def test_an_uncertain_turn_is_the_exact_mean_of_both_phases(fx_case, place):
    case, query = fx_case
    hets = heterozygotes(query)
    het = hets[1 + int(place * (len(hets) - 2))]
    assert_mean(case, query, [query, query, turned(query, het)], turns=True)


def test_an_uncertain_order_of_one_heterozygote_is_the_exact_mean(fx_case):
    case, query = fx_case
    hets = heterozygotes(query)
    assert_mean(case, query, [query] * 3 + [turned(query, *hets[[9, 10]])], turns=False)


def test_branches_at_many_clusters_are_near_the_mean_over_all_phases(fx_case):
    """Four uncertain turns that are independent of each other make sixteen phases."""
    case, query = fx_case
    hets = heterozygotes(query)
    places = hets[np.linspace(3, len(hets) - 4, 4).astype(int)]
    phases = [
        turned(query, *[het for het, is_turned in zip(places, chosen, strict=True) if is_turned])
        for chosen in product((False, True), repeat=4)
    ]
    found = pair(case, query, phases)
    certain = pair(case, query, [query])
    weights = np.mean([track_weights(case, phase, query, True) for phase in phases], axis=0)
    for v in range(2):
        expected = oracle.answer(case, query[v], ROWS, weights[v], LIMIT).probabilities
        distance = np.abs(found[v].probabilities - expected).mean()
        assert distance < 0.1 * np.abs(certain[v].probabilities - expected).mean()


def test_a_certain_phase_is_imputed_as_haplotype_by_haplotype(fx_case):
    case, query = fx_case
    prepared = engine.Prepared(case.chunk, case.group_frequency)
    alone = engine.open_sites(prepared, query, [ROWS, ROWS], low=0.01)
    for one, other in zip(pair(case, query, [query], low=0.01), alone, strict=True):
        npt.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
        npt.assert_allclose(one.left_out, other.left_out, atol=1e-6)
        npt.assert_array_equal(one.open.sites, other.open.sites)
        npt.assert_allclose(one.open.rows, other.open.rows, atol=1e-4)


def test_an_uncertain_allele_is_left_out_of_every_phase():
    """One site a cluster, so that the oracle may delete an allele without moving the others."""
    case = chunks.make(4, num_sites=420, typed=150)
    query = np.stack([case.typed_alleles(0), case.typed_alleles(1)])
    het, after = heterozygotes(query)[[9, 10]]
    flipped = turned(query, het, after)
    found = pair(case, query, [query, query, query, flipped])
    for v in range(2):
        expected = 0.75 * oracle.left_out(case, query[v], ROWS, het)
        expected += 0.25 * oracle.left_out(case, flipped[1 - v], ROWS, het)
        assert found[v].left_out[het] == pytest.approx(expected, abs=1e-4)


def test_the_numbers_do_not_depend_on_threads(fx_case):
    case, query = fx_case
    prepared = engine.Prepared(case.chunk, case.group_frequency)
    hets = heterozygotes(query)
    likeliest = np.stack([turned(query, het) for het in hets[2:8]])
    phases = [np.stack([one, turned(one, hets[12])]) for one in likeliest]
    branches = [of_phases(*one, case.chunk.stops) for one in zip(phases, likeliest, strict=True)]
    found = [
        engine.impute_samples(
            prepared, copying_only(), likeliest, [ROWS] * 12, threads=threads, branches=branches
        )
        for threads in (1, 3)
    ]
    assert found[0].alt.tobytes() == found[1].alt.tobytes()
    assert found[0].left_out.tobytes() == found[1].left_out.tobytes()
