"""The logits of the smallest focal loss are the inverse of the correction of its output."""

import pytest
import torch
from torch.testing import assert_close

from vcfbert.model import focal_link, losses


def distributions(classes):
    """Some that are nearly certain and some that are not."""
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(500, classes, generator=generator, dtype=torch.float64)
    return (6 * torch.rand(500, 1, generator=generator) * logits).log_softmax(-1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_it_is_the_inverse_of_the_posterior(classes, gamma):
    log_p = distributions(classes)
    found = losses.posterior(focal_link.minimiser(log_p, gamma), gamma)
    assert_close(found, log_p.exp(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_no_other_logits_have_a_smaller_expected_loss(gamma):
    log_p = distributions(3)[:50]
    best = focal_link.minimiser(log_p, gamma)

    def expected(log_q):
        modulation = (1 - log_q.exp()).clamp(min=0) ** gamma
        return -(log_p.exp() * modulation * log_q).sum(-1)

    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        moved = 0.1 * torch.randn(best.shape, generator=generator, dtype=torch.float64)
        assert bool((expected((best + moved).log_softmax(-1)) >= expected(best) - 1e-7).all())


def test_certainty_stays_finite():
    log_p = torch.tensor([[0.0, -1e4], [-1e-12, -27.0]], dtype=torch.float64)
    made = focal_link.minimiser(log_p, 2.0)
    assert bool(torch.isfinite(made).all())
    assert made.argmax(-1).tolist() == [0, 0]


@pytest.mark.parametrize("classes", [2, 3])
def test_its_gradient_is_that_of_a_small_change(classes):
    log_p = distributions(classes)[:20].detach()
    logits = log_p.clone().requires_grad_()
    weights = torch.randn(log_p.shape, generator=torch.Generator().manual_seed(2)).double()
    (weights * focal_link.minimiser(logits.log_softmax(-1), 2.0)).sum().backward()
    assert logits.grad is not None
    for row, column in ((0, 0), (3, 1), (7, 0)):
        step = torch.zeros_like(log_p)
        step[row, column] = 1e-3
        ends = [
            (weights * focal_link.minimiser((log_p + way * step).log_softmax(-1), 2.0)).sum()
            for way in (1, -1)
        ]
        slope = float(ends[0] - ends[1]) / 2e-3
        assert float(logits.grad[row, column]) == pytest.approx(slope, rel=1e-2, abs=1e-4)
