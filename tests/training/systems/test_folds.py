"""A training batch knows nothing of its fold, so training and test agree at rare sites."""

import dataclasses

import numpy as np
import numpy.testing as npt
import pytest

from tests.training.systems.test_batches import WINDOW, Flipped, mask_of
from vcfbert.config import RetrievalConfig, TrainingConfig
from vcfbert.domain import masks, tokens
from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import TEST, TRAIN
from vcfbert.pipelines.preparing import prepare, simulate
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.preparing.simulate import SimulateOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import encoding, features, schedule
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.folds import NO_FOLD, Folds, HeldOut
from vcfbert.training.systems.indexing import IndexedOnDemand

FOLD = 1


def folds_of(panel):
    return Folds.drawn(panel.samples.in_splits(TRAIN), 4, 8, seed=1)


def maker_with_folds(maker, panel=None):
    """A maker that reads the panel of a fixture, or another, with folds."""
    panel = panel or maker.panel
    held_out = HeldOut(panel, folds_of(maker.panel), maker.embeddings._encoder)
    return BatchMaker(panel, maker.index, maker.embeddings, maker.settings, held_out=held_out)


def test_folds_are_a_partition_that_the_seed_decides(fx_maker):
    samples = fx_maker.panel.samples.in_splits(TRAIN)
    folds = Folds.drawn(samples, 4, 8, seed=1)
    npt.assert_array_equal(np.sort(np.concatenate(folds.parts)), samples)
    again, other = (Folds.drawn(samples, 4, 8, seed=seed) for seed in (1, 2))
    npt.assert_array_equal(again.parts[0], folds.parts[0])
    assert set(other.parts[0].tolist()) != set(folds.parts[0].tolist())


@pytest.mark.parametrize(("num_folds", "batch_size"), [(0, 1), (10, 40)])
def test_there_are_no_folds_smaller_than_a_batch(num_folds, batch_size):
    assert Folds.drawn(np.arange(60), num_folds, batch_size, seed=1) is None


def test_an_epoch_holds_every_sample_in_every_window_once_in_batches_of_one_fold(fx_maker):
    folds = folds_of(fx_maker.panel)
    samples = np.concatenate(folds.parts)
    plan = schedule.plan_epoch(
        samples, 3, TrainingConfig(batch_size=5), seed=1, epoch=0, folds=folds
    )
    found = sorted((work.window, one) for work in plan for one in work.samples.tolist())
    assert found == sorted((window, one) for window in range(3) for one in samples.tolist())
    for work in plan:
        assert set(work.samples.tolist()) <= set(folds.parts[work.fold].tolist())


def test_no_neighbour_is_of_the_fold(fx_maker):
    maker = maker_with_folds(fx_maker)
    fold = maker.held_out.samples(FOLD)
    batch = maker.make(WINDOW, fold[:5], mask_of(maker), fold=FOLD)
    assert not np.isin(batch.neighbours // 2, fold).any()
    alone = maker.make(WINDOW, fold[:5], mask_of(maker))
    assert np.isin(alone.neighbours // 2, fold).any()


def test_frequencies_are_those_of_the_other_folds(fx_maker):
    panel = fx_maker.panel
    fold = folds_of(panel).parts[FOLD]
    others = np.setdiff1d(panel.samples.in_splits(TRAIN), fold)
    made = features.of_window(panel, WINDOW, without=fold)
    num_sites = panel.windows.num_sites(WINDOW)

    def frequency(samples):
        labels = panel.tokens(WINDOW, site_tables.haplotypes_of(samples))[:, :num_sites]
        return (labels == tokens.ALT).mean(axis=0)

    npt.assert_allclose(made.frequency[:num_sites], frequency(others), rtol=1e-6)
    for column, name in enumerate(panel.samples.populations):
        members = [one for one in others.tolist() if panel.samples.labels[one] == name]
        npt.assert_allclose(
            made.by_population[:num_sites, column], frequency(np.array(members)), rtol=1e-6
        )
    whole = features.of_window(panel, WINDOW)
    assert (whole.frequency != made.frequency).any()


def test_no_allele_of_the_fold_changes_what_the_network_reads(fx_maker):
    """Also not through frequencies and embeddings, which count whole samples otherwise."""
    maker, is_masked = maker_with_folds(fx_maker), mask_of(fx_maker)
    fold = maker.held_out.samples(FOLD)
    query = fold[:3]
    batch = maker.make(WINDOW, query, is_masked, fold=FOLD)
    flipped = maker_with_folds(fx_maker, FlippedCounts(fx_maker.panel, fold, is_masked))
    again = flipped.make(WINDOW, query, is_masked, fold=FOLD)
    for name in ("query_tokens", "neighbours", "neighbour_tokens", "codebook"):
        npt.assert_array_equal(getattr(batch, name), getattr(again, name), err_msg=name)
    for field in dataclasses.fields(batch.features):
        npt.assert_array_equal(
            getattr(batch.features, field.name), getattr(again.features, field.name)
        )


class FlippedCounts(Flipped):
    """A panel in which some samples carry the other allele, and whose counts say so."""

    def __init__(self, panel, samples, is_masked):
        super().__init__(panel, samples, is_masked)
        counts = panel.sites.alt_count.copy()
        by_population = panel.sites.population_alt_count.copy()
        where = panel.windows.sites(WINDOW)
        rows = site_tables.haplotypes_of(samples)
        num_sites = panel.windows.num_sites(WINDOW)
        before = panel.tokens(WINDOW, rows)[:, :num_sites].astype(np.int64)
        change = self.tokens(WINDOW, rows)[:, :num_sites].astype(np.int64) - before
        counts[where, TRAIN] += change.sum(axis=0)
        groups = panel.samples.groups()[len(site_tables.SPLITS) :][:, rows]
        by_population[where] += (groups.astype(np.int64) @ change).T
        self.sites = dataclasses.replace(
            panel.sites, alt_count=counts, population_alt_count=by_population
        )


def test_the_embeddings_of_the_references_have_the_frequencies_of_the_fold(fx_maker):
    maker = maker_with_folds(fx_maker)
    fold = maker.held_out.samples(FOLD)
    batch = maker.make(WINDOW, fold[:2], mask_of(maker), fold=FOLD)
    encoder = fx_maker.embeddings._encoder
    expected = encoder.codebook(batch.features).detach().numpy()
    npt.assert_array_equal(batch.codebook, expected)
    assert (encoding.window_codebook(encoder, maker.panel, WINDOW) != expected).any()


@pytest.fixture(scope="module")
def fx_simulated(tmp_path_factory):
    """A simulated panel with all its rare sites; a quarter of the samples is for testing."""
    folder = tmp_path_factory.mktemp("simulated")
    options = SimulateOptions(num_samples=400, length=400_000, seed=4)
    simulate.simulate(folder, options, progress=Silent())
    workspace = Workspace(folder / "work")
    prepared = PrepareOptions(window_size=512, flank=32, test_fraction=0.25)
    prepare.prepare(folder / "panel.vcf.gz", workspace, prepared, progress=Silent())
    with open_panel(workspace.panel) as panel:
        yield panel


def share_of_alt(panel, maker, groups, copies):
    """Masked alleles at sites with so many copies, if a neighbour has ALT: number, share of ALT."""
    is_masked = masks.draw_masks(panel.windows, seed=1, role="train", version=0, rate=0.5)
    counts = np.zeros(2)
    for window in range(len(panel.windows)):
        for samples, fold in groups:
            batch = maker.make(window, samples, is_masked[window], fold=fold)
            seen = batch.features or features.of_window(panel, window)
            left_out = 0 if fold == NO_FOLD else len(maker.held_out.samples(fold))
            haplotypes = 2 * (len(panel.samples.in_splits(TRAIN)) - left_out)
            here = np.rint(seen.frequency.numpy() * haplotypes) == copies
            has_alt = (batch.neighbour_tokens == tokens.ALT).any(axis=1) & batch.is_hidden & here
            counts += has_alt.sum(), (has_alt & (batch.labels == tokens.ALT)).sum()
    return counts[0], counts[1] / counts[0]


@pytest.mark.slow
def test_a_neighbour_with_a_rare_allele_means_the_same_in_training_and_test(fx_simulated):
    """Left out alone, a carrier of a site's only copy never finds it, so ALT would mean REF."""
    panel = fx_simulated
    folds = Folds.drawn(panel.samples.in_splits(TRAIN), 4, 1, seed=1)
    settings = RetrievalConfig(space="token", num_neighbours=16, num_segments=4)
    held_out = HeldOut(panel, folds, None)
    maker = BatchMaker(panel, IndexedOnDemand(panel), None, settings, held_out=held_out)
    by_fold = [(part, fold) for fold, part in enumerate(folds.parts)]
    alone = [(part, NO_FOLD) for part, _ in by_fold]
    tested = [(panel.samples.in_splits(TEST), NO_FOLD)]
    assert share_of_alt(panel, maker, alone, 1)[1] == 0
    for copies in (1, 2):
        number, trained = share_of_alt(panel, maker, by_fold, copies)
        number_tested, expected = share_of_alt(panel, maker, tested, copies)
        assert expected > 0
        spread = np.sqrt(expected * (1 - expected) * (1 / number + 1 / number_tested))
        assert abs(trained - expected) < 4 * spread
