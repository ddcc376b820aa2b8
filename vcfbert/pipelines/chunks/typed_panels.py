"""The panel at the typed sites of a chunk, for phasing.

T typed sites, R reference haplotypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine
from vcfbert.domain.sites import Sites
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import chunk_references, chunk_statistics
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.chunk_references import ChunkReferences
from vcfbert.pipelines.chunks.chunk_statistics import AllAlleles, Stretch
from vcfbert.storage.profiles import NOTHING, Profiles
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class TypedPanel:
    """The panel at the typed sites of some samples.

    sites      (T,) panel sites, rising
    position   (T,) 1-based
    cm         (T,)
    bits       (R, ceil(T / 64)) alleles of the references
    haplotypes  (R,) the panel's haplotype that each is, rising
    group      (R,) group of each reference, from 0
    model      of phasing; None fits one at the typed sites
    """

    sites: NDArray[np.int64]
    position: NDArray[np.int32]
    cm: NDArray[np.float64]
    bits: NDArray[np.uint64]
    haplotypes: NDArray[np.int64]
    group: NDArray[np.int64]
    model: PanelModel | None = None

    def at(self, typed: NDArray[np.int64], model: PanelModel | None) -> TypedPanel:
        """The same at some of the typed sites; the model is of all of them."""
        rows = np.searchsorted(self.sites, typed)
        return TypedPanel(
            typed, self.position[rows], self.cm[rows], engine.take_bits(self.bits, rows),
            self.haplotypes, self.group, None if model is None else model.at(rows),
        )  # fmt: skip


@dataclass(frozen=True)
class TypedPanels:
    """The panel at the typed sites of all samples, and models of phasing by `num_to_fit`."""

    whole: TypedPanel
    models: dict[int, PanelModel]

    def of(self, typed: NDArray[np.int64]) -> TypedPanel:
        """The panel at the typed sites of some samples."""
        return self.whole.at(typed, self.models.get(chunk_references.num_to_fit(typed)))

    @property
    def whole_with_model(self) -> TypedPanel:
        """The panel at all typed sites, with the model that was fitted at the most sites."""
        return replace(self.whole, model=self.models[max(self.models)])


def of_references(
    references: ChunkReferences,
    sites: Sites,
    typed: NDArray[np.int64],
    typed_bits: NDArray[np.uint64],
) -> TypedPanel:
    """The panel at the typed sites of some samples, from what was read to impute them."""
    return TypedPanel(
        typed, sites.position[typed], sites.cm[typed], typed_bits, references.haplotypes,
        references.group, references.phasing_of(typed),
    )  # fmt: skip


def read(
    panel: PanelReader,
    sites: Sites,
    chunk: ChunkPlan,
    typed: Sequence[NDArray[np.int64]],
    options: PhasingOptions,
    *,
    threads: int,
    profiles: Profiles = NOTHING,
) -> TypedPanels:
    """Read the panel for each group of samples that are typed alike.

    sites     of the panel, with genetic positions of the chosen map
    typed     panel sites of each group
    profiles  see `chunk_references.read`
    """
    every = np.unique(np.concatenate(typed))
    stretch = Stretch.of(panel, sites.cm, chunk.around)
    known = AllAlleles(stretch, every, threads)
    group = chunk_statistics.group_of_each(stretch, known, profiles)
    models = chunk_references.phasing_models(
        stretch, typed, known, options, threads=threads, profiles=profiles
    )
    whole = TypedPanel(
        every, sites.position[every], sites.cm[every], known()[1], stretch.haplotypes, group
    )
    return TypedPanels(whole, models)
