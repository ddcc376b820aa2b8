"""A network with initial weights predicts what its neighbours say, for every loss."""

import pytest
import torch
from torch.testing import assert_close

from tests.model import networks
from vcfbert.domain import tokens
from vcfbert.model import imputer, losses


def predictions(gamma, retrieved="before"):
    """Probabilities of the haplotypes and of the genotype head, and the votes."""
    model = imputer.build(networks.small_config(retrieved=retrieved), 3, gamma).eval()
    features = networks.site_features()
    generator = torch.Generator().manual_seed(5)
    query = torch.randint(0, 3, (4, networks.LENGTH), generator=generator)
    neighbours = torch.randint(0, 2, (4, 6, networks.LENGTH), generator=generator)
    seen = []
    model.rag_fusion.register_forward_hook(lambda _, __, fused: seen.append(fused.votes))
    with torch.no_grad():
        codebook = model.encoder.codebook(features)
        logits = model(query, features, neighbours, codebook)
    haplotype = losses.posterior(logits.haplotype, gamma)
    return haplotype, losses.posterior(logits.genotype, gamma), seen[0].mean(-1)


@pytest.mark.parametrize("retrieved", ["before", "through"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_haplotypes_start_from_the_mean_vote(gamma, retrieved):
    haplotype, _, votes = predictions(gamma, retrieved)
    assert_close(haplotype[..., 1], votes.double(), atol=2e-5, rtol=0)
    assert_close(haplotype.sum(-1), torch.ones_like(votes).double())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_genotypes_start_from_two_independent_haplotypes(gamma):
    haplotype, genotype, _ = predictions(gamma)
    one, two = haplotype[0::2, ..., 1], haplotype[1::2, ..., 1]
    expected = torch.stack(
        [(1 - one) * (1 - two), one * (1 - two) + two * (1 - one), one * two], -1
    )
    assert_close(genotype, expected, atol=5e-5, rtol=0)


def test_the_vote_learns_through_the_focal_start():
    """The weights of the neighbours get a gradient that is finite and not 0."""
    model = imputer.build(networks.small_config(), 3, 2.0)
    features = networks.site_features()
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(0, 2, (4, networks.LENGTH), generator=generator)
    hidden = torch.rand(labels.shape, generator=generator) < 0.5
    query = torch.where(hidden, tokens.MASK, labels)
    neighbours = torch.randint(0, 2, (4, 6, networks.LENGTH), generator=generator)
    logits = model(query, features, neighbours, model.encoder.codebook(features))
    loss = losses.focal(logits.haplotype, labels, hidden, 2.0)
    (
        loss + losses.focal(logits.genotype, labels[0::2] + labels[1::2], hidden[0::2], 2.0)
    ).backward()
    gradient = model.rag_fusion.score.weight.grad
    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient != 0).any())
