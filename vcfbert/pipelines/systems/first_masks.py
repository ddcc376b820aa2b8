"""The training masks that a run starts with: a stored version, or the one that it draws itself.

What it draws if no version fits is what `refresh --masks` with the same settings would store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfbert.config import presets
from vcfbert.domain.mask_policies import Listed
from vcfbert.errors import ConfigError, StoreError
from vcfbert.storage.zarr import masks, stored_versions
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems.masking import MaskPlan
from vcfbert.training.systems.refresh_rules import InUse


@dataclass(frozen=True)
class FirstMasks:
    """The masks that training starts or resumes with.

    store  where they are stored; None if the run draws them
    """

    mask: MaskVersion
    store: Path | None


def choose(
    workspace: Workspace,
    plan: MaskPlan,
    preset: str,
    name: VersionName | None,
    note: Callable[[str], None],
) -> FirstMasks | None:
    """The named version, else the newest that fits, else one that is drawn.

    preset   of the settings, for messages
    name     of a version that must be used; "new" draws one as if none were stored
    returns  None if each sample draws its own masks

    Raises StoreError if the named version is missing or of another panel, ConfigError if it
    contradicts the settings.
    """
    if plan.settings.by_sample:
        if name not in (None, stored_versions.NEW):
            raise ConfigError(
                f"--mask-version {name} is one mask for all samples, but with masks.policy = "
                f"{plan.settings.policy!r} and masks.scope = {plan.settings.scope!r} each sample "
                "draws its own. Leave out --mask-version, or set masks.scope=window and another "
                "policy than smart_balanced."
            )
        note(f"masks: each sample draws its own with seed {plan.seed}; no stored version is read.")
        return None
    if name == stored_versions.NEW:
        return _drawn(plan, 0, "as asked for", note)
    if name is not None:
        path = stored_versions.path_of(workspace, "masks", name)
        mask = masks.read_masks(path)
        fault = _misfit(mask, plan)
        if mask.panel_fingerprint != plan.panel.fingerprint:
            raise StoreError.stale(path, parent="panel", made_by="refresh --masks")
        if fault is not None:
            raise ConfigError(
                f"--mask-version {name}: {path} {fault}. Leave out --mask-version, or change "
                "masks.policy or masks.sites."
            )
        return _starting(FirstMasks(mask, path), plan, preset, note)
    for version in reversed(workspace.versions("masks")):
        path = workspace.version("masks", version)
        mask = masks.read_masks(path)
        fault = _misfit(mask, plan)
        if fault is None:
            return _starting(FirstMasks(mask, path), plan, preset, note)
        note(f"masks: {path} {fault}, so it is not used.")
    return _drawn(plan, workspace.next_version("masks"), "because no stored version fits", note)


def resume(
    folder: Path, plan: MaskPlan, used: InUse | None, parents: dict[str, str]
) -> FirstMasks | None:
    """The masks in use when a run was stopped.

    folder   of the run's masks
    used     version in use; None if no checkpoint has any, so that the run begins with its first
    parents  of the run

    Raises StoreError if the run has lost the masks that it started with.
    """
    if plan.settings.by_sample:
        return None
    stored = sorted(folder.glob("v*.zarr"))
    path = path_in(folder, used.version) if used else stored[0] if stored else None
    if path is not None and path.exists():
        return FirstMasks(masks.read_masks(path), path)
    mask = plan.draw(used.version if used else 0, used.rate if used else plan.first_rate)
    is_first = used is None or used.batch == 0
    if is_first and parents.get("masks", mask.fingerprint) != mask.fingerprint:
        raise StoreError(
            f"{folder} has lost the masks with which the run {folder.parent.name} started. Train "
            f"it again with: vcfbert train --run {folder.parent.name} --force"
        )
    return FirstMasks(mask, None)


def path_in(folder: Path, version: int) -> Path:
    """Path of a version in the masks folder of a run."""
    return folder / f"v{version:04d}.zarr"


def _misfit(mask: MaskVersion, plan: MaskPlan) -> str | None:
    """Why the settings do not draw such masks; None if they do.

    Rate and seed may differ: they are those of the stored version.
    """
    if mask.panel_fingerprint != plan.panel.fingerprint:
        return "was made from another panel"
    if mask.policy != plan.settings.policy:
        return f"has the policy {mask.policy!r}, but masks.policy = {plan.settings.policy!r}"
    if isinstance(plan.training, Listed):
        listed = plan.draw(mask.version, mask.rate)
        if not np.array_equal(listed.is_masked, mask.is_masked):
            return f"is of another list than {plan.settings.sites}"
    return None


def _drawn(plan: MaskPlan, version: int, why: str, note: Callable[[str], None]) -> FirstMasks:
    """Draw a version by the settings, and say why."""
    mask = plan.draw(version, plan.first_rate)
    note(
        f"masks: this run draws version {version} itself ({mask.policy}, rate {mask.rate:g}, seed "
        f"{mask.seed}), {why}."
    )
    return FirstMasks(mask, None)


def _starting(
    first: FirstMasks, plan: MaskPlan, preset: str, note: Callable[[str], None]
) -> FirstMasks:
    """Say which stored version training starts with, and how it differs from the settings."""
    mask = first.mask
    text = (
        f"masks: training starts with version {mask.version} in {first.store} ({mask.policy}, rate "
        f"{mask.rate:g}, seed {mask.seed})."
    )
    if mask.rate != plan.first_rate and not isinstance(plan.training, Listed):
        text += (
            f" The settings start at {plan.first_rate:g}: for a version at that rate, run vcfbert "
            f"refresh --masks {presets.flag(preset)}."
        )
    note(text)
    return first
