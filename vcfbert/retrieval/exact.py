"""Exact index of a window: allele bits in a FAISS IndexPQ, mask and weights in the query vector.

R reference haplotypes, B query haplotypes, L sites in a window, M = ceil(L / 8).

Each sub-quantizer covers eight sites, and its 256 centroids are set to the 256 bit patterns instead
of being trained. So the codes are the packed alleles, one bit per allele, and nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.retrieval import gpu, similarity
from vcfbert.retrieval.gpu import GpuBits
from vcfbert.retrieval.query import Query

_ROUNDING = 2.0**-23  # twice the unit roundoff of float32: room for sums in any order
_ROWS_PER_BLOCK = 1_024  # candidates; their look-up indexes take 8 bytes per 8 alleles


def build(reference_bits: NDArray[np.uint8]) -> faiss.IndexPQ:
    """An index whose codes are the packed alleles.

    reference_bits  (R, M) from `tokens.pack`, the unused bits of the last byte 0
    """
    width = reference_bits.shape[1]
    index = faiss.IndexPQ(8 * width, width, 8, faiss.METRIC_INNER_PRODUCT)
    patterns = np.tile(similarity.BITS.astype(np.float32), (width, 1))
    faiss.copy_array_to_vector(patterns.ravel(), index.pq.centroids)
    index.is_trained = True
    index.add_sa_codes(np.ascontiguousarray(reference_bits))
    return index


class ExactIndex:
    """One window's bits; valid under every mask and for every encoder."""

    def __init__(self, index: faiss.IndexPQ, length: int, *, on_gpu: bool = False) -> None:
        """Take a built or loaded index of windows of `length` sites.

        on_gpu  propose candidates on the GPU; DeviceError if it has too little memory
        """
        self.length = length
        self.num_references = int(index.ntotal)
        self._index = index
        # A view, so that a mapped index stays on disk; valid as long as self._index exists.
        codes = faiss.rev_swig_ptr(index.codes.data(), index.codes.size())
        self.reference_bits: NDArray[np.uint8] = codes.reshape(self.num_references, -1)
        self._gpu = GpuBits(self.reference_bits) if on_gpu else None

    def search(self, query: Query) -> ExactSearch:
        """Check shapes and weights."""
        self.check(query)
        return ExactSearch(self, query)

    def largest(
        self, vectors: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], float]:
        """Scores and rows of the `count` largest inner products, and the error of a score.

        vectors  (n, 8 M)
        returns  (n, count) twice, and the largest error relative to the weights of a vector
        """
        if self._gpu is not None and count <= gpu.MAX_HITS:
            return *self._gpu.search(vectors, count), gpu.ERROR
        scores, rows = self._index.search(vectors, count)
        return scores, rows, (self.reference_bits.shape[1] + 8) * _ROUNDING

    def check(self, query: Query) -> None:
        """Raise ConfigError if a query has other sites or weights that cannot be summed."""
        if query.tokens.shape[1] != self.length or len(query.weights) != self.length:
            raise ConfigError(
                f"The query has {query.tokens.shape[1]} sites and {len(query.weights)} weights, "
                f"but the index has windows of {self.length} sites. Query and index must be of the "
                "same panel."
            )
        similarity.check_weights(query.weights)


class ExactSearch:
    """One query batch: inner products from FAISS, exact distances from a table."""

    def __init__(self, window: ExactIndex, query: Query) -> None:
        """Compute the search vectors; made by `search` of the window."""
        self._window = window
        visible = query.tokens  # at these sites query and references are visible
        if query.other_mask is not None:
            visible = tokens.hide(query.tokens, query.other_mask.is_masked)
        self._vectors = similarity.search_vectors(visible, query.weights)
        self._table = similarity.byte_weights(query.weights)
        self._query_bits = tokens.pack((visible == tokens.ALT).view(np.uint8))
        self._visible_bits = tokens.pack(tokens.is_observed(visible).view(np.uint8))
        # d2 = offset - score; every score is a sum of terms of total size `mass`.
        self._offset = np.maximum(self._vectors, 0).sum(axis=1, dtype=np.float64)
        self._misalignment = self._misaligned(query)
        self._mass = np.abs(self._vectors).sum(axis=1, dtype=np.float64)

    def _misaligned(self, query: Query) -> _Pulled | None:
        """Add the terms of a second mask to the search vectors; None under one mask."""
        if query.other_mask is None:
            return None
        added = similarity.Misalignment(query, query.other_mask)
        self._vectors += added.vectors()  # at sites where they were 0
        self._offset += added.constant
        bits = tokens.pack(added.is_alone.view(np.uint8))
        return _Pulled(similarity.byte_weights(added.pull), bits, added.constant)

    def candidates(
        self, count: int, queries: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The `count` largest inner products; others are not larger, except for rounding."""
        chosen = slice(None) if queries is None else queries
        scores, rows, error = self._window.largest(self._vectors[chosen], count)
        if count == self._window.num_references:
            return rows, np.full(len(rows), np.inf)
        nearest_other = self._offset[chosen] - scores.min(axis=1).astype(np.float64)
        return rows, nearest_other - self._mass[chosen] * error

    def distances(
        self, rows: NDArray[np.int64], queries: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Float64 sums over packed bits; equal rows have exactly equal distances."""
        chosen = slice(None) if queries is None else queries
        query_bits, visible_bits = self._query_bits[chosen], self._visible_bits[chosen]
        distances = np.empty(rows.shape)
        for first in range(0, rows.shape[1], _ROWS_PER_BLOCK):
            block = np.s_[:, first : first + _ROWS_PER_BLOCK]
            bits = self._window.reference_bits[rows[block]]
            distances[block] = similarity.mismatch_distances(
                self._table, query_bits, visible_bits, bits
            )
            if self._misalignment is not None:
                distances[block] += self._misalignment.distances(bits, chosen)
        return distances


@dataclass(frozen=True)
class _Pulled:
    """The part of the distance that a second mask adds.

    table     (M, 256) of `Misalignment.pull`
    bits      (B, M) packed, 1 if only the query is masked
    constant  (B,)
    """

    table: NDArray[np.float64]
    bits: NDArray[np.uint8]
    constant: NDArray[np.float64]

    def distances(
        self, reference_bits: NDArray[np.uint8], chosen: slice | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(n, C) for packed references (n, C, M) of the chosen queries."""
        bits = self.bits[chosen]
        pulled = similarity.mismatch_distances(
            self.table, np.zeros_like(bits), bits, reference_bits
        )
        return np.asarray(pulled + self.constant[chosen][:, None])
