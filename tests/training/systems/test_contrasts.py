"""Whom the contrastive loss sets against whom."""

import dataclasses

import numpy as np
import numpy.testing as npt
import pytest

from tests.training.systems.test_batches import WINDOW, mask_of
from vcfbert.config import LossConfig
from vcfbert.domain.sites import TRAIN
from vcfbert.training.systems import contrasts
from vcfbert.training.systems.batches import BatchMaker

LOSS = LossConfig(contrastive_weight=1.0)


def batch_of(maker, **changes):
    loss = dataclasses.replace(LOSS, **changes)
    training = BatchMaker(maker.panel, maker.index, maker.embeddings, maker.settings, loss)
    samples = maker.panel.samples.in_splits(TRAIN)[:8]
    return training.make(WINDOW, samples, mask_of(maker))


def errors(batch, references, where):
    return ((references != batch.labels[:, None]) & where[:, None]).sum(axis=2)


def test_positives_are_those_that_err_least_at_hidden_sites(fx_maker):
    batch = batch_of(fx_maker)
    panel, index = fx_maker.panel, fx_maker.index
    everybody = panel.tokens(WINDOW, index.reference_haplotypes)
    for row in range(len(batch.labels)):
        own = index.reference_haplotypes // 2 == batch.samples[row // 2]
        others = everybody[~own]
        wrong = ((others != batch.labels[row]) & batch.is_hidden[row]).sum(axis=1)
        found = errors(batch, batch.contrast.positives, batch.is_hidden)[row]
        npt.assert_array_equal(np.sort(found), np.sort(wrong)[: contrasts.POSITIVES])


def test_hard_negatives_are_near_where_visible_and_count_only_where_wrong(fx_maker):
    hard, anybody = batch_of(fx_maker), batch_of(fx_maker, hard_negatives=False)
    near, far = (
        errors(b, b.contrast.negatives, ~b.is_hidden & (b.labels <= 1)).mean()
        for b in (hard, anybody)
    )
    assert near < 0.7 * far
    for batch in (hard, anybody):
        wrong = errors(batch, batch.contrast.negatives, batch.is_hidden)
        worst = errors(batch, batch.contrast.positives, batch.is_hidden).max(axis=1)
        npt.assert_array_equal(batch.contrast.is_wrong, wrong > worst[:, None])
        assert batch.contrast.is_wrong.any()


@pytest.mark.parametrize("hard", [True, False])
def test_nobody_is_set_against_itself(fx_maker, hard):
    maker = fx_maker
    samples = maker.panel.samples.in_splits(TRAIN)
    chosen = []
    honest = contrasts.choose

    def keep(*inputs, **settings):
        chosen.append(honest(*inputs, **settings))
        return chosen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrasts, "choose", keep)
        loss = dataclasses.replace(LOSS, hard_negatives=hard)
        training = BatchMaker(maker.panel, maker.index, maker.embeddings, maker.settings, loss)
        training.make(WINDOW, samples, mask_of(maker))
    own = np.repeat(samples, 2)[:, None]
    for rows in (chosen[0].positives, chosen[0].negatives):
        assert not (maker.index.reference_haplotypes[rows] // 2 == own).any()


def test_the_network_reads_the_same_with_and_without(fx_maker):
    samples = fx_maker.panel.samples.in_splits(TRAIN)[:8]
    plain, taught = fx_maker.make(WINDOW, samples, mask_of(fx_maker)), batch_of(fx_maker)
    assert plain.contrast is None
    npt.assert_array_equal(plain.query_tokens, taught.query_tokens)
    npt.assert_array_equal(plain.neighbours, taught.neighbours)


def test_drawn_negatives_are_the_same_in_every_process(fx_maker):
    one, other = (batch_of(fx_maker, hard_negatives=False) for _ in range(2))
    npt.assert_array_equal(one.contrast.negatives, other.contrast.negatives)
