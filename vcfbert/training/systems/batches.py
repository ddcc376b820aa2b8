"""Batches: the tokens of some samples in a window, masked, with their neighbours.

B query haplotypes, K neighbours, L sites in a window, D embedding width, V vocabulary,
W windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import LossConfig, RetrievalConfig
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.model.embedding import SiteFeatures
from vcfbert.retrieval import similarity
from vcfbert.retrieval.candidates import Hits, nearest
from vcfbert.retrieval.query import OtherMask, Query, WindowIndex
from vcfbert.retrieval.segments import nearest_in_segments
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems import contrasts
from vcfbert.training.systems.contrasts import ContrastTokens
from vcfbert.training.systems.folds import NO_FOLD, HeldOut
from vcfbert.training.systems.schedule import BatchPart


class Embeddings(Protocol):
    """Source of raw embeddings: a store, or an encoder that computes them when they are read."""

    @property
    def layout(self) -> Literal["codebook", "dense"]:
        """The layout that `complete` reads."""

    def codebook(self, window: int) -> NDArray[np.float32]:
        """(V, L, D) raw embedding of every token at every site."""

    def complete(
        self, window: int, rows: NDArray[np.int64], tokens: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """(n, L, D) embeddings of index rows (n,) whose unmasked tokens are (n, L)."""


class References(Protocol):
    """Searchable reference haplotypes: an index of the workspace, or one built on demand.

    reference_haplotypes  (R,) panel haplotype of each row
    """

    reference_haplotypes: NDArray[np.int64]

    @property
    def kind(self) -> Literal["exact", "fast", "dense"]:
        """What `window` returns."""

    def window(self, window: int) -> WindowIndex:
        """The index of one window."""

    def rows_of(self, haplotypes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index row of each panel haplotype; -1 if it is not a reference."""


@dataclass(frozen=True)
class Batch:
    """Haplotypes of some samples in one window, and what was retrieved for them.

    samples           (B / 2,) panel indexes; rows 2 i and 2 i + 1 are the haplotypes of samples[i]
    labels            (B, L) true tokens
    query_tokens      (B, L) tokens that the model sees
    is_hidden         (B, L) True where an observed allele is masked: the sites that are scored
    neighbours        (B, K) panel haplotypes, nearest first
    neighbour_tokens  (B, K, L) complete tokens of the neighbours
    distances         (B, K) squared distance in the space of the search, under the mask
    codebook          (V, L, D) raw embeddings of the window; None with the dense layout, or if
                      nothing reads embeddings
    retrieved         (B, K, L, D) complete embeddings of the neighbours; None with a codebook
    population        (B,) column of each row's population in the panel; -1 if it is unknown
    contrast          references for the contrastive loss; None without it
    features          of the sites, without the fold of the samples; None if all samples count
    part              which samples of a shared batch these are; None if they are all
    """

    window: int
    samples: NDArray[np.int64]
    labels: NDArray[np.uint8]
    query_tokens: NDArray[np.uint8]
    is_hidden: NDArray[np.bool_]
    neighbours: NDArray[np.int64]
    neighbour_tokens: NDArray[np.uint8]
    distances: NDArray[np.float32]
    codebook: NDArray[np.float32] | None
    retrieved: NDArray[np.float32] | None
    population: NDArray[np.int64]
    contrast: ContrastTokens | None = None
    features: SiteFeatures | None = None
    part: BatchPart | None = None

    def gathered(self) -> NDArray[np.float32]:
        """(B, K, L, D) complete embeddings of the neighbours, in either layout."""
        if self.retrieved is not None:
            return self.retrieved
        assert self.codebook is not None
        return self.codebook[self.neighbour_tokens, np.arange(self.codebook.shape[1])]


class BatchMaker:
    """Makes a Batch from a window, samples and a mask."""

    def __init__(
        self,
        panel: PanelReader,
        index: References,
        embeddings: Embeddings | None,
        settings: RetrievalConfig,
        contrast: LossConfig | None = None,
        held_out: HeldOut | None = None,
    ) -> None:
        """Take open readers, which the caller closes.

        embeddings  None for a system that reads none
        contrast    settings of the contrastive loss, in training; None without it
        held_out    what batches of a fold read; None if there are no folds
        """
        self.panel = panel
        self.index = index
        self.embeddings = embeddings
        self.settings = settings
        self.contrast = contrast
        self.held_out = held_out
        self._population = panel.samples.population_index()

    def labels(self, window: int, samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B, L) true tokens of both haplotypes of each sample."""
        return self.panel.tokens(window, site_tables.haplotypes_of(samples))

    def make(
        self,
        window: int,
        samples: NDArray[np.int64],
        is_masked: NDArray[np.bool_],
        reference_mask: NDArray[np.bool_] | None = None,
        *,
        fold: int = NO_FOLD,
        part: BatchPart | None = None,
    ) -> Batch:
        """Retrieve neighbours for both haplotypes of each sample.

        is_masked       (L,) or (B, L) True where masked
        reference_mask  (L,) mask of the references in the search; None, the normal case, is the
                        mask of the query. The network always reads complete references
        fold            of the samples, which is left out as a whole
        part            which samples of a shared batch these are; None if they are all
        """
        labels = self.labels(window, samples)
        query_tokens = tokens.hide(labels, is_masked)
        hits = self._retrieve(window, samples, query_tokens, reference_mask, fold)
        batch = self._assemble(window, samples, labels, query_tokens, hits.rows, hits.distances)
        if fold != NO_FOLD:
            batch = self._without_fold(batch, fold)
        batch = replace(batch, part=part)
        if self.contrast is None:
            return batch
        return replace(batch, contrast=self._contrast(batch, fold, self.contrast.hard_negatives))

    def _without_fold(self, batch: Batch, fold: int) -> Batch:
        """The same batch with features and embeddings that do not know the fold.

        The search keeps its site weights: they are those of visible sites, and the same for all
        references.
        """
        assert self.held_out is not None, "a batch of a fold needs the fold"
        features = self.held_out.features(batch.window, fold)
        if self.embeddings is None:
            return replace(batch, features=features)
        return replace(
            batch, features=features, codebook=self.held_out.codebook(features), retrieved=None
        )

    def _contrast(self, batch: Batch, fold: int, hard: bool) -> ContrastTokens:
        """Find the references of the contrastive loss and read their alleles.

        They are the same whether the batch is made as a whole or in parts.
        """
        whole, first = batch.samples, 0
        if batch.part is not None:
            whole, first = batch.part.whole, batch.part.first
        own = slice(2 * first, 2 * (first + len(batch.samples)))
        chosen = contrasts.choose(
            self.index.window(batch.window),
            self._query(batch.window, batch.query_tokens, None),
            batch.labels,
            self._excluded(whole, fold),
            own,
            hard=hard,
            seed=[batch.window, *whole.tolist()],
        )
        return contrasts.read(
            self._tokens_of(batch.window, chosen.positives),
            self._tokens_of(batch.window, chosen.negatives),
            batch.labels,
            batch.is_hidden,
        )

    def _tokens_of(self, window: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B, n, L) complete tokens of index rows (B, n)."""
        flat = self.panel.tokens(window, self.index.reference_haplotypes[rows.ravel()])
        return flat.reshape(*rows.shape, self.panel.length)

    def _retrieve(
        self,
        window: int,
        samples: NDArray[np.int64],
        query_tokens: NDArray[np.uint8],
        reference_mask: NDArray[np.bool_] | None,
        fold: int,
    ) -> Hits:
        """Search; arrays of shape (B, 0) if the system retrieves nothing."""
        if self.settings.space == "none":
            shape = (len(query_tokens), 0)
            return Hits(np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32))
        return nearest_in_segments(
            self.index.window(window),
            self._query(window, query_tokens, reference_mask),
            self.settings.num_neighbours,
            self.settings.num_segments,
            self._excluded(samples, fold),
        )

    def nearest_by_hamming(
        self, window: int, samples: NDArray[np.int64], query_tokens: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """(B, L) complete tokens of the reference that differs at the fewest visible sites."""
        query = Query(query_tokens, similarity.token_weights(self.panel.length))
        hits = nearest(self.index.window(window), query, 1, self._excluded(samples))
        return self.panel.tokens(window, self.index.reference_haplotypes[hits.rows[:, 0]])

    def _query(
        self,
        window: int,
        query_tokens: NDArray[np.uint8],
        reference_mask: NDArray[np.bool_] | None,
    ) -> Query:
        """The query for the index: site weights, and masked embeddings if the index is dense."""
        if self.settings.space == "token":
            weights = similarity.token_weights(self.panel.length)
            costs = similarity.token_mask_costs(self.panel.length)
            return Query(query_tokens, weights, other_mask=_other(reference_mask, costs))
        assert self.embeddings is not None
        codebook = self.embeddings.codebook(window)
        other = _other(reference_mask, similarity.mask_costs(codebook))
        masked = None
        if self.index.kind == "dense":
            masked = codebook[query_tokens, np.arange(self.panel.length)]
        return Query(query_tokens, similarity.site_weights(codebook), masked, other)

    def _excluded(self, sample_index: NDArray[np.int64], fold: int = NO_FOLD) -> NDArray[np.int64]:
        """(B, E) index rows that a query must not find; -1 for none.

        These are both haplotypes of its sample, of listed relatives and of all samples of its fold.
        """
        if not self.settings.exclude_same_sample:
            return np.full((2 * len(sample_index), 2), -1, dtype=np.int64)
        samples = self.panel.samples
        banned = [
            np.append(sample, samples.relatives_of(sample)) for sample in sample_index[:, None]
        ]
        if fold != NO_FOLD:
            assert self.held_out is not None, "a batch of a fold needs the fold"
            banned = [np.union1d(some, self.held_out.samples(fold)) for some in banned]
        rows = [self.index.rows_of(site_tables.haplotypes_of(some)) for some in banned]
        excluded = np.full((len(sample_index), max(map(len, rows), default=2)), -1, dtype=np.int64)
        for line, some in zip(excluded, rows, strict=True):
            line[: len(some)] = some
        return np.repeat(excluded, 2, axis=0)

    def _assemble(
        self,
        window: int,
        samples: NDArray[np.int64],
        labels: NDArray[np.uint8],
        query_tokens: NDArray[np.uint8],
        rows: NDArray[np.int64],
        distances: NDArray[np.float32],
    ) -> Batch:
        neighbours = self.index.reference_haplotypes[rows]
        flat = self.panel.tokens(window, neighbours.ravel())
        shape = (*neighbours.shape, self.panel.length)
        codebook = complete = None
        if self.embeddings is not None and self.embeddings.layout == "dense":
            complete = self.embeddings.complete(window, rows.ravel(), flat).reshape(*shape, -1)
        elif self.embeddings is not None:
            codebook = self.embeddings.codebook(window)
        return Batch(
            window=window,
            samples=samples,
            labels=labels,
            query_tokens=query_tokens,
            is_hidden=(query_tokens == tokens.MASK),
            neighbours=neighbours,
            neighbour_tokens=flat.reshape(shape),
            distances=distances,
            codebook=codebook,
            retrieved=complete,
            population=np.repeat(self._population[samples], 2),
        )


def _other(
    reference_mask: NDArray[np.bool_] | None, costs: NDArray[np.float32]
) -> OtherMask | None:
    return None if reference_mask is None else OtherMask(reference_mask, costs)
