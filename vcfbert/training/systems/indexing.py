"""Exact index of a panel that is built on demand and not written to files.

R reference haplotypes, H panel haplotypes, L sites in a window.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.retrieval import exact, gpu
from vcfbert.retrieval.index import rows_among
from vcfbert.retrieval.query import WindowIndex
from vcfbert.storage.zarr.panel import PanelReader


class IndexedOnDemand:
    """A window is indexed when it is read, and the last one is kept."""

    kind: Literal["exact"] = "exact"

    def __init__(
        self,
        panel: PanelReader,
        references: NDArray[np.int64] | None = None,
        *,
        on_gpu: bool = False,
    ) -> None:
        """Take an open panel; nothing is read yet.

        references  (R,) panel haplotypes; None takes those of all train samples
        on_gpu      search on the GPU if FAISS was built for one; the neighbours are the same
        """
        self._on_gpu = on_gpu and gpu.is_usable()
        self._panel = panel
        self._number = -1
        self._window: WindowIndex | None = None
        if references is None:
            references = panel.samples.haplotypes(site_tables.TRAIN)
        self.reference_haplotypes: NDArray[np.int64] = references

    def window(self, window: int) -> WindowIndex:
        """The index of one window."""
        if self._window is None or window != self._number:
            bits = self._panel.packed(window)[self.reference_haplotypes]
            self._window = None  # a GPU may not have room for two
            self._window = exact.ExactIndex(
                exact.build(bits), self._panel.length, on_gpu=self._on_gpu
            )
            self._number = window
        return self._window

    def rows_of(self, haplotypes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index row of each panel haplotype; -1 if it is not a reference, or is itself -1."""
        return rows_among(self.reference_haplotypes, haplotypes)
