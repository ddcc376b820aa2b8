"""The permanent tests of DESIGN section 5 for every system that is trained on windows.

No query finds itself or its sibling, no hidden genotype reaches the network, no held-out sample is
in an index, and a run on shuffled labels scores like chance. Those of mosaic are in
test_training_data, test_evaluate_mosaic, test_train_mosaic and test_impute.
"""

import dataclasses
from contextlib import ExitStack

import numpy as np
import numpy.testing as npt
import pytest
import torch

from tests import panels
from tests.pipelines import workspaces
from tests.pipelines.systems.test_preflight import failures
from tests.pipelines.systems.test_systems import small
from vcfbert import config
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.pipelines.systems import train_systems
from vcfbert.pipelines.systems.start import TrainingStart
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training.systems import checkpoints, features, leakage, loop, predict, tensors
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.encoding import EncodedOnDemand, new_encoder
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.schedule import Work

SYSTEMS = {
    "tiny": workspaces.SMALL,
    "v13": small("v13"),
    "v17": small("v17"),
    "v18-current": small("v18-current"),
    "with populations": small("v18-current", "model.population=true"),
    "v17 with masked neighbours": small("v17-published", "model.returned=masked"),
}


@pytest.fixture(params=SYSTEMS)
def fx_bench(fx_built, request):
    """An open workspace under the settings of a system."""
    settings = SYSTEMS[request.param]
    with ExitStack() as stack:
        bench = TrainingStart(settings, fx_built, fx_built.run("new"), stack)
        if settings.reads_embeddings:  # that of fx_built is of other weights
            bench.embeddings = EncodedOnDemand(
                new_encoder(settings.model, settings.seed), bench.panel
            )
        yield bench


@torch.no_grad()
def answers(bench, batch):
    model = bench.state.model.eval()
    inputs = tensors.to_device(batch, bench.device)
    tables = loop.WindowTables(bench.maker(), 0.05, bench.device)
    site_features = tables.of(batch.window)[0]
    logits = model(
        inputs.query, site_features, inputs.neighbours, inputs.retrieved, inputs.population
    )
    return torch.cat([logits.haplotype.flatten(), logits.genotype.flatten()])


def test_hidden_genotypes_change_neither_inputs_nor_logits(fx_bench):
    maker = fx_bench.maker()
    for window, sample in zip((0, 1), fx_bench.samples, strict=False):
        batch = fx_bench.training_masks.batch(maker, Work(window, np.array([sample])))
        other = leakage.flipped(maker, batch)
        assert (batch.labels != other.labels)[batch.is_hidden].all()
        assert leakage.first_leak(batch, other) is None
        assert torch.equal(answers(fx_bench, batch), answers(fx_bench, other))


def test_visible_genotypes_do_change_the_logits(fx_bench):
    """Or the test above would pass for a network that reads nothing."""
    maker = fx_bench.maker()
    batch = fx_bench.training_masks.batch(maker, Work(0, fx_bench.samples[:1]))
    seen = dataclasses.replace(batch, is_hidden=~batch.is_hidden & (batch.labels <= 1))
    panel = leakage.FlippedPanel(maker.panel, seen)
    again = BatchMaker(panel, maker.index, maker.embeddings, maker.settings)
    other = again.make(0, batch.samples, batch.is_hidden)
    assert leakage.first_leak(batch, other) == "query tokens"
    assert not torch.equal(answers(fx_bench, batch), answers(fx_bench, other))


def test_nobody_finds_themselves_or_anyone_held_out(fx_bench):
    samples, maker = fx_bench.panel.samples, fx_bench.maker()
    train = samples.haplotypes(TRAIN)
    for split in (TRAIN, VALIDATION, TEST):
        sample_index = samples.in_splits(split)
        batch = fx_bench.training_masks.batch(maker, Work(1, sample_index))
        own = np.repeat(sample_index, 2)[:, None]
        assert not (batch.neighbours // 2 == own).any()
        assert np.isin(batch.neighbours, train).all()
    npt.assert_array_equal(fx_bench.index.reference_haplotypes, train)


def test_the_strict_checks_see_hidden_alleles_that_are_read(fx_built, monkeypatch):
    real = BatchMaker._assemble

    def leaky(self, window, samples, labels, query_tokens, rows, distances):
        batch = real(self, window, samples, labels, query_tokens, rows, distances)
        return dataclasses.replace(batch, distances=batch.distances + labels[0].sum())

    monkeypatch.setattr(BatchMaker, "_assemble", leaky)
    assert "Masked alleles reach the network" in failures(fx_built)["batch collation"]


def test_frequencies_are_of_train_samples_alone(fx_built):
    """What the network is told of a site does not change with the held-out samples' alleles."""
    with open_panel(fx_built.panel) as panel:
        before = features.of_window(panel, 0)
        counts = panel.sites.alt_count.copy()
        counts[:, [VALIDATION, TEST]] = 0
        panel.sites = dataclasses.replace(panel.sites, alt_count=counts)
        after = features.of_window(panel, 0)
        for name in ("frequency", "spread", "by_population"):
            assert torch.equal(getattr(before, name), getattr(after, name))
        populations = np.array(panel.samples.superpopulation)
        for column, population in enumerate(panel.samples.populations):
            is_one = (populations == population) & (panel.samples.split == TRAIN)
            rows = np.repeat(np.flatnonzero(is_one) * 2, 2) + np.tile([0, 1], is_one.sum())
            carried = panel.tokens(0, rows)[:, : panel.windows.num_sites(0)].sum(axis=0)
            where = panel.windows.sites(0)
            npt.assert_array_equal(panel.sites.population_alt_count[where, column], carried)


@pytest.fixture(scope="module")
def fx_shuffled(tmp_path_factory):
    """A panel whose alleles were shuffled over samples, site by site: only frequencies remain."""
    real = panels.mosaic_alleles

    def shuffled(*arguments, **keywords):
        return np.random.default_rng(8).permuted(real(*arguments, **keywords), axis=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panels, "mosaic_alleles", shuffled)
        return panels.small_workspace(tmp_path_factory.mktemp("shuffled"))


def correlation(workspace, settings, name):
    """Of truth and answer at hidden sites, within each site: 0 by chance, 1 where labels leak."""
    train_systems.train(workspace, settings, SystemOptions(name, device="cpu"), progress=Silent())
    with ExitStack() as stack:
        bench = TrainingStart(settings, workspace, workspace.run("new"), stack)
        model = checkpoints.load_model(workspace.run(name), "best")[0].eval()
        if settings.reads_embeddings:
            bench.embeddings = EncodedOnDemand(model.encoder, bench.panel)
        bench.index = IndexedOnDemand(bench.panel)
        samples = bench.panel.samples.in_splits(TRAIN, VALIDATION, TEST)
        is_masked = bench.validation_masks.queries.whole()
        found = predict.predict(
            model, bench.maker(), samples, is_masked,
            batch_size=60, device=bench.device, focal_gamma=settings.loss.focal_gamma,
        )  # fmt: skip
        sides = [[], []]
        for one in found:
            for side, values in zip(sides, (one.labels, one.alt_probability), strict=True):
                flat = values.reshape(-1, values.shape[-1]).astype(float)
                hidden_sites = one.is_hidden.reshape(flat.shape).all(axis=0)
                side.append((flat - flat.mean(axis=0))[:, hidden_sites].ravel())
    return np.corrcoef(*map(np.concatenate, sides))[0, 1]


def brief(name):
    settings = SYSTEMS[name]
    quick = {"training": {"max_epochs": 1, "batches_per_epoch": 4}}
    return config.merge(settings, quick, source="test")


@pytest.mark.parametrize("name", ["v13", "v17", "v18-current"])
def test_a_run_on_shuffled_labels_answers_like_chance(fx_shuffled, name):
    """For training samples as for others: 60 samples, 4,000 haplotypes and hidden sites."""
    assert abs(correlation(fx_shuffled, brief(name), name)) < 0.06


def test_a_run_that_finds_itself_does_not(fx_shuffled, monkeypatch):
    """Or the test above could not fail."""
    everyone = np.full((120, 2), -1)
    monkeypatch.setattr(
        BatchMaker, "_excluded", lambda _, samples, fold=-1: everyone[: 2 * len(samples)]
    )
    monkeypatch.setattr(
        train_systems.preflight, "before_training", lambda *_: None
    )  # which would refuse
    assert correlation(fx_shuffled, brief("v18-current"), "itself") > 0.3
