"""What imputation of a chunk needs of the panel whatever is typed: groups and predictions.

R reference haplotypes; alleles are bits, (R, ceil(n / 64)) at n sites.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups, panel_statistics
from vcfbert.pipelines.chunks import multiallelic
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.storage.profiles import Arrays, Fact, Profiles
from vcfbert.storage.zarr import haplotypes as stored_haplotypes
from vcfbert.storage.zarr.panel import PanelReader

InMemory = tuple[NDArray[np.int64], NDArray[np.uint64]]
"""Panel sites, rising, and alleles there."""


@dataclass(frozen=True)
class Stretch:
    """A range of the panel's sites.

    cm          of all sites of the panel
    around      the range
    haplotypes  (R,) the panel's haplotypes that exist there, rising
    frequency   (n,) of ALT at its sites
    """

    panel: PanelReader
    cm: NDArray[np.float64]
    around: slice
    haplotypes: NDArray[np.int64]
    frequency: NDArray[np.float64]

    @classmethod
    def of(cls, panel: PanelReader, cm: NDArray[np.float64], around: slice) -> Stretch:
        """The stretch around a chunk."""
        haplotypes = panel.samples.ploidy.haplotypes_at(around.start)
        counts = panel.sites.alt_count[around].sum(axis=1, dtype=np.float64)
        return cls(panel, cm, around, haplotypes, counts / len(haplotypes))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Where it is, for the keys of profiles."""
        return self.around.start, self.around.stop, self.cm[self.around]

    @property
    def sample(self) -> NDArray[np.int64]:
        """(R,) of each haplotype."""
        return self.haplotypes >> 1

    def read(
        self, sites: NDArray[np.int64], rows: NDArray[np.int64] | None = None, *, threads: int = 1
    ) -> NDArray[np.uint64]:
        """Alleles at some sites.

        rows  (k,) of the R haplotypes; None is all
        """
        chosen = self.haplotypes if rows is None else self.haplotypes[rows]
        return stored_haplotypes.read_sites(self.panel, sites, chosen, threads=threads)

    def taken(self, chosen: NDArray[np.int64], known: InMemory) -> NDArray[np.uint64]:
        """Alleles at the chosen panel sites, from those in memory if possible."""
        sites, bits = known
        if np.isin(chosen, sites, assume_unique=True).all():
            return engine.take_bits(bits, np.searchsorted(sites, chosen))
        return self.read(chosen)


class AllAlleles:
    """Alleles of all references at some sites, read when they are first asked for."""

    def __init__(self, stretch: Stretch, sites: NDArray[np.int64], threads: int) -> None:
        """Nothing is read yet.

        sites  panel sites, rising
        """
        self._stretch, self._sites, self._threads = stretch, sites, threads
        self._bits: NDArray[np.uint64] | None = None
        self._lock = Lock()

    @property
    def is_read(self) -> bool:
        """True if the alleles are in memory."""
        return self._bits is not None

    def __call__(self) -> InMemory:
        """The sites and the alleles there."""
        with self._lock:
            if self._bits is None:
                self._bits = self._stretch.read(self._sites, threads=self._threads)
            return self._sites, self._bits


@dataclass(frozen=True)
class OwnSites:
    """Sites of a chunk whose predictions depend on no typed site.

    landmarks  (k,) panel sites, rising
    sites      (m,) written sites, their alternatives, and landmarks, rising
    """

    landmarks: NDArray[np.int64]
    sites: NDArray[np.int64]

    @classmethod
    def of(cls, stretch: Stretch, written: NDArray[np.int64]) -> OwnSites:
        """Those of a chunk.

        written  (n,) panel sites, rising
        """
        cm = stretch.cm[stretch.around]
        landmarks = stretch.around.start + panel_statistics.landmarks(stretch.frequency, cm)
        chosen = np.union1d(written, landmarks)
        return cls(landmarks, multiallelic.with_alternatives(chosen, stretch.panel.sites))


def group_of_each(
    stretch: Stretch, known: Callable[[], InMemory], profiles: Profiles
) -> NDArray[np.int64]:
    """(R,) group of each reference.

    known  what is in memory; called if the groups are not kept
    """

    def find() -> Arrays:
        chosen = stretch.around.start + groups.sites_for(stretch.frequency)
        taken = stretch.taken(chosen, known())
        found = groups.of_references(taken, len(chosen), stretch.sample)
        return {"group": found.astype(np.uint8)}

    found = profiles.kept("groups", (stretch.around.start, stretch.around.stop), find)
    return found["group"].astype(np.int64)


def counts_of_groups(
    stretch: Stretch,
    own: OwnSites,
    group: NDArray[np.int64],
    known: Callable[[], InMemory],
    profiles: Profiles,
) -> NDArray[np.int32]:
    """(m, G) copies of ALT in each group at the sites of `own`.

    group  (R,) of `group_of_each`
    known  what is in memory, these sites among it; called if the counts are not kept
    """

    def find() -> Arrays:
        sites, bits = known()
        found = panel_statistics.alt_counts(bits, group, len(sites))
        return {"counts": found[np.searchsorted(sites, own.sites)]}

    facts = stretch.around.start, stretch.around.stop, own.sites
    return profiles.kept("counts", facts, find)["counts"].astype(np.int32)


def predictions(
    stretch: Stretch,
    own: OwnSites,
    known: Callable[[], InMemory],
    profiles: Profiles,
    *,
    threads: int,
) -> NDArray[np.float32]:
    """(2, m) `panel_statistics.neighbours` at the sites of `own`.

    known  what is in memory, these sites among it; called if the predictions are not kept
    """

    def find() -> Arrays:
        sites, bits = known()
        rows = np.searchsorted(sites, own.landmarks)
        found = panel_statistics.neighbours(
            bits, stretch.cm[sites], rows, stretch.sample, threads=threads
        )
        return {"panel": found[:, np.searchsorted(sites, own.sites)]}

    kept = profiles.kept("statistics", (*stretch.facts, own.sites), find)
    return kept["panel"].astype(np.float32)


def keep(
    panel: PanelReader,
    cm: NDArray[np.float64],
    chunk: ChunkPlan,
    *,
    threads: int,
    profiles: Profiles,
) -> None:
    """Compute and keep groups, counts and predictions of a chunk, unless they are kept already.

    cm  of all sites of the panel
    """
    stretch = Stretch.of(panel, cm, chunk.around)
    own = OwnSites.of(stretch, chunk.written)
    known = AllAlleles(stretch, own.sites, threads)

    def count() -> None:
        counts_of_groups(stretch, own, group_of_each(stretch, known, profiles), known, profiles)

    with ThreadPoolExecutor(min(2, threads)) as pool:
        counted = pool.submit(count)
        predicted = pool.submit(predictions, stretch, own, known, profiles, threads=threads)
    counted.result(), predicted.result()
