"""References of a chunk, and what is made of them for all samples.

S sites of the chunk, T typed sites, R reference haplotypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups, panel_statistics
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.copying.parameter_sets import ParameterSets
from vcfbert.domain.ploidy import rows_among
from vcfbert.phasing import phase_chunk
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.phasing.site_errors import Asked
from vcfbert.pipelines.chunks import multiallelic, switch_rates
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.storage.profiles import NOTHING, Arrays, Profiles
from vcfbert.storage.zarr import haplotypes as stored_haplotypes
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class ChunkReferences:
    """The references of a chunk.

    sites         (S,) panel sites, rising
    haplotypes    (R,) the panel's haplotypes that exist in the chunk, rising
    bits          (R, ceil(S / 64)) their alleles
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
    bits: NDArray[np.uint64]
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
        bits = engine.take_bits(self.bits, kept)
        return replace(
            self,
            sites=self.sites[kept],
            bits=bits,
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
) -> ChunkReferences:
    """Read the references of a chunk; find their statistics and fit rates at the same time.

    cm        of all sites of the panel
    typed     panel sites of each group of samples
    phasing   None if no sample has to be phased
    profiles  what depends on the panel and the typed sites only is read from them, or kept
    """
    table, around = panel.sites, chunk.around
    own = _OwnSites.of(panel, cm, chunk)
    haplotypes, frequency = own.haplotypes, own.frequency
    sites = multiallelic.with_alternatives(
        np.unique(np.concatenate([chunk.sites, own.landmarks, *typed])), table
    )
    bits, sample = read_bits(panel, sites, haplotypes, threads=threads), haplotypes >> 1
    here = around.start, around.stop, cm[around]

    def of_typed() -> Arrays:
        rows = np.searchsorted(sites, chunk.typed)
        return {"r2": panel_statistics.estimated_r2(bits, cm[sites], rows, sample)}

    with ThreadPoolExecutor(min(3, threads)) as pool:
        grouping = pool.submit(
            _groups, panel, haplotypes, around, frequency, (sites, bits), profiles
        )
        predicted = pool.submit(_predicted, own, cm, around, (sites, bits), profiles)
        quality = pool.submit(profiles.kept, "quality", (*here, sites, chunk.typed), of_typed)
        if threads == 1:  # one after the other
            grouping.result(), predicted.result(), quality.result()
        rates = _rates(
            panel, haplotypes, around, frequency, (sites, bits), cm, typed, seed, threads, profiles
        )
        models = {}
        if phasing is not None:
            known = haplotypes, sites, bits
            models = phasing_models(
                panel, cm, around, typed, known, phasing, threads=threads, profiles=profiles
            )
        group, near = grouping.result(), predicted.result()
        panel_r2 = quality.result()["r2"].astype(np.float64)
    by_site = panel_statistics.with_neighbours(
        bits, group, near, np.searchsorted(sites, own.sites), len(sites)
    )
    alternatives = multiallelic.alternatives(sites, bits, table)
    every = np.unique(np.concatenate(typed))
    typed_bits = engine.take_bits(bits, np.searchsorted(sites, every))
    return ChunkReferences(
        sites, haplotypes, bits, cm[sites], group, by_site, alternatives, rates, models,
        every, typed_bits, panel_r2,
    )  # fmt: skip


def keep_panel_only(
    panel: PanelReader,
    cm: NDArray[np.float64],
    chunk: ChunkPlan,
    *,
    threads: int,
    profiles: Profiles,
) -> None:
    """Compute and keep what `read` needs of the panel whatever is typed: groups and predictions.

    Arguments as for `read`; of the chunk, `core`, `around` and `written`.
    """
    own = _OwnSites.of(panel, cm, chunk)
    known = own.sites, read_bits(panel, own.sites, own.haplotypes, threads=threads)
    around = chunk.around
    with ThreadPoolExecutor(min(2, threads)) as pool:
        grouping = pool.submit(
            _groups, panel, own.haplotypes, around, own.frequency, known, profiles
        )
        predicted = pool.submit(_predicted, own, cm, around, known, profiles)
    grouping.result(), predicted.result()


@dataclass(frozen=True)
class _OwnSites:
    """Sites of a chunk whose statistics depend on the panel only.

    haplotypes  (R,) the panel's haplotypes that exist in the chunk
    frequency   (n,) of ALT around the chunk
    landmarks   (k,) panel sites, rising
    sites       (m,) written sites, their alternatives, and landmarks, rising
    """

    haplotypes: NDArray[np.int64]
    frequency: NDArray[np.float64]
    landmarks: NDArray[np.int64]
    sites: NDArray[np.int64]

    @classmethod
    def of(cls, panel: PanelReader, cm: NDArray[np.float64], chunk: ChunkPlan) -> _OwnSites:
        table, around = panel.sites, chunk.around
        haplotypes = panel.samples.ploidy.haplotypes_at(around.start)
        counts = table.alt_count[around].sum(axis=1, dtype=np.float64)
        frequency = counts / len(haplotypes)
        landmarks = around.start + panel_statistics.landmarks(frequency, cm[around])
        sites = multiallelic.with_alternatives(np.union1d(chunk.written, landmarks), table)
        return cls(haplotypes, frequency, landmarks, sites)


def _predicted(
    own: _OwnSites,
    cm: NDArray[np.float64],
    around: slice,
    known: tuple[NDArray[np.int64], NDArray[np.uint64]],
    profiles: Profiles,
) -> NDArray[np.float32]:
    """(2, m) `panel_statistics.neighbours` at the sites of `own`.

    known  panel sites in memory, those of `own` among them, and alleles there
    """
    sites, bits = known

    def find() -> Arrays:
        rows = np.searchsorted(sites, own.landmarks)
        found = panel_statistics.neighbours(bits, cm[sites], rows, own.haplotypes >> 1)
        return {"panel": found[:, np.searchsorted(sites, own.sites)]}

    facts = around.start, around.stop, cm[around], own.sites
    return profiles.kept("statistics", facts, find)["panel"].astype(np.float32)


def _rates(
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    around: slice,
    frequency: NDArray[np.float64],
    known: tuple[NDArray[np.int64], NDArray[np.uint64]],
    cm: NDArray[np.float64],
    typed: Sequence[NDArray[np.int64]],
    seed: int,
    threads: int,
    profiles: Profiles,
) -> dict[int, ParameterSets]:
    """Fitted switch rates, by the number of sites to fit at.

    known  panel sites in memory, and alleles there
    """
    rates = {}
    for count in sorted({switch_rates.num_to_fit(len(some)) for some in typed if len(some)}):
        shown = around.start + switch_rates.sites_to_fit(frequency, count)
        fit = partial(_fitted, panel, haplotypes, shown, *known, cm, seed, threads)
        facts = around.start, around.stop, cm[around], shown, seed
        found = profiles.kept("rates", facts, fit)
        rates[count] = ParameterSets(
            found["rates"].astype(np.float32), found["errors"].astype(np.float32)
        )
    return rates


def _fitted(
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    shown: NDArray[np.int64],
    sites: NDArray[np.int64],
    bits: NDArray[np.uint64],
    cm: NDArray[np.float64],
    seed: int,
    threads: int,
) -> Arrays:
    """Parameter sets fitted at the sites `shown`; see `read`."""
    shown_bits = _taken(panel, haplotypes, shown, sites, bits)
    found = switch_rates.fitted(shown_bits, cm[shown], haplotypes >> 1, seed=seed, threads=threads)
    return {"rates": found.rates, "errors": found.errors}


def num_to_fit(typed: NDArray[np.int64]) -> int:
    """How many sites the models of samples with these typed sites are fitted at; 0 for none."""
    return switch_rates.num_to_fit(len(typed)) if len(typed) else 0


def phasing_models(
    panel: PanelReader,
    cm: NDArray[np.float64],
    around: slice,
    typed: Sequence[NDArray[np.int64]],
    known: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]],
    options: PhasingOptions,
    *,
    threads: int,
    profiles: Profiles = NOTHING,
) -> dict[int, PanelModel]:
    """Models of phasing at all typed sites, by the number of sites to fit at.

    They depend on the panel and that number, so samples with different missing genotypes share one.

    cm      of all sites of the panel
    around  panel sites of the chunk and its overlap
    typed   panel sites of each group of samples
    known   the panel's haplotypes (R,) that exist here, panel sites in memory, and alleles there
    """
    haplotypes, sites, bits = known
    counts = panel.sites.alt_count[around].sum(axis=1, dtype=np.float64)
    every = np.unique(np.concatenate(typed))

    def fit(shown: NDArray[np.int64]) -> Arrays:
        asked = Asked(
            _taken(panel, haplotypes, every, sites, bits), cm[every],
            np.searchsorted(shown, every), np.searchsorted(shown, every, side="right"),
        )  # fmt: skip
        shown_bits = _taken(panel, haplotypes, shown, sites, bits)
        found = phase_chunk.fit_model(shown_bits, cm[shown], options, threads=threads, asked=asked)
        return {"rate": np.array(found.rate), "errors": found.errors}

    models = {}
    for count in sorted({switch_rates.num_to_fit(len(some)) for some in typed if len(some)}):
        shown = around.start + switch_rates.sites_to_fit(counts / len(haplotypes), count)
        facts = (
            around.start, around.stop, cm[around], shown, every, options.error,
            options.effective_size,
        )  # fmt: skip
        found = profiles.kept("phasing", facts, partial(fit, shown))
        models[count] = PanelModel(float(found["rate"]), found["errors"].astype(np.float64))
    return models


def groups_around(
    panel: PanelReader, around: slice, profiles: Profiles = NOTHING
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The panel's haplotypes (R,) that exist in a range of sites, and the group of each."""
    haplotypes = panel.samples.ploidy.haplotypes_at(around.start)
    counts = panel.sites.alt_count[around].sum(axis=1, dtype=np.float64)
    none = np.empty(0, np.int64), np.empty((len(haplotypes), 0), np.uint64)
    frequency = counts / len(haplotypes)
    return haplotypes, _groups(panel, haplotypes, around, frequency, none, profiles)


def _groups(
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    around: slice,
    frequency: NDArray[np.float64],
    known: tuple[NDArray[np.int64], NDArray[np.uint64]],
    profiles: Profiles,
) -> NDArray[np.int64]:
    """(R,) group of each reference, found from sites of a range.

    around     the range; `frequency` is of its sites
    known      panel sites in memory, and alleles there
    """

    def find() -> Arrays:
        chosen = around.start + groups.sites_for(frequency)
        taken = _taken(panel, haplotypes, chosen, *known)
        found = groups.of_references(taken, len(chosen), haplotypes >> 1)
        return {"group": found.astype(np.uint8)}

    found = profiles.kept("groups", (around.start, around.stop), find)
    return found["group"].astype(np.int64)


def _taken(
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    chosen: NDArray[np.int64],
    sites: NDArray[np.int64],
    bits: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Alleles of all references at the chosen panel sites, from those in memory if possible."""
    if np.isin(chosen, sites, assume_unique=True).all():
        return engine.take_bits(bits, np.searchsorted(sites, chosen))
    return read_bits(panel, chosen, haplotypes)


def read_bits(
    panel: PanelReader,
    sites: NDArray[np.int64],
    haplotypes: NDArray[np.int64],
    *,
    threads: int = 1,
) -> NDArray[np.uint64]:
    """(R, ceil(n / 64)) alleles of some haplotypes at some sites."""
    bits = stored_haplotypes.read_sites(panel, sites, threads=threads)
    return bits if len(haplotypes) == len(bits) else bits[haplotypes]
