"""Phasing of the samples of a panel by each other, without other references.

The order of unknown heterozygotes is drawn at random. Each pass then phases all samples with the
haplotypes that the pass before found for the others. The first passes read some common sites, which
is fast, the last ones all sites, with candidates that are similar at the common ones: at a rare
site, the order of the few that carry the allele is still random.

N samples, T sites, C common sites, W words of 64, M haplotypes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.phasing import (
    copying_rate,
    genotype_search,
    phase_chunk,
    site_errors,
    target_references,
)
from vcfbert.phasing.copying_rate import FitRows
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.phase_chunk import PhasingOptions, UnphasedChunk
from vcfbert.phasing.target_references import Pool

COMMON = 0.01
"""Least minor allele frequency of a common site."""

FEWEST_COMMON = 100
"""With fewer common sites, all are taken as common."""

MOST_PER_CM = 300
"""Common sites that the first passes read, evenly chosen."""

PASSES, LAST_PASSES = 6, 2
"""Passes over common sites, and over all."""

BLOCK_CELLS = 10_000_000
"""Most samples times sites of a block, whose links and candidates are in memory at the same time;
it has at most `target_references.SAMPLES_AT_ONCE` samples."""

ChunkAt = Callable[[NDArray[np.int64], NDArray[np.int64]], UnphasedChunk]
"""Some samples at some sites, without references, and what is known of their order."""


@dataclass(frozen=True)
class SelfPhased:
    """The phase of all samples.

    alleles  (N, 2, T)
    turn     (N,) wrong orders of neighbouring heterozygotes that the model expects, at `counted`
    """

    alleles: NDArray[np.uint8]
    turn: NDArray[np.float64]


def phase(
    chunk_at: ChunkAt,
    alleles: NDArray[np.uint8],
    is_free: NDArray[np.bool_],
    counted: slice,
    *,
    seed: int,
    threads: int,
    passes: int = PASSES,
) -> SelfPhased:
    """Phase all samples; the result depends on no order of the samples.

    alleles  (N, 2, T) in the order of the file; MISSING on an absent haplotype
    is_free  (N, T) True for heterozygotes whose order is not known
    counted  sites whose expected errors are counted
    """
    every = np.arange(alleles.shape[2])
    common = common_sites(alleles, chunk_at(np.arange(0), every).cm)
    current = at_random(alleles, is_free, seed)
    wanted = np.flatnonzero(is_free.any(axis=1))
    turn = np.zeros(len(alleles))
    pass_over = _Passes(chunk_at, wanted, counted, threads)
    for _ in range(passes):
        current[:, :, common] = pass_over.run(
            current[:, :, common], common, np.arange(len(common)), turn
        )
    if len(common) < len(every):
        for _ in range(LAST_PASSES):
            current = pass_over.run(current, every, common, turn)
    return SelfPhased(current, turn)


@dataclass(frozen=True)
class _Passes:
    """What all passes have in common; see `phase`."""

    chunk_at: ChunkAt
    wanted: NDArray[np.int64]
    counted: slice
    threads: int

    def run(
        self,
        current: NDArray[np.uint8],
        sites: NDArray[np.int64],
        common: NDArray[np.int64],
        turn: NDArray[np.float64],
    ) -> NDArray[np.uint8]:
        """One pass.

        current  (N, 2, n) phase of all samples
        sites    (n,) that are phased
        common   (C,) indexes among these, at which haplotypes are compared
        turn     (N,) replaced
        """
        panel = self.chunk_at(np.arange(0), sites)
        options, threads = PhasingOptions(passes=1), self.threads
        pool, similar = pooled(panel, current, common, threads=threads)
        model = fitted(panel, pool, options, threads=threads)
        is_counted = (sites >= self.counted.start) & (sites < self.counted.stop)
        found = current.copy()
        most = target_references.SAMPLES_AT_ONCE
        at_once = int(np.clip(BLOCK_CELLS // len(sites), 1, most))
        for first in range(0, len(self.wanted), at_once):
            block = self.wanted[first : first + at_once]
            own = [pool.twins[sample] for sample in block.tolist()]
            known = replace(panel, bits=similar, cm=panel.cm[common], own=own)
            chunk = replace(self.chunk_at(block, sites), bits=pool.bits, group=pool.group, own=own)
            phased = phase_chunk.phase(
                chunk, options, threads=threads, model=model,
                candidates=_similar(known, current[block][:, :, common], threads),
            )  # fmt: skip
            found[block] = phased.alleles
            turn[block] = phased.turn[:, is_counted].sum(axis=1)
        return found


def _similar(
    known: UnphasedChunk, alleles: NDArray[np.uint8], threads: int
) -> phase_chunk.Candidates:
    """Finds candidates by the current phase at common sites, (n, 2, C)."""
    places = phase_chunk.places_along(known.cm)

    def find(samples: Sequence[int]) -> list[NDArray[np.int64]]:
        return phase_chunk.by_haplotype(known, places, alleles, samples, threads)

    return find


def common_sites(alleles: NDArray[np.uint8], cm: NDArray[np.floating]) -> NDArray[np.int64]:
    """(C,) indexes of common sites, rising; of all sites if these are too few.

    alleles  (N, 2, T)
    cm       (T,)
    """
    observed = np.maximum((alleles <= tokens.ALT).sum(axis=(0, 1)), 1)
    frequency = (alleles == tokens.ALT).sum(axis=(0, 1)) / observed
    common = np.flatnonzero(np.minimum(frequency, 1 - frequency) >= COMMON)
    if len(common) < FEWEST_COMMON:
        return np.arange(alleles.shape[2])
    most = max(FEWEST_COMMON, round(MOST_PER_CM * float(cm[-1] - cm[0])))
    if len(common) <= most:
        return common
    return common[np.linspace(0, len(common) - 1, most).astype(np.int64)]


def at_random(
    alleles: NDArray[np.uint8], is_free: NDArray[np.bool_], seed: int
) -> NDArray[np.uint8]:
    """(N, 2, T) with heterozygotes of unknown order in a random one, which depends on the sample.

    alleles  (N, 2, T)
    is_free  (N, T)
    """
    out = alleles.copy()
    for sample, pair in enumerate(out):
        rng = np.random.default_rng([seed, zlib.crc32(np.sort(pair, axis=0).tobytes())])
        turned = np.flatnonzero(is_free[sample] & (rng.random(pair.shape[1]) < 0.5))
        low, high = np.sort(pair[:, turned], axis=0)
        kept = np.flatnonzero(is_free[sample])
        out[sample][:, kept] = np.sort(pair[:, kept], axis=0)
        out[sample][:, turned] = high, low
    return out


def pooled(
    panel: UnphasedChunk, alleles: NDArray[np.uint8], common: NDArray[np.int64], *, threads: int
) -> tuple[Pool, NDArray[np.uint64]]:
    """The haplotypes of all samples, and (M, W) their alleles at common sites."""
    pool = target_references.pooled(panel, alleles, threads=threads)
    if len(common) == alleles.shape[2]:
        return pool, pool.bits
    flat = tokens.unpack(pool.bits.view(np.uint8), alleles.shape[2])
    return pool, genotype_search.words(np.ascontiguousarray(flat[:, common]))


def fitted(
    panel: UnphasedChunk, pool: Pool, options: PhasingOptions, *, threads: int
) -> PanelModel:
    """The switch rate and the error rates of sites, from the current haplotypes."""
    errors = site_errors.estimate(pool.bits, panel.cm, options.error)
    rows = copying_rate.evenly(len(pool.bits))
    sample_of = np.zeros(len(pool.bits), np.int64)
    for column in range(2):
        exists = np.flatnonzero(pool.rows[:, column] >= 0)
        sample_of[pool.rows[exists, column]] = exists
    own = [pool.twins[sample] for sample in sample_of[rows].tolist()]
    rate = copying_rate.fit(
        pool.bits, panel.cm, phase_chunk.places_along(panel.cm), phase_chunk.HITS_OF_HAPLOTYPES,
        errors=errors, longest=phase_chunk.LONGEST_RUN, threads=threads,
        fitted=FitRows(rows, own),
    )  # fmt: skip
    return PanelModel(rate, errors)
