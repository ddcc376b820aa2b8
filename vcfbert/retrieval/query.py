"""What is asked of a window's index, and what an index of any kind can answer.

B query haplotypes, C candidates, L sites in a window, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class OtherMask:
    """A mask that the references are under in place of the query's own.

    is_masked  (L,) True where references are masked
    costs      (2, L) squared distance of MASK to REF and to ALT
    """

    is_masked: NDArray[np.bool_]
    costs: NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """Haplotypes that look for neighbours in one window.

    tokens             (B, L) under the mask; each query may have its own
    weights            (L,) from `similarity.site_weights`, or `similarity.token_weights`
    masked_embeddings  (B, L, D) of the same tokens; a dense index needs them, an exact one does not
    other_mask         what references are searched under; None is each query's own mask
    """

    tokens: NDArray[np.uint8]
    weights: NDArray[np.float32]
    masked_embeddings: NDArray[np.float32] | None = None
    other_mask: OtherMask | None = None


class Search(Protocol):
    """One query batch against one index. `queries` picks some of the batch, (n,); None is all."""

    def candidates(
        self, count: int, queries: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows that are probably the nearest, and what is certain about all others.

        returns  (n, count) rows, each once, in no order that matters;
                 (n,) a distance that no other row falls below, inf where there is no other row
        """

    def distances(
        self, rows: NDArray[np.int64], queries: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Squared L2 distances that depend on the query and the row alone, not on the company.

        rows     (n, C) a line for each query
        returns  (n, C)
        """


class WindowIndex(Protocol):
    """The reference haplotypes of one window, ready to be searched; never added to."""

    @property
    def num_references(self) -> int:
        """R."""

    def search(self, query: Query) -> Search:
        """Check the query and begin; ConfigError or StoreError where it cannot be asked here."""
