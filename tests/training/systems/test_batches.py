"""What a batch holds, and what it must never hold."""

import dataclasses

import faiss
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines.systems.test_train_systems import small_settings
from vcfbert.config import RetrievalConfig
from vcfbert.domain import masks, tokens
from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.pipelines.systems import build_index, encode, refresh
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.indexing import IndexedOnDemand

WINDOW = 1


def mask_of(maker, rate=0.5):
    return masks.draw_masks(maker.panel.windows, seed=1, role="train", version=0, rate=rate)[WINDOW]


class Flipped:
    """A panel in which some samples carry the other allele at every masked site."""

    def __init__(self, panel, samples, is_masked):
        self._panel = panel
        self._haplotypes = {2 * n + k for n in samples.tolist() for k in (0, 1)}
        self._is_masked = is_masked

    def __getattr__(self, name):
        return getattr(self._panel, name)

    def tokens(self, window, haplotypes):
        made = self._panel.tokens(window, haplotypes).copy()
        for row, haplotype in enumerate(haplotypes.tolist()):
            if haplotype in self._haplotypes:
                flips = self._is_masked & (made[row] <= tokens.ALT)
                made[row] = np.where(flips, 1 - made[row], made[row])
        return made


def test_no_query_finds_itself_or_its_sibling(fx_maker):
    samples = fx_maker.panel.samples.in_splits(TRAIN)
    batch = fx_maker.make(WINDOW, samples, mask_of(fx_maker))
    own = np.repeat(samples, 2)
    assert not (batch.neighbours // 2 == own[:, None]).any()


def test_without_the_exclusion_a_training_query_does_find_itself(fx_maker):
    settings = dataclasses.replace(fx_maker.settings, exclude_same_sample=False)
    maker = BatchMaker(fx_maker.panel, fx_maker.index, fx_maker.embeddings, settings)
    samples = fx_maker.panel.samples.in_splits(TRAIN)
    batch = maker.make(WINDOW, samples, mask_of(fx_maker))
    assert (batch.neighbours // 2 == np.repeat(samples, 2)[:, None]).any()


@pytest.mark.parametrize("split", [TRAIN, VALIDATION, TEST])
def test_no_held_out_sample_is_ever_a_neighbour(fx_maker, split):
    samples = fx_maker.panel.samples.in_splits(split)
    batch = fx_maker.make(WINDOW, samples, mask_of(fx_maker))
    allowed = set(fx_maker.panel.samples.haplotypes(TRAIN).tolist())
    assert set(batch.neighbours.ravel().tolist()) <= allowed


def test_hidden_alleles_of_the_query_change_nothing_the_network_reads(fx_maker):
    samples = fx_maker.panel.samples.in_splits(VALIDATION)
    is_masked = mask_of(fx_maker)
    honest = fx_maker.make(WINDOW, samples, is_masked)
    flipped_panel = Flipped(fx_maker.panel, samples, is_masked)
    maker = BatchMaker(flipped_panel, fx_maker.index, fx_maker.embeddings, fx_maker.settings)
    flipped = maker.make(WINDOW, samples, is_masked)
    assert (honest.labels != flipped.labels).any()
    for name in ("query_tokens", "neighbours", "neighbour_tokens", "distances", "codebook"):
        npt.assert_array_equal(getattr(honest, name), getattr(flipped, name), err_msg=name)


def test_only_masked_observed_sites_are_scored(fx_maker):
    samples = fx_maker.panel.samples.in_splits(TRAIN)[:3]
    is_masked = mask_of(fx_maker)
    batch = fx_maker.make(WINDOW, samples, is_masked)
    npt.assert_array_equal(batch.is_hidden, is_masked & (batch.labels <= tokens.ALT))
    npt.assert_array_equal(batch.query_tokens[batch.is_hidden], tokens.MASK)
    npt.assert_array_equal(batch.query_tokens[~batch.is_hidden], batch.labels[~batch.is_hidden])


def test_the_gathered_embeddings_are_those_of_the_neighbours_tokens(fx_maker):
    samples = fx_maker.panel.samples.in_splits(TRAIN)[:2]
    batch = fx_maker.make(WINDOW, samples, mask_of(fx_maker))
    gathered = batch.gathered()
    query, neighbour, site = 1, 2, 5
    token = batch.neighbour_tokens[query, neighbour, site]
    npt.assert_array_equal(gathered[query, neighbour, site], batch.codebook[token, site])


def test_distances_rise_and_are_those_between_masked_embeddings(fx_maker):
    samples = fx_maker.panel.samples.in_splits(TRAIN)[:4]
    batch = fx_maker.make(WINDOW, samples, mask_of(fx_maker))
    site = np.arange(fx_maker.panel.length)
    masked = np.where(
        (batch.query_tokens == tokens.MASK)[:, None], tokens.MASK, batch.neighbour_tokens
    )
    difference = batch.codebook[masked, site] - batch.codebook[batch.query_tokens, site][:, None]
    npt.assert_allclose(batch.distances, (difference**2).sum(axis=(2, 3)), rtol=1e-3, atol=1e-5)
    assert (np.diff(batch.distances, axis=1) >= 0).all()


class Unsearchable:
    """An index that must not be asked."""

    kind = "exact"

    def __init__(self, index):
        self.reference_haplotypes = index.reference_haplotypes

    def window(self, window):
        raise AssertionError(f"window {window} was searched")


def test_without_retrieval_nothing_is_searched_and_no_embedding_read(fx_maker):
    settings = RetrievalConfig(space="none", num_neighbours=0)
    maker = BatchMaker(fx_maker.panel, Unsearchable(fx_maker.index), None, settings)
    samples = fx_maker.panel.samples.in_splits(TRAIN)[:3]
    batch = maker.make(WINDOW, samples, mask_of(fx_maker))
    assert batch.neighbours.shape == batch.distances.shape == (6, 0)
    assert batch.neighbour_tokens.shape == (6, 0, fx_maker.panel.length)
    assert batch.codebook is None
    assert batch.retrieved is None
    with_neighbours = fx_maker.make(WINDOW, samples, mask_of(fx_maker))
    npt.assert_array_equal(batch.query_tokens, with_neighbours.query_tokens)


@pytest.mark.parametrize("version", range(4))
def test_token_space_finds_what_flat_l2_over_masked_token_ids_finds(fx_maker, version):
    settings = RetrievalConfig(space="token", num_neighbours=5, num_segments=1)
    maker = BatchMaker(fx_maker.panel, fx_maker.index, None, settings)
    is_masked = masks.draw_masks(
        maker.panel.windows, seed=1, role="train", version=version, rate=0.5
    )[WINDOW]
    samples = fx_maker.panel.samples.in_splits(VALIDATION)  # not in the index, so none is excluded
    batch = maker.make(WINDOW, samples, is_masked)

    def masked_ids(haplotypes):
        found = tokens.hide(maker.panel.tokens(WINDOW, haplotypes), is_masked)
        return found.astype(np.float32)

    references = maker.index.reference_haplotypes
    brute_force = faiss.IndexFlatL2(maker.panel.length)
    brute_force.add(masked_ids(references))
    queries = masked_ids(site_tables.haplotypes_of(samples))
    distances, rows = brute_force.search(queries, len(references))
    order = np.lexsort((rows, distances))[:, :5]  # ties by row, as everywhere
    npt.assert_array_equal(batch.distances, np.take_along_axis(distances, order, axis=1))
    npt.assert_array_equal(batch.neighbours, references[np.take_along_axis(rows, order, axis=1)])


def test_the_space_of_the_search_has_an_effect(fx_maker):
    """A codebook in which one site outweighs all others decides in embedding space alone."""
    embeddings = Lopsided(fx_maker.embeddings)
    samples = fx_maker.panel.samples.in_splits(TRAIN)
    found = {
        space: BatchMaker(
            fx_maker.panel, fx_maker.index, embeddings,
            RetrievalConfig(space=space, num_neighbours=1, num_segments=1),
        ).make(WINDOW, samples, np.zeros(fx_maker.panel.length, dtype=bool))
        for space in ("token", "embedding")
    }  # fmt: skip
    agrees = {
        space: (batch.neighbour_tokens[:, 0, Lopsided.SITE] == batch.labels[:, Lopsided.SITE])
        for space, batch in found.items()
    }
    assert agrees["embedding"].all()
    assert not agrees["token"].all()


class Lopsided:
    """Embeddings in which REF and ALT are far apart at one site."""

    SITE = 4
    layout = "codebook"

    def __init__(self, embeddings):
        self._embeddings = embeddings

    def codebook(self, window):
        made = self._embeddings.codebook(window).copy()
        made[tokens.ALT, self.SITE] += 1000
        return made


def test_an_index_made_on_demand_answers_as_a_stored_one_does(fx_maker):
    made = IndexedOnDemand(fx_maker.panel)
    samples = fx_maker.panel.samples.in_splits(TRAIN)[:4]
    npt.assert_array_equal(made.reference_haplotypes, fx_maker.index.reference_haplotypes)
    maker = BatchMaker(fx_maker.panel, made, fx_maker.embeddings, fx_maker.settings)
    for window in (0, WINDOW, 0):
        is_masked = np.arange(fx_maker.panel.length) % 2 == 0
        one, other = (m.make(window, samples, is_masked) for m in (maker, fx_maker))
        npt.assert_array_equal(one.neighbours, other.neighbours)


@pytest.fixture(scope="module")
def fx_layouts(tmp_path_factory):
    """Batches of the same samples and mask, from a codebook store and from a dense one."""
    workspace = panels.small_workspace(tmp_path_factory.mktemp("layouts"))
    settings = small_settings()
    refresh.refresh(workspace, settings, RefreshOptions(masks=True), progress=Silent())
    build_index.build_index(workspace, IndexOptions(), progress=Silent())
    batches = {}
    with open_panel(workspace.panel) as panel:
        index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
        samples = panel.samples.in_splits(TRAIN)[:5]
        is_masked = read_masks(workspace.newest("masks")).is_masked
        for layout in ("codebook", "dense"):
            options = EncodeOptions(layout=layout)
            encode.encode_refs(workspace, settings, options, progress=Silent(), overwrite=True)
            with open_embeddings(workspace.newest("embeddings")) as reader:
                maker = BatchMaker(panel, index, reader, settings.retrieval)
                batches[layout] = [
                    maker.make(window, samples, is_masked[window])
                    for window in range(len(panel.windows))
                ]
    return batches


def test_codebook_and_dense_give_bit_identical_batches(fx_layouts):
    for one, other in zip(fx_layouts["codebook"], fx_layouts["dense"], strict=True):
        assert one.retrieved is None
        assert other.codebook is None
        npt.assert_array_equal(one.gathered(), other.gathered())
        for name in ("labels", "query_tokens", "is_hidden", "neighbours", "distances"):
            npt.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_each_row_has_the_population_of_its_sample_held_out_ones_too(fx_maker):
    samples = fx_maker.panel.samples
    chosen = samples.in_splits(TRAIN, VALIDATION, TEST)[:20]
    is_masked = np.zeros(fx_maker.panel.length, dtype=bool)
    batch = fx_maker.make(0, chosen, is_masked)
    names = [samples.populations[column] for column in batch.population.tolist()]
    assert names == [samples.superpopulation[n] for n in np.repeat(chosen, 2)]
