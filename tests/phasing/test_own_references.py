"""Phasing of samples by each other: known orders stay, and no sample copies itself."""

from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pytest

from tests.phasing import mosaics
from vcfbert.domain import tokens
from vcfbert.phasing import own_references, target_references
from vcfbert.phasing.phase_chunk import heterozygotes

NUM_SAMPLES, NUM_SITES = 60, 200
EVERY = slice(0, NUM_SITES)


@pytest.fixture(scope="module")
def fx_truth():
    """(N, 2, T) mosaics of twelve founders, of which the last sites are rare; and (T,) cM."""
    rng = np.random.default_rng(6)
    founders, cm = mosaics.panel(rng, 12, NUM_SITES)
    founders[:, -40:] = np.arange(12)[:, None] == np.arange(40) % 12
    order = np.argsort(rng.random(NUM_SITES))
    truth = mosaics.copies(rng, founders[:, order], cm, 2 * NUM_SAMPLES, rate=2.0)
    truth = truth.reshape(NUM_SAMPLES, 2, -1)
    truth[9, 1] = tokens.MISSING  # a haploid sample
    return truth, cm


def run(alleles, is_free, cm, *, log_odds=None, counted=EVERY, **others):
    def chunk_at(samples, sites):
        chunk = mosaics.chunk(np.empty((0, len(sites)), np.uint8), cm[sites],
                              alleles[samples][:, :, sites])  # fmt: skip
        if log_odds is not None:
            chunk = replace(chunk, turn_log_odds=log_odds[np.ix_(samples, sites)])
        return chunk

    chosen = {"seed": 1, "threads": 1} | others
    return own_references.phase(chunk_at, alleles, is_free, counted, **chosen)


def free(alleles):
    return np.asarray(tokens.is_heterozygous(alleles), dtype=np.bool_)


@pytest.fixture(scope="module")
def fx_phased(fx_truth):
    truth, cm = fx_truth
    asked = np.sort(truth, axis=1)
    return run(asked, free(asked), cm)


def test_genotypes_stay_and_phases_are_mostly_right(fx_truth, fx_phased):
    truth, _ = fx_truth
    npt.assert_array_equal(np.sort(fx_phased.alleles, axis=1), np.sort(truth, axis=1))
    npt.assert_array_equal(fx_phased.alleles[9], truth[9])
    wrong, total = mosaics.switch_errors(fx_phased.alleles, truth)
    assert total > 2000
    assert wrong < 0.2 * total  # a coin gives a half
    assert 0.3 * wrong < fx_phased.turn.sum() < 2 * wrong
    assert fx_phased.turn[9] == 0


@pytest.mark.parametrize("common", [0.01, 0.2], ids=["all sites", "common sites first"])
def test_the_result_does_not_depend_on_order_blocks_or_threads(fx_truth, monkeypatch, common):
    monkeypatch.setattr(own_references, "COMMON", common)
    truth, cm = fx_truth
    asked = np.sort(truth, axis=1)
    first = run(asked, free(asked), cm, passes=2)
    order = np.random.default_rng(1).permutation(NUM_SAMPLES)
    monkeypatch.setattr(target_references, "SAMPLES_AT_ONCE", 7)
    second = run(asked[order], free(asked)[order], cm, passes=2, threads=3)
    npt.assert_array_equal(first.alleles[order], second.alleles)
    npt.assert_array_equal(first.turn[order], second.turn)
    other = run(asked, free(asked), cm, passes=2, seed=2)
    assert (other.alleles != first.alleles).any()


def test_known_orders_stay(fx_truth):
    truth, cm = fx_truth
    is_free = free(truth).copy()
    is_free[:40] = False
    is_free[:, ::3] = False
    log_odds = np.zeros(truth[:, 0].shape, np.float32)
    log_odds[:40] = -np.inf
    found = run(truth, is_free, cm, log_odds=log_odds, passes=2)
    npt.assert_array_equal(found.alleles[:40], truth[:40])
    assert (found.turn[:40] == 0).all()


def test_a_sample_that_no_other_resembles_stays_uncertain(fx_truth):
    """If it copied itself, the order it starts with would be certain."""
    truth, cm = fx_truth
    rng = np.random.default_rng(7)
    unlike = np.sort(rng.integers(0, 2, (1, 2, NUM_SITES), dtype=np.uint8), axis=1)
    asked = np.concatenate([np.sort(truth, axis=1), unlike])
    found = run(asked, free(asked), cm, passes=3)
    assert found.turn[-1] > 0.2 * len(heterozygotes(unlike[0]))


def test_duplicates_do_not_confirm_each_other(fx_truth):
    truth, cm = fx_truth
    asked = np.sort(truth, axis=1)
    alone = run(asked[:20], free(asked[:20]), cm, passes=3)
    doubled = asked[[*range(20), 0]]
    twice = run(doubled, free(doubled), cm, passes=3)
    npt.assert_array_equal(twice.alleles[0], twice.alleles[20])
    assert twice.turn[0] > 0.3 * alone.turn[0] > 0


def test_errors_are_counted_in_the_core_alone(fx_truth, fx_phased):
    truth, cm = fx_truth
    asked = np.sort(truth, axis=1)
    parts = [run(asked, free(asked), cm, counted=part).turn
             for part in (slice(0, 80), slice(80, NUM_SITES))]  # fmt: skip
    npt.assert_allclose(parts[0] + parts[1], fx_phased.turn, rtol=1e-5)


def test_common_sites_are_spread_and_all_are_taken_if_they_are_few(monkeypatch):
    rng = np.random.default_rng(3)
    alleles = (rng.random((20, 2, 500)) < 0.4).astype(np.uint8)
    alleles[:, :, ::2] = 0
    cm = np.linspace(0, 1, 500)
    found = own_references.common_sites(alleles, cm)
    npt.assert_array_equal(found, np.arange(1, 500, 2))
    monkeypatch.setattr(own_references, "MOST_PER_CM", 120)
    assert len(own_references.common_sites(alleles, cm)) == 120
    npt.assert_array_equal(own_references.common_sites(alleles[:, :, :90], cm), np.arange(90))
