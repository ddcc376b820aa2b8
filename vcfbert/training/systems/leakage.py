"""Whether a hidden allele reaches the network: what it reads, when every one is turned round.

B query haplotypes, L sites in a window, H haplotypes of the panel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems.batches import Batch, BatchMaker

READ = ("query_tokens", "neighbours", "neighbour_tokens", "distances", "codebook", "retrieved")
"""The parts of a batch that the network sees, or that decide what it sees."""


class FlippedPanel(PanelReader):
    """A panel in which a batch's samples carry the other allele wherever that is hidden."""

    def __init__(self, panel: PanelReader, batch: Batch) -> None:
        """Share everything with the open panel; nothing is written."""
        vars(self).update(vars(panel))
        self._honest = panel
        self._window = batch.window
        self._rows = site_tables.haplotypes_of(batch.samples)
        self._flips = tokens.pack(batch.is_hidden.view(np.uint8))  # (B, ceil(L / 8))

    def packed(self, window: int) -> NDArray[np.uint8]:
        """(H, ceil(L / 8)) as the panel has them but for those alleles."""
        block = self._honest.packed(window)
        if window != self._window:
            return block
        block = block.copy()
        block[self._rows] ^= self._flips
        return block


def flipped(maker: BatchMaker, batch: Batch) -> Batch:
    """The batch again, under the same mask, of samples whose hidden alleles are all others.

    The samples must not be each other's neighbours: take one at a time.
    """
    again = BatchMaker(
        FlippedPanel(maker.panel, batch), maker.index, maker.embeddings, maker.settings
    )
    return again.make(batch.window, batch.samples, batch.is_hidden)


def first_leak(batch: Batch, other: Batch) -> str | None:
    """What of `batch` is not the same in `other`; None where all that is read is."""
    for name in READ:
        one, another = getattr(batch, name), getattr(other, name)
        if (one is None) != (another is None) or (
            one is not None and not np.array_equal(one, another)
        ):
            return name.replace("_", " ")
    return None
