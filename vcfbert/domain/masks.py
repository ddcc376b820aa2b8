"""Random masks of sites, and the curriculum of their rates.

W windows, L sites in a window. A mask is a pure function of (seed, role, version, window), and of
the sample if each sample has its own. Every process draws the same one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.windows import Windows
from vcfbert.errors import ConfigError

Role = Literal["train", "validation", "test"]
Stream = Literal[Role, "references"]
"""Random streams of masks; `references` is for masks that are not aligned with the query's."""
_STREAM_NUMBER: dict[Stream, int] = {"train": 0, "validation": 1, "test": 2, "references": 3}


def generator(
    seed: int, role: Stream, version: int, window: int, sample: int | None = None
) -> np.random.Generator:
    """The random generator of a mask of a window, or of a sample in it; roles never share one."""
    key = [seed, _STREAM_NUMBER[role], version, window]
    return np.random.default_rng(key if sample is None else [*key, sample])


def random_mask(rng: np.random.Generator, num_sites: int, rate: float) -> NDArray[np.bool_]:
    """Mask each site with probability `rate`; of two or more, at least one and never all.

    returns  (num_sites,) True where masked
    """
    _check_rate(rate)
    return _leaving_some(rng, rng.random(num_sites) < rate, np.ones(num_sites, dtype=np.bool_))


def smart_balanced_mask(
    rng: np.random.Generator, alleles: NDArray[np.uint8], rate: float, alt_rate: float
) -> NDArray[np.bool_]:
    """Mask the sites of a sample by the alleles of its haplotypes.

    Each haplotype draws its own mask, with rate `alt_rate` where it carries ALT and `rate` where it
    carries REF; the sample gets the union of both. A missing allele is never drawn, so a site
    without an observed allele is not masked.

    alleles   (2, n) tokens of real sites
    alt_rate  ignored if `rate` is larger
    returns   (n,) True where masked; of two or more observed sites, at least one and never all
    """
    _check_rate(rate)
    _check_rate(alt_rate)
    chance = np.zeros(tokens.VOCABULARY_SIZE)
    chance[tokens.REF], chance[tokens.ALT] = rate, max(rate, alt_rate)
    is_masked = np.any(rng.random(alleles.shape) < chance[alleles], axis=0)
    return _leaving_some(rng, is_masked, np.any(tokens.is_observed(alleles), axis=0))


def thinned_mask(
    rng: np.random.Generator, is_common: NDArray[np.bool_], rate: float
) -> NDArray[np.bool_]:
    """Mask all sites except a random subset of the common ones, as if an array typed those.

    is_common  (n,)
    rate       share of the common sites that are masked
    returns    (n,) True where masked; at least one common site is not, if there are any
    """
    is_masked = ~is_common
    is_masked[is_common] = random_mask(rng, int(is_common.sum()), rate)
    if is_masked.all() and is_common.any():  # a single common site may have been masked
        is_masked[np.flatnonzero(is_common)[0]] = False
    return is_masked


def _check_rate(rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise ConfigError(f"A mask rate must be between 0 and 1, got {rate}.")


def _leaving_some(
    rng: np.random.Generator, is_masked: NDArray[np.bool_], is_real: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Mask one of the real sites if none is masked, unmask one if all are.

    Nothing can be learned from a window without masked or without visible sites.
    """
    real = np.flatnonzero(is_real)
    if len(real) >= 2:
        if not is_masked[real].any():
            is_masked[real[rng.integers(len(real))]] = True
        elif is_masked[real].all():
            is_masked[real[rng.integers(len(real))]] = False
    return is_masked


def padded(is_masked: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """A mask over real sites, padded to L; the padding is not masked and does not count.

    is_masked  (n,) with n <= length
    returns    (length,)
    """
    return np.pad(is_masked, (0, length - len(is_masked)))


def draw_masks(
    windows: Windows, *, seed: int, role: Role, version: int, rate: float
) -> NDArray[np.bool_]:
    """One random mask a window: the mask version `version` of a role.

    rate     share of a window's real sites to hide
    returns  (W, L) True where hidden, False in the padding
    """
    is_masked = np.zeros((len(windows), windows.length), dtype=np.bool_)
    for window in range(len(windows)):
        rng = generator(seed, role, version, window)
        num_sites = windows.num_sites(window)
        is_masked[window, :num_sites] = random_mask(rng, num_sites, rate)
    return is_masked


def curriculum_rate(
    epoch: int,
    levels: tuple[float, ...],
    epochs_per_level: int | tuple[int, ...],
    start_rate: float,
) -> float:
    """The rate of an epoch: the levels from `start_rate` on, each for its number of epochs.

    epoch             0-based; the last level is kept
    epochs_per_level  the same for all levels, or one for each of `levels`

    >>> [curriculum_rate(e, (0.3, 0.5, 0.8), 2, 0.3) for e in range(6)]
    [0.3, 0.3, 0.5, 0.5, 0.8, 0.8]
    >>> curriculum_rate(0, (0.3, 0.5, 0.8), 2, 0.5)
    0.5
    >>> [curriculum_rate(e, (0.3, 0.5, 0.8), (1, 3, 1), 0.3) for e in range(6)]
    [0.3, 0.5, 0.5, 0.5, 0.8, 0.8]
    """
    epochs = epochs_per_level
    lengths = (epochs,) * len(levels) if isinstance(epochs, int) else epochs
    reached = [one for one in zip(levels, lengths, strict=True) if one[0] >= start_rate]
    for level, length in reached[:-1]:
        if epoch < length:
            return level
        epoch -= length
    return reached[-1][0] if reached else start_rate
