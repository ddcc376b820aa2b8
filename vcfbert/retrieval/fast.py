"""Fast index of a window: a first pass with FAISS FastScan, and exact distances of what it finds.

R reference haplotypes, B query haplotypes, C candidates, L sites in a window, M = ceil(L / 8).

FastScan (André et al. 2017, "Accelerated nearest neighbor search with Quick ADC", as in FAISS)
keeps the table of a sub-quantizer in a register, so a sub-quantizer has 16 centroids: the patterns
of four sites. It rounds the table to bytes and adds them in 16 bits. What it proposes is ranked
again by exact distances, as in `exact`; a reference it does not propose is not found.

Three things make its proposals good (docs/decisions/fast-retrieval.md):

- FAISS does not limit the sums to 16 bits: from 1,032 visible sites on, the score of a reference
  that is equal to the query wraps around to about 0. One more sub-quantizer, whose pattern is 0 in
  all references, sets the scale of the rounding so that no sum wraps.
- It also keeps every score above 0, because FAISS does not return references of score 0.
- A visible site never counts less than one step of the rounding. The sites outside a segment would
  vanish otherwise, and they decide between the many references that are equal within it.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, DeviceError
from vcfbert.retrieval.exact import ExactIndex, ExactSearch
from vcfbert.retrieval.query import Query

MAX_SITES = 16_384
"""Sites in a window. With more, a site is less than four steps of a 16-bit sum."""

NUM_PATTERNS = 16
_SITES = 4  # of a sub-quantizer
_STEPS = 255.0  # of a byte of the rounded table
_LARGEST_SUM = 65_535.0

_PATTERNS = tokens.unpack(np.arange(NUM_PATTERNS, dtype=np.uint8)[:, None], _SITES)


def require_usable(length: int) -> None:
    """Raise an error if FastScan cannot search windows of this many sites on this machine.

    Raises DeviceError if the processor has no vector instructions that FAISS uses, ConfigError if
    the windows are too long.
    """
    if not has_vector_instructions():
        raise DeviceError(
            "--kind fast needs a processor with AVX2, NEON, SVE or RVV and a FAISS that uses them; "
            "here FAISS finds none. Use: vcfbert build-index --kind exact"
        )
    if length > MAX_SITES:
        raise ConfigError(
            f"--kind fast searches windows of at most {MAX_SITES:,} sites, because it adds 16-bit "
            f"numbers; the windows have {length:,} sites. Use --kind exact, or prepare the panel "
            "again with a smaller --window-size."
        )


def has_vector_instructions() -> bool:
    """True if FAISS uses vector instructions on this processor."""
    levels = getattr(faiss, "SIMDConfig", None)  # since 1.14; before, each build has one level
    if levels is not None:
        return str(levels.get_level_name()) != "NONE"
    options = faiss.get_compile_options()
    return any(name in options for name in ("AVX2", "AVX512", "NEON", "SVE"))


def build(reference_bits: NDArray[np.uint8]) -> faiss.IndexPQ:
    """An index whose codes are the packed alleles and, at the end of each row, a byte of 0.

    reference_bits  (R, M) from `tokens.pack`, the unused bits of the last byte 0
    """
    num_rows, width = reference_bits.shape
    quantizers = 2 * (width + 1)
    index = faiss.IndexPQ(_SITES * quantizers, quantizers, 4, faiss.METRIC_INNER_PRODUCT)
    patterns = np.tile(_PATTERNS.astype(np.float32), (quantizers, 1))
    faiss.copy_array_to_vector(patterns.ravel(), index.pq.centroids)
    index.is_trained = True
    codes = np.zeros((num_rows, width + 1), dtype=np.uint8)
    codes[:, :width] = reference_bits
    index.add_sa_codes(codes)
    return index


class FastIndex(ExactIndex):
    """One window's bits, and in memory their copy in the order in which FastScan reads them."""

    def __init__(self, index: faiss.IndexPQ, length: int) -> None:
        """Take a built or loaded index of windows of `length` sites.

        FAISS cannot map FastScan's order from a file. Making it takes .06 s for 200,000 haplotypes
        of 1,030 sites, and one bit of memory per allele.

        Raises what `require_usable` raises.
        """
        require_usable(length)
        super().__init__(index, length)
        codes = self.reference_bits
        self.padding: NDArray[np.uint8] = codes[:, -1]
        self.reference_bits = codes[:, :-1]
        # Its stub names one constructor of several. It reads the codes of `index`, which is kept.
        self._scan = faiss.IndexPQFastScan(index)  # type: ignore[arg-type]

    def proposed(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """(n, count) rows of the largest rounded inner products with search vectors, (n, 8 M)."""
        rows: NDArray[np.int64] = self._scan.search(scan_vectors(vectors), count)[1]
        return rows

    def search(self, query: Query) -> FastSearch:
        """Check shapes and weights."""
        self.check(query)
        return FastSearch(self, query)


class FastSearch(ExactSearch):
    """One query batch: candidates from rounded inner products, exact distances from a table."""

    def __init__(self, window: FastIndex, query: Query) -> None:
        """Compute the search vectors; made by `FastIndex.search`."""
        super().__init__(window, query)
        self._proposed = window.proposed

    def candidates(
        self, count: int, queries: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The `count` best of the first pass, which are taken as final: the bound is inf."""
        vectors = self._vectors if queries is None else self._vectors[queries]
        no_others = np.full(len(vectors), np.inf)
        if count == self._window.num_references:
            return np.tile(np.arange(count), (len(vectors), 1)), no_others
        return self._proposed(vectors, count), no_others


def scan_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Search vectors whose rounded tables neither wrap around nor lose a visible site.

    vectors  (B, 8 M) from `similarity.search_vectors`
    returns  (B, 8 M + 8) scaled so that a step of the rounding is 1 / 255; the last eight are those
             of the sub-quantizers whose patterns are all 0

    >>> scan_vectors(np.array([[5, -1, 0, 0, 0, 0, 0, 0]], dtype=np.float32)).round(2)
    array([[ 0.83, -0.17,  0.  ,  0.  ,  0.  ,  0.  ,  0.  ,  0.  , -1.  ,
             0.  ,  0.  ,  0.  ,  0.  ,  0.  ,  0.  ,  0.  ]], dtype=float32)
    """
    wide = vectors.astype(np.float64)
    least = _range(wide) / _STEPS
    lifted = np.sign(wide) * np.maximum(np.abs(wide), least[:, None])
    out = np.zeros((len(wide), wide.shape[1] + 8), dtype=np.float32)
    out[:, :-8] = lifted / _range(lifted)[:, None]
    out[:, -8] = -1.0  # the largest range of all, so its step is that of all
    return out


def _range(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) by what to divide vectors so that 255 steps of a unit add up to 16 bits at most.

    A sub-quantizer has a range of 1 at most, and every table entry is rounded by half a step.
    """
    ranges = np.abs(vectors).reshape(len(vectors), -1, _SITES).sum(axis=2)
    room = _LARGEST_SUM - _STEPS - ranges.shape[1]
    wanted = np.maximum(ranges.max(axis=1), ranges.sum(axis=1) * _STEPS / room)
    return np.where(wanted > 0, wanted, 1.0)
