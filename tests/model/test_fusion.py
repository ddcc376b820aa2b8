"""Retrieved references into the query."""

import pytest
import torch

from tests.model import networks
from vcfbert.domain import tokens
from vcfbert.model.fusion import RagFusion


def test_a_vote_near_one_keeps_its_precision_under_autocast():
    fusion = RagFusion(16, "mean")
    neighbours = torch.full((2, 500, networks.LENGTH), tokens.ALT, dtype=torch.uint8)
    neighbours[:, 0] = tokens.REF
    query = torch.zeros(2, networks.LENGTH, 16)
    hidden = torch.full((2, networks.LENGTH), tokens.MASK, dtype=torch.uint8)
    codebook = torch.zeros(tokens.VOCABULARY_SIZE, networks.LENGTH, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = fusion(query, hidden, neighbours, codebook, networks.site_features())
    expected = torch.logit(torch.tensor(499 / 500)).item()
    assert fused.votes.flatten()[0].item() == pytest.approx(expected, rel=1e-3)
