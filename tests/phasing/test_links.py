"""Heterozygotes that are linked to an earlier one that is not the one before."""

from dataclasses import replace

import numpy as np
import numpy.testing as npt
from hypothesis import given
from hypothesis import strategies as st

from tests.phasing import mosaics
from vcfbert.phasing.phase_chunk import MOST_BACK, PhasingOptions, agreeing, heterozygotes, phase


def interleaved(num_sets, seed=5):
    """Twenty samples whose heterozygotes are in turn in one of some phase sets, each either way."""
    rng = np.random.default_rng(seed)
    references, cm = mosaics.panel(rng, 60, 160)
    alleles = np.stack([mosaics.copies(rng, references, cm, 2) for _ in range(20)])
    chunk = mosaics.chunk(references, cm, alleles)
    odds, back = np.zeros(alleles[:, 0].shape, np.float32), np.ones(alleles[:, 0].shape, np.int64)
    for sample in range(len(alleles)):
        for first in np.flatnonzero(rng.random(num_sets) < 0.5).tolist():
            turned = heterozygotes(alleles[sample])[first::num_sets]
            alleles[sample][:, turned] = alleles[sample][::-1, turned]
        linked = heterozygotes(alleles[sample])[num_sets:]
        odds[sample, linked], back[sample, linked] = -np.inf, num_sets
    return replace(chunk, turn_log_odds=odds, back=back)


def test_the_order_within_a_set_stays_whatever_lies_between():
    for num_sets in (1, 2, 3):
        chunk = interleaved(num_sets)
        phased = phase(chunk, PhasingOptions(draws=3), threads=1)
        changed = 0
        for sample, before in enumerate(chunk.alleles):
            hets = heterozygotes(before)
            for found in (phased.alleles[sample], *phased.draws[:, sample]):
                is_turned = found[0, hets] != before[0, hets]
                for first in range(num_sets):
                    assert len(set(is_turned[first::num_sets].tolist())) == 1
                changed += is_turned.any()
        assert changed if num_sets > 1 else not changed


def test_a_link_to_the_heterozygote_before_is_the_usual_prior():
    chunk = interleaved(1)
    odds = np.where(np.isinf(chunk.turn_log_odds), np.float32(-1.5), np.float32(0))
    one = phase(replace(chunk, turn_log_odds=odds), PhasingOptions(), threads=1)
    other = phase(replace(chunk, turn_log_odds=odds, back=None), PhasingOptions(), threads=1)
    npt.assert_array_equal(one.turn, other.turn)
    assert MOST_BACK == 64


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30))
def test_the_best_guess_agrees_with_all_that_is_certain(seed, num_sets, num_hets):
    """The order within each set is known; the likeliest turns by themselves contradict it."""
    rng = np.random.default_rng(seed)
    order, label = rng.integers(0, 2, num_hets), rng.integers(0, num_sets + 1, num_hets)
    probability = rng.random(num_hets).astype(np.float32)
    log_odds, back, last = np.zeros(num_hets), np.ones(num_hets, np.int64), {}
    for het, name in enumerate(label.tolist()):
        if name and name in last:
            back[het] = het - last[name]
            log_odds[het] = np.inf if order[het] != order[last[name]] else -np.inf
            if back[het] == 1:
                probability[het] = float(log_odds[het] > 0)
        last[name] = het
    found = np.cumsum(agreeing(probability, log_odds, back)) % 2
    for name in range(1, num_sets + 1):
        is_turned = found[label == name] != order[label == name]
        assert is_turned.all() or not is_turned.any()


def test_turns_that_agree_stay_as_likely():
    probability = np.array([0.2, 0.9, 0.6, 0.45], np.float32)
    free = np.zeros(4)
    npt.assert_array_equal(agreeing(probability, free, np.ones(4, np.int64)), probability > 0.5)
    links = np.array([0, 0, 0, -np.inf]), np.array([1, 1, 1, 3])
    npt.assert_array_equal(agreeing(probability, *links), probability > 0.5)
