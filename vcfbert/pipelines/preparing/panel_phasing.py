"""Phasing of a panel by its own samples, before it is written.

Chunks of a contig are phased one after another. In each, the heterozygotes before its core have the
order that was found already, so the phase continues. Memory is that of one chunk: about 14 bytes
for each haplotype and site.

S sites, N samples, H = 2 N haplotypes, T sites of a chunk, n samples of a block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.domain import tokens
from vcfbert.domain.sites import Samples, Sites
from vcfbert.phasing import own_references
from vcfbert.phasing.phase_chunk import UnphasedChunk
from vcfbert.pipelines.chunks import chunk_phasing, chunk_plan
from vcfbert.pipelines.preparing.panel_phase import PanelPhase
from vcfbert.progress import Progress
from vcfbert.storage.zarr.transposing import AlleleSpool

MOST_CELLS = 100_000_000
"""Most haplotypes times sites of a core; the overlaps have half as many at most."""


def phase(
    table: Sites,
    samples: Samples,
    alleles: AlleleSpool,
    free: AlleleSpool,
    *,
    seed: int,
    progress: Progress,
) -> PanelPhase:
    """Phase all samples; their alleles in the file are replaced.

    free  (S, N) 1 for heterozygotes whose order is not known
    """
    borders = np.empty(0, np.int64) if samples.haploid is None else samples.haploid.start[1:]
    most = max(1, MOST_CELLS // (2 * len(samples)))
    cores = chunk_plan.cut(
        table, np.ones(len(table), np.bool_), chunk_plan.CHUNK_CM, chunk_plan.OVERLAP_CM, most,
        borders,
    )  # fmt: skip
    found = PanelPhase()
    is_loose = np.zeros(len(samples), np.bool_)
    progress.start("phasing the panel", len(cores))
    for start, stop, low, high in zip(
        cores.start.tolist(), cores.stop.tolist(), cores.low.tolist(), cores.high.tolist(),
        strict=True,
    ):  # fmt: skip
        around = np.arange(max(low, start - most // 4), min(high, stop + most // 4))
        core = slice(start - int(around[0]), stop - int(around[0]))
        is_free = free.alleles(around).astype(np.bool_).T
        is_free[:, : core.start] = False
        if is_free[:, core].any():
            _phase_chunk(table, samples, alleles, is_free, around, core, found, seed=seed)
            is_loose |= is_free[:, core].any(axis=1)
        progress.advance()
    found.samples = int(is_loose.sum())
    return found


def _phase_chunk(
    table: Sites,
    samples: Samples,
    spool: AlleleSpool,
    is_free: NDArray[np.bool_],
    around: NDArray[np.int64],
    core: slice,
    found: PanelPhase,
    *,
    seed: int,
) -> None:
    """Phase one chunk, write its core, and count.

    is_free  (N, T)
    around   (T,) sites
    core     of the T sites
    """
    given = spool.alleles(around)
    pairs = np.ascontiguousarray(given.reshape(len(around), -1, 2).transpose(1, 2, 0))
    if samples.haploid is not None:
        pairs[samples.haploid.at(int(around[0])), 1] = tokens.MISSING
    cm, position = table.cm[around], table.position[around]

    def chunk_at(block: NDArray[np.int64], chosen: NDArray[np.int64]) -> UnphasedChunk:
        asked = np.ascontiguousarray(pairs[block][:, :, chosen])
        return _with_links(asked, is_free[np.ix_(block, chosen)], cm[chosen], position[chosen])

    phased = own_references.phase(
        chunk_at, pairs, is_free, core, seed=seed, threads=versions.num_cores()
    )
    keep_known(phased.alleles, pairs, ~is_free)
    written = phased.alleles[:, :, core].transpose(2, 0, 1).reshape(core.stop - core.start, -1)
    spool.replace(
        int(around[core.start]),
        np.where(tokens.is_observed(written), written, given[core]).astype(np.uint8),
    )
    is_het = tokens.is_heterozygous(pairs)
    loose = is_free[:, core].sum(axis=1)
    has_before = is_het[:, : core.start].any(axis=1) | ~is_free[:, core].any(axis=1)
    found.phased += int(loose.sum())
    found.steps += int(loose.sum() - (~has_before).sum())
    found.expected += float(phased.turn.sum())


def keep_known(
    alleles: NDArray[np.uint8], given: NDArray[np.uint8], is_known: NDArray[np.bool_]
) -> None:
    """Exchange the haplotypes around known heterozygotes that are the other way round.

    Each site goes with the nearest known heterozygote of the sample. The likeliest order of each
    step by itself may contradict what is known of two that are further apart.

    alleles, given  (N, 2, T) phased, which is changed in place, and in the order of the file
    is_known        (N, T) True for heterozygotes that are phased in the file or the chunk before

    >>> found = np.array([[[1, 0, 0], [0, 1, 1]]], np.uint8)
    >>> keep_known(found, found[:, ::-1].copy(), np.array([[False, True, False]]))
    >>> found.tolist()
    [[[0, 1, 1], [1, 0, 0]]]
    """
    is_known = is_known & np.asarray(tokens.is_heterozygous(given), dtype=np.bool_)
    for sample in np.flatnonzero(is_known.any(axis=1)).tolist():
        known = np.flatnonzero(is_known[sample])
        is_other = alleles[sample, 0, known] != given[sample, 0, known]
        if is_other.any():
            around = chunk_phasing.nearest(known, np.arange(alleles.shape[2]))
            turned = np.flatnonzero(is_other[around])
            alleles[sample][:, turned] = alleles[sample][::-1, turned]


def _with_links(
    asked: NDArray[np.uint8],
    is_free: NDArray[np.bool_],
    cm: NDArray[np.float64],
    position: NDArray[np.int32],
) -> UnphasedChunk:
    """Samples without references, and what is known of the order of their heterozygotes.

    asked    (n, 2, T)
    is_free  (n, T)
    """
    num_samples, _, num_sites = asked.shape
    log_odds = np.zeros((num_samples, num_sites), np.float32)
    back = np.ones((num_samples, num_sites), np.int64)
    is_het = tokens.is_heterozygous(asked)
    has_shared = (np.diff(position) == 0).any()
    for sample in np.flatnonzero((is_het & ~is_free).any(axis=1) | has_shared).tolist():
        sets = np.where(is_free[sample], np.int32(0), np.int32(1))
        links = chunk_phasing.linked(asked[sample], sets, position, "keep")
        log_odds[sample], back[sample] = links.log_odds, links.back
    return UnphasedChunk(
        bits=np.empty((0, -(-num_sites // 64)), np.uint64),
        cm=cm,
        group=np.empty(0, np.int64),
        alleles=asked,
        turn_log_odds=log_odds,
        own=[np.empty(0, np.int64)] * num_samples,
        back=back,
    )
