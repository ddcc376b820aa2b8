"""Folds of the training of `mosaic`: left-out samples, chunks and typed sites.

In each fold some train samples are left out and imputed from the rest. Validation samples are
imputed from all train samples, typed as in the folds; if the panel has none, more train samples
take their place. Test samples are neither imputed nor references.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.config import MosaicConfig
from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import TRAIN, VALIDATION, Samples
from vcfbert.errors import InputError
from vcfbert.pipelines.chunks import panel_samples
from vcfbert.pipelines.chunks.chunk_plan import Cores
from vcfbert.pipelines.chunks.panel_samples import LeftOut, TypedSamples
from vcfbert.pipelines.mosaic import designs, training_data
from vcfbert.pipelines.mosaic.designs import FEWEST, TypedDesign
from vcfbert.storage import site_lists
from vcfbert.storage.zarr.panel import PanelReader

FEWEST_SAMPLES = 10
LARGEST_SHARE = 5
"""At most one in this many train samples is left out at a time."""

VALIDATING_FOLDS = 3
"""Folds whose chunks and designs are used for the validation samples."""

_FOLDS, _UNITS = 11, 12  # random streams of a run's seed


@dataclass(frozen=True)
class Fold:
    """Samples to impute, and the haplotypes they are imputed from.

    number   seeds the fold's random draws
    designs  by chunk; None draws chunks and designs
    """

    number: int
    samples: NDArray[np.int64]
    references: NDArray[np.int64]
    designs: Mapping[int, list[TypedDesign]] | None = None

    def typed_alike(
        self,
        sample_index: NDArray[np.int64],
        samples: Samples,
        designs: Mapping[int, list[TypedDesign]],
    ) -> Fold:
        """Other samples, left out of the train samples and typed as in this fold."""
        return replace(_fold(self.number, sample_index, samples), designs=designs)

    def first_designs(self) -> Fold:
        """The same samples with only one design for each chunk."""
        assert self.designs is not None
        return replace(self, designs={chunk: few[:1] for chunk, few in self.designs.items()})


@dataclass(frozen=True)
class Unit:
    """One chunk of a fold, with one design."""

    chunk: int
    left_out: LeftOut
    design: TypedDesign
    typed: TypedSamples


@dataclass(frozen=True)
class FoldSource:
    """What the units of all folds are made from.

    typed  designs over all sites of the panel; empty to draw designs
    """

    panel: PanelReader
    cores: Cores
    typed: Sequence[TypedDesign]
    settings: MosaicConfig
    seed: int
    threads: int

    @property
    def num_units(self) -> int:
        """Most units of a fold."""
        return self._num_chunks * (len(self.typed) or self.settings.designs)

    @property
    def rows_per_unit(self) -> int:
        """Most undecided sites of a unit."""
        return -(-self.settings.rows_per_design // self._num_chunks)

    @property
    def _num_chunks(self) -> int:
        return min(self.settings.chunks, len(self.cores))

    def rng(self, *numbers: int) -> np.random.Generator:
        """An independent random stream."""
        return np.random.default_rng([self.seed, _UNITS, *numbers])

    def units(self, fold: Fold) -> Iterator[Unit]:
        """All units of a fold; every call gives the same."""
        rng = self.rng(fold.number)
        drawn = np.sort(rng.permutation(len(self.cores))[: self._num_chunks])
        for chunk in drawn.tolist() if fold.designs is None else fold.designs:
            sites = np.arange(self.cores.low[chunk], self.cores.high[chunk])
            core = slice(int(self.cores.start[chunk]), int(self.cores.stop[chunk]))
            here = panel_samples.read(self.panel, sites, core)
            left_out = panel_samples.leave_out(here, fold.references, fold.samples)
            if fold.designs is not None:
                designed = fold.designs[chunk]
            elif self.typed:
                designed = self._listed(int(sites[0]), int(sites[-1]) + 1)
            else:
                codes = population_codes(self.panel.samples)
                shown = training_data.design_panel(left_out, codes, rng)
                designed = designs.designs(shown, rng, self.settings.designs)
            for design in designed:
                typed = panel_samples.typed_at(
                    left_out, design.sites, seed=self.seed, threads=self.threads
                )
                yield Unit(chunk, left_out, design, typed)

    def _listed(self, start: int, stop: int) -> list[TypedDesign]:
        """The lists in a chunk, without those with too few typed sites there."""
        here = []
        for design in self.typed:
            first, last = np.searchsorted(design.sites, [start, stop])
            if last - first >= FEWEST:
                here.append(TypedDesign(design.name, design.sites[first:last] - start))
        return here


@dataclass(frozen=True)
class FoldPlan:
    """Left-out samples.

    folds       of train samples
    validation  groups of samples that are never trained on, typed as the fold of the same index
    """

    folds: list[Fold]
    validation: list[NDArray[np.int64]]


def draw(samples: Samples, settings: MosaicConfig, seed: int, num_lists: int = 0) -> FoldPlan:
    """Draw the samples of each fold.

    num_lists  lists of typed sites; if they are fewer than the designs that a fold draws, there are
               more folds, so that the network sees as many samples and sites

    Raises InputError if there are too few train samples.
    """
    train = samples.in_splits(TRAIN)
    if len(train) < FEWEST_SAMPLES:
        raise InputError(
            f"The panel has {plurals.of(len(train), 'train sample')}, but at least "
            f"{FEWEST_SAMPLES} are needed to leave some out and impute them from the rest. Use the "
            "shipped network: impute without --run."
        )
    rng = np.random.default_rng([seed, _FOLDS])
    size = min(settings.held_out, len(train) // LARGEST_SHARE)
    order = rng.permutation(train)
    validation = rng.permutation(samples.in_splits(VALIDATION))[: settings.held_out]
    if len(validation) == 0:
        validation, order = order[:size], order[size:]
    num_folds = settings.folds
    if num_lists:
        enough = -(-settings.folds * settings.designs // num_lists)
        num_folds = max(settings.folds, min(enough, len(order) // size))
    folds = []
    for number in range(num_folds):
        places = range(number * size, (number + 1) * size)
        folds.append(_fold(number, np.take(order, places, mode="wrap"), samples))
    num_groups = min(num_folds, VALIDATING_FOLDS)
    groups = [np.sort(validation[number::num_groups]) for number in range(num_groups)]
    return FoldPlan(folds, groups)


def read_designs(paths: Sequence[Path], panel: PanelReader) -> list[TypedDesign]:
    """Read the lists of typed sites; InputError if one has too few sites."""
    found = []
    for path in paths:
        typed = np.flatnonzero(site_lists.read_typed(path, panel.sites).is_typed)
        if len(typed) < FEWEST:
            raise InputError(
                f"{path} names {plurals.of(len(typed), 'site')} of the panel, but at least "
                f"{FEWEST} are needed."
            )
        found.append(TypedDesign(path.name, typed))
    return found


def population_codes(samples: Samples) -> NDArray[np.int16]:
    """(N,) index of each sample's population; all 0 if the sample table names none."""
    return np.unique(np.array(samples.population), return_inverse=True)[1].astype(np.int16)


def _fold(number: int, sample_index: NDArray[np.int64], samples: Samples) -> Fold:
    """A fold of these samples; neither they nor their relatives are references."""
    sample_index = np.sort(sample_index)
    rest = np.setdiff1d(samples.in_splits(TRAIN), sample_index)
    rest = np.setdiff1d(rest, samples.relatives_of(sample_index))
    return Fold(number, sample_index, site_tables.haplotypes_of(rest))
