"""What decides which sites are hidden, and the masks of one version drawn by it.

W windows, L sites in a window, S sites in the panel, N samples.

A policy sees the real sites of a window alone. Padding is put behind afterwards and is never
hidden, so it changes neither the draw nor the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import masks
from vcfbert.domain.masks import Stream
from vcfbert.domain.windows import Windows


class Policy(Protocol):
    """Chooses the hidden sites of a window."""

    @property
    def reads_alleles(self) -> bool:
        """Whether the choice depends on what a sample carries; such masks have no window's."""

    def draw(
        self,
        rng: np.random.Generator,
        where: slice,
        rate: float,
        alleles: NDArray[np.uint8] | None,
    ) -> NDArray[np.bool_]:
        """(n,) True where hidden.

        where    sites of the panel, n of them
        rate     current rate
        alleles  (2, n) tokens of the sample; None where the mask is a window's
        """


@dataclass(frozen=True)
class Random:
    """Each site with the current rate."""

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
    """ALT with a rate of its own, REF with the current one."""

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
        assert alleles is not None, "a mask by content is drawn for a sample"
        return masks.smart_balanced_mask(rng, alleles, rate, self.alt_rate)


@dataclass(frozen=True)
class Listed:
    """All but the typed sites of an array; nothing is drawn.

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
        """The same sites always."""
        return ~self.is_typed[where]


@dataclass(frozen=True)
class Thinned:
    """All but a random thinning of common sites, which loses the current rate of them.

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
    """Where the masks of a pass over batches come from."""

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(L,) for all samples alike or (2 N, L), True where hidden.

        samples  (N,)
        labels  (2 N, L) true tokens of their haplotypes
        """


@dataclass(frozen=True)
class Drawing:
    """Version `version` of a role's masks: one a window.

    rate  the current rate, which `Listed` does not look at
    """

    policy: Policy
    windows: Windows
    seed: int
    role: Stream
    version: int
    rate: float

    def of_window(self, window: int) -> NDArray[np.bool_]:
        """(L,) True where hidden, False in the padding."""
        rng = masks.generator(self.seed, self.role, self.version, window)
        drawn = self.policy.draw(rng, self.windows.sites(window), self.rate, None)
        return masks.padded(drawn, self.windows.length)

    def whole(self) -> NDArray[np.bool_]:
        """(W, L) the masks of all windows."""
        return np.stack([self.of_window(window) for window in range(len(self.windows))])

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(L,) the window's mask, whoever asks."""
        return self.of_window(window)


@dataclass(frozen=True)
class DrawingBySample(Drawing):
    """The same with a mask for each sample in each window."""

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(2 N, L) both haplotypes of a sample alike."""
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
    """Masks that were drawn before.

    is_masked  (W, L)
    """

    is_masked: NDArray[np.bool_]

    def of(
        self, window: int, samples: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(L,) the window's mask."""
        return np.asarray(self.is_masked[window])
