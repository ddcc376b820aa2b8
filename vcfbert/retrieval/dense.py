"""Dense index of a window: flattened masked embeddings in a FAISS IndexFlatL2.

R reference haplotypes, B query haplotypes, C candidates, L sites in a window, D embedding width.

The reference implementation of retrieval in embedding space, for encoders with context and for
testing the exact index. It is bound to one mask, because the references are embedded under it.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, StoreError
from vcfbert.retrieval.query import Query

_ROUNDING = 2.0**-24
_SIGMAS = 8.0
_BLOCK_NUMBERS = 1 << 24


def build(masked: NDArray[np.floating]) -> faiss.IndexFlatL2:
    """An index of all rows, in float32.

    masked  (R, L, D) masked embeddings; a memory-mapped array is read once, directly into the index
    """
    flat = masked.reshape(len(masked), -1)
    index = faiss.IndexFlatL2(flat.shape[1])
    step = len(flat) if flat.dtype == np.float32 else max(1, _BLOCK_NUMBERS // flat.shape[1])
    for first in range(0, len(flat), step):  # FAISS would convert all of float16 at once
        index.add(flat[first : first + step].astype(np.float32, copy=False))
    return index


class DenseIndex:
    """One window's masked embeddings, searched under the mask they were encoded with."""

    def __init__(
        self, index: faiss.IndexFlatL2, is_masked: NDArray[np.bool_], mask_version: int
    ) -> None:
        """Take a built or loaded index and its mask, (L,)."""
        self.num_references = int(index.ntotal)
        self.is_masked = is_masked
        self.mask_version = mask_version
        self._index = index
        # A view, so that a mapped index stays on disk; valid as long as self._index exists.
        codes = faiss.rev_swig_ptr(index.codes.data(), index.codes.size())
        self.embeddings: NDArray[np.float32] = codes.view(np.float32).reshape(-1, index.d)

    def search(self, query: Query) -> DenseSearch:
        """Check that the query is embedded, in this width and under this mask."""
        if query.other_mask is not None:
            raise ConfigError(
                "A dense index contains references under one mask and cannot be searched under "
                "others, which masks.align = false requires. Use an exact index: "
                "vcfbert build-index --kind exact --force"
            )
        embeddings = query.masked_embeddings
        if embeddings is None:
            raise ConfigError(
                "A dense index is searched with masked embeddings, but the query has none. "
                "Use an exact index: vcfbert build-index --kind exact"
            )
        self._check_mask(query.tokens)
        vectors = np.ascontiguousarray(embeddings.reshape(len(embeddings), -1), dtype=np.float32)
        if vectors.shape[1] != self._index.d:
            raise ConfigError(
                f"The query is embedded as {embeddings.shape[1]} sites x {embeddings.shape[2]}, "
                f"but the index has {self._index.d} numbers per haplotype. Encode query and "
                "references with the same encoder."
            )
        if not np.isfinite(vectors).all():
            raise ConfigError(
                "The query's embeddings contain NaN or infinity: the encoder has diverged. "
                "Use an earlier checkpoint, or train again with a lower training.learning_rate."
            )
        return DenseSearch(self, self._index, vectors)

    def _check_mask(self, query_tokens: NDArray[np.uint8]) -> None:
        if query_tokens.shape[1] != len(self.is_masked):
            raise ConfigError(
                f"The query has {query_tokens.shape[1]} sites, but the index has windows of "
                f"{len(self.is_masked)} sites. Query and index must be of the same panel."
            )
        is_other = (query_tokens == tokens.MASK) != self.is_masked
        is_other |= query_tokens == tokens.MISSING  # no reference has this token to cancel it
        differing = int(is_other.any(axis=0).sum())
        if differing:
            raise StoreError(
                f"The dense index contains references under mask version {self.mask_version}, "
                f"which differs from the query's mask at {differing} sites. Use that mask, or "
                "encode and index again, or use an exact index, which fits every mask: vcfbert "
                "build-index --kind exact"
            )


class DenseSearch:
    """One query batch: candidates from FAISS, distances recomputed from differences."""

    def __init__(
        self, window: DenseIndex, index: faiss.IndexFlatL2, vectors: NDArray[np.float32]
    ) -> None:
        """Take the flattened query, (B, L D); made by `DenseIndex.search`."""
        self._window = window
        self._index = index
        self._vectors = vectors

    def candidates(
        self, count: int, queries: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The `count` nearest by FAISS; others are not nearer, except for rounding.

        FAISS computes |q|^2 + |r|^2 - 2 <q, r>, whose rounding errors grow like a random walk over
        the terms and scale with the norms, not with the distance.
        """
        vectors = self._vectors if queries is None else self._vectors[queries]
        approximate, rows = self._index.search(vectors, count)
        if count == self._window.num_references:
            return rows, np.full(len(rows), np.inf)
        farthest = np.maximum(approximate.max(axis=1).astype(np.float64), 0.0)
        norm = np.einsum("bi,bi->b", vectors, vectors, dtype=np.float64)
        norms = norm + (np.sqrt(norm) + np.sqrt(farthest)) ** 2
        return rows, farthest - norms * _SIGMAS * np.sqrt(self._index.d) * _ROUNDING

    def distances(
        self, rows: NDArray[np.int64], queries: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Sums of squared differences in float64, one row after another."""
        vectors = self._vectors if queries is None else self._vectors[queries]
        out = np.empty(rows.shape)
        for line, vector in enumerate(vectors):
            for column, row in enumerate(rows[line]):
                difference = self._window.embeddings[row] - vector
                out[line, column] = np.square(difference).sum(dtype=np.float64)
        return out
