"""Queries to the index of a window, and the interface that both kinds of index implement.

B query haplotypes, C candidates, L sites in a window, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class OtherMask:
    """A mask of the references that differs from the query's own.

    is_masked  (L,) True if references are masked
    costs      (2, L) squared distance of MASK to REF and to ALT
    """

    is_masked: NDArray[np.bool_]
    costs: NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """Haplotypes whose neighbours in one window are searched.

    tokens             (B, L) under the mask; each query may have its own
    weights            (L,) from `similarity.site_weights`, or `similarity.token_weights`
    masked_embeddings  (B, L, D) of the same tokens; needed by a dense index only
    other_mask         mask of the references; None is each query's own mask
    """

    tokens: NDArray[np.uint8]
    weights: NDArray[np.float32]
    masked_embeddings: NDArray[np.float32] | None = None
    other_mask: OtherMask | None = None


class Search(Protocol):
    """One query batch and one index. `queries` selects n of the batch; None is all."""

    def candidates(
        self, count: int, queries: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows that are probably the nearest, and a lower bound for all others.

        returns  (n, count) different rows, in any order;
                 (n,) lower bound of the distance of all other rows, inf if there are none
        """

    def distances(
        self, rows: NDArray[np.int64], queries: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Squared L2 distances; each depends on its query and row alone, not on the batch.

        rows     (n, C) candidates of each query
        returns  (n, C)
        """


class WindowIndex(Protocol):
    """The reference haplotypes of one window, ready to be searched; read-only."""

    @property
    def num_references(self) -> int:
        """R, the number of reference haplotypes."""

    def search(self, query: Query) -> Search:
        """Check the query and prepare the search; ConfigError or StoreError if it does not fit."""
