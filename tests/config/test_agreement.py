"""Settings of different sections that contradict one another are refused with the way out."""

import pytest

from vcfbert import config
from vcfbert.config import presets
from vcfbert.errors import ConfigError


def changed(preset, *texts):
    return config.merge(presets.get(preset), config.assignments(texts), source="--set")


@pytest.mark.parametrize(
    ("preset", "change", "message"),
    [
        ("v18-current", "retrieval.space=none", r"num_neighbours = 32 contradicts .*'none'"),
        ("v18-current", "retrieval.num_neighbours=0", r"num_neighbours = 0 contradicts"),
        ("v18-current", "model.retrieved=none", r"'none' contradicts retrieval\.space = 'embed"),
        ("v13", "retrieval.num_neighbours=4", r"num_neighbours = 4 contradicts .*'none'"),
        ("v13", "retrieval.space=token", r"num_neighbours = 0 contradicts .*'token'"),
        ("v13", "model.retrieved=before", r"'before' contradicts retrieval\.space = 'none'"),
        ("v13", "model.copy_skip=true", r"copy_skip = true .*has no neighbours"),
        ("v13", "refresh.embeddings_every=1", r"embeddings_every = 1 .*reads no embeddings"),
        ("v13", "masks.align=false", r"align = false .*'none' searches no references"),
        ("v17", "loss.contrastive_weight=1", r"contrastive_weight = 1 .*'token' does not use"),
        ("v17", "model.returned=masked", r"copy_skip = true reads .*'masked' hides"),
        ("v13", "model.votes=false", r"votes = false has no effect .*no neighbours to vote"),
        ("v18-published", "model.returned=masked", r"'masked' masks the tokens .*'before' none"),
        ("v17-published", "model.unknown_population=0.2", r"no effect with model.population = f"),
        ("v17", "refresh.embeddings_every=2", r"embeddings_every = 2 .*reads no embeddings"),
    ],
)
def test_what_contradicts_is_refused_naming_both(preset, change, message):
    with pytest.raises(ConfigError, match=message):
        changed(preset, change)


def test_a_search_that_is_taught_must_be_encoded_again():
    with pytest.raises(ConfigError, match=r"contrastive_weight = 0\.5 .*embeddings_every = 0"):
        changed("tiny", "loss.contrastive_weight=0.5", "refresh.embeddings_every=0")
    assert changed("tiny", "loss.contrastive_weight=0.5").loss.hard_negatives


def test_the_way_out_that_errors_name_leads_out():
    off = ("retrieval.space=none", "retrieval.num_neighbours=0", "model.retrieved=none",
           "model.copy_skip=false", "refresh.embeddings_every=0")  # fmt: skip
    assert not changed("v18-current", *off).reads_embeddings


@pytest.mark.parametrize(
    ("preset", "changes", "reads"),
    [
        ("v13", [], False),
        ("v17", [], False),
        ("v18-current", [], True),
        ("v17", ["retrieval.space=embedding"], True),
        ("v17", ["model.retrieved=before"], True),
        ("v17", ["model.copy_skip=false", "retrieval.num_neighbours=4"], False),
        ("v18-current", ["model.retrieved=through"], True),
        ("v18-current", ["retrieval.space=token"], True),
    ],
)
def test_ingredients_are_switched_one_by_one(preset, changes, reads):
    assert changed(preset, *changes).reads_embeddings == reads


def test_masked_neighbours_have_no_votes():
    with pytest.raises(ConfigError, match=r"votes = true reads .*'masked' hides"):
        changed("v17", "model.returned=masked", "model.copy_skip=false")
    masked = changed("v17", "model.returned=masked", "model.copy_skip=false", "model.votes=false")
    assert masked.model.returned == "masked"


@pytest.mark.parametrize("name", ["v17", "v18"])
def test_published_systems_have_one_neighbour_and_nothing_that_copies_it(name):
    published = presets.get(f"{name}-published")
    model, retrieval, training = published.model, published.retrieval, published.training
    assert (retrieval.num_neighbours, retrieval.num_segments) == (1, 1)
    assert not model.copy_skip
    assert not model.votes
    assert (training.learning_rate, published.loss.focal_gamma) == (7.5e-5, 2.0)
    assert (training.patience, training.min_delta, training.rare_maf) == (5, 0.001, 0.05)
    assert published.loss.reconstruction_weight == 0
    assert training.val_metric == "f1"
    current = presets.get("v17" if name == "v17" else "v18-current")
    same = ("width", "num_layers", "num_heads", "retrieved", "returned", "population")
    assert all(getattr(model, one) == getattr(current.model, one) for one in same)
    for part in ("batch_size", "accumulation"):
        assert getattr(training, part) == getattr(current.training, part)
    assert published.masks == current.masks
    assert published.refresh == current.refresh


def test_presets_are_those_of_the_design():
    table = {
        name: (
            made.retrieval.space, made.model.retrieved, made.model.width, made.model.num_layers,
            made.model.num_heads, made.training.batch_size, made.training.accumulation,
        )
        for name, made in ((name, presets.get(name)) for name in ("v13", "v17", "v18-current"))
    }  # fmt: skip
    assert table == {
        "v13": ("none", "none", 128, 8, 4, 64, 1),
        "v17": ("token", "through", 192, 10, 6, 16, 1),
        "v18-current": ("embedding", "before", 192, 10, 6, 32, 2),
    }
    v17 = presets.get("v17")
    assert (v17.retrieval.num_neighbours, v17.retrieval.num_segments) == (1, 1)
    assert (v17.refresh.masks_every, len(v17.masks.levels)) == (0, 1)
