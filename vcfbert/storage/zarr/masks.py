"""Writer and reader of mask versions, which say which sites of each window are masked.

W windows, L sites in a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.masks import Role
from vcfbert.errors import StoreError
from vcfbert.storage.zarr import stored, stores
from vcfbert.storage.zarr.stored import StoredGroup


@dataclass(frozen=True)
class MaskVersion:
    """Masks drawn for every window of a panel.

    version            number in the workspace; with seed and role it determines the masks
    policy             how sites were chosen, such as `random`
    rate               requested share of the real sites
    role               which split the masks are for: train, validation or test
    panel_fingerprint  the panel of the windows
    is_masked          (W, L) True where masked; never padding
    """

    version: int
    policy: str
    rate: float
    seed: int
    role: Role
    panel_fingerprint: str
    is_masked: NDArray[np.bool_]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the masks, their settings and the panel."""
        return stores.fingerprint(repr(_settings(self)), self.panel_fingerprint, self.is_masked)


def write_masks(path: Path, mask: MaskVersion, *, overwrite: bool = False) -> None:
    """Write a mask store; StoreError if it exists and `overwrite` is False."""
    with stores.create_store(path, "masks", overwrite=overwrite) as root:
        # One chunk: a version has one bit for each site and is always read whole.
        stores.write_column(root, "masks", "is_masked", mask.is_masked)
        root.attrs.update(
            {
                "fingerprint": mask.fingerprint,
                "parents": {"panel": mask.panel_fingerprint},
                "settings": _settings(mask),
            }
        )


def read_masks(path: Path) -> MaskVersion:
    """Read a whole mask store.

    Raises StoreError if it is missing, of another kind or version, or damaged.
    """
    with stored.open_store(path, "masks") as root:
        try:
            mask = _read(root)
            is_intact = mask.fingerprint == root.attrs["fingerprint"]
        except (KeyError, TypeError, ValueError, OverflowError, StoreError) as error:
            raise _damaged(path) from error
    if not is_intact:
        raise _damaged(path)
    return mask


def _read(root: StoredGroup) -> MaskVersion:
    settings: Any = root.attrs["settings"]
    parents: Any = root.attrs["parents"]
    is_masked = stored.read_column(root, "is_masked")
    is_masked.flags.writeable = False
    return MaskVersion(
        version=int(settings["version"]),
        policy=str(settings["policy"]),
        rate=float(settings["rate"]),
        seed=int(settings["seed"]),
        role=settings["role"],
        panel_fingerprint=str(parents["panel"]),
        is_masked=is_masked,
    )


def _settings(mask: MaskVersion) -> dict[str, Any]:
    return {
        "version": mask.version,
        "policy": mask.policy,
        "rate": float(mask.rate),
        "seed": mask.seed,
        "role": mask.role,
    }


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is damaged: its masks are not those that were written. "
        "Draw new ones with: vcfbert refresh --masks"
    )
