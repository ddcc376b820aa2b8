"""Phasing with the other samples of the target as references, besides those of the panel.

Each pass phases all samples with the haplotypes that the pass before found (Jacobi's order), so the
result does not depend on threads. The haplotypes of the target are sorted by their alleles, so it
does not depend on the order of the samples either. A sample does not copy itself, nor a duplicate:
its haplotypes have the same errors.

T typed sites in W words of 64, R reference haplotypes of the panel, M haplotypes of the target, N
samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.phasing import copying_rate, genotype_search, neighbours, phase_chunk, steps
from vcfbert.phasing.copying_rate import FitRows
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.phase_chunk import PhasingOptions, UnphasedChunk

PASSES = 2
"""Passes with the other samples, after those with the panel alone."""

SAMPLES_AT_ONCE = 2_048
"""Samples whose candidates are in memory at the same time."""

HITS_OF_GROUP = 2
"""References at each place, in each direction, whose groups decide that of a haplotype."""

FEWEST_HETS = 20
"""Samples with the same genotypes are duplicates if they have so many heterozygotes."""

ChunkOf = Callable[[NDArray[np.int64]], UnphasedChunk]
"""The panel and some samples, by their indexes."""


@dataclass(frozen=True)
class Phased:
    """The phase of all samples.

    alleles  (N, 2, T) the best
    turn     (N, T) as of `phase_chunk.PhasedChunk`
    orders   (M, N, ceil(T / 8)) drawn phases: bits that are 1 if a site is the other way round than
             in `alleles`
    """

    alleles: NDArray[np.uint8]
    turn: NDArray[np.float32]
    orders: NDArray[np.uint8]

    def draws(self, samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(M, n, 2, T) drawn phases of some samples."""
        is_turned = tokens.unpack(self.orders[:, samples], self.alleles.shape[2]).astype(np.bool_)
        alleles = self.alleles[samples][None]
        return np.where(is_turned[:, :, None], alleles[:, :, ::-1], alleles)


@dataclass(frozen=True)
class Pool:
    """Haplotypes of the panel, then those of the target.

    bits   (R + M, W)
    group  (R + M,)
    rows   (N, 2) of each sample; -1 if a haplotype is absent
    twins  N arrays of rows that are the sample itself or a duplicate
    """

    bits: NDArray[np.uint64]
    group: NDArray[np.int64]
    rows: NDArray[np.int64]
    twins: list[NDArray[np.int64]]


def phase(
    chunk_of: ChunkOf,
    alleles: NDArray[np.uint8],
    wanted: NDArray[np.int64],
    options: PhasingOptions,
    model: PanelModel,
    *,
    threads: int,
    passes: int = PASSES,
) -> Phased:
    """Phase some of the samples; all are references.

    chunk_of  the chunk of some samples
    alleles   (N, 2, T) the phase of all by the panel alone; MISSING if an allele is unknown
    wanted    (n,) samples to phase; the others keep their phase
    model     of the panel
    """
    num_samples, _, num_typed = alleles.shape
    last = Phased(
        alleles.copy(),
        np.zeros((num_samples, num_typed), np.float32),
        np.zeros((options.draws, num_samples, -(-num_typed // 8)), np.uint8),
    )
    own_model: PanelModel | None = None
    for number in range(passes):
        panel = chunk_of(np.arange(0))
        pool = pooled(panel, last.alleles, threads=threads)
        if own_model is None:
            own_model = refitted(panel, pool, model, options, threads=threads)
        draws = options.draws if number == passes - 1 else 0
        chosen = replace(options, passes=1, draws=draws)
        found = Phased(last.alleles.copy(), last.turn, last.orders)
        for first in range(0, len(wanted), SAMPLES_AT_ONCE):
            block = wanted[first : first + SAMPLES_AT_ONCE]
            _phase_block(chunk_of(block), pool, block, chosen, own_model, last, found, threads)
        last = found
    return last


def _phase_block(
    chunk: UnphasedChunk,
    pool: Pool,
    block: NDArray[np.int64],
    options: PhasingOptions,
    model: PanelModel,
    last: Phased,
    found: Phased,
    threads: int,
) -> None:
    """Phase some samples by the last phase of all."""
    own = [
        np.union1d(panel, pool.twins[sample])
        for panel, sample in zip(chunk.own, block.tolist(), strict=True)
    ]
    phased = phase_chunk.phase(
        replace(chunk, bits=pool.bits, group=pool.group, own=own),
        options, threads=threads, model=model, start=last.alleles[block],
    )  # fmt: skip
    found.alleles[block], found.turn[block] = phased.alleles, phased.turn
    if options.draws:
        is_turned = phased.draws[:, :, 0] != phased.alleles[:, 0]
        found.orders[:, block] = tokens.pack(is_turned.astype(np.uint8))


def pooled(panel: UnphasedChunk, alleles: NDArray[np.uint8], *, threads: int) -> Pool:
    """The haplotypes of the panel and of all samples.

    panel    its samples are not read
    alleles  (N, 2, T) current phase
    """
    num_panel, num_samples = len(panel.bits), len(alleles)
    flat, exists = _haplotypes(alleles)
    if num_panel:
        flat = neighbours.filled(panel.bits, flat)
    group = _groups(panel, flat, threads=threads)
    bits = genotype_search.words(flat)
    order = np.lexsort([group, *bits.T[::-1]])
    place = np.full(2 * num_samples, -1, np.int64)
    place[exists[order]] = num_panel + np.arange(len(order))
    rows = place.reshape(num_samples, 2)
    return Pool(
        np.concatenate([panel.bits, bits[order]]),
        np.concatenate([panel.group, group[order]]),
        rows,
        _twins(alleles, rows),
    )


def refitted(
    panel: UnphasedChunk, pool: Pool, model: PanelModel, options: PhasingOptions, *, threads: int
) -> PanelModel:
    """The model with the switch rate at which haplotypes of the panel copy the pool."""
    if options.effective_size is not None:
        return replace(model, rate=copying_rate.of_size(options.effective_size, len(pool.bits)))
    rows = copying_rate.evenly(len(panel.bits))
    rate = copying_rate.fit(
        pool.bits, panel.cm, phase_chunk.places_along(panel.cm), phase_chunk.HITS_OF_HAPLOTYPES,
        errors=model.errors, longest=phase_chunk.LONGEST_RUN, threads=threads,
        fitted=FitRows(rows, [row + np.arange(-1, 2) for row in rows]),
    )  # fmt: skip
    return replace(model, rate=rate)


def _haplotypes(alleles: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(M, T) haplotypes with an observed allele, and which of the 2 N they are.

    Of a genotype with one known allele, the haplotype that it is on is not known.
    """
    is_known: NDArray[np.bool_] = alleles <= tokens.ALT
    is_haploid = np.logical_not(np.any(is_known[:, 1], axis=1))
    is_whole = np.all(is_known, axis=1) | is_haploid[:, None]
    is_known &= is_whole[:, None]
    flat = np.where(is_known, alleles, np.uint8(tokens.MISSING)).reshape(-1, alleles.shape[2])
    exists = np.flatnonzero(np.any(is_known, axis=2))
    return np.ascontiguousarray(flat[exists]), exists


def _groups(
    panel: UnphasedChunk, haplotypes: NDArray[np.uint8], *, threads: int
) -> NDArray[np.int64]:
    """(M,) the group of the panel that is overrepresented most among each one's neighbours."""
    size = np.bincount(panel.group)
    out = np.zeros(len(haplotypes), np.int64)
    if len(size) < 2:
        return out
    places = phase_chunk.places_along(panel.cm)
    none = np.empty(0, np.int64)
    for first in range(0, len(haplotypes), 2 * SAMPLES_AT_ONCE):
        some = haplotypes[first : first + 2 * SAMPLES_AT_ONCE]
        found = neighbours.find(
            panel.bits, some, places, HITS_OF_GROUP, [none] * len(some), threads=threads
        ).reshape(len(some), -1)
        for number, rows in enumerate(found):
            share = np.bincount(panel.group[rows[rows >= 0]], minlength=len(size)) / size
            out[first + number] = share.argmax()
    return out


def _twins(alleles: NDArray[np.uint8], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """N arrays of rows that are a sample's own, or of another one with the same genotypes."""
    out = [own[own >= 0] for own in rows]
    genotype = steps.genotypes(alleles)
    same: dict[bytes, list[int]] = {}
    for sample in np.flatnonzero((genotype == steps.HET).sum(axis=1) >= FEWEST_HETS).tolist():
        same.setdefault(genotype[sample].tobytes(), []).append(sample)
    for samples in same.values():
        if len(samples) > 1:
            both = np.concatenate([out[sample] for sample in samples])
            for sample in samples:
                out[sample] = both
    return out
