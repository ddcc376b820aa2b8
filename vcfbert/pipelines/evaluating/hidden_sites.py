"""Sites that an evaluation hides: by rate, by mask version or by a list of typed sites.

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
from vcfbert.storage.zarr import stored_versions
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace


@dataclass(frozen=True)
class HiddenSites:
    """Sites whose genotypes the model does not see, in any sample.

    is_hidden    (S,)
    description  short, fit for a file name
    origin       how they were chosen, for the report
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
    mask_version: VersionName | None,
    typed: Path | None,
) -> HiddenSites:
    """Hide sites by rate, mask version or typed list, whichever is given, or by `default_rate`.

    workspace  contains the panel and its mask versions
    seed       of the draw by rate, which shares no random stream with training

    Raises ConfigError if more than one is given, StoreError if the mask version is missing or of
    another panel, InputError if no site or every site is hidden.
    """
    given = {"--rate": rate, "--mask-version": mask_version, "--typed": typed}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} both choose the hidden sites. Give only one.")
    if typed is not None:
        hidden = _from_list(typed, panel)
    elif mask_version is not None:
        hidden = _from_version(workspace, panel, mask_version)
    else:
        hidden = _from_rate(panel, default_rate if rate is None else rate, seed)
    if not hidden.is_hidden.any():
        raise InputError(
            f"{hidden.description} hides no site of {panel.path}, so there is nothing to score. "
            "Choose other masks."
        )
    if hidden.is_hidden.all():
        raise InputError(
            f"{hidden.description} hides every site of {panel.path}, so there is nothing to impute "
            "from. Choose other masks, or draw new ones with: vcfbert refresh --masks"
        )
    return hidden


def of_cores(is_masked: NDArray[np.bool_], windows: Windows) -> NDArray[np.bool_]:
    """Sites that are masked in the window whose core they are in.

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
    """The same sites masked in every window that contains them, in its core or in a flank.

    is_hidden  (S,)
    returns    (W, L) False in the padding
    """
    is_masked = np.zeros((len(windows), windows.length), dtype=np.bool_)
    for window in range(len(windows)):
        is_masked[window, : windows.num_sites(window)] = is_hidden[windows.sites(window)]
    return is_masked


def _from_list(path: Path, panel: PanelReader) -> HiddenSites:
    typed = site_lists.read_typed(path, panel.sites)
    origin = {
        "typed": str(path),
        "listed_sites": typed.num_listed,
        "unmatched_sites": typed.num_unmatched,
    }
    name = path.name.removesuffix(".tsv")
    description = name if name.startswith("typed") else f"typed-{name}"
    return HiddenSites(~typed.is_typed, description, origin)


def _from_version(workspace: Workspace, panel: PanelReader, name: VersionName) -> HiddenSites:
    path = stored_versions.path_of(workspace, "masks", name)
    mask = read_masks(path)
    if mask.panel_fingerprint != panel.fingerprint:
        raise StoreError.stale(path, parent="panel", made_by="refresh --masks")
    version = mask.version
    origin = {"mask_version": version, "policy": mask.policy, "rate": mask.rate, "seed": mask.seed}
    description = f"mask-v{version:04d}"
    if not str(name).isdecimal():  # the number alone would be taken for that of the workspace
        origin["store"] = str(path)
        description = f"mask-{path.resolve().parent.parent.name}-v{version:04d}"
    return HiddenSites(of_cores(mask.is_masked, panel.windows), description, origin)


def _from_rate(panel: PanelReader, rate: float, seed: int) -> HiddenSites:
    drawn = masks.draw_masks(panel.windows, seed=seed, role="test", version=0, rate=rate)
    is_hidden = of_cores(drawn, panel.windows)
    return HiddenSites(is_hidden, f"rate-{rate:g}", {"rate": rate, "seed": seed, "role": "test"})
