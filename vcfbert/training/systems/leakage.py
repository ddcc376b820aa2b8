"""Check that no masked allele reaches the network: flipping them must change nothing it reads.

B query haplotypes, L sites in a window, H haplotypes of the panel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems.batches import Batch, BatchMaker

READ = (
    "query_tokens",
    "neighbours",
    "neighbour_tokens",
    "distances",
    "codebook",
    "retrieved",
    "population",
)
"""The parts of a batch that the network reads, or that decide what it reads."""


class FlippedPanel(PanelReader):
    """A panel in which the masked alleles of the samples of a batch are flipped."""

    def __init__(self, panel: PanelReader, batch: Batch) -> None:
        """Share everything with the open panel; nothing is written."""
        vars(self).update(vars(panel))
        self._honest = panel
        self._window = batch.window
        self._rows = site_tables.haplotypes_of(batch.samples)
        self._flips = tokens.pack(batch.is_hidden.view(np.uint8))  # (B, ceil(L / 8))

    def packed(self, window: int) -> NDArray[np.uint8]:
        """(H, ceil(L / 8)) packed alleles of a window, with those alleles flipped."""
        block = self._honest.packed(window)
        if window != self._window:
            return block
        block = block.copy()
        block[self._rows] ^= self._flips
        return block


def flipped(maker: BatchMaker, batch: Batch) -> Batch:
    """The same batch under the same mask, with all masked alleles flipped.

    Samples of a batch must not be neighbours of one another, so use batches of one sample.
    """
    again = BatchMaker(
        FlippedPanel(maker.panel, batch), maker.index, maker.embeddings, maker.settings
    )
    return again.make(batch.window, batch.samples, batch.is_hidden)


def first_leak(batch: Batch, other: Batch) -> str | None:
    """The first part of `batch` that the network reads and that differs in `other`, if any."""
    for name in READ:
        one, another = getattr(batch, name), getattr(other, name)
        if (one is None) != (another is None) or (
            one is not None and not np.array_equal(one, another)
        ):
            return name.replace("_", " ")
    return None
