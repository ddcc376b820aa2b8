"""Which sites are hidden, and how that gets harder during training.

W windows, L sites in a window. A mask is a pure function of (seed, role, version, window): any
process draws the same one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.windows import Windows
from vcfbert.errors import ConfigError

Role = Literal["train", "validation", "test"]
_ROLE_NUMBER: dict[Role, int] = {"train": 0, "validation": 1, "test": 2}


def generator(seed: int, role: Role, version: int, window: int) -> np.random.Generator:
    """The random stream of one mask. Roles never share a stream."""
    return np.random.default_rng([seed, _ROLE_NUMBER[role], version, window])


def random_mask(rng: np.random.Generator, num_sites: int, rate: float) -> NDArray[np.bool_]:
    """Hide each site with probability `rate`, at least one and never all of two or more.

    returns  (num_sites,) True where hidden
    """
    if not 0.0 < rate < 1.0:
        raise ConfigError(f"A mask rate lies between 0 and 1, got {rate}.")
    is_masked = rng.random(num_sites) < rate
    if num_sites >= 2:  # a window with nothing to predict or nothing to read teaches nothing
        if not is_masked.any():
            is_masked[rng.integers(num_sites)] = True
        elif is_masked.all():
            is_masked[rng.integers(num_sites)] = False
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
