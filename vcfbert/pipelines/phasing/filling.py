"""Missing genotypes of a phased target, filled with their most probable alleles.

A chunk is imputed from its phased genotypes as `impute` does, at the sites with missing genotypes.
A genotype with one known allele keeps it.

T typed sites of the target, N samples, n sites to fill, F filled genotypes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.network import Network
from vcfbert.domain import filled_calls, tokens, unordered
from vcfbert.domain.families import Families
from vcfbert.domain.filled_calls import FilledGenotypes
from vcfbert.domain.phased_calls import TURNED, UNPHASED, PhasedCalls
from vcfbert.domain.unordered import UnorderedGenotypes
from vcfbert.pipelines.chunks import chunk_imputation, chunk_plan
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_phasing import KnownPhase
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.target_samples import TargetSamples
from vcfbert.pipelines.phasing.phased_target import PhasingSource
from vcfbert.storage.vcf.target import Target


class MissingFiller:
    """Fills the missing genotypes of a target, chunk by chunk."""

    def __init__(self, source: PhasingSource, read: Target, network: Network, seed: int) -> None:
        """`seed` is of the fit of the switch rates."""
        self._source = source
        self._read = read
        self._network = network
        self._seed = seed
        self._parts: list[FilledGenotypes] = []

    def result(self) -> FilledGenotypes:
        """All genotypes that were filled."""
        return FilledGenotypes.joined(self._parts)

    def add(self, chunk: ChunkPlan, phase: KnownPhase, calls: PhasedCalls) -> None:
        """Fill the core of a chunk that is phased.

        phase  of the chunk
        calls  what was found so far; a phase set that begins in the core may begin earlier, at a
               filled heterozygote
        """
        read = self._read
        low, high = np.searchsorted(read.site_index, [chunk.core.start, chunk.core.stop]).tolist()
        rows = low + np.flatnonzero(np.isin(read.site_index[low:high], chunk.written))
        is_haploid = self._source.samples.ploidy.at(chunk.core.start)
        is_missing = ~tokens.is_observed(unordered.plain(read.alleles[rows]))
        is_missing[:, is_haploid, 1] = False
        is_wanted = is_missing.any(axis=2) & self._is_typed(chunk)
        records = np.unique(read.record[rows[is_wanted.any(axis=1)]])
        if len(records) == 0:
            return
        is_chosen = np.isin(read.record[rows], records)
        rows, is_wanted = rows[is_chosen], is_wanted[is_chosen]
        alt = self._imputed(chunk, rows, phase, calls, is_haploid)
        found = self._best(rows, is_wanted, alt, is_haploid)
        self._parts.append(_in_sets(found, read, chunk, phase, calls, self._source.samples.typed))

    def _is_typed(self, chunk: ChunkPlan) -> NDArray[np.bool_]:
        """(N,) samples with a genotype on the contig, or the part of it with one ploidy."""
        samples = self._source.samples
        return np.asarray(samples.is_typed(self._rows_around(chunk)).any(axis=0), dtype=np.bool_)

    def _rows_around(self, chunk: ChunkPlan) -> slice:
        """Typed sites of the contig, or the part of it with one ploidy."""
        samples, sites = self._source.samples, self._source.sites
        ends = chunk_plan.ploidy_range(sites, samples.borders, chunk.core.start)
        return slice(*np.searchsorted(samples.typed, ends).tolist())

    def _imputed(
        self,
        chunk: ChunkPlan,
        rows: NDArray[np.int64],
        phase: KnownPhase,
        calls: PhasedCalls,
        is_haploid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """(n, N, 2) probability of ALT on each haplotype, in the orientation of the phase.

        rows  (n,) sites among those of the target
        """
        source = self._source
        half = self._half_missing(rows, calls, is_haploid)
        imputation = ImputationSource(
            source.panel, source.sites, self._phased(chunk, phase, calls, half), self._network,
            self._seed, source.threads, source.min_typed, source.options, "keep",
        )  # fmt: skip
        part = replace(chunk, written=self._read.site_index[rows])
        every = slice(0, len(source.samples.names))
        references = chunk_imputation.read_references(imputation, part, [every])
        found = chunk_imputation.impute(imputation, part, every, references, _ignore)
        return _turned(found.alt, found.phase, phase)

    def _half_missing(
        self, rows: NDArray[np.int64], calls: PhasedCalls, is_haploid: NDArray[np.bool_]
    ) -> UnorderedGenotypes:
        """Genotypes with one known allele whose haplotype is not known.

        The order of a genotype in the file is that of the output if the sample keeps its phase.
        """
        alleles = self._read.alleles[rows].copy()
        is_known = tokens.is_observed(alleles)
        is_half = (is_known.sum(axis=2) == 1) & ~calls.is_kept & ~is_haploid
        alleles[is_half] = unordered.without_order(alleles[is_half])
        return UnorderedGenotypes.among(self._read.site_index[rows], alleles)

    def _phased(
        self, chunk: ChunkPlan, phase: KnownPhase, calls: PhasedCalls, half: UnorderedGenotypes
    ) -> TargetSamples:
        """The samples with the phase that was found.

        Chunks of samples with few typed sites read more of the contig. There, the order of
        heterozygotes is found again, if no chunk so far has found it.
        """
        samples = self._source.samples
        here = np.searchsorted(samples.typed, chunk.typed)
        low, high = np.searchsorted(chunk.typed, [chunk.around.start, chunk.around.stop]).tolist()
        num_typed = tokens.is_observed(phase.alleles[low:high]).any(axis=2).sum(axis=0)
        if num_typed.min() < self._source.min_typed:
            around = self._rows_around(chunk)
            rows = np.arange(around.start, around.stop)
        else:
            rows = here
        alleles, order = samples.alleles[rows].copy(), calls.order[rows]
        is_turned = order == TURNED
        alleles[is_turned] = alleles[is_turned][:, ::-1]
        is_free = _is_heterozygous(alleles) & (order == UNPHASED)
        places = np.searchsorted(rows, here)
        alleles[places], is_free[places] = phase.alleles, False
        is_half = np.isin(half.site, samples.typed[rows])
        site = np.searchsorted(samples.typed[rows], half.site[is_half])
        alleles[site, half.sample[is_half]] = tokens.MISSING
        return replace(
            samples, typed=samples.typed[rows], alleles=alleles, is_free=is_free, unordered=half,
            phase_sets=None, families=Families(),
        )  # fmt: skip

    def _best(
        self,
        rows: NDArray[np.int64],
        is_wanted: NDArray[np.bool_],
        alt: NDArray[np.float32],
        is_haploid: NDArray[np.bool_],
    ) -> FilledGenotypes:
        """The most probable alleles, record by record; all are phased and begin no set.

        rows, is_wanted, alt  (n,), (n, N) and (n, N, 2)
        """
        of_record = self._read.record[rows]
        by_record = np.argsort(of_record, kind="stable")
        numbers, firsts = np.unique(of_record[by_record], return_index=True)
        parts = []
        for number, here in zip(numbers.tolist(), np.split(by_record, firsts[1:]), strict=True):
            chosen = np.flatnonzero(is_wanted[here].any(axis=0))
            best = filled_calls.best_alleles(
                alt[here][:, chosen], self._read.numbers[rows[here]], is_haploid[chosen]
            )
            kept = np.flatnonzero(best.is_possible)
            parts.append(
                FilledGenotypes(
                    np.full(len(kept), number, np.int64), chosen[kept], best.alleles[kept],
                    np.ones(len(kept), np.bool_), np.zeros(len(kept), np.bool_),
                    filled_calls.quality(best.right[kept]),
                )
            )  # fmt: skip
        return FilledGenotypes.joined(parts)


def _turned(alt: NDArray[np.float32], found: KnownPhase, phase: KnownPhase) -> NDArray[np.float32]:
    """Exchange the haplotypes of samples that were imputed the other way round.

    alt           (n, N, 2)
    found, phase  at the same sites
    """
    is_shared = _is_heterozygous(found.alleles) & _is_heterozygous(phase.alleles)
    is_other = is_shared & (found.alleles[..., 0] != phase.alleles[..., 0])
    turned = np.flatnonzero(2 * is_other.sum(axis=0) > is_shared.sum(axis=0))
    alt[:, turned] = alt[:, turned, ::-1]
    return alt


def _in_sets(
    found: FilledGenotypes,
    read: Target,
    chunk: ChunkPlan,
    phase: KnownPhase,
    calls: PhasedCalls,
    typed: NDArray[np.int64],
) -> FilledGenotypes:
    """Put filled heterozygotes into phase sets.

    A set that begins in this core begins at the first of them. If the sample has no typed
    heterozygote in the core or before it in reach, the order of the filled ones is not known.

    typed  sites of `calls`
    """
    stop = int(np.searchsorted(phase.typed, chunk.core.stop))
    is_tied = np.asarray(_is_heterozygous(phase.alleles[:stop]).any(axis=0), dtype=np.bool_)
    is_het = found.is_heterozygous
    low, high = np.searchsorted(typed, [chunk.core.start, chunk.core.stop]).tolist()
    row, sample = np.nonzero(calls.is_start[low:high])
    start = np.full(len(is_tied), -1, np.int64)
    start[sample] = typed[low + row]
    by_record = np.argsort(read.record, kind="stable")
    place = np.searchsorted(read.record[by_record], found.record)
    site = read.site_index[by_record[place]]
    earlier = np.flatnonzero(is_het & (site < start[found.sample]))
    earlier = earlier[np.lexsort((site[earlier], found.sample[earlier]))]
    moved, first = np.unique(found.sample[earlier], return_index=True)
    is_start = np.zeros(len(is_het), np.bool_)
    is_start[earlier[first]] = True
    calls.is_start[low:high, moved] = False
    return replace(found, is_phased=~is_het | is_tied[found.sample], is_start=is_start)


def _is_heterozygous(alleles: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(T, N) of (T, N, 2)."""
    return tokens.is_heterozygous(alleles.transpose(1, 2, 0)).T


def _ignore(count: int) -> None:
    """Progress is that of phasing."""
