"""Retrieved references into the query."""

import pytest
import torch

from tests.model import networks
from vcfbert.domain import tokens
from vcfbert.model.fusion import RagFusion, probability_of


def test_a_vote_near_one_keeps_its_precision_under_autocast():
    fusion = RagFusion(16, "mean")
    neighbours = torch.full((2, 500, networks.LENGTH), tokens.ALT, dtype=torch.uint8)
    neighbours[:, 0] = tokens.REF
    query = torch.zeros(2, networks.LENGTH, 16)
    hidden = torch.full((2, networks.LENGTH), tokens.MASK, dtype=torch.uint8)
    codebook = torch.zeros(tokens.VOCABULARY_SIZE, networks.LENGTH, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = fusion(query, hidden, neighbours, codebook, networks.site_features())
    frequency = networks.site_features().frequency[0].item()
    part = 0.13 / 500  # the weight of an allele drawn from the panel
    expected = (1 - part) * 499 / 500 + part * frequency
    assert fused.votes.flatten()[0].item() == pytest.approx(expected, abs=3e-6)


@pytest.mark.parametrize("num_neighbours", [1, 4, 32])
def test_neighbours_that_agree_leave_a_doubt_that_fits_their_number_and_the_frequency(
    num_neighbours,
):
    frequency = torch.tensor([0.0, 0.01, 0.3])
    none, all_ = (torch.full((1, 3, 1), vote) for vote in (0.0, 1.0))
    doubt = probability_of(none, frequency, num_neighbours)[0, :, 0] * num_neighbours
    assert doubt.tolist() == pytest.approx([0.13e-4, 0.13e-2, 0.039], rel=1e-4)
    doubt = (1 - probability_of(all_, frequency, num_neighbours)[0, :, 0]) * num_neighbours
    assert doubt.tolist() == pytest.approx([0.13, 0.1287, 0.091], rel=1e-3)


def test_weights_that_round_above_one_leave_the_log_odds_finite():
    """Softmax weights may sum to more than 1; with a fixed allele the vote would be certain."""
    votes = torch.tensor([[[0.0] * 4, [1.0 + 1e-6] * 4, [-1e-7] * 4]])
    found = probability_of(votes, torch.tensor([0.0, 1.0, 0.0]), 16)
    assert torch.logit(found).isfinite().all()
    assert found[0, :, 0].tolist() == pytest.approx([8e-7, 1, 7e-7], abs=5e-7)
