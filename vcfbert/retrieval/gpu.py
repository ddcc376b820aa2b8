"""Inner products of exact search on a GPU, if FAISS was built for one.

R reference haplotypes, B query haplotypes, C candidates, M = ceil(L / 8) for L sites in a window.

FAISS has no sub-quantizers with set patterns on GPUs, so the alleles are unpacked there, four bytes
each. The GPU only proposes candidates: `exact` computes their distances on the CPU and searches
again if a bound does not hold, so the neighbours are those of a search on the CPU.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import DeviceError

MAX_HITS = 2_048
"""Most candidates of a query that FAISS finds on a GPU."""

ERROR = 2.0**-10
"""Largest error of a score, relative to the summed weights of a query: a GPU may round these to the
11 bits of TF32. The alleles, 0 and 1, are not rounded."""

_TEMPORARY_BYTES = 64 << 20  # FAISS would take 1.5 GB from the network
_ROWS_PER_BLOCK = 8_192
_lock = threading.Lock()  # one set of resources serves one search at a time


def is_usable() -> bool:
    """True if FAISS was built for GPUs and finds one."""
    return hasattr(faiss, "StandardGpuResources") and int(faiss.get_num_gpus()) > 0


class GpuBits:
    """The alleles of one window on the first GPU."""

    def __init__(self, reference_bits: NDArray[np.uint8]) -> None:
        """Copy (R, M) packed alleles; DeviceError if they do not fit."""
        num_rows, width = reference_bits.shape
        try:
            self._index = faiss.GpuIndexFlatIP(_resources(), 8 * width)
            for first in range(0, num_rows, _ROWS_PER_BLOCK):
                rows = reference_bits[first : first + _ROWS_PER_BLOCK]
                self._index.add(tokens.unpack(rows, 8 * width).astype(np.float32))
        except RuntimeError as error:
            needed = 4 * num_rows * 8 * width
            raise DeviceError(
                f"The references of a window need {needed:,} bytes on the GPU for the search, "
                "which FAISS cannot get. Use fewer with build-index --max-references, or search on "
                "the CPU: vcfbert build-index --kind fast --force"
            ) from error

    def search(
        self, vectors: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The `count` largest inner products, at most MAX_HITS, and their rows.

        vectors  (B, 8 M)
        returns  (B, count) twice
        """
        with _lock:
            scores, rows = self._index.search(np.ascontiguousarray(vectors), count)
        return scores, rows


@lru_cache(maxsize=1)
def _resources() -> Any:
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_TEMPORARY_BYTES)
    return resources
