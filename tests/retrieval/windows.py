"""Small windows with a random encoder, and the slow obvious search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.retrieval import similarity
from vcfbert.retrieval.query import Query


@dataclass(frozen=True)
class Window:
    """Reference alleles (R, L) and a codebook (V, L, D)."""

    alleles: NDArray[np.uint8]
    codebook: NDArray[np.float32]

    @property
    def weights(self) -> NDArray[np.float32]:
        return similarity.site_weights(self.codebook)

    def bits(self) -> NDArray[np.uint8]:
        return tokens.pack(self.alleles)

    def embedded(self, window_tokens: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, L, D) embeddings of tokens (n, L)."""
        return self.codebook[window_tokens, np.arange(self.codebook.shape[1])]

    def masked_references(self, is_masked: NDArray[np.bool_]) -> NDArray[np.float32]:
        return self.embedded(tokens.hide(self.alleles, is_masked))

    def query(self, window_tokens: NDArray[np.uint8]) -> Query:
        return Query(window_tokens, self.weights, self.embedded(window_tokens))


def random_window(
    seed: int = 0, *, references: int = 60, length: int = 37, width: int = 6, rate: float = 0.3
) -> Window:
    """References that repeat each other often, as real ones do, and any codebook."""
    rng = np.random.default_rng(seed)
    founders = (rng.random((max(references // 3, 1), length)) < rate).astype(np.uint8)
    alleles = founders[rng.integers(len(founders), size=references)]
    alleles ^= rng.random(alleles.shape) < 0.02
    codebook = rng.standard_normal((tokens.VOCABULARY_SIZE, length, width)).astype(np.float32)
    return Window(alleles, codebook)


def slow_nearest(
    window: Window, window_tokens: NDArray[np.uint8], k: int, excluded: list[set[int]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Neighbours by a loop over pairs of masked embeddings, ties by row."""
    rows, distances = [], []
    for query, own in zip(window_tokens, excluded, strict=True):
        is_hidden = ~tokens.is_observed(query)
        references = window.masked_references(is_hidden).astype(np.float64)
        itself = window.embedded(np.where(is_hidden, tokens.MASK, query)[None])[0]
        pairs = sorted(
            (float(np.float32(np.square(reference - itself).sum())), row)
            for row, reference in enumerate(references)
            if row not in own
        )[:k]
        distances.append([distance for distance, _ in pairs])
        rows.append([row for _, row in pairs])
    return np.array(rows), np.array(distances)
