"""The masks of training and validation, from settings and a panel.

S sites in the panel, W windows, L sites in a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vcfbert.config import Config, MaskConfig
from vcfbert.domain import sites as site_tables
from vcfbert.domain.mask_policies import (
    Drawing,
    DrawingBySample,
    Fixed,
    Listed,
    MaskSource,
    Policy,
    Random,
    SmartBalanced,
    Thinned,
)
from vcfbert.domain.masks import Role
from vcfbert.domain.windows import Windows
from vcfbert.errors import ConfigError
from vcfbert.storage import site_lists
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.schedule import Work

_EVALUATION = 2**31  # version of the references' masks, far from those of training


@dataclass(frozen=True)
class Masks:
    """What a pass over batches hides.

    queries     from the samples of a batch
    references  from the references while they are searched; None searches them under the query's
                mask, as it should be
    """

    queries: MaskSource
    references: Drawing | None = None

    def batch(self, maker: BatchMaker, work: Work) -> Batch:
        """Make a batch under these masks."""
        labels = maker.labels(work.window, work.samples)
        is_masked = self.queries.of(work.window, work.samples, labels)
        other = None if self.references is None else self.references.of_window(work.window)
        return maker.make(work.window, work.samples, is_masked, other)


@dataclass(frozen=True)
class MaskPolicies:
    """How the masks of a run are drawn.

    notes  what a user should know of them
    """

    settings: MaskConfig
    seed: int
    panel: PanelReader
    training: Policy
    validation: Policy
    notes: tuple[str, ...]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the typed sites of a list, where there is one."""
        for policy in (self.training, self.validation):
            if isinstance(policy, Listed):
                return {"list of typed sites": stores.fingerprint(policy.is_typed)}
        return {}

    def hidden_share(self, rate: float) -> float:
        """Share of sites that training masks ask for at the current rate; a list has its own."""
        if isinstance(self.training, Listed):
            return float(1 - self.training.is_typed.mean())
        return rate

    def of_training(self, version: int, rate: float) -> Masks:
        """Masks of a training version."""
        kind = DrawingBySample if self.settings.scope == "sample" else Drawing
        drawing = kind(self.training, self.panel.windows, self.seed, "train", version, rate)
        queries: MaskSource = drawing
        if self.settings.scope == "window":
            queries = Fixed(drawing.whole())  # once a version, not once a batch
        return Masks(queries, self._of_references(self.training, version, rate))

    def of_validation(self) -> Masks:
        """Masks of the validation: of another stream than those of training, ever the same."""
        return self.of_samples("validation")

    def of_samples(self, role: Role) -> Masks:
        """Masks of samples who are not trained on, one a window."""
        rate = self.settings.validation_rate
        drawing = Drawing(self.validation, self.panel.windows, self.seed, role, 0, rate)
        return Masks(drawing, self._of_references(self.validation, 0, rate))

    def _of_references(self, policy: Policy, version: int, rate: float) -> Drawing | None:
        """Other masks for the references, where they are not to be aligned."""
        if self.settings.align:
            return None
        mine = Random() if policy.reads_alleles else policy
        return Drawing(mine, self.panel.windows, self.seed, "references", version, rate)


def policies(settings: MaskConfig, seed: int, panel: PanelReader) -> MaskPolicies:
    """Read what the policies need.

    Raises InputError where the list of an array is malformed or fits no site of the panel,
    ConfigError where a window has no common site to keep.
    """
    notes: list[str] = []
    made = {name: _policy(name, settings, panel, notes) for name in _names(settings)}
    return MaskPolicies(
        settings=settings,
        seed=seed,
        panel=panel,
        training=made[settings.policy],
        validation=made[settings.validation_policy],
        notes=tuple(notes),
    )


def of_evaluation(settings: Config, windows: Windows) -> Drawing | None:
    """The references' own masks while samples are evaluated; None where `masks.align` is on."""
    if settings.masks.align:
        return None
    rate = settings.masks.validation_rate
    return Drawing(Random(), windows, settings.seed, "references", _EVALUATION, rate)


def _names(settings: MaskConfig) -> set[Literal["random", "smart_balanced", "array"]]:
    return {settings.policy, settings.validation_policy}


def _policy(name: str, settings: MaskConfig, panel: PanelReader, notes: list[str]) -> Policy:
    if name == "random":
        return Random()
    if name == "smart_balanced":
        return SmartBalanced(settings.alt_rate)
    return _listed(settings, panel, notes) if settings.sites else _thinned(settings, panel)


def _listed(settings: MaskConfig, panel: PanelReader, notes: list[str]) -> Listed:
    typed = site_lists.read_typed(Path(settings.sites), panel.sites)
    found = int(typed.is_typed.sum())
    notes.append(
        f"masks: {found:,} of {len(panel.sites):,} sites are typed by {settings.sites}; "
        f"{typed.num_unmatched:,} of its {typed.num_listed:,} sites are not in the panel."
    )
    windows = panel.windows
    blind = sum(not typed.is_typed[windows.sites(number)].any() for number in range(len(windows)))
    if blind:
        notes.append(
            f"masks: {blind:,} of {len(windows):,} windows have no typed site, so that nothing can "
            "be read there. Larger windows help: vcfbert prepare --window-size"
        )
    return Listed(typed.is_typed)


def _thinned(settings: MaskConfig, panel: PanelReader) -> Thinned:
    maf = site_tables.minor(site_tables.reference_frequency(panel.sites, panel.samples))
    is_common = maf >= settings.common_maf
    windows = panel.windows
    bare = [n for n in range(len(windows)) if not np.any(is_common[windows.sites(n)])]
    if bare:
        raise ConfigError(
            f"An array without masks.sites keeps common sites (MAF >= {settings.common_maf:g}). "
            f"{panel.path} has {int(is_common.sum()):,} of them among {len(panel.sites):,} sites, "
            f"none in {len(bare)} of {len(windows)} windows. Lower masks.common_maf, name a list "
            "with masks.sites, or prepare larger windows."
        )
    return Thinned(is_common)
