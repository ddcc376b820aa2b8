"""Which sites an evaluation hides: by rate, by mask version or by a list of typed sites.

S sites in the panel, W windows, L sites in a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import masks
from vcfbert.domain.windows import Windows
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.storage import site_lists
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace


@dataclass(frozen=True)
class Target:
    """What the samples to be imputed are typed at.

    is_hidden    (S,) True where nobody's genotype reaches the model
    description  short, fit for a file name
    origin       what decided, for the report
    """

    is_hidden: NDArray[np.bool_]
    description: str
    origin: dict[str, Any]


def choose(
    workspace: Workspace,
    panel: PanelReader,
    *,
    seed: int,
    default_rate: float,
    rate: float | None,
    mask_version: int | None,
    typed: Path | None,
) -> Target:
    """Hide sites by the one of the three that is given, or by `default_rate`.

    workspace  the one the panel lies in; its mask versions are meant
    seed       of the draw by rate, which shares no random stream with training

    Raises ConfigError where more than one is given, StoreError where the mask version is absent or
    of another panel, InputError where a list hides nothing or everything.
    """
    given = {"--rate": rate, "--mask-version": mask_version, "--typed": typed}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} both choose the hidden sites. Give one of them.")
    if typed is not None:
        target = _from_list(typed, panel)
    elif mask_version is not None:
        target = _from_version(workspace, panel, mask_version)
    else:
        target = _from_rate(panel, default_rate if rate is None else rate, seed)
    if not target.is_hidden.any():
        raise InputError(
            f"No site of {panel.path} is hidden by {target.description}, so there is nothing to "
            "score. Choose other masks."
        )
    if target.is_hidden.all():
        raise InputError(
            f"{target.description} hides every site of {panel.path}, so there is nothing to impute "
            "from. Choose other masks, or draw new ones with: vcfbert refresh --masks"
        )
    return target


def of_cores(is_masked: NDArray[np.bool_], windows: Windows) -> NDArray[np.bool_]:
    """One answer a site: hidden where the window that answers for it hides it.

    is_masked  (W, L)
    returns    (S,)
    """
    is_hidden = np.zeros(int(windows.core_stop.max()), dtype=np.bool_)
    for window in range(len(windows)):
        is_core = windows.is_core(window)
        first, stop = windows.core_start[window], windows.core_stop[window]
        is_hidden[first:stop] = is_masked[window, is_core]
    return is_hidden


def over_windows(is_hidden: NDArray[np.bool_], windows: Windows) -> NDArray[np.bool_]:
    """The same sites hidden from every window that sees them, in its core or in a flank.

    is_hidden  (S,)
    returns    (W, L) False in the padding
    """
    is_masked = np.zeros((len(windows), windows.length), dtype=np.bool_)
    for window in range(len(windows)):
        is_masked[window, : windows.num_sites(window)] = is_hidden[windows.sites(window)]
    return is_masked


def _from_list(path: Path, panel: PanelReader) -> Target:
    typed = site_lists.read_typed(path, panel.sites)
    origin = {
        "typed": str(path),
        "listed_sites": typed.num_listed,
        "unmatched_sites": typed.num_unmatched,
    }
    name = path.name.removesuffix(".tsv")
    description = name if name.startswith("typed") else f"typed-{name}"
    return Target(~typed.is_typed, description, origin)


def _from_version(workspace: Workspace, panel: PanelReader, version: int) -> Target:
    path = workspace.version("masks", version)
    versions = workspace.versions("masks")
    if version not in versions:
        known = ", ".join(str(number) for number in versions) or "none"
        raise StoreError(
            f"No mask version {version} in {workspace.root}; there are: {known}. "
            "Draw one with: vcfbert refresh --masks"
        )
    mask = read_masks(path)
    if mask.panel_fingerprint != panel.fingerprint:
        raise StoreError.stale(path, parent="panel", made_by="refresh --masks")
    origin = {"mask_version": version, "policy": mask.policy, "rate": mask.rate, "seed": mask.seed}
    return Target(of_cores(mask.is_masked, panel.windows), f"mask-v{version:04d}", origin)


def _from_rate(panel: PanelReader, rate: float, seed: int) -> Target:
    drawn = masks.draw_masks(panel.windows, seed=seed, role="test", version=0, rate=rate)
    is_hidden = of_cores(drawn, panel.windows)
    return Target(is_hidden, f"rate-{rate:g}", {"rate": rate, "seed": seed, "role": "test"})
