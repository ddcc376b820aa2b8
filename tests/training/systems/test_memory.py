"""Bytes and shapes on fake tensors against the real thing."""

import dataclasses

import pytest
import torch

from vcfbert import config
from vcfbert.config import presets
from vcfbert.model import imputer
from vcfbert.training.systems import memory, objective
from vcfbert.training.systems.live_bytes import LiveBytes

LENGTH = 24


@pytest.fixture
def small():
    return dataclasses.replace(
        presets.tiny(), retrieval=dataclasses.replace(presets.tiny().retrieval, num_neighbours=3)
    )


def test_live_bytes_counts_a_storage_once_and_for_as_long_as_it_lives():
    start = torch.zeros(10)
    with LiveBytes() as live:
        doubled = start * 2  # 40 bytes
        view = doubled[:5]  # nothing new
        again = doubled + 1  # 80
        del again
        small = view + 1  # 60
        doubled.add_(1)  # nothing new
    assert live.peak == 80
    assert len(small) == 5


def test_live_bytes_sees_what_backward_needs():
    weight = torch.ones(4, 4, requires_grad=True)
    weight.grad = torch.zeros(4, 4)
    with LiveBytes() as live:
        hidden = (torch.ones(8, 4) @ weight).relu()  # the ones, the product, its relu: 3 x 128
        hidden.sum().backward()
    assert live.peak >= 2 * 128 + 4


def step_of(settings, length, samples, *, half):
    sections = settings.model, settings.retrieval, settings.loss
    return memory.measure_step(*sections, length, samples, half=half)


def shapes_of(settings, length, samples):
    return memory.observe_shapes(settings.model, settings.retrieval, length, samples)


def of_system(name):
    """A system's ingredients at a small size."""
    changes = {"width": 32, "num_layers": 2, "num_heads": 2}
    return config.merge(presets.get(name), {"model": changes}, source="test")


@pytest.mark.parametrize(
    ("name", "contrastive"), [("v13", 0.0), ("v17", 0.0), ("v18-current", 0.0), ("tiny", 1.0)]
)
def test_fake_tensors_need_what_real_ones_do(name, contrastive):
    loss = {"contrastive_weight": contrastive}
    small = config.merge(of_system(name), {"loss": loss}, source="test")
    torch.manual_seed(1)
    fake = step_of(small, LENGTH, 2, half=False)
    model = imputer.build(small.model, 1, small.loss.focal_gamma)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with LiveBytes() as live:
        batch, features = memory._inputs(
            small.model, small.retrieval, LENGTH, 2, has_contrast=contrastive > 0
        )
        logits = memory._forward(model, batch, features)
        loss = objective.terms(model, logits, batch, features, small.loss).total(memory._COUNTED)
        loss.backward()
    assert fake.activations == live.peak


def test_every_byte_of_the_fullest_moment_and_of_the_forward_pass_has_a_tensor(small):
    step = step_of(small, LENGTH, 2, half=False)
    fullest = sum(one.bytes_each * one.fullest for one in step.tensors)
    assert fullest == step.activations
    assert sum(one.bytes_each * one.forward for one in step.tensors) == step.forward
    assert 0 < step.forward <= step.activations
    parts = {one.part for one in step.tensors}
    assert {"inputs", "encoder", "emb_fusion", "rag_fusion", "blocks", "heads", "loss"} <= parts


def test_tensors_are_written_down_under_the_module_that_made_them(small):
    one, three = (
        step_of(
            dataclasses.replace(small, model=dataclasses.replace(small.model, num_layers=layers)),
            LENGTH, 2, half=False,
        )
        for layers in (1, 3)
    )  # fmt: skip

    def kept(step, part):
        return sum(t.bytes_each * t.forward for t in step.tensors if t.part == part)

    assert kept(three, "blocks") == 3 * kept(one, "blocks") > 0
    for part in ("encoder", "emb_fusion", "rag_fusion", "heads", "loss"):
        assert kept(three, part) == kept(one, part)


def test_activations_grow_linearly_with_the_batch(small):
    two, four, eight = (
        step_of(small, LENGTH, samples, half=True).activations for samples in (2, 4, 8)
    )
    assert eight - four == 2 * (four - two)


def test_a_neighbour_through_the_network_takes_what_a_query_takes():
    """The activations of V17's blocks: once for the query, once more for each neighbour."""
    alone, beside = (of_system(name) for name in ("v13", "v17"))
    layers = {}
    for name, settings in (("alone", alone), ("beside", beside)):
        two, four = (
            step_of(
                config.merge(settings, {"model": {"num_layers": number}}, source="test"),
                LENGTH, 4, half=False,
            ).activations
            for number in (2, 4)
        )  # fmt: skip
        layers[name] = four - two
    assert layers["beside"] == 2 * layers["alone"]


def test_each_layer_adds_the_same(small):
    sizes = []
    for num_layers in (1, 2, 5):
        model = dataclasses.replace(small.model, num_layers=num_layers)
        settings = dataclasses.replace(small, model=model)
        sizes.append(step_of(settings, LENGTH, 4, half=True).total)
    assert sizes[2] - sizes[1] == 3 * (sizes[1] - sizes[0])


def test_half_precision_needs_less(small):
    full, half = (step_of(small, 64, 8, half=half) for half in (False, True))
    assert half.activations < full.activations
    assert (half.weights, half.optimizer) == (full.weights, full.optimizer)


@pytest.mark.parametrize("name", presets.of_system("retrieval"))
def test_parameters_are_those_of_the_network(name):
    settings = presets.get(name).model
    counts = memory.count_parameters(settings)
    dense = 12 * settings.width**2 * settings.num_layers
    assert dense <= counts["blocks"] < 1.1 * dense
    if name == "tiny":
        built = imputer.build(settings, seed=1)
        assert sum(counts.values()) == sum(p.numel() for p in built.parameters())


def test_shapes_are_those_the_network_returned(small):
    seen = shapes_of(small, LENGTH, 2)
    assert seen[0] == ("encoder", (4, LENGTH, 32))
    assert ("emb_fusion", (5, LENGTH, 32)) in seen
    assert [name for name, _ in seen if name.startswith("block")] == ["block 1", "block 2"]
    assert seen[-2:] == [
        ("haplotype logits", (4, LENGTH, 2)),
        ("genotype logits", (2, LENGTH, 3)),
    ]


def test_the_shapes_of_v17_show_the_second_way_and_those_of_v13_no_fusion():
    seen = dict(shapes_of(of_system("v17"), LENGTH, 2))
    assert seen["block 1"] == (8, LENGTH, 32)
    assert seen["rag_fusion"] == seen["norm"] == (4, LENGTH, 32)
    seen = dict(shapes_of(of_system("v13"), LENGTH, 2))
    assert seen["block 1"] == (4, LENGTH, 32)
    assert "rag_fusion" not in seen
