"""Batches under two masks."""

import numpy.testing as npt

from vcfbert.config import MaskConfig
from vcfbert.domain import tokens
from vcfbert.domain.sites import VALIDATION
from vcfbert.training.systems import masking
from vcfbert.training.systems.schedule import Work


def test_what_the_network_reads_of_a_neighbour_is_complete_under_two_masks(fx_maker):
    samples = fx_maker.panel.samples.in_splits(VALIDATION)
    with_two = masking.plan(MaskConfig(align=False), 1, fx_maker.panel).of_training(0, 0.5)
    batch = with_two.batch(fx_maker, Work(1, samples))
    for row, neighbours in zip(batch.neighbour_tokens, batch.neighbours, strict=True):
        npt.assert_array_equal(row, fx_maker.panel.tokens(1, neighbours))
    assert not (batch.neighbour_tokens == tokens.MASK).any()
