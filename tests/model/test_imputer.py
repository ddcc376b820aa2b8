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
from vcfbert.config import presets
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


def test_swapping_a_samples_haplotypes_swaps_haplotypes_and_keeps_genotypes():
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


def through(model, query, neighbours, features):
    return model(query, features, neighbours, None)


def test_neighbours_through_the_network_are_read_as_queries_are():
    """The second way, spelled out: each neighbour alone through the same layers."""
    model = perturbed_network(retrieved="through", fusion="mean")
    features = site_features()
    query, neighbours = query_and_neighbours()

    def states(tokens):
        raw = model.encoder(tokens, features)
        return model._run_blocks(model.emb_fusion(raw, features), features)

    alone = torch.stack([states(neighbours[:, k]) for k in range(NEIGHBOURS)], dim=1)
    fused = model.rag_fusion(states(query), query, neighbours, alone, features)
    expected = model.haplotype_head(model.norm(fused.states))
    expected = expected + model._copied(model.norm(fused.states), fused.votes)
    found = through(model, query, neighbours, features)
    assert_close(found.haplotype, expected, atol=1e-5, rtol=1e-5)


def test_neighbours_through_the_network_attend_before_they_are_fused():
    """A neighbour's allele at one site reaches other sites; before the transformer it cannot."""
    features = site_features()
    query, neighbours = query_and_neighbours()
    turned = neighbours.clone()
    turned[:, 0, 0] = 1 - turned[:, 0, 0]
    model = perturbed_network(retrieved="through", fusion="mean", num_layers=1, copy_skip=False)
    straight, changed = (through(model, query, n, features) for n in (neighbours, turned))
    assert not torch.equal(straight.haplotype[:, -1], changed.haplotype[:, -1])


def test_gradients_take_both_ways():
    model = perturbed_network(retrieved="through", copy_skip=False)
    features = site_features()
    query, neighbours = query_and_neighbours()
    seen = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        seen.append(output)

    model.emb_fusion.register_forward_hook(keep)
    through(model, query, neighbours, features).haplotype.square().mean().backward()
    own, references = seen
    assert own.grad.abs().sum() > 0
    assert references.grad.abs().sum() > 0  # of the codebook that neighbours are gathered from


def test_without_neighbours_the_query_alone_decides():
    model = perturbed_network(retrieved="none", copy_skip=False)
    features = site_features()
    query, neighbours = query_and_neighbours()
    assert not any(name.startswith("rag_fusion") for name, _ in model.named_parameters())
    none, some = (through(model, query, n, features) for n in (neighbours[:, :0], neighbours))
    assert torch.equal(none.haplotype, some.haplotype)


@pytest.mark.parametrize("fusion", KINDS)
def test_a_single_neighbour_has_all_the_weight(fusion, monkeypatch):
    """The short way for K = 1 against two neighbours that are the same one, equally trusted."""
    model = perturbed_network(fusion=fusion)
    features = site_features()
    query, neighbours = query_and_neighbours()
    codebook = model.encoder.codebook(features).detach()
    one = model(query, features, neighbours[:, :1], codebook)
    monkeypatch.setattr("vcfbert.model.fusion._DRAWN", 2 * 0.13)
    twice = model(query, features, neighbours[:, [0, 0]], codebook)
    assert_close(one.haplotype, twice.haplotype, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"retrieved": "through"}, {"retrieved": "none", "copy_skip": False}]
)
def test_other_ways_of_neighbours_keep_padding_out_and_train_every_parameter(changes):
    model = perturbed_network(**changes)
    features = site_features(padding=6)
    query, neighbours = query_and_neighbours(padding=6)
    padded = through(model, query, neighbours, features)
    names = [field.name for field in dataclasses.fields(features) if field.name != "is_full"]
    short = dataclasses.replace(
        features, **{n: getattr(features, n)[:-6] for n in names}, is_full=True
    )
    alone = through(model, query[:, :-6], neighbours[..., :-6], short)
    assert_close(padded.haplotype[:, :-6], alone.haplotype, atol=1e-5, rtol=1e-5)
    (alone.haplotype.square().mean() + alone.genotype.square().mean()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("retrieved", ["before", "through"])
def test_without_votes_and_skip_the_weights_for_them_do_not_exist(retrieved):
    model = small_network(retrieved=retrieved, fusion="mean", copy_skip=False, votes=False)
    names = {name for name, _ in model.named_parameters()}
    assert not [name for name in names if "votes" in name or "copy_gate" in name]
    whole = small_network(retrieved=retrieved, fusion="mean")
    assert {name for name, _ in whole.named_parameters()} - names == {
        "copy_gate.weight", "copy_gate.bias", "rag_fusion.votes.weight", "rag_fusion.votes.bias",
    }  # fmt: skip


def test_masked_neighbours_hide_what_the_query_hides_and_nothing_else():
    settings = {"retrieved": "through", "fusion": "mean", "copy_skip": False, "votes": False}
    features = site_features()
    query, neighbours = query_and_neighbours()
    hidden = torch.where(query[:, None] == 2, 1 - neighbours, neighbours)
    visible = torch.where(query[:, None] == 2, neighbours, 1 - neighbours)
    logits = {}
    for returned in ("complete", "masked"):
        model = perturbed_network(returned=returned, **settings)
        for name, changed in (("as is", neighbours), ("hidden", hidden), ("visible", visible)):
            logits[returned, name] = through(model, query, changed, features).haplotype
    assert torch.equal(logits["masked", "hidden"], logits["masked", "as is"])
    assert not torch.equal(logits["masked", "visible"], logits["masked", "as is"])
    assert not torch.equal(logits["complete", "hidden"], logits["complete", "as is"])


@pytest.mark.parametrize("name", presets.of_system("retrieval"))
def test_every_preset_builds(name):
    with torch.device("meta"):
        model = imputer.Imputer(presets.get(name).model)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0
