"""References of a chunk, and what is made of them for all samples.

S sites of the chunk, T typed sites, R reference haplotypes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, panel_statistics
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.copying.parameter_sets import ParameterSets
from vcfbert.domain.ploidy import rows_among
from vcfbert.phasing import phase_chunk
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.phasing.site_errors import Asked
from vcfbert.pipelines.chunks import chunk_statistics, multiallelic, switch_rates
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.chunk_statistics import AllAlleles, InMemory, OwnSites, Stretch
from vcfbert.pipelines.chunks.reference_alleles import ReferenceAlleles
from vcfbert.storage.profiles import NOTHING, Arrays, Profiles
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class ChunkReferences:
    """The references of a chunk.

    sites         (S,) panel sites, rising
    haplotypes    (R,) the panel's haplotypes that exist in the chunk, rising
    alleles       of all of them, or read for the candidates
    cm            (S,)
    group         (R,) the group of each reference
    statistics    at the S sites
    alternatives  arrays of indexes among the S, see `multiallelic.alternatives`
    rates         fitted, by the number of sites to fit at
    phasing       model of phasing at `typed`, by the same number; empty if it is not needed
    typed         (T,) panel sites that are typed in any sample, rising
    typed_bits    (R, ceil(T / 64)) alleles there
    panel_r2      (S,) of `leave_one_out.estimated_r2` from the sites typed in any sample
    """

    sites: NDArray[np.int64]
    haplotypes: NDArray[np.int64]
    alleles: ReferenceAlleles
    cm: NDArray[np.float64]
    group: NDArray[np.int64]
    statistics: PanelStatistics
    alternatives: list[NDArray[np.int64]]
    rates: dict[int, ParameterSets]
    phasing: dict[int, PanelModel]
    typed: NDArray[np.int64]
    typed_bits: NDArray[np.uint64]
    panel_r2: NDArray[np.float64]

    def rows_of(self, haplotypes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of some of the panel's haplotypes, without those that do not exist here."""
        return rows_among(self.haplotypes, haplotypes)

    def alternatives_among(self, written: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The alternatives as indexes among the written sites, without other sites.

        written  (n,) panel sites, rising
        """
        found = []
        for run in self.alternatives:
            sites = self.sites[run]
            sites = sites[np.isin(sites, written)]
            found.append(np.searchsorted(written, sites))
        return found

    def phasing_of(self, typed: NDArray[np.int64]) -> PanelModel | None:
        """The model of phasing for samples that are typed at some of the typed sites."""
        model = self.phasing.get(num_to_fit(typed))
        return None if model is None else model.at(np.searchsorted(self.typed, typed))

    def bits_at(self, typed: NDArray[np.int64]) -> NDArray[np.uint64]:
        """(R, ceil(t / 64)) alleles at some of the typed sites."""
        return engine.take_bits(self.typed_bits, np.searchsorted(self.typed, typed))

    def reaching(self, chunk: ChunkPlan, typed: NDArray[np.int64]) -> ChunkReferences:
        """Without the sites that are only there for samples with typed sites further away."""
        ends = np.append(typed[[0, -1]], [chunk.around.start, chunk.around.stop - 1])
        is_kept = (self.sites >= ends.min()) & (self.sites <= ends.max())
        if is_kept.all():
            return self
        kept = np.flatnonzero(is_kept)
        moved = [run - kept[0] for run in self.alternatives if is_kept[run].all()]
        return replace(
            self,
            sites=self.sites[kept],
            alleles=self.alleles.among(kept),
            cm=self.cm[kept],
            statistics=self.statistics.at(kept),
            alternatives=moved,
            panel_r2=self.panel_r2[kept],
        )


def read(
    panel: PanelReader,
    cm: NDArray[np.float64],
    chunk: ChunkPlan,
    typed: Sequence[NDArray[np.int64]],
    *,
    seed: int,
    threads: int,
    phasing: PhasingOptions | None = None,
    profiles: Profiles = NOTHING,
    of_candidates: bool = False,
) -> ChunkReferences:
    """Read the references of a chunk; find their statistics and fit rates at the same time.

    cm             of all sites of the panel
    typed          panel sites of each group of samples
    phasing        None if no sample has to be phased
    profiles       what depends on the panel and the typed sites only is read from them, or kept
    of_candidates  leave the alleles of most references on disk, if the profiles have the rest
    """
    table, stretch = panel.sites, Stretch.of(panel, cm, chunk.around)
    own = OwnSites.of(stretch, chunk.written)
    every = np.unique(np.concatenate(typed))
    sites = multiallelic.with_alternatives(
        np.unique(np.concatenate([chunk.sites, own.landmarks, every])), table
    )
    known = AllAlleles(stretch, sites, threads)
    if not of_candidates:
        known()
    with ThreadPoolExecutor(min(3, threads)) as pool:
        grouping = pool.submit(chunk_statistics.group_of_each, stretch, known, profiles)
        predicted = pool.submit(
            chunk_statistics.predictions, stretch, own, known, profiles, threads=threads
        )
        quality = pool.submit(_quality, stretch, known, sites, chunk.typed, profiles, threads)
        if threads == 1:  # one after the other
            grouping.result(), predicted.result(), quality.result()
        rates = _rates(stretch, known, typed, seed, threads, profiles)
        models = {}
        if phasing is not None:
            models = phasing_models(
                stretch, typed, known, phasing, threads=threads, profiles=profiles
            )
        group, near, panel_r2 = grouping.result(), predicted.result(), quality.result()
    counts = chunk_statistics.counts_of_groups(stretch, own, group, known, profiles)
    shared = sites[multiallelic.sharing_a_position(sites, table)]
    others = np.setdiff1d(sites, own.sites, assume_unique=True)
    in_memory = known
    if not known.is_read:
        in_memory = AllAlleles(stretch, np.unique(np.concatenate([every, shared, others])), threads)
    alleles = ReferenceAlleles(stretch, sites, in_memory(), threads)
    by_site = np.empty((len(sites), counts.shape[1]), np.int32)
    by_site[np.searchsorted(sites, own.sites)] = counts
    by_site[np.searchsorted(sites, others)] = panel_statistics.alt_counts(
        alleles.at(others), group, len(others)
    )
    statistics = panel_statistics.with_neighbours(
        by_site, np.bincount(group), near, np.searchsorted(sites, own.sites)
    )
    alternatives = multiallelic.alternatives(sites, alleles.at(shared), table)
    return ChunkReferences(
        sites, stretch.haplotypes, alleles, cm[sites], group, statistics, alternatives, rates,
        models, every, alleles.at(every), panel_r2,
    )  # fmt: skip


def _quality(
    stretch: Stretch,
    known: Callable[[], InMemory],
    sites: NDArray[np.int64],
    typed: NDArray[np.int64],
    profiles: Profiles,
    threads: int,
) -> NDArray[np.float64]:
    """(S,) r2 of the sites of a chunk, estimated from the references alone.

    typed  (T,) panel sites, rising
    """

    def find() -> Arrays:
        rows = np.searchsorted(sites, typed)
        _, bits = known()
        found = panel_statistics.estimated_r2(
            bits, stretch.cm[sites], rows, stretch.sample, threads=threads
        )
        return {"r2": found}

    found = profiles.kept("quality", (*stretch.facts, sites, typed), find)
    return found["r2"].astype(np.float64)


def _rates(
    stretch: Stretch,
    known: Callable[[], InMemory],
    typed: Sequence[NDArray[np.int64]],
    seed: int,
    threads: int,
    profiles: Profiles,
) -> dict[int, ParameterSets]:
    """Fitted switch rates, by the number of sites to fit at."""
    rates = {}
    for count in sorted({switch_rates.num_to_fit(len(some)) for some in typed if len(some)}):
        shown = stretch.around.start + switch_rates.sites_to_fit(stretch.frequency, count)
        fit = partial(_fitted, stretch, known, shown, seed, threads)
        found = profiles.kept("rates", (*stretch.facts, shown, seed), fit)
        rates[count] = ParameterSets(
            found["rates"].astype(np.float32), found["errors"].astype(np.float32)
        )
    return rates


def _fitted(
    stretch: Stretch,
    known: Callable[[], InMemory],
    shown: NDArray[np.int64],
    seed: int,
    threads: int,
) -> Arrays:
    """Parameter sets fitted at the sites `shown`."""
    found = switch_rates.fitted(
        stretch.taken(shown, known()), stretch.cm[shown], stretch.sample, seed=seed, threads=threads
    )
    return {"rates": found.rates, "errors": found.errors}


def num_to_fit(typed: NDArray[np.int64]) -> int:
    """How many sites the models of samples with these typed sites are fitted at; 0 for none."""
    return switch_rates.num_to_fit(len(typed)) if len(typed) else 0


def phasing_models(
    stretch: Stretch,
    typed: Sequence[NDArray[np.int64]],
    known: Callable[[], InMemory],
    options: PhasingOptions,
    *,
    threads: int,
    profiles: Profiles = NOTHING,
) -> dict[int, PanelModel]:
    """Models of phasing at all typed sites, by the number of sites to fit at.

    They depend on the panel and that number, so samples with different missing genotypes share one.

    typed  panel sites of each group of samples
    known  what is in memory; called if a model is not kept
    """
    every = np.unique(np.concatenate(typed))

    def fit(shown: NDArray[np.int64]) -> Arrays:
        in_memory = known()
        asked = Asked(
            stretch.taken(every, in_memory), stretch.cm[every],
            np.searchsorted(shown, every), np.searchsorted(shown, every, side="right"),
        )  # fmt: skip
        found = phase_chunk.fit_model(
            stretch.taken(shown, in_memory),
            stretch.cm[shown],
            options,
            threads=threads,
            asked=asked,
        )
        return {"rate": np.array(found.rate), "errors": found.errors}

    models = {}
    for count in sorted({switch_rates.num_to_fit(len(some)) for some in typed if len(some)}):
        shown = stretch.around.start + switch_rates.sites_to_fit(stretch.frequency, count)
        facts = *stretch.facts, shown, every, options.error, options.effective_size
        found = profiles.kept("phasing", facts, partial(fit, shown))
        models[count] = PanelModel(float(found["rate"]), found["errors"].astype(np.float64))
    return models
