"""The contrastive loss moves site weights towards sites that tell who is right when hidden."""

import torch
from torch.testing import assert_close

from tests.model.networks import LENGTH, site_features
from vcfbert.model import contrast
from vcfbert.model.contrast import ContrastTensors
from vcfbert.model.embedding import Encoder


def codebook(weights, scale=1.0):
    """Raw embeddings (V, L, 1) whose site weights are these."""
    made = torch.zeros(5, len(weights), 1)
    made[1, :, 0] = scale * torch.tensor(weights).sqrt()
    return made


def two_sites(is_wrong=True):
    """Two visible sites and a hidden one: the positive differs at the first, the other behind."""
    query = torch.tensor([[0, 0, 2]], dtype=torch.uint8)
    return query, ContrastTensors(
        positives=torch.tensor([[[1, 0, 0]]], dtype=torch.uint8),
        negatives=torch.tensor([[[0, 1, 1]]], dtype=torch.uint8),
        is_wrong=torch.tensor([[is_wrong]]),
    )


def loss_of(weights, *, is_wrong=True, temperature=1.0, scale=1.0):
    query, pair = two_sites(is_wrong)
    is_site = torch.ones(3, dtype=torch.bool)
    return contrast.contrastive(codebook(weights, scale), is_site, query, pair, temperature)


def test_the_loss_is_that_of_the_positives_share_by_hand():
    # Mean weight 1: the positive is 0.5 away, the negative 1.5; the hidden site counts for neither.
    expected = torch.log1p(torch.exp(torch.tensor(-(1.5 - 0.5) / 2.0)))
    assert_close(loss_of([0.5, 1.5, 1.0], temperature=2.0), expected)


def test_only_the_ratio_of_weights_matters():
    assert_close(loss_of([0.5, 1.5, 1.0], scale=7.0), loss_of([0.5, 1.5, 1.0]))


def test_a_negative_that_is_not_wrong_says_nothing():
    assert loss_of([0.5, 1.5, 1.0], is_wrong=False) == 0


def test_padding_weighs_nothing():
    query, pair = two_sites()
    is_site = torch.tensor([True, True, False])
    heavy = contrast.contrastive(codebook([1.0, 1.0, 99.0]), is_site, query, pair, 1.0)
    light = contrast.contrastive(codebook([1.0, 1.0, 0.0]), is_site, query, pair, 1.0)
    assert_close(heavy, light)


def test_training_the_encoder_on_it_teaches_the_search():
    """Common sites mislead here and rare ones tell: their weights must part."""
    torch.manual_seed(1)
    features = site_features()
    is_rare = features.frequency < features.frequency.median()
    encoder = Encoder(8)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.02)
    query = torch.zeros(1, LENGTH, dtype=torch.uint8)
    pair = ContrastTensors(
        positives=(~is_rare).to(torch.uint8)[None, None],  # differs at the common half
        negatives=is_rare.to(torch.uint8)[None, None],
        is_wrong=torch.ones(1, 1, dtype=torch.bool),
    )

    def ratio():
        made = encoder.codebook(features)
        weights = (made[1] - made[0]).square().sum(-1).detach()
        return float(weights[is_rare].mean() / weights[~is_rare].mean())

    before = ratio()
    for _ in range(30):
        optimizer.zero_grad()
        made = encoder.codebook(features)
        contrast.contrastive(made, features.is_site, query, pair, 1.0).backward()
        optimizer.step()
    assert ratio() > 1.5 * before
