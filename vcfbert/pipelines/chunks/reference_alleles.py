"""Alleles of the references of a chunk: all in memory, or read for those that are candidates.

The copying model reads the alleles of candidates only. For a few samples, these are a small part of
a large panel, and the others need not be in memory.

S sites of the chunk, R reference haplotypes; alleles are bits, (R, ceil(n / 64)) at n sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine
from vcfbert.copying.engine import Prepared
from vcfbert.pipelines.chunks.chunk_statistics import InMemory, Stretch


@dataclass(frozen=True)
class ReferenceAlleles:
    """The alleles of a chunk.

    sites    (S,) panel sites, rising
    known    in memory: alleles of all references at all S sites, or at some of them
    threads  that read others
    """

    stretch: Stretch
    sites: NDArray[np.int64]
    known: InMemory
    threads: int

    @property
    def is_complete(self) -> bool:
        """True if all alleles are in memory."""
        return np.array_equal(self.known[0], self.sites)

    @property
    def in_memory(self) -> NDArray[np.uint64]:
        """Alleles at the S sites, (R, ceil(S / 64)), or of no reference if they follow."""
        if self.is_complete:
            return self.known[1]
        return np.empty((0, -(-len(self.sites) // 64)), np.uint64)

    def at(self, chosen: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Alleles of all references at some panel sites, rising."""
        return self.stretch.taken(chosen, self.known)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Alleles of some references, (k,) rows, at the S sites."""
        if self.is_complete:
            return self.known[1][rows]
        return self.stretch.read(self.sites, rows, threads=self.threads)

    def among(self, kept: NDArray[np.int64]) -> ReferenceAlleles:
        """The same for some of the sites, (n,) indexes among the S, rising."""
        sites = self.sites[kept]
        if self.is_complete:
            return replace(self, sites=sites, known=(sites, engine.take_bits(self.known[1], kept)))
        return replace(self, sites=sites)

    def complete(
        self, prepared: Prepared, candidates: Sequence[NDArray[np.int64]]
    ) -> tuple[Prepared, list[NDArray[np.int64]]]:
        """A chunk with the alleles of the candidates, and their rows there.

        prepared    from `in_memory`
        candidates  rows of the references for each query, rising
        """
        if self.is_complete:
            return prepared, list(candidates)
        rows = np.unique(np.concatenate(candidates))
        found = [np.searchsorted(rows, own) for own in candidates]
        return engine.among(prepared, rows, self.of(rows)), found
