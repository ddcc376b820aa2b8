"""Masks of training and validation, from the settings and the panel.

S sites in the panel, W windows, L sites in a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfbert import plurals
from vcfbert.config import MaskConfig
from vcfbert.domain import masks as mask_rates
from vcfbert.domain import sites as site_tables
from vcfbert.domain.mask_policies import (
    Drawing,
    DrawingBySample,
    Fixed,
    Listed,
    MaskPolicy,
    MaskSource,
    Random,
    SmartBalanced,
    Thinned,
)
from vcfbert.domain.masks import Role
from vcfbert.domain.windows import Windows
from vcfbert.errors import ConfigError
from vcfbert.storage import site_lists
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.schedule import Work

_EVALUATION = 2**31  # mask version of the references, far from those of training


@dataclass(frozen=True)
class Masks:
    """The masks of a pass over batches.

    queries     masks of the samples
    references  masks of the references in the search; None, the normal case, searches them under
                the mask of the query
    """

    queries: MaskSource
    references: Drawing | None = None

    def batch(self, maker: BatchMaker, work: Work) -> Batch:
        """Make a batch under these masks."""
        labels = maker.labels(work.window, work.samples)
        is_masked = self.queries.of(work.window, work.samples, labels)
        other = None if self.references is None else self.references.of_window(work.window)
        return maker.make(
            work.window, work.samples, is_masked, other, fold=work.fold, part=work.part
        )


@dataclass(frozen=True)
class MaskPlan:
    """How the masks of a run are drawn.

    notes  for the user
    """

    settings: MaskConfig
    seed: int
    panel: PanelReader
    training: MaskPolicy
    validation: MaskPolicy
    notes: tuple[str, ...]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of the list of typed sites, if there is one."""
        for policy in (self.training, self.validation):
            if isinstance(policy, Listed):
                return {"list of typed sites": stores.fingerprint(policy.is_typed)}
        return {}

    @property
    def first_rate(self) -> float:
        """Rate of the first masks of the curriculum."""
        chosen = self.settings
        return mask_rates.curriculum_rate(
            0, chosen.levels, chosen.epochs_per_level, chosen.start_rate
        )

    def draw(self, version: int, rate: float) -> MaskVersion:
        """Draw a version of the training masks, the same for all samples.

        This is what training draws and what `refresh --masks` stores.
        """
        assert not self.settings.by_sample, "masks of samples have no version that could be stored"
        drawing = Drawing(self.training, self.panel.windows, self.seed, "train", version, rate)
        return MaskVersion(
            version=version,
            policy=self.settings.policy,
            rate=rate,
            seed=self.seed,
            role="train",
            panel_fingerprint=self.panel.fingerprint,
            is_masked=drawing.whole(),
        )

    def of_version(self, mask: MaskVersion) -> Masks:
        """Training masks of a version that was drawn or stored."""
        return Masks(
            Fixed(mask.is_masked), self._of_references(self.training, mask.version, mask.rate)
        )

    def of_training(self, version: int, rate: float) -> Masks:
        """Training masks of a version."""
        if not self.settings.by_sample:
            return self.of_version(self.draw(version, rate))
        drawing = DrawingBySample(
            self.training, self.panel.windows, self.seed, "train", version, rate
        )
        return Masks(drawing, self._of_references(self.training, version, rate))

    def of_validation(self) -> Masks:
        """Validation masks, the same in every epoch, from another stream than training masks."""
        return self.of_samples("validation")

    def of_samples(self, role: Role) -> Masks:
        """Masks of validation or test samples, one for each window."""
        rate = self.settings.validation_rate
        drawing = Drawing(self.validation, self.panel.windows, self.seed, role, 0, rate)
        return Masks(drawing, self._of_references(self.validation, 0, rate))

    def _of_references(self, policy: MaskPolicy, version: int, rate: float) -> Drawing | None:
        """Other masks for the references; None if masks are aligned."""
        if self.settings.align:
            return None
        own = Random() if policy.reads_alleles else policy
        return Drawing(own, self.panel.windows, self.seed, "references", version, rate)


def plan(settings: MaskConfig, seed: int, panel: PanelReader) -> MaskPlan:
    """Make the policies of training and validation.

    Raises InputError if the list of an array is malformed or has no site of the panel, ConfigError
    if a window has no common site.
    """
    notes: list[str] = []
    names = {settings.policy, settings.validation_policy}
    made = {name: _policy(name, settings, panel, notes) for name in names}
    return MaskPlan(
        settings=settings,
        seed=seed,
        panel=panel,
        training=made[settings.policy],
        validation=made[settings.validation_policy],
        notes=tuple(notes),
    )


def of_evaluation(settings: MaskConfig, seed: int, windows: Windows) -> Drawing | None:
    """Masks of the references during an evaluation; None if masks are aligned."""
    if settings.align:
        return None
    rate = settings.validation_rate
    return Drawing(Random(), windows, seed, "references", _EVALUATION, rate)


def _policy(name: str, settings: MaskConfig, panel: PanelReader, notes: list[str]) -> MaskPolicy:
    if name == "random":
        return Random()
    if name == "smart_balanced":
        return SmartBalanced(settings.alt_rate)
    return _listed(settings, panel, notes) if settings.sites else _thinned(settings, panel)


def _listed(settings: MaskConfig, panel: PanelReader, notes: list[str]) -> Listed:
    typed = site_lists.read_typed(Path(settings.sites), panel.sites)
    found = int(typed.is_typed.sum())
    notes.append(
        f"masks: {found:,} of {plurals.of(len(panel.sites), 'site')} "
        f"{plurals.word(found, 'is', 'are')} typed by {settings.sites}; {typed.num_unmatched:,} of "
        f"its {plurals.of(typed.num_listed, 'site')} "
        f"{plurals.word(typed.num_unmatched, 'is', 'are')} not in the panel."
    )
    windows = panel.windows
    blind = sum(not typed.is_typed[windows.sites(number)].any() for number in range(len(windows)))
    if blind:
        notes.append(
            f"masks: {blind:,} of {plurals.of(len(windows), 'window')} "
            f"{plurals.word(blind, 'has', 'have')} no typed site, so the network sees no alleles "
            "there. Larger windows help: vcfbert prepare --window-size"
        )
    return Listed(typed.is_typed)


def _thinned(settings: MaskConfig, panel: PanelReader) -> Thinned:
    maf = site_tables.minor(site_tables.reference_frequency(panel.sites, panel.samples))
    is_common = maf >= settings.common_maf
    windows = panel.windows
    bare = [n for n in range(len(windows)) if not np.any(is_common[windows.sites(n)])]
    if bare:
        raise ConfigError(
            f"An array without masks.sites types common sites (MAF >= {settings.common_maf:g}). "
            f"{panel.path} has {int(is_common.sum()):,} of them among "
            f"{plurals.of(len(panel.sites), 'site')}, but none in {len(bare):,} of "
            f"{plurals.of(len(windows), 'window')}. Lower masks.common_maf, give a list with "
            "masks.sites, or prepare larger windows."
        )
    return Thinned(is_common)
