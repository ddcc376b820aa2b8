"""Policies that choose the masked sites, and the masks that they draw.

W windows, L sites in a window, S sites in the panel, N samples.

A policy chooses among the real sites of a window. Padding is added afterwards and is never masked,
so it changes neither the draw nor the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import masks
from vcfbert.domain.masks import Stream
from vcfbert.domain.windows import Windows


class MaskPolicy(Protocol):
    """Chooses the masked sites of a window."""

    @property
    def reads_alleles(self) -> bool:
        """Whether the choice depends on the alleles of a sample; then each sample has its mask."""

    def draw(
        self,
        rng: np.random.Generator,
        where: slice,
        rate: float,
        alleles: NDArray[np.uint8] | None,
    ) -> NDArray[np.bool_]:
        """(n,) True where masked.

        where    n sites of the panel
        rate     current rate
        alleles  (2, n) tokens of the sample; None for the mask of a window
        """


@dataclass(frozen=True)
class Random:
    """Masks each site with the current rate."""

    reads_alleles: bool = False

    def draw(
        self,
        rng: np.random.Generator,
        where: slice,
        rate: float,
        alleles: NDArray[np.uint8] | None,
    ) -> NDArray[np.bool_]:
        """See `masks.random_mask`."""
        return masks.random_mask(rng, where.stop - where.start, rate)


@dataclass(frozen=True)
class SmartBalanced:
    """Masks ALT with its own rate, REF with the current one."""

    alt_rate: float
    reads_alleles: bool = True

    def draw(
        self,
        rng: np.random.Generator,
        where: slice,
        rate: float,
        alleles: NDArray[np.uint8] | None,
    ) -> NDArray[np.bool_]:
        """See `masks.smart_balanced_mask`."""
        assert alleles is not None, "this policy needs the alleles of a sample"
        return masks.smart_balanced_mask(rng, alleles, rate, self.alt_rate)


@dataclass(frozen=True)
class Listed:
    """Masks all sites except those of an array; nothing is random.

    is_typed  (S,)
    """

    is_typed: NDArray[np.bool_]
    reads_alleles: bool = False

    def draw(
        self,
        rng: np.random.Generator,
        where: slice,
        rate: float,
        alleles: NDArray[np.uint8] | None,
    ) -> NDArray[np.bool_]:
        """Always the same sites."""
        return ~self.is_typed[where]


@dataclass(frozen=True)
class Thinned:
    """Masks all sites except a random subset of the common ones.

    is_common  (S,)
    """

    is_common: NDArray[np.bool_]
    reads_alleles: bool = False

    def draw(
        self,
        rng: np.random.Generator,
        where: slice,
        rate: float,
        alleles: NDArray[np.uint8] | None,
    ) -> NDArray[np.bool_]:
        """See `masks.thinned_mask`."""
        return masks.thinned_mask(rng, self.is_common[where], rate)


class MaskSource(Protocol):
    """Source of the masks of a pass over batches."""

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(L,) for all samples or (2 N, L), True where masked.

        samples  (N,)
        labels   (2 N, L) true tokens of their haplotypes
        """


@dataclass(frozen=True)
class Drawing:
    """Masks of a role and version, one for each window.

    rate  the current rate; `Listed` ignores it
    """

    policy: MaskPolicy
    windows: Windows
    seed: int
    role: Stream
    version: int
    rate: float

    def of_window(self, window: int) -> NDArray[np.bool_]:
        """(L,) True where masked, False in the padding."""
        rng = masks.generator(self.seed, self.role, self.version, window)
        drawn = self.policy.draw(rng, self.windows.sites(window), self.rate, None)
        return masks.padded(drawn, self.windows.length)

    def whole(self) -> NDArray[np.bool_]:
        """(W, L) the masks of all windows."""
        return np.stack([self.of_window(window) for window in range(len(self.windows))])

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(L,) the mask of the window, the same for all samples."""
        return self.of_window(window)


@dataclass(frozen=True)
class DrawingBySample(Drawing):
    """Masks of a role and version, one for each sample in each window."""

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(2 N, L) the same mask for both haplotypes of a sample."""
        where = self.windows.sites(window)
        num_sites = self.windows.num_sites(window)
        is_masked = np.zeros((len(samples), self.windows.length), dtype=np.bool_)
        for line, sample in enumerate(samples.tolist()):
            rng = masks.generator(self.seed, self.role, self.version, window, sample)
            alleles = labels[2 * line : 2 * line + 2, :num_sites]
            is_masked[line, :num_sites] = self.policy.draw(rng, where, self.rate, alleles)
        return np.repeat(is_masked, 2, axis=0)


@dataclass(frozen=True)
class Fixed:
    """Masks that have been drawn already.

    is_masked  (W, L)
    """

    is_masked: NDArray[np.bool_]

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(L,) the mask of the window."""
        return np.asarray(self.is_masked[window])
