"""Left-out samples of a panel: only their typed alleles reach their training rows."""

import dataclasses

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks
from vcfbert import config
from vcfbert.config import MosaicConfig, presets
from vcfbert.domain import sites as site_tables
from vcfbert.errors import InputError
from vcfbert.pipelines.chunks import panel_samples
from vcfbert.pipelines.chunks.panel_samples import PanelChunk
from vcfbert.pipelines.mosaic import fold_plan, training_data
from vcfbert.storage.zarr.panel import open_panel

TYPED = np.arange(2, 120, 5)
SAMPLES = np.array([4, 9, 25])


@pytest.fixture(scope="module")
def fx_chunk(fx_workspace):
    with open_panel(fx_workspace.panel) as panel:
        return panel_samples.read(panel, np.arange(120), slice(10, 110))


@pytest.fixture(scope="module")
def fx_left_out(fx_chunk):
    return panel_samples.leave_out(fx_chunk, rest_of(SAMPLES), SAMPLES)


def rest_of(samples, num_samples=60):
    return site_tables.haplotypes_of(np.setdiff1d(np.arange(num_samples), samples))


def with_alleles(chunk: PanelChunk, rows, sites, seed=5) -> PanelChunk:
    """The same chunk with other alleles of some haplotypes at some sites."""
    alleles = chunk.alleles(np.arange(len(chunk.bits)))
    place = np.ix_(rows, sites)
    alleles[place] ^= np.random.default_rng(seed).integers(2, size=alleles[place].shape, dtype="u1")
    return dataclasses.replace(chunk, bits=chunks.pack(alleles))


def prepared_of(chunk):
    left_out = panel_samples.leave_out(chunk, rest_of(SAMPLES), SAMPLES)
    return left_out, panel_samples.typed_at(left_out, TYPED, seed=1, threads=1)


def data_of(left_out, typed, most=10**6):
    rng = np.random.default_rng(3)
    return training_data.open_data(typed, left_out, most, rng, 2)


def test_a_chunk_holds_what_the_windows_hold(fx_workspace):
    with open_panel(fx_workspace.panel) as panel:
        sites = np.setdiff1d(np.arange(21, 100), [28, 91])
        chunk = panel_samples.read(panel, sites, slice(30, 90))
        whole = panel_samples.read(panel, np.arange(120), slice(0, 120))
        everyone = np.arange(2 * len(panel.samples))
        npt.assert_array_equal(chunk.alleles(everyone), whole.alleles(everyone)[:, sites])
        npt.assert_array_equal(sites[chunk.is_core], np.arange(30, 90))
        copies = whole.alleles(everyone).sum(axis=0)
        npt.assert_array_equal(copies, panel.sites.alt_count.sum(axis=1))


def test_a_sample_among_the_own_references_is_refused(fx_chunk):
    with pytest.raises(AssertionError, match="copied from itself"):
        panel_samples.leave_out(fx_chunk, rest_of(SAMPLES[:2]), SAMPLES)


def test_nothing_that_is_made_of_the_references_knows_the_left_out_samples(fx_chunk):
    own = site_tables.haplotypes_of(SAMPLES)
    other = with_alleles(fx_chunk, own, np.arange(120))
    (left_out, typed), (left_out_too, typed_too) = prepared_of(fx_chunk), prepared_of(other)
    npt.assert_array_equal(left_out.group, left_out_too.group)
    for one, another in zip(typed.prepared.chunk, typed_too.prepared.chunk, strict=True):
        npt.assert_array_equal(one, another)
    npt.assert_array_equal(typed.prepared.group_frequency, typed_too.prepared.group_frequency)
    count = fx_chunk.alleles(rest_of(SAMPLES)).sum(axis=0)
    odds = np.log(count / (len(rest_of(SAMPLES)) - count))[typed.sites]
    npt.assert_allclose(typed.prepared.chunk.frequency, odds, rtol=1e-5)


def test_hidden_genotypes_never_reach_the_rows(fx_chunk):
    own = site_tables.haplotypes_of(SAMPLES)
    hidden = np.setdiff1d(np.arange(120), TYPED)
    other = with_alleles(fx_chunk, own, hidden)
    one, another = (data_of(*prepared_of(chunk)) for chunk in (fx_chunk, other))
    npt.assert_array_equal(one.rows, another.rows)
    assert (one.labels != another.labels).mean() > 0.3


def test_typed_genotypes_do_reach_the_rows(fx_chunk):
    other = with_alleles(fx_chunk, site_tables.haplotypes_of(SAMPLES), TYPED)
    one, another = (data_of(*prepared_of(chunk)) for chunk in (fx_chunk, other))
    assert one.rows.shape != another.rows.shape or (one.rows != another.rows).any()


def test_rows_are_of_the_core_and_as_many_as_asked_for(fx_left_out):
    typed = panel_samples.typed_at(fx_left_out, TYPED, seed=1, threads=1)
    data = data_of(fx_left_out, typed)
    in_core = 2 * len(SAMPLES) * (100 - np.isin(np.arange(10, 110), TYPED).sum())
    assert 0 < len(data.rows) <= in_core
    few = data_of(fx_left_out, typed, most=7)
    assert few.rows.shape == (7, data.rows.shape[1])
    assert (data.rows == few.rows[0]).all(axis=1).any()


def test_folds_take_out_train_samples_who_are_not_among_their_references(fx_workspace):
    settings = MosaicConfig(folds=4, held_out=80)
    with open_panel(fx_workspace.panel) as panel:
        samples = panel.samples
    plan = fold_plan.draw(samples, settings, seed=1)
    train = set(samples.in_splits(site_tables.TRAIN).tolist())
    seen = set()
    for fold in plan.folds:
        sample_index, references = set(fold.samples.tolist()), set((fold.references // 2).tolist())
        assert len(sample_index) == len(train) // fold_plan.LARGEST_SHARE
        assert sample_index | references == train
        assert not sample_index & references
        assert not sample_index & seen  # other samples in each fold, while there are any
        seen |= sample_index
    validating = np.sort(np.concatenate(plan.validation))
    npt.assert_array_equal(validating, samples.in_splits(site_tables.VALIDATION))


def test_without_validation_samples_some_train_samples_stand_for_them(fx_workspace):
    with open_panel(fx_workspace.panel) as panel:
        split = np.where(panel.samples.split == site_tables.VALIDATION, 0, panel.samples.split)
        samples = dataclasses.replace(panel.samples, split=split.astype(np.int8))
    plan = fold_plan.draw(samples, MosaicConfig(), seed=1)
    validating = np.concatenate(plan.validation)
    assert len(validating) == len(samples.in_splits(site_tables.TRAIN)) // 5
    assert not np.isin(validating, np.concatenate([fold.samples for fold in plan.folds])).any()
    for fold, sample_index in zip(plan.folds, plan.validation, strict=False):
        alike = fold.typed_alike(sample_index, samples, {})
        assert not np.isin(alike.references // 2, sample_index).any()


def test_a_list_of_typed_sites_is_worth_more_folds_than_drawn_designs(fx_workspace):
    with open_panel(fx_workspace.panel) as panel:
        samples = panel.samples
    settings = MosaicConfig(folds=2, designs=2, held_out=6)
    counts = [len(fold_plan.draw(samples, settings, 1, lists).folds) for lists in range(4)]
    assert counts == [2, 4, 2, 2]
    few = MosaicConfig(folds=2, designs=9, held_out=6)  # 48 samples are eight times 6
    assert len(fold_plan.draw(samples, few, 1, 1).folds) == 8


def test_too_few_samples_are_refused(fx_workspace):
    with open_panel(fx_workspace.panel) as panel:
        split = np.full(len(panel.samples), site_tables.TEST, dtype=np.int8)
        split[:9] = site_tables.TRAIN
        samples = dataclasses.replace(panel.samples, split=split)
    with pytest.raises(InputError, match="9 train samples, but at least 10"):
        fold_plan.draw(samples, MosaicConfig(), seed=1)


def test_the_preset_is_of_the_system_mosaic():
    settings = presets.get("mosaic")
    assert settings.system == "mosaic"
    assert config.from_dict(config.to_dict(settings), source="test") == settings
