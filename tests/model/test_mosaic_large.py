"""The transformer on top of the copying heads, as a function of its inputs."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.model.networks import small_config
from vcfbert.config import ModelConfig
from vcfbert.domain import tokens
from vcfbert.model import mosaic_large
from vcfbert.model.mosaic import Mosaic

NUM_INPUTS, QUERIES, LENGTH, PADDING = 27, 4, 40, 7


def inputs_and_tokens(seed=1):
    """(B, L, F) standardised inputs and (B, L) tokens, two in three masked, one missing."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(QUERIES, LENGTH, NUM_INPUTS, generator=generator)
    inputs[..., :3] *= 3
    query_tokens = torch.randint(0, 2, (QUERIES, LENGTH), generator=generator)
    query_tokens[:, torch.arange(LENGTH) % 3 > 0] = tokens.MASK
    query_tokens[0, 4] = tokens.MISSING
    return inputs, query_tokens.to(torch.uint8)


def perturbed(seed=1, **changes):
    """A network whose every weight has moved away from the zero start."""
    model = mosaic_large.build(NUM_INPUTS, small_config(**changes), seed).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def set_limits(model, limit):
    whole = torch.full((NUM_INPUTS,), float(limit))
    model.set_range(torch.zeros(NUM_INPUTS), torch.ones(NUM_INPUTS), -whole, whole)


def test_every_site_has_one_logit():
    inputs, query_tokens = inputs_and_tokens()
    logits = perturbed()(inputs, query_tokens)
    assert logits.shape == (QUERIES, LENGTH)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize("num_layers", [0, 2])
def test_training_starts_at_exactly_the_answer_of_the_heads(num_layers):
    inputs, query_tokens = inputs_and_tokens()
    model = mosaic_large.build(NUM_INPUTS, small_config(num_layers=num_layers), seed=3)
    small = Mosaic(NUM_INPUTS, 8)
    expected = small(inputs.flatten(0, 1)).unflatten(0, (QUERIES, LENGTH))
    assert_close(model(inputs, query_tokens), expected, atol=0, rtol=0)


def test_three_steps_reduce_the_loss():
    inputs, query_tokens = inputs_and_tokens()
    labels = (inputs[..., 0] + torch.roll(inputs[..., 5], 1, dims=1) > 0).float()
    model = mosaic_large.build(NUM_INPUTS, small_config(), seed=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    hidden = query_tokens >= tokens.MASK
    losses = []
    for _ in range(4):
        logits = model(inputs, query_tokens)
        loss = nn.functional.binary_cross_entropy_with_logits(logits[hidden], labels[hidden])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[3] < losses[2] < losses[1] < losses[0]


def test_every_parameter_learns():
    inputs, query_tokens = inputs_and_tokens()
    model = perturbed()
    model(inputs, query_tokens).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_site_reads_the_inputs_and_tokens_of_other_sites():
    inputs, query_tokens = inputs_and_tokens()
    model = perturbed()
    before = model(inputs, query_tokens)
    other_inputs = inputs.clone()
    other_inputs[:, 20, 5] += 1  # hidden
    assert query_tokens[0, 20] == tokens.MASK
    other_tokens = query_tokens.clone()
    other_tokens[:, 21] = 1 - query_tokens[:, 21]  # visible
    for changed in (model(other_inputs, query_tokens), model(inputs, other_tokens)):
        assert (changed - before)[:, 1].abs().max() > 1e-6


def test_padding_changes_nothing():
    inputs, query_tokens = inputs_and_tokens()
    model = perturbed()
    expected = model(inputs, query_tokens)
    longer = torch.cat([inputs, torch.full((QUERIES, PADDING, NUM_INPUTS), 9.0)], dim=1)
    pad = torch.full((QUERIES, PADDING), tokens.PAD, dtype=torch.uint8)
    is_site = torch.arange(LENGTH + PADDING) < LENGTH
    found = model(longer, torch.cat([query_tokens, pad], dim=1), is_site)
    assert found.isfinite().all()
    assert_close(found[:, :LENGTH], expected, atol=1e-4, rtol=1e-4)


def test_visible_sites_keep_the_answer_of_the_heads():
    inputs, query_tokens = inputs_and_tokens()
    visible = query_tokens < tokens.MASK
    model = perturbed()
    heads = mosaic_large.build(NUM_INPUTS, small_config(), seed=3)
    found, expected = model(inputs, query_tokens), heads(inputs, query_tokens)
    assert_close(found[visible], expected[visible], atol=0, rtol=0)
    assert not torch.isclose(found[~visible], expected[~visible], atol=1e-3).all()


def test_of_a_visible_site_only_the_token_is_read():
    inputs, query_tokens = inputs_and_tokens()
    model = perturbed()
    other = inputs.clone()
    other[query_tokens < tokens.MASK] = 100.0
    hidden = query_tokens >= tokens.MASK
    assert_close(model(other, query_tokens)[hidden], model(inputs, query_tokens)[hidden])


def test_far_beyond_the_range_of_training_the_heads_answer():
    inputs, query_tokens = inputs_and_tokens()
    model = perturbed()
    set_limits(model, 10)
    heads = mosaic_large.build(NUM_INPUTS, small_config(), seed=3)
    assert (model(inputs, query_tokens) - heads(inputs, query_tokens)).abs().max() > 0.01
    inputs[:, 10, 8] = 1e4
    found, expected = model(inputs, query_tokens), heads(inputs, query_tokens)
    assert_close(found[:, 10], expected[:, 10])
    assert found.isfinite().all()


def test_queries_of_a_batch_do_not_meet():
    inputs, query_tokens = inputs_and_tokens()
    model = perturbed()
    together = model(inputs, query_tokens)
    assert_close(model(inputs[1:2], query_tokens[1:2]), together[1:2], atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_network():
    first, same, other = (
        mosaic_large.build(NUM_INPUTS, small_config(), seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["token.weight"], other["token.weight"])


def test_the_preset_size_holds_about_ten_million_parameters():
    settings = ModelConfig(width=256, num_layers=12, num_heads=8)
    with torch.device("meta"):
        model = mosaic_large.MosaicLarge(NUM_INPUTS, settings)
    assert 9e6 < sum(parameter.numel() for parameter in model.parameters()) < 11e6


def test_logits_are_float32_under_autocast():
    inputs, query_tokens = inputs_and_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        logits = perturbed()(inputs, query_tokens)
    assert logits.dtype == torch.float32
    assert_close(logits, perturbed()(inputs, query_tokens), atol=0.3, rtol=0.1)
