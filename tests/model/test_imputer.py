"""The network as a function of its inputs."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from tests.model.networks import (
    LENGTH,
    NEIGHBOURS,
    QUERIES,
    perturbed_network,
    query_and_neighbours,
    site_features,
    small_config,
    small_network,
)
from vcfbert import presets
from vcfbert.model import imputer
from vcfbert.model.embedding import gather_codebook

KINDS = ["local", "site", "mean"]


def run(model, padding=0):
    features = site_features(padding)
    query, neighbours = query_and_neighbours(padding)
    codebook = model.encoder.codebook(features).detach()
    return model(query, features, neighbours, codebook)


@pytest.mark.parametrize("fusion", KINDS)
def test_a_codebook_and_gathered_embeddings_give_the_same_logits(fusion):
    model = perturbed_network(fusion=fusion)
    features = site_features()
    query, neighbours = query_and_neighbours()
    codebook = model.encoder.codebook(features).detach()
    by_codebook = model(query, features, neighbours, codebook)
    gathered = model(query, features, neighbours, gather_codebook(codebook, neighbours))
    assert_close(by_codebook.haplotype, gathered.haplotype, atol=1e-5, rtol=1e-5)
    assert_close(by_codebook.genotype, gathered.genotype, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion", KINDS)
def test_shapes_are_those_of_the_docstring(fusion):
    logits = run(small_network(fusion=fusion))
    assert logits.haplotype.shape == (QUERIES, LENGTH, 2)
    assert logits.genotype.shape == (QUERIES // 2, LENGTH, 3)


def test_training_starts_from_the_vote_of_identical_neighbours():
    model = small_network()
    query, neighbours = query_and_neighbours()
    same = neighbours[:, :1].expand(-1, NEIGHBOURS, -1).contiguous()
    features = site_features()
    logits = model(query, features, same, model.encoder.codebook(features).detach())
    assert torch.equal(logits.haplotype.argmax(-1), same[:, 0].long())


def test_genotype_probabilities_start_as_those_of_two_independent_haplotypes():
    logits = run(small_network())
    one, two = logits.haplotype.softmax(-1)[0::2, :, 1], logits.haplotype.softmax(-1)[1::2, :, 1]
    expected = torch.stack([(1 - one) * (1 - two), one + two - 2 * one * two, one * two], -1)
    assert_close(logits.genotype.softmax(-1), expected, atol=1e-5, rtol=1e-4)


def test_swapping_a_persons_haplotypes_swaps_haplotypes_and_keeps_genotypes():
    model = perturbed_network()
    features = site_features()
    query, neighbours = query_and_neighbours()
    codebook = model.encoder.codebook(features).detach()
    swap = torch.tensor([1, 0, 3, 2])
    straight = model(query, features, neighbours, codebook)
    swapped = model(query[swap], features, neighbours[swap], codebook)
    assert_close(swapped.haplotype, straight.haplotype[swap], atol=1e-5, rtol=1e-5)
    assert_close(swapped.genotype, straight.genotype, atol=1e-5, rtol=1e-5)


def test_the_order_of_neighbours_does_not_matter():
    model = perturbed_network()
    features = site_features()
    query, neighbours = query_and_neighbours()
    codebook = model.encoder.codebook(features).detach()
    straight = model(query, features, neighbours, codebook)
    turned = model(query, features, neighbours.flip(1), codebook)
    assert_close(turned.haplotype, straight.haplotype, atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing_at_real_sites():
    model = perturbed_network()
    padded = run(model, padding=6)
    features = site_features(padding=6)
    query, neighbours = query_and_neighbours(padding=6)
    names = [field.name for field in dataclasses.fields(features) if field.name != "is_full"]
    short = dataclasses.replace(
        features, **{n: getattr(features, n)[:-6] for n in names}, is_full=True
    )
    codebook = model.encoder.codebook(short).detach()
    alone = model(query[:, :-6], short, neighbours[..., :-6], codebook)
    assert_close(padded.haplotype[:, :-6], alone.haplotype, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient():
    model = perturbed_network()
    logits = run(model)
    (logits.haplotype.square().mean() + logits.genotype.square().mean()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_the_seed_decides_the_initial_weights():
    one, same, other = (imputer.build(small_config(), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", presets.of_system("retrieval"))
def test_every_preset_builds(name):
    with torch.device("meta"):
        model = imputer.Imputer(presets.get(name).model)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0
