"""Imputation of one chunk: read the references, fit the rates, find candidates, run the engine.

S sites of the chunk, T typed sites, n sites to write, N samples, R reference haplotypes. PyTorch is
imported for a GPU only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, groups, parameter_sets
from vcfbert.copying.engine import ImputedChunk, Prepared
from vcfbert.copying.network import Network
from vcfbert.copying.parameter_sets import ParameterSets
from vcfbert.domain import dosage, tokens, unordered
from vcfbert.domain.sites import Sites, haplotypes_of
from vcfbert.domain.unordered import UnorderedGenotypes
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.retrieval import chunk_candidates
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import PanelReader

if TYPE_CHECKING:
    from vcfbert.training.devices import Device

FIT_SEED = 1
"""Default seed of the fit of the switch rates."""

SAMPLES_OF_FIT = 8
"""Samples of the panel that the switch rates are fitted to."""

SAMPLES_AT_ONCE = 256
"""Samples between two steps of progress, whose candidates are in memory at the same time."""

MUCH_OUT_OF_RANGE = 0.05
"""If a larger share of undecided sites has inputs out of range, a warning says so."""

OnTyped = Callable[[NDArray[np.uint64], NDArray[np.uint8]], None]
"""Called with alleles at typed sites: (R, ceil(T / 64)) of the panel, (N, 2, T) of the target."""

_SITES_AT_ONCE = 256  # so that the transposition stays in the processor's cache


@dataclass(frozen=True)
class TargetSamples:
    """The samples to impute.

    typed      (T,) panel sites with genotypes, rising
    alleles    (T, N, 2) REF, ALT or MISSING of `tokens`, or more if their order is unknown
    own        2 N arrays: haplotypes of the panel that are excluded as references, because they
               are of the same sample or its relatives
    unordered  typed genotypes that the model takes as missing, and the output keeps
    """

    names: list[str]
    typed: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    own: list[NDArray[np.int64]]
    unordered: UnorderedGenotypes = field(default_factory=UnorderedGenotypes)

    def queries(self, typed: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(N, 2, T) REF, ALT or MISSING at some of the typed sites."""
        rows = np.searchsorted(self.typed, typed)
        found = np.ascontiguousarray(self.alleles[rows].transpose(1, 2, 0))
        return np.minimum(found, np.uint8(tokens.MISSING), out=found)


@dataclass(frozen=True)
class ImputationSource:
    """What all chunks are imputed from.

    sites   the panel's, with genetic positions of the chosen map
    device  None is the CPU, compiled
    """

    panel: PanelReader
    sites: Sites
    samples: TargetSamples
    network: Network
    seed: int
    threads: int
    device: Device | None = None


@dataclass(frozen=True)
class ImputedCore:
    """Results for the written sites of a core.

    alt           (n, N, 2) probability of ALT; 0 or 1 for typed alleles
    is_imputed    (n,) False if the site is typed in at least one sample
    dr2, er2      (n,) estimated r2; r2 of typed sites imputed as if not typed, else NaN
    candidates    (2 N,) number of candidates of each haplotype
    rate_factor   fitted factor of the switch rates
    open_share    share of haplotypes and sites that the copying model leaves undecided
    out_of_range  share of those with an input outside the range seen in training
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
    source: ImputationSource,
    chunk: ChunkPlan,
    advance: Callable[[int], None],
    on_typed: OnTyped | None = None,
) -> ImputedCore:
    """Impute all samples over one chunk.

    advance   called with a number of finished samples
    on_typed  called once with the typed alleles
    """
    samples = source.samples
    sites = chunk.sites
    typed = np.searchsorted(sites, chunk.typed)
    prepared = _prepare(source, chunk, sites, typed)
    queries = samples.queries(chunk.typed)
    if on_typed is not None:
        on_typed(prepared.chunk.typed_bits, queries)
    written = np.searchsorted(sites, chunk.written)
    alt = np.empty((len(written), len(samples.names), 2), np.float32)
    left_out = np.empty((len(typed), len(samples.names), 2), np.float32)
    counts, num_open, num_outside = [], 0.0, 0.0
    for first in range(0, len(samples.names), SAMPLES_AT_ONCE):
        block = slice(first, min(first + SAMPLES_AT_ONCE, len(samples.names)))
        asked, own = queries[block], samples.own[2 * block.start : 2 * block.stop]
        found = chunk_candidates.find(
            prepared.chunk.typed_bits, asked.reshape(-1, len(typed)), own, threads=source.threads
        )
        imputed = _run_engine(
            prepared, source.network, asked, found, threads=source.threads, device=source.device
        )
        _copy_rows(imputed.alt, written, alt[:, block])
        left_out[:, block] = imputed.left_out
        counts += [len(rows) for rows in found]
        share = len(asked) / len(samples.names)
        num_open += imputed.open_share * share
        num_outside += imputed.out_of_range * imputed.open_share * share
        advance(len(asked))
    is_kept = unordered.settle(
        alt, chunk.written, source.sites.position[chunk.written], samples.unordered
    )
    is_typed = np.isin(chunk.written, chunk.typed)
    er2 = np.full(len(written), np.nan)
    rows = np.searchsorted(chunk.typed, chunk.written[is_typed])
    er2[is_typed] = dosage.empirical_r2(
        samples.alleles[np.searchsorted(samples.typed, chunk.written[is_typed])], left_out[rows]
    )
    return ImputedCore(
        alt=alt,
        is_imputed=~(is_typed | is_kept),
        dr2=dosage.estimated_r2(alt),
        er2=er2,
        candidates=np.array(counts, dtype=np.int64),
        rate_factor=float(
            prepared.chunk.rates[0] / parameter_sets.initial(len(prepared.chunk.bits)).rates[0]
        ),
        open_share=num_open,
        out_of_range=num_outside / num_open if num_open else 0.0,
    )


def _run_engine(
    prepared: Prepared,
    network: Network,
    queries: NDArray[np.uint8],
    candidates: list[NDArray[np.int64]],
    *,
    threads: int,
    device: Device | None,
) -> ImputedChunk:
    """Impute samples of a prepared chunk on the CPU, or on a GPU if `device` is not None."""
    if device is None:
        return engine.impute_samples(prepared, network, queries, candidates, threads=threads)
    from vcfbert.training.mosaic import torch_engine

    return torch_engine.impute_samples(prepared, network, queries, candidates, device=device)


def out_of_range_warnings(share: float) -> list[str]:
    """A warning if much of the data differs from what the network was trained on."""
    if share <= MUCH_OUT_OF_RANGE:
        return []
    return [
        f"{share:.1%} of the sites that the network decides have inputs outside the range seen in "
        "training; there the result falls back to the copying model."
    ]


def _prepare(
    source: ImputationSource, chunk: ChunkPlan, sites: NDArray[np.int64], typed: NDArray[np.int64]
) -> Prepared:
    """Read the references; find groups and fit rates at the same time."""
    bits = haplotypes.read_sites(source.panel, sites)
    typed_bits, cm = engine.take_bits(bits, typed), source.sites.cm[sites]
    with ThreadPoolExecutor(1) as pool:
        group = pool.submit(groups_of, source.panel, chunk.around, sites, bits)
        if source.threads == 1:
            group.result()
        rates = fitted_rates(typed_bits, cm[typed], seed=source.seed, threads=source.threads)
        return engine.prepare(bits, typed, cm, group.result(), rates, typed_bits)


def groups_of(
    panel: PanelReader, around: slice, sites: NDArray[np.int64], bits: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """(R,) group of each reference, found from a range of panel sites.

    around  the range
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
) -> ParameterSets:
    """Parameter sets with switch rates fitted to some of the references.

    Each is imputed without its own sample. The fit needs typed sites only, and no groups.

    typed_bits  (R, ceil(T / 64))
    cm          (T,)
    """
    num_typed, num_samples = len(cm), len(typed_bits) // 2
    first = parameter_sets.initial(len(typed_bits))
    if num_samples < 2:
        return first
    group = np.zeros(len(typed_bits), np.int64)
    prepared = engine.prepare(typed_bits, np.arange(num_typed), cm, group, first, typed_bits)
    chosen = np.unique(np.linspace(0, num_samples - 1, SAMPLES_OF_FIT).astype(np.int64))
    rows = haplotypes_of(chosen)
    known = tokens.unpack(typed_bits[rows].view(np.uint8), num_typed)
    own = list(np.repeat(rows.reshape(-1, 2), 2, axis=0))
    found = chunk_candidates.find(typed_bits, known, own, threads=threads)
    asked = known.reshape(len(chosen), 2, num_typed)
    fitted = engine.fit_rates(prepared, asked, found, seed=seed, threads=threads)
    return ParameterSets(fitted.chunk.rates, first.errors)


def _copy_rows(
    source: NDArray[np.float32], rows: NDArray[np.int64], target: NDArray[np.float32]
) -> None:
    """Copy rows of a (S, N, 2) view of a (N, 2, S) array into (n, N, 2), a block at a time."""
    for first in range(0, len(rows), _SITES_AT_ONCE):
        block = rows[first : first + _SITES_AT_ONCE]
        if len(block) and block[-1] - block[0] == len(block) - 1:
            target[first : first + len(block)] = source[block[0] : block[-1] + 1]
        else:
            target[first : first + len(block)] = source[block]
