"""The lattice has the probabilities of an exact enumeration of all phases."""

import numpy as np
import numpy.testing as npt
import pytest

from tests.phasing import mosaics
from vcfbert.domain import tokens
from vcfbert.phasing import lattice, sampling, steps
from vcfbert.phasing.genotype_search import words
from vcfbert.phasing.phase_chunk import log_prior

RATE, ERROR = mosaics.RATE, mosaics.ERROR


def case(seed, num_hets=7):
    """References, one sample in random order with missing alleles, positions, prior and shares."""
    rng = np.random.default_rng(seed)
    references, cm = mosaics.panel(rng, 24, 70)
    alleles = mosaics.copies(rng, references, cm, 2)
    hets = np.flatnonzero(alleles[0] != alleles[1])
    extra = hets[np.sort(rng.permutation(len(hets))[num_hets:])]
    alleles[1, extra] = alleles[0, extra]
    alleles[rng.integers(2, size=8), rng.permutation(70)[:8]] = tokens.MISSING
    share = rng.random(24) + 0.2
    num_hets = int((steps.genotypes(alleles) == steps.HET).sum())
    return references, alleles, cm, rng.normal(size=num_hets), share / share.sum()


def run(references, alleles, cm, log_odds, share, *, beam=128, lag=63, floor=60.0, longest=0.0):
    found = lattice.empty(len(log_odds), beam)
    lattice.fill(
        np.ascontiguousarray(words(references).T), steps.along(alleles, cm, RATE, longest),
        share.astype(np.float32), log_prior(log_odds), ERROR, lag, floor, found,
    )  # fmt: skip
    turns = np.empty(len(log_odds), np.float32)
    lattice.turn_probabilities(found, turns)
    return found, turns


@pytest.mark.parametrize("seed", range(6))
def test_turns_have_their_exact_probabilities(seed):
    known = case(seed)
    expected, _ = mosaics.exact_turns(*known[:4], RATE, ERROR, known[4])
    _, turns = run(*known)
    assert expected[1:].max() > 0.01
    npt.assert_allclose(turns, expected, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_usual_beam_is_nearly_exact(seed):
    known = case(seed, num_hets=9)
    expected, _ = mosaics.exact_turns(*known[:4], RATE, ERROR, known[4])
    _, turns = run(*known, beam=16, lag=5, floor=9.0, longest=0.01)
    npt.assert_allclose(turns, expected, atol=0.03)


def test_draws_have_the_exact_probabilities_of_whole_phases():
    known = case(11, num_hets=5)
    _, by_phase = mosaics.exact_turns(*known[:4], RATE, ERROR, known[4])
    found, _ = run(*known)
    drawn = sampling.turns(found, 4_000, np.random.default_rng(1))
    assert len(by_phase) > 4
    for turns, probability in by_phase.items():
        share = float((drawn == turns).all(axis=1).mean())
        assert share == pytest.approx(probability, abs=0.01)


def test_a_few_draws_share_out_the_alternatives_evenly():
    """So the mean of four draws is never farther from the probability than chance makes it."""
    known = case(11, num_hets=5)
    found, turns = run(*known)
    even = [
        sampling.turns(found, 4, np.random.default_rng(seed)).mean(axis=0) for seed in range(99)
    ]
    by_chance = np.sqrt(turns * (1 - turns) / 4)
    assert (np.std(even, axis=0)[1:] < 0.9 * by_chance[1:] + 0.02).all()


def test_a_run_of_homozygotes_ends_where_it_is_too_long_and_at_a_heterozygote():
    alleles = np.array([[0, 1, 0, 1, 1, 4, 0], [0, 1, 0, 0, 1, 1, 0]], np.uint8)
    cm = np.array([0.0, 0.01, 0.5, 0.51, 0.52, 0.53, 0.54])
    found = steps.along(alleles, cm, 1.0, 0.1)
    assert found.mask.tolist() == [0b11, 0b100, 0b1000, 0b1010000]
    assert found.wanted.tolist() == [0b10, 0, 0b1000, 0b10000]
    assert found.het.tolist() == [-1, -1, 0, -1]
    npt.assert_allclose(found.switch, -np.expm1(-np.array([0.0, 0.5, 0.01, 0.01])), rtol=1e-5)
