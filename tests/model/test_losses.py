"""The focal loss by hand."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from vcfbert.model import losses


def test_gamma_zero_is_cross_entropy():
    logits = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[0, 1, 0, 1, 1]] * 3)
    counted = torch.ones(3, 5, dtype=torch.bool)
    expected = functional.cross_entropy(logits.reshape(-1, 2), labels.reshape(-1), reduction="sum")
    assert_close(losses.focal(logits, labels, counted, 0.0), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_loss_of_one_site_is_the_formula(gamma):
    probability = 0.8
    logits = torch.log(torch.tensor([[[1 - probability, probability]]]))
    loss = losses.focal(logits, torch.tensor([[1]]), torch.tensor([[True]]), gamma)
    expected = -((1 - probability) ** gamma) * math.log(probability)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_sites_that_are_not_counted_change_nothing():
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[0, 1, 2, 0], [2, 1, 0, 1]])
    counted = torch.tensor([[True, False, True, False]] * 2)
    other = torch.where(counted, labels, 3)  # PAD, say
    one = losses.focal(logits, labels, counted, 2.0)
    assert_close(losses.focal(logits, other, counted, 2.0), one)


def test_nothing_counted_is_no_loss():
    logits = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    assert losses.focal(logits, torch.zeros(1, 4).long(), nothing, 2.0).item() == 0.0


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("truth", [[0.5, 0.5], [0.9, 0.1], [0.999, 0.001], [0.2, 0.3, 0.5]])
def test_the_posterior_of_the_best_logits_is_the_truth(gamma, truth):
    """Minimise the expected focal loss by brute force; `posterior` must lead back."""
    probability = torch.tensor(truth, dtype=torch.float64)
    logits = torch.zeros(len(truth), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)

    def expected_loss():
        optimizer.zero_grad()
        log_p = functional.log_softmax(logits, dim=-1)
        loss = -(probability * (1 - log_p.exp()) ** gamma * log_p).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(expected_loss)
    assert_close(
        losses.posterior(logits.detach()[None], gamma)[0], probability, atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_posterior_keeps_calls_and_survives_certainty(gamma):
    logits = torch.tensor([[80.0, -80.0], [0.1, -0.1], [-3.0, 3.0]])
    made = losses.posterior(logits, gamma)
    assert bool(torch.isfinite(made).all())
    assert torch.equal(made.argmax(-1), logits.argmax(-1))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_certain_network_has_a_finite_gradient(gamma):
    logits = torch.tensor([[[60.0, -60.0], [-60.0, 60.0]]], requires_grad=True)
    labels, counted = torch.zeros(1, 2).long(), torch.ones(1, 2, dtype=torch.bool)
    losses.focal(logits, labels, counted, gamma).backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
