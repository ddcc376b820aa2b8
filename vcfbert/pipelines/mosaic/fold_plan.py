"""Who is taken out of a panel to train `mosaic`, where, and typed at which sites.

Train samples are taken out in folds and imputed from the train samples who remain. Validation
samples are imputed from all train samples, typed as the folds were; where the panel has none, some
more train samples stand for them. Test samples are neither imputed nor references.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import MosaicConfig
from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import TRAIN, VALIDATION, Samples
from vcfbert.errors import InputError
from vcfbert.pipelines.chunks.chunk_plan import Cores
from vcfbert.pipelines.mosaic import designs, training_data
from vcfbert.pipelines.mosaic.designs import FEWEST, TypedDesign
from vcfbert.pipelines.mosaic.training_data import Ready, TakenOut
from vcfbert.storage import site_lists
from vcfbert.storage.zarr.panel import PanelReader

FEWEST_SAMPLES = 10
LARGEST_SHARE = 5
"""Samples taken out at once are at most one in so many of the train samples."""

VALIDATING_FOLDS = 3
"""Folds whose chunks and designs the validation samples are typed at."""

_FOLDS, _UNITS = 11, 12  # random streams of a run's seed


@dataclass(frozen=True)
class Fold:
    """Samples who are imputed, and the haplotypes they are imputed from.

    number   decides the fold's random draws
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
        """Other samples, taken out of the train samples and typed as this fold was."""
        return replace(_fold(self.number, sample_index, samples), designs=designs)

    def first_designs(self) -> Fold:
        """The same samples under one design of each chunk."""
        assert self.designs is not None
        return replace(self, designs={chunk: few[:1] for chunk, few in self.designs.items()})


@dataclass(frozen=True)
class Unit:
    """A fold over one chunk under one design."""

    chunk: int
    taken: TakenOut
    design: TypedDesign
    ready: Ready


@dataclass(frozen=True)
class Source:
    """Where the units of a fold come from.

    typed  designs over all sites of the panel; empty where they are drawn
    """

    panel: PanelReader
    cores: Cores
    typed: Sequence[TypedDesign]
    settings: MosaicConfig
    seed: int
    threads: int

    @property
    def num_units(self) -> int:
        """Units of a fold, at most."""
        return self._num_chunks * (len(self.typed) or self.settings.designs)

    @property
    def rows_per_unit(self) -> int:
        """Undecided sites kept of each unit."""
        return -(-self.settings.rows_per_design // self._num_chunks)

    @property
    def _num_chunks(self) -> int:
        return min(self.settings.chunks, len(self.cores))

    def rng(self, *numbers: int) -> np.random.Generator:
        """A random stream of its own."""
        return np.random.default_rng([self.seed, _UNITS, *numbers])

    def units(self, fold: Fold) -> Iterator[Unit]:
        """All units of a fold; the same in every call."""
        rng = self.rng(fold.number)
        drawn = np.sort(rng.permutation(len(self.cores))[: self._num_chunks])
        for chunk in drawn.tolist() if fold.designs is None else fold.designs:
            sites = np.arange(self.cores.low[chunk], self.cores.high[chunk])
            core = slice(int(self.cores.start[chunk]), int(self.cores.stop[chunk]))
            stretch = training_data.read_stretch(self.panel, sites, core)
            taken = training_data.take_out(stretch, fold.references, fold.samples)
            if fold.designs is not None:
                designed = fold.designs[chunk]
            elif self.typed:
                designed = self._listed(int(sites[0]), int(sites[-1]) + 1)
            else:
                shown = training_data.design_panel(taken, population_codes(self.panel.samples), rng)
                designed = designs.designs(shown, rng, self.settings.designs)
            for design in designed:
                ready = training_data.make_ready(
                    taken, design.sites, seed=self.seed, threads=self.threads
                )
                yield Unit(chunk, taken, design, ready)

    def _listed(self, start: int, stop: int) -> list[TypedDesign]:
        """The lists in a chunk; one with next to no typed sites there is left out."""
        here = []
        for design in self.typed:
            first, last = np.searchsorted(design.sites, [start, stop])
            if last - first >= FEWEST:
                here.append(TypedDesign(design.name, design.sites[first:last] - start))
        return here


@dataclass(frozen=True)
class Plan:
    """Who is taken out.

    folds       of some of the train samples
    validation  samples who are never trained on; each group is typed as the fold of its place
    """

    folds: list[Fold]
    validation: list[NDArray[np.int64]]


def draw(samples: Samples, settings: MosaicConfig, seed: int, num_lists: int = 0) -> Plan:
    """Draw the samples of each fold.

    num_lists  of typed sites; where there are fewer than a fold would draw, there are more folds,
               so that the network sees as many samples and sites

    Raises InputError where there are too few train samples.
    """
    train = samples.in_splits(TRAIN)
    if len(train) < FEWEST_SAMPLES:
        raise InputError(
            f"The panel has {len(train)} train samples, but {FEWEST_SAMPLES} at least are needed "
            "to take some out and impute them from the rest. Use the shipped network: impute "
            "without --run."
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
    return Plan(folds, groups)


def read_designs(paths: Sequence[Path], panel: PanelReader) -> list[TypedDesign]:
    """The lists of typed sites; InputError where one is of no use."""
    found = []
    for path in paths:
        typed = np.flatnonzero(site_lists.read_typed(path, panel.sites).is_typed)
        if len(typed) < FEWEST:
            raise InputError(
                f"{path} names {len(typed)} sites of the panel, but {FEWEST} at least are needed."
            )
        found.append(TypedDesign(path.name, typed))
    return found


def population_codes(samples: Samples) -> NDArray[np.int16]:
    """(N,) number of each sample's population in the sample table; all 0 where it names none."""
    return np.unique(np.array(samples.population), return_inverse=True)[1].astype(np.int16)


def _fold(number: int, sample_index: NDArray[np.int64], samples: Samples) -> Fold:
    """Samples taken out; nobody of them, and no relative of theirs, is a reference."""
    sample_index = np.sort(sample_index)
    rest = np.setdiff1d(samples.in_splits(TRAIN), sample_index)
    rest = np.setdiff1d(rest, samples.relatives_of(sample_index))
    return Fold(number, sample_index, site_tables.haplotypes_of(rest))
