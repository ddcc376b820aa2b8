"""One chunk of an imputation: references from the panel, candidates, rates, the engine.

S sites that the heads pass, T typed ones, n sites to write, N samples, R reference haplotypes.
PyTorch is imported for a GPU only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups, heads
from vcfbert.copying.engine import ImputedChunk, Prepared
from vcfbert.copying.heads import Heads
from vcfbert.copying.network import Answer
from vcfbert.domain import dosage, tokens
from vcfbert.domain.sites import Sites, haplotypes_of
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.duplicates import Lookalikes
from vcfbert.retrieval import along
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import PanelReader

if TYPE_CHECKING:
    from vcfbert.training.devices import Device

SAMPLES_OF_FIT = 8
"""Samples of the panel that the switch rates are fitted on."""

SAMPLES_AT_ONCE = 256
"""Samples between two steps of progress; their candidates are in memory together."""

_SITES_AT_ONCE = 256  # of a transposition that stays in the processor's cache


@dataclass(frozen=True)
class TargetSamples:
    """The samples to impute.

    typed    (T,) panel sites with genotypes, rising
    alleles  (T, N, 2) REF, ALT or MISSING of `tokens`
    own      2 N arrays: rows of the panel that are of the same sample
    """

    names: list[str]
    typed: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    own: list[NDArray[np.int64]]

    def queries(self, typed: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(N, 2, T) alleles at some of the typed sites."""
        rows = np.searchsorted(self.typed, typed)
        return np.ascontiguousarray(self.alleles[rows].transpose(1, 2, 0))


@dataclass(frozen=True)
class Source:
    """What all chunks are imputed from.

    sites   the panel's, at the positions of the map
    device  where the engine runs; None is the CPU, compiled
    """

    panel: PanelReader
    sites: Sites
    samples: TargetSamples
    network: Answer
    seed: int
    threads: int
    device: Device | None = None


@dataclass(frozen=True)
class ImputedCore:
    """The answer for the sites of a core that are written.

    alt           (n, N, 2) probability of ALT; what was typed as it was given
    is_imputed    (n,) False where someone was typed
    dr2, er2      (n,) estimated r2, and that of typed sites imputed without themselves, else NaN
    candidates    (2 N,) references that each haplotype was copied from
    rate_factor   of the switch rates, by the fit
    open_share    share of haplotypes and sites that the heads left undecided
    out_of_range  share of those with an input beyond what the network saw in training
    """

    alt: NDArray[np.float32]
    is_imputed: NDArray[np.bool_]
    dr2: NDArray[np.float64]
    er2: NDArray[np.float64]
    candidates: NDArray[np.int64]
    rate_factor: float
    open_share: float
    out_of_range: float


def impute(
    source: Source,
    chunk: ChunkPlan,
    advance: Callable[[int], None],
    lookalikes: Lookalikes | None = None,
) -> ImputedCore:
    """Impute everyone over one chunk.

    advance     called with a number of samples who are done
    lookalikes  is shown the alleles of the chunk
    """
    samples = source.samples
    sites = chunk.all_sites if source.network.reads_neighbours else chunk.sites
    typed = np.searchsorted(sites, chunk.typed)
    prepared = _prepare(source, chunk, sites, typed)
    queries = samples.queries(chunk.typed)
    if lookalikes is not None:
        lookalikes.add(chunk.typed, chunk.core, prepared.chunk.typed_bits, queries)
    written = np.searchsorted(sites, chunk.written)
    alt = np.empty((len(written), len(samples.names), 2), np.float32)
    left_out = np.empty((len(typed), len(samples.names), 2), np.float32)
    counts, num_open, num_strangers = [], 0.0, 0.0
    for first in range(0, len(samples.names), SAMPLES_AT_ONCE):
        block = slice(first, min(first + SAMPLES_AT_ONCE, len(samples.names)))
        asked, own = queries[block], samples.own[2 * block.start : 2 * block.stop]
        found = along.candidates(
            prepared.chunk.typed_bits, asked.reshape(-1, len(typed)), own, threads=source.threads
        )
        imputed = _impute_samples(source, prepared, asked, found)
        _copy_rows(imputed.alt, written, alt[:, block])
        left_out[:, block] = imputed.left_out
        counts += [len(rows) for rows in found]
        share = len(asked) / len(samples.names)
        num_open += imputed.open_share * share
        num_strangers += imputed.out_of_range * imputed.open_share * share
        advance(len(asked))
    is_typed = np.isin(chunk.written, chunk.typed)
    er2 = np.full(len(written), np.nan)
    rows = np.searchsorted(chunk.typed, chunk.written[is_typed])
    er2[is_typed] = dosage.empirical_r2(
        samples.alleles[np.searchsorted(samples.typed, chunk.written[is_typed])], left_out[rows]
    )
    return ImputedCore(
        alt=alt,
        is_imputed=~is_typed,
        dr2=dosage.estimated_r2(alt),
        er2=er2,
        candidates=np.array(counts, dtype=np.int64),
        rate_factor=float(
            prepared.chunk.rates[0] / heads.initial(len(prepared.chunk.bits)).rates[0]
        ),
        open_share=num_open,
        out_of_range=num_strangers / num_open if num_open else 0.0,
    )


def _impute_samples(
    source: Source,
    prepared: Prepared,
    queries: NDArray[np.uint8],
    found: list[NDArray[np.int64]],
) -> ImputedChunk:
    """Run the engine; without a network no site needs a closer look."""
    answer, device = source.network, source.device
    low = 1.0 if answer.is_heads else engine.LOW
    if device is None:
        return engine.impute_samples(
            prepared, answer, queries, found, threads=source.threads, low=low
        )
    from vcfbert.training.mosaic import torch_engine

    return torch_engine.impute_samples(prepared, answer, queries, found, device=device, low=low)


def _prepare(
    source: Source, chunk: ChunkPlan, sites: NDArray[np.int64], typed: NDArray[np.int64]
) -> Prepared:
    """The references, with groups and rates; either is worked out while the other is."""
    bits = haplotypes.read_sites(source.panel, sites)
    typed_bits, cm = engine.take_bits(bits, typed), source.sites.cm[sites]
    with ThreadPoolExecutor(1) as beside:
        group = beside.submit(groups_of, source.panel, chunk.around, sites, bits)
        if source.threads == 1:
            group.result()
        rates = fitted_rates(typed_bits, cm[typed], seed=source.seed, threads=source.threads)
        return engine.prepare(bits, typed, cm, group.result(), rates, typed_bits)


def groups_of(
    panel: PanelReader, around: slice, sites: NDArray[np.int64], bits: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """(R,) group of each reference, found from a stretch of the panel.

    around  panel sites of the stretch
    sites   (S,) panel sites of `bits`
    """
    counts = panel.sites.alt_count[around].sum(axis=1, dtype=np.float64)
    chosen = around.start + groups.sites_for(counts / len(bits))
    if np.isin(chosen, sites, assume_unique=True).all():
        taken = engine.take_bits(bits, np.searchsorted(sites, chosen))
    else:
        taken = haplotypes.read_sites(panel, chosen)
    return groups.of_references(tokens.unpack(taken.view(np.uint8), len(chosen)))


def fitted_rates(
    typed_bits: NDArray[np.uint64], cm: NDArray[np.floating], *, seed: int, threads: int
) -> Heads:
    """Switch rates that suit some of the references, imputed without their own sample.

    The fit looks at typed sites alone, so it passes no other, and needs no groups.

    typed_bits  (R, ceil(T / 64))
    cm          (T,)
    """
    num_typed, num_samples = len(cm), len(typed_bits) // 2
    first = heads.initial(len(typed_bits))
    if num_samples < 2:
        return first
    nobody = np.zeros(len(typed_bits), np.int64)
    prepared = engine.prepare(typed_bits, np.arange(num_typed), cm, nobody, first, typed_bits)
    chosen = np.unique(np.linspace(0, num_samples - 1, SAMPLES_OF_FIT).astype(np.int64))
    rows = haplotypes_of(chosen)
    known = tokens.unpack(typed_bits[rows].view(np.uint8), num_typed)
    own = list(np.repeat(rows.reshape(-1, 2), 2, axis=0))
    found = along.candidates(typed_bits, known, own, threads=threads)
    asked = known.reshape(len(chosen), 2, num_typed)
    fitted = engine.fit_rates(prepared, asked, found, seed=seed, threads=threads)
    return Heads(fitted.chunk.rates, first.errors)


def _copy_rows(
    source: NDArray[np.float32], rows: NDArray[np.int64], target: NDArray[np.float32]
) -> None:
    """Copy rows of a (S, N, 2) view of (N, 2, S) into (n, N, 2), a block at a time."""
    for first in range(0, len(rows), _SITES_AT_ONCE):
        block = rows[first : first + _SITES_AT_ONCE]
        if len(block) and block[-1] - block[0] == len(block) - 1:
            target[first : first + len(block)] = source[block[0] : block[-1] + 1]
        else:
            target[first : first + len(block)] = source[block]
