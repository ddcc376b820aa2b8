"""Samples of a panel, left out of it and imputed from the rest, to train and to evaluate.

Frequencies, groups, switch rates and candidates are made from the references only; of a left-out
sample only its typed alleles are used.

H haplotypes of the panel, S sites of a chunk, R references among H, n left-out samples, T typed
sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups, panel_statistics
from vcfbert.copying.engine import ImputedChunk, Prepared
from vcfbert.copying.network import Network
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.domain.ploidy import existing
from vcfbert.pipelines.chunks import switch_rates
from vcfbert.retrieval import chunk_candidates
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class PanelChunk:
    """Some sites of the panel with the alleles of all samples.

    sites     (S,) panel indexes, rising, of one contig and one range of ploidy
    is_core   (S,) True for sites to impute; of the others only the typed are used
    bits      (H, ceil(S / 64)) uint64, the first site in the lowest bit
    position  (S,) and `cm` (S,)
    is_haploid  (N,) samples whose second haplotype is absent here
    """

    sites: NDArray[np.int64]
    is_core: NDArray[np.bool_]
    bits: NDArray[np.uint64]
    position: NDArray[np.int32]
    cm: NDArray[np.float64]
    is_haploid: NDArray[np.bool_]

    def alleles(
        self, rows: NDArray[np.int64], sites: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """Alleles of some haplotypes at all sites, or at some: 0 REF, 1 ALT."""
        bits, count = self.bits[rows], len(self.cm)
        if sites is not None:
            bits, count = engine.take_bits(bits, sites), len(sites)
        return tokens.unpack(np.ascontiguousarray(bits).view(np.uint8), count)


@dataclass(frozen=True)
class LeftOut:
    """Samples that are not among the references, over one chunk.

    references  (R,) haplotypes that exist here; those of a sample are adjacent
    bits        (R, ceil(S / 64)) their alleles
    group       (R,)
    samples     (n,)
    frequency   (S,) ALT frequency in the references
    statistics  of the references, at the chunk's sites
    """

    chunk: PanelChunk
    references: NDArray[np.int64]
    bits: NDArray[np.uint64]
    group: NDArray[np.int64]
    samples: NDArray[np.int64]
    frequency: NDArray[np.float64]
    statistics: PanelStatistics

    @property
    def is_haploid(self) -> NDArray[np.bool_]:
        """(n,) True for left-out samples whose second haplotype is absent."""
        return self.chunk.is_haploid[self.samples]

    def truth(self) -> NDArray[np.uint8]:
        """(2 n, S) all alleles of the samples, for scores and labels only; 0 if absent."""
        return self.chunk.alleles(site_tables.haplotypes_of(self.samples))


@dataclass(frozen=True)
class TypedSamples:
    """Left-out samples, typed at some sites and ready for the engine.

    sites       (S',) sites of the chunk to impute: its core, and typed sites around it
    queries     (n, 2, T) alleles at the typed sites
    candidates  2 n arrays of rows of the references
    is_haploid  (n,) True if the second haplotype is absent
    """

    prepared: Prepared
    sites: NDArray[np.int64]
    queries: NDArray[np.uint8]
    candidates: list[NDArray[np.int64]]
    is_haploid: NDArray[np.bool_]

    def impute(self, network: Network, *, threads: int) -> ImputedChunk:
        """Impute all sites on the CPU."""
        return engine.impute_samples(
            self.prepared,
            network,
            self.queries,
            self.candidates,
            threads=threads,
            is_haploid=self.is_haploid,
        )


def read(panel: PanelReader, sites: NDArray[np.int64], core: slice) -> PanelChunk:
    """Read the alleles of all samples at some sites.

    sites  (S,) panel indexes, rising
    core   range of panel sites to impute
    """
    return PanelChunk(
        sites=sites,
        is_core=(sites >= core.start) & (sites < core.stop),
        bits=haplotypes.read_sites(panel, sites),
        position=panel.sites.position[sites],
        cm=panel.sites.cm[sites],
        is_haploid=panel.samples.ploidy.at(int(sites[0])),
    )


def leave_out(
    chunk: PanelChunk, references: NDArray[np.int64], samples: NDArray[np.int64]
) -> LeftOut:
    """Group the references that exist here; `samples` must not be among them."""
    references = references[existing(chunk.is_haploid)[references]]
    own = site_tables.haplotypes_of(samples)
    assert not np.isin(own, references).any(), "a sample would be copied from itself"
    bits, cm = chunk.bits[references], chunk.cm
    together = np.zeros(len(bits), np.int64)
    frequency = panel_statistics.alt_counts(bits, together, len(cm))[:, 0] / len(bits)
    sample = references >> 1
    telling = groups.sites_for(frequency)
    group = groups.of_references(engine.take_bits(bits, telling), len(telling), sample)
    landmarks = panel_statistics.landmarks(frequency, cm)
    statistics = panel_statistics.of_references(bits, cm, group, landmarks, sample)
    return LeftOut(chunk, references, bits, group, samples, frequency, statistics)


def typed_at(
    left_out: LeftOut, typed: NDArray[np.int64], *, seed: int, threads: int
) -> TypedSamples:
    """Prepare left-out samples that are typed at these sites of the chunk.

    typed  (T,) rising, at least one
    """
    chunk, bits = left_out.chunk, left_out.bits
    sites = np.union1d(np.flatnonzero(chunk.is_core), typed)
    typed_bits = engine.take_bits(bits, typed)
    shown = switch_rates.sites_to_fit(left_out.frequency, switch_rates.num_to_fit(len(typed)))
    rates = switch_rates.fitted(
        engine.take_bits(bits, shown),
        chunk.cm[shown],
        left_out.references >> 1,
        seed=seed,
        threads=threads,
    )
    places, statistics = np.searchsorted(sites, typed), left_out.statistics
    if len(sites) < len(chunk.cm):
        bits, statistics = engine.take_bits(bits, sites), statistics.at(sites)
    prepared = engine.prepare(
        bits, places, chunk.cm[sites], left_out.group, rates, statistics, typed_bits
    )
    asked = chunk.alleles(site_tables.haplotypes_of(left_out.samples), typed)
    return TypedSamples(
        prepared,
        sites,
        asked.reshape(len(left_out.samples), 2, len(typed)),
        chunk_candidates.find(typed_bits, asked, threads=threads),
        left_out.is_haploid,
    )
