"""Which sites are hidden, and how that gets harder during training.

W windows, L sites in a window. A mask is a pure function of (seed, role, version, window), and of
the sample where each has one of its own: any process draws the same one.
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
"""Whose masks; `references` are those that references are put under where they get their own."""
_STREAM_NUMBER: dict[Stream, int] = {"train": 0, "validation": 1, "test": 2, "references": 3}


def generator(
    seed: int, role: Stream, version: int, window: int, sample: int | None = None
) -> np.random.Generator:
    """The random stream of one mask, of a window or of a sample in it. Roles never share one."""
    key = [seed, _STREAM_NUMBER[role], version, window]
    return np.random.default_rng(key if sample is None else [*key, sample])


def random_mask(rng: np.random.Generator, num_sites: int, rate: float) -> NDArray[np.bool_]:
    """Hide each site with probability `rate`, at least one and never all of two or more.

    returns  (num_sites,) True where hidden
    """
    _check_rate(rate)
    return _leaving_some(rng, rng.random(num_sites) < rate, np.ones(num_sites, dtype=np.bool_))


def smart_balanced_mask(
    rng: np.random.Generator, alleles: NDArray[np.uint8], rate: float, alt_rate: float
) -> NDArray[np.bool_]:
    """Hide the sites of a sample by what its haplotypes carry there.

    Each haplotype draws for itself, with `alt_rate` where it carries ALT and with `rate` where it
    carries REF, and the sample is hidden what either of them drew. An allele that was never
    observed draws nothing, so a site without an observed allele is not hidden.

    alleles   (2, n) tokens of real sites
    alt_rate  `rate` takes its place where that is larger
    returns   (n,) True where hidden; at least one and never all of two or more observed sites
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
    """Hide all but a random thinning of the common sites, as an array that types these would.

    is_common  (n,)
    rate       share of the common sites that are hidden with the others
    returns    (n,) True where hidden; one common site at least stays, where there are any
    """
    is_masked = ~is_common
    is_masked[is_common] = random_mask(rng, int(is_common.sum()), rate)
    if is_masked.all() and is_common.any():  # of one common site there is no share
        is_masked[np.flatnonzero(is_common)[0]] = False
    return is_masked


def _check_rate(rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise ConfigError(f"A mask rate lies between 0 and 1, got {rate}.")


def _leaving_some(
    rng: np.random.Generator, is_masked: NDArray[np.bool_], is_real: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Hide one of the real sites where none is, show one where all are.

    A window with nothing to predict or nothing to read teaches nothing.
    """
    real = np.flatnonzero(is_real)
    if len(real) >= 2:
        if not is_masked[real].any():
            is_masked[real[rng.integers(len(real))]] = True
        elif is_masked[real].all():
            is_masked[real[rng.integers(len(real))]] = False
    return is_masked


def padded(is_masked: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """A mask over real sites, widened to L; padding is never masked, so it dilutes no rate.

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
    epoch: int, levels: tuple[float, ...], epochs_per_level: int, start_rate: float
) -> float:
    """The rate of an epoch: from `start_rate` upwards, each level for `epochs_per_level` epochs.

    epoch  0-based; past the last level the last level stays

    >>> [curriculum_rate(e, (0.3, 0.5, 0.8), 2, 0.3) for e in range(6)]
    [0.3, 0.3, 0.5, 0.5, 0.8, 0.8]
    >>> curriculum_rate(0, (0.3, 0.5, 0.8), 2, 0.5)
    0.5
    """
    reached = [level for level in levels if level >= start_rate] or [start_rate]
    return reached[min(epoch // epochs_per_level, len(reached) - 1)]
