"""The phase of all samples of a chunk, found together.

N samples, n of a block, T typed sites of any sample, t of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.phasing.phase_chunk import PhasedChunk
from vcfbert.phasing.target_references import Phased


@dataclass(frozen=True)
class JointPhases:
    """The phase of all samples at all typed sites; `sites` (T,) are those of the panel, rising."""

    sites: NDArray[np.int64]
    phased: Phased

    def of(self, samples: NDArray[np.int64], typed: NDArray[np.int64]) -> PhasedChunk:
        """The phase of some samples at their typed sites (t,)."""
        rows = np.searchsorted(self.sites, typed)
        return PhasedChunk(
            np.ascontiguousarray(self.phased.alleles[samples][:, :, rows]),
            np.ascontiguousarray(self.phased.turn[samples][:, rows]),
            np.ascontiguousarray(self.phased.draws(samples)[:, :, :, rows]),
        )
