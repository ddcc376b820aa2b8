"""The transformer beside the small network, as a function of its inputs."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.model.networks import small_config
from vcfbert.config import ModelConfig
from vcfbert.model import mosaic_large
from vcfbert.model.mosaic import Mosaic

NUM_INPUTS, UNITS, STRETCHES, LENGTH, PADDING = 27, 8, 4, 40, 7


def inputs_and_places(seed=1):
    """(B, L, F) standardised inputs and (B, L) places that rise."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(STRETCHES, LENGTH, NUM_INPUTS, generator=generator)
    inputs[..., :3] *= 3
    places = torch.rand(STRETCHES, LENGTH, generator=generator).cumsum(dim=1) * 0.2
    return inputs, places


def new(seed=1, **changes):
    """A network whose small one has something to say, and whose transformer has not."""
    settings = small_config(**changes)
    generator = torch.Generator().manual_seed(seed)
    model = mosaic_large.build(NUM_INPUTS, UNITS, settings, generator).eval()
    torch.manual_seed(7)
    model.small.load_state_dict(spoken(Mosaic(NUM_INPUTS, UNITS)).state_dict())
    return model


def spoken(small):
    nn.init.normal_(small.last, std=0.3)
    return small


def perturbed(seed=1, **changes):
    """A network whose every weight has moved away from the zero start."""
    model = new(seed, **changes)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def set_limits(model, limit):
    whole = torch.full((NUM_INPUTS,), float(limit))
    model.small.set_range(torch.zeros(NUM_INPUTS), torch.ones(NUM_INPUTS), -whole, whole)


@pytest.mark.parametrize("num_layers", [0, 2])
def test_training_starts_at_exactly_the_answer_of_the_small_network(num_layers):
    inputs, places = inputs_and_places()
    model = new(num_layers=num_layers)
    expected = model.small(inputs.flatten(0, 1)).unflatten(0, (STRETCHES, LENGTH))
    assert_close(model(inputs, places), expected, atol=0, rtol=0)
    heads = Mosaic(NUM_INPUTS, UNITS)(inputs.flatten(0, 1)).unflatten(0, (STRETCHES, LENGTH))
    assert (expected - heads).abs().max() > 0.1


def test_three_steps_reduce_the_loss_and_leave_the_small_network_as_it_is():
    inputs, places = inputs_and_places()
    labels = (inputs[..., 0] + torch.roll(inputs[..., 5], 1, dims=1) > 0).float()
    model = new(seed=2).train()
    before = {name: values.clone() for name, values in model.small.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(4):
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs, places), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[3] < losses[2] < losses[1] < losses[0]
    for name, values in model.small.state_dict().items():
        assert torch.equal(values, before[name]), name


def test_every_parameter_of_the_transformer_learns():
    inputs, places = inputs_and_places()
    model = perturbed()
    model(inputs, places).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith("small."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_a_site_reads_the_others_of_its_stretch_and_where_they_are():
    inputs, places = inputs_and_places()
    model = perturbed()
    before = model(inputs, places)
    other = inputs.clone()
    other[:, 20, 5] += 1
    assert (model(other, places) - before)[:, 1].abs().max() > 1e-5
    apart = places.clone()
    apart[:, 20:] += 0.5
    assert (model(inputs, apart) - before)[:, 1].abs().max() > 1e-5


def test_only_distances_matter_and_long_ones_are_all_alike():
    inputs, places = inputs_and_places()
    model = perturbed()
    assert_close(model(inputs, places + 30), model(inputs, places), atol=1e-3, rtol=1e-3)
    far, farther = places.clone(), places.clone()
    far[:, 20:] += mosaic_large.LONGEST_GAP
    farther[:, 20:] += 1e4
    assert_close(model(inputs, far), model(inputs, farther), atol=1e-2, rtol=1e-2)


def test_padding_changes_nothing():
    inputs, places = inputs_and_places()
    model = perturbed()
    expected = model(inputs, places)
    longer = torch.cat([inputs, torch.full((STRETCHES, PADDING, NUM_INPUTS), 9.0)], dim=1)
    after = torch.cat([places, places[:, -1:].expand(-1, PADDING)], dim=1)
    is_site = (torch.arange(LENGTH + PADDING) < LENGTH).expand(STRETCHES, -1).clone()
    found = model(longer, after, is_site)
    assert found.isfinite().all()
    assert_close(found[:, :LENGTH], expected, atol=1e-4, rtol=1e-4)
    is_site[1, 30:] = False
    shorter = model(inputs[1:2, :30], places[1:2, :30])
    assert_close(model(longer, after, is_site)[1:2, :30], shorter, atol=1e-4, rtol=1e-4)


def test_far_beyond_the_range_of_training_the_heads_answer():
    inputs, places = inputs_and_places()
    model = perturbed()
    set_limits(model, 10)
    heads = Mosaic(NUM_INPUTS, UNITS)(inputs.flatten(0, 1)).unflatten(0, (STRETCHES, LENGTH))
    assert (model(inputs, places) - heads).abs().max() > 0.01
    inputs[:, 10, 8] = 1e4
    found = model(inputs, places)
    assert_close(found[:, 10], heads[:, 10])
    assert found.isfinite().all()


def test_stretches_of_a_batch_do_not_meet():
    inputs, places = inputs_and_places()
    model = perturbed()
    together = model(inputs, places)
    assert_close(model(inputs[1:2], places[1:2]), together[1:2], atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_network():
    first, same, other = (new(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["project.weight"], other["project.weight"])


def test_the_preset_size_holds_about_ten_million_parameters():
    settings = ModelConfig(width=256, num_layers=12, num_heads=8)
    with torch.device("meta"):
        model = mosaic_large.MosaicLarge(NUM_INPUTS, UNITS, settings)
    assert 9e6 < sum(parameter.numel() for parameter in model.parameters()) < 11e6


def test_logits_are_float32_under_autocast():
    inputs, places = inputs_and_places()
    with torch.autocast("cpu", torch.bfloat16):
        logits = perturbed()(inputs, places)
    assert logits.dtype == torch.float32
    assert_close(logits, perturbed()(inputs, places), atol=0.5, rtol=0.1)
