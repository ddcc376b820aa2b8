"""The lattice has the probabilities of an exact enumeration of all phases."""

import numpy as np
import numpy.testing as npt
import pytest

from tests.phasing import mosaics
from vcfbert.copying.intrinsics import leading_zeros
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
    back = np.ones(len(log_odds), np.int64)
    lattice.fill(
        np.ascontiguousarray(words(references).T),
        steps.along(alleles, cm, RATE, np.full(len(cm), ERROR), longest),
        share.astype(np.float32), log_prior(log_odds), back, lag, floor, found,
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


def test_the_likelihood_of_a_haplotype_is_exact():
    references, alleles, cm, _, share = case(2)
    haplotype = alleles[0]
    plan = steps.along(np.stack([haplotype, haplotype]), cm, RATE, np.full(len(cm), ERROR), 0.0)
    candidates = np.ascontiguousarray(words(references).T)
    found = lattice.log_likelihood(candidates, plan, share.astype(np.float32))
    expected = mosaics.log_likelihood(references, haplotype, cm, RATE, ERROR, share)
    num_known = int((haplotype <= tokens.ALT).sum())
    assert found + num_known * np.log(1 - ERROR) == pytest.approx(expected, abs=1e-3)


def test_a_run_of_homozygotes_ends_where_it_is_too_long_and_at_a_heterozygote():
    alleles = np.array([[0, 1, 0, 1, 1, 4, 0], [0, 1, 0, 0, 1, 1, 0]], np.uint8)
    cm = np.array([0.0, 0.01, 0.5, 0.51, 0.52, 0.53, 0.54])
    found = steps.along(alleles, cm, 1.0, np.full(7, 0.01), 0.1)
    assert found.mask.tolist() == [0b11, 0b100, 0b1000, 0b1010000]
    assert found.wanted.tolist() == [0b10, 0, 0b1000, 0b10000]
    assert found.het.tolist() == [-1, -1, 0, -1]
    npt.assert_allclose(found.switch, -np.expm1(-np.array([0.0, 0.5, 0.01, 0.01])), rtol=1e-5)


def test_a_site_with_more_errors_is_a_step_of_its_own():
    alleles = np.zeros((2, 5), np.uint8)
    errors = np.array([0.01, 0.015, 0.2, 0.01, 0.01])
    found = steps.along(alleles, np.arange(5) / 1_000, 1.0, errors, 0.1)
    assert found.mask.tolist() == [0b11, 0b100, 0b11000]
    npt.assert_allclose(found.ratio, [0.01 / 0.99, 0.25, 0.01 / 0.99], rtol=1e-6)


def test_the_turn_of_a_site_with_errors_is_less_sure():
    known = case(4)
    hets = np.flatnonzero(steps.genotypes(known[1]) == steps.HET)
    errors = np.full(70, ERROR)
    errors[hets[3]] = 0.3
    plan = steps.along(known[1], known[2], RATE, errors, 0.0)
    found = lattice.empty(len(hets), 128)
    lattice.fill(
        np.ascontiguousarray(words(known[0]).T), plan, known[4].astype(np.float32),
        log_prior(np.zeros(len(hets))), 63, 60.0, found,
    )  # fmt: skip
    turns, usual = (
        np.empty(len(hets), np.float32),
        run(*known[:3], np.zeros(len(hets)), known[4])[1],
    )
    lattice.turn_probabilities(found, turns)
    assert abs(turns[3] - 0.5) < abs(usual[3] - 0.5)


@pytest.mark.parametrize("word", [0, 1, 2**63, 2**40 + 5])
def test_leading_zeros_are_counted(word):
    assert leading_zeros(np.uint64(word)) == 64 - word.bit_length()
