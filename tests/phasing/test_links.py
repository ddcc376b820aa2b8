"""Heterozygotes that are linked to an earlier one that is not the one before."""

from dataclasses import replace

import numpy as np
import numpy.testing as npt

from tests.phasing import mosaics
from vcfbert.phasing.phase_chunk import MOST_BACK, PhasingOptions, heterozygotes, phase


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
