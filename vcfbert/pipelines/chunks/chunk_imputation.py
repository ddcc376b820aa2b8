"""Imputation of one chunk: read the references, fit the rates, find candidates, run the engine.

Samples with the same typed sites are imputed together. A sample's probabilities depend on its own
typed sites only, so they are the same in any company.

S sites of the chunk, T typed sites, n sites to write, N samples, R reference haplotypes. PyTorch is
imported for a GPU only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, panel_statistics, parameter_sets
from vcfbert.copying.branches import Branches
from vcfbert.copying.engine import ImputedChunk, Prepared
from vcfbert.copying.network import Network
from vcfbert.domain import tokens, unordered
from vcfbert.domain.ploidy import existing
from vcfbert.domain.sites import Sites, haplotypes_of
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import (
    chunk_phasing,
    chunk_references,
    multiallelic,
    switch_rates,
    target_references,
    typed_panels,
)
from vcfbert.pipelines.chunks.chunk_phasing import KnownPhase, Trust
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.chunk_references import ChunkReferences
from vcfbert.pipelines.chunks.joint_phases import JointPhases
from vcfbert.pipelines.chunks.target_samples import TargetSamples, TypedAlike, typed_alike
from vcfbert.retrieval import chunk_candidates
from vcfbert.storage.profiles import NOTHING, Profiles
from vcfbert.storage.zarr.panel import PanelReader

if TYPE_CHECKING:
    from vcfbert.training.devices import Device

SAMPLES_AT_ONCE = 256
"""Samples between two steps of progress, whose candidates are in memory at the same time."""

GROUPS_AT_ONCE = 16
"""From this many groups of samples with the same typed sites on, they are imputed in parallel."""

MUCH_OUT_OF_RANGE = 0.05
"""If a larger share of undecided sites has inputs out of range, a warning says so."""

MOST_CANDIDATES = 1.0
"""If candidates of all haplotypes together are at most this share of the references, only their
alleles are read. Neighbours share candidates, so far fewer are read."""

FEWEST_BYTES = 50_000_000
"""Alleles of a chunk that take less are read at once, because that is faster than twice a part."""

_SITES_AT_ONCE = 256  # so that the transposition stays in the processor's cache


@dataclass(frozen=True)
class ImputationSource:
    """What all chunks are imputed from.

    sites      the panel's, with genetic positions of the chosen map
    min_typed  fewest typed sites that a sample's chunk reads, if its contig has as many
    phasing    how heterozygotes of unknown order are phased
    trust      in the phase of the file
    device     None is the CPU, compiled
    profiles   what depends on the panel and the typed sites only
    is_joint   True if the samples are phased with each other's haplotypes, too
    """

    panel: PanelReader
    sites: Sites
    samples: TargetSamples
    network: Network
    seed: int
    threads: int
    min_typed: int
    phasing: PhasingOptions
    trust: Trust
    device: Device | None = None
    profiles: Profiles = NOTHING
    is_joint: bool = False

    @property
    def keeps_phase(self) -> bool:
        """True if the file's phase is kept and complete, so that nothing is phased."""
        return self.trust == "keep" and self.samples.is_phased()


@dataclass(frozen=True)
class BatchAnswers:
    """Results of a batch of B samples at the written sites of a core.

    samples       the batch, a range of the target's samples
    alt           (n, B, 2) probability of ALT; 0 or 1 for typed alleles; 0 on an absent haplotype
    left_out      (t, B, 2) probability of ALT at typed written sites, as if they were not typed
    pr2           (n,) r2 estimated from the panel; NaN if the site is typed or it cannot be told
    is_haploid    (B,) True if the second haplotype is absent
    candidates    (B, 2) number of candidates of each haplotype
    rate_factor   (B,) fitted factor of the switch rates
    open_cells    haplotypes times sites that the copying model leaves undecided
    cells_out_of_range  of those, with an input outside the range seen in training
    phase         alleles at the typed sites of the chunk, as if there were no chunk before
    is_held       (B,) True for samples whose first haplotype is the father's
    """

    samples: slice
    alt: NDArray[np.float32]
    left_out: NDArray[np.float32]
    pr2: NDArray[np.float64]
    is_haploid: NDArray[np.bool_]
    candidates: NDArray[np.int64]
    rate_factor: NDArray[np.float64]
    open_cells: float
    cells_out_of_range: float
    phase: KnownPhase
    is_held: NDArray[np.bool_]


@dataclass(frozen=True)
class _Part:
    """Some samples, imputed at `sites`; the other fields as in ImputedChunk and BatchAnswers.

    alleles  (n, 2, T) at the typed sites, phased
    """

    samples: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    sites: NDArray[np.int64]
    imputed: ImputedChunk
    candidates: NDArray[np.int64]
    rate_factor: float
    is_held: NDArray[np.bool_]


def impute(
    source: ImputationSource,
    chunk: ChunkPlan,
    samples: slice,
    references: ChunkReferences,
    advance: Callable[[int], None],
    joint: JointPhases | None = None,
) -> BatchAnswers:
    """Impute a batch of samples over one chunk.

    samples     a range of the target's samples
    references  of `read_references` for these samples, or more
    advance     called with a number of finished samples
    joint       of `joint_phases`
    """
    target, first = source.samples, samples.start
    num_samples = samples.stop - first
    alt = np.empty((len(chunk.written), num_samples, 2), np.float32)
    left_out = np.zeros((len(chunk.typed), num_samples, 2), np.float32)
    parts = []
    phase = KnownPhase(chunk.typed, target.alleles_at(chunk.typed, samples))
    groups = typed_alike(target, source.sites, chunk, source.min_typed, samples)
    for part, typed in _parts(source, chunk, groups, references, joint):
        columns = part.samples - first
        rows = np.searchsorted(part.sites, chunk.written)
        _copy_rows(part.imputed.alt, rows, alt, columns)
        is_read = np.isin(typed, chunk.typed)
        rows = np.searchsorted(chunk.typed, typed[is_read])
        left_out[np.ix_(rows, columns)] = part.imputed.left_out[is_read]
        phase.alleles[np.ix_(rows, columns)] = part.alleles[:, :, is_read].transpose(2, 0, 1)
        parts.append(part)
        advance(len(part.samples))
    kept = unordered.settle(
        alt, chunk.written, source.sites.position[chunk.written],
        target.unordered.of_samples(samples.start, samples.stop),
    )  # fmt: skip
    multiallelic.give_way(alt, kept, references.alternatives_among(chunk.written))
    return _batch(source, chunk, samples, references, alt, left_out, phase, parts)


def joint_phases(source: ImputationSource, chunk: ChunkPlan) -> JointPhases | None:
    """The phase of all samples of the target, if they are references of each other."""
    if not source.is_joint:
        return None
    groups = typed_alike(source.samples, source.sites, chunk, source.min_typed)
    typed = [alike.typed for alike in groups]
    if not any(map(len, typed)):
        return None
    panels = typed_panels.read(
        source.panel, source.sites, chunk, typed, source.phasing,
        threads=source.threads, profiles=source.profiles,
    )  # fmt: skip
    return target_references.find(
        source.samples, groups, panels, source.phasing,
        trust=source.trust, threads=source.threads,
    )  # fmt: skip


def read_references(
    source: ImputationSource, chunk: ChunkPlan, batches: Sequence[slice]
) -> ChunkReferences:
    """Read the references of a chunk for some batches of samples."""
    return chunk_references.read(
        source.panel, source.sites.cm, chunk, _typed_in(source, chunk, batches),
        seed=source.seed, threads=source.threads,
        phasing=None if source.keeps_phase else source.phasing,
        profiles=source.profiles,
        of_candidates=_has_few_candidates(source, chunk, batches),
    )  # fmt: skip


def _typed_in(
    source: ImputationSource, chunk: ChunkPlan, batches: Sequence[slice]
) -> list[NDArray[np.int64]]:
    """Typed sites for which references are read: all of them, and one set for each fit.

    A fit depends on the number of typed sites only. So this does not grow with the samples.
    """
    every: NDArray[np.int64] = np.empty(0, np.int64)
    by_fit: dict[int, NDArray[np.int64]] = {}
    for batch in batches:
        groups = typed_alike(source.samples, source.sites, chunk, source.min_typed, batch)
        for alike in groups:
            by_fit.setdefault(chunk_references.num_to_fit(alike.typed), alike.typed)
        every = np.unique(np.concatenate([every, *(alike.typed for alike in groups)]))
    fits = list(by_fit.values())
    is_complete = any(len(typed) == len(every) for typed in fits)
    return fits if is_complete else [*fits, every]


def _has_few_candidates(
    source: ImputationSource, chunk: ChunkPlan, batches: Sequence[slice]
) -> bool:
    """True if one search finds the candidates of all samples, and reading only these saves much."""
    num_samples = sum(batch.stop - batch.start for batch in batches)
    most = MOST_CANDIDATES * 2 * len(source.panel.samples)
    num_bytes = len(source.panel.samples) * len(chunk.written) / 4
    if len(batches) > 1 or num_samples > SAMPLES_AT_ONCE or num_bytes < FEWEST_BYTES:
        return False
    if 2 * num_samples * chunk_candidates.MOST > most:
        return False
    groups = typed_alike(source.samples, source.sites, chunk, source.min_typed, batches[0])
    return len(groups) == 1 and len(groups[0].typed) > 0


def _batch(
    source: ImputationSource,
    chunk: ChunkPlan,
    samples: slice,
    references: ChunkReferences,
    alt: NDArray[np.float32],
    left_out: NDArray[np.float32],
    phase: KnownPhase,
    parts: list[_Part],
) -> BatchAnswers:
    """The results of a batch; `left_out` (T, B, 2) has any value where a sample is not typed."""
    is_typed = chunk.is_typed
    rows = np.searchsorted(chunk.typed, chunk.written[is_typed])
    left_out = np.where(tokens.is_observed(phase.alleles[rows]), left_out[rows], alt[is_typed])
    is_haploid = source.samples.ploidy.at(chunk.core.start)[samples]
    candidates = np.zeros((len(is_haploid), 2), np.int64)
    factors, is_held = np.ones(len(is_haploid)), np.zeros(len(is_haploid), np.bool_)
    open_cells = outside = 0.0
    for part in parts:
        columns = part.samples - samples.start
        candidates[columns] = part.candidates.reshape(-1, 2)
        factors[columns], is_held[columns] = part.rate_factor, part.is_held
        cells = float(existing(is_haploid[columns]).sum()) * len(chunk.sites)
        open_cells += part.imputed.open_share * cells
        outside += part.imputed.out_of_range * part.imputed.open_share * cells
    panel_r2 = references.panel_r2[np.searchsorted(references.sites, chunk.written)]
    return BatchAnswers(
        samples=samples,
        alt=alt,
        left_out=left_out,
        pr2=np.where(is_imputed(source, chunk), panel_r2, np.nan),
        is_haploid=is_haploid,
        candidates=candidates,
        rate_factor=factors,
        open_cells=open_cells,
        cells_out_of_range=outside,
        phase=phase,
        is_held=is_held,
    )


def is_imputed(source: ImputationSource, chunk: ChunkPlan) -> NDArray[np.bool_]:
    """(n,) False for written sites that are typed in at least one sample of the target."""
    return ~(chunk.is_typed | np.isin(chunk.written, source.samples.unordered.site))


def _parts(
    source: ImputationSource,
    chunk: ChunkPlan,
    groups: list[TypedAlike],
    references: ChunkReferences,
    joint: JointPhases | None,
) -> Iterator[tuple[_Part, NDArray[np.int64]]]:
    """Imputed samples, each part with its typed sites.

    If there are many groups of samples, each is imputed by one thread.
    """
    if len(groups) < GROUPS_AT_ONCE or source.threads == 1 or source.device is not None:
        for alike in groups:
            for part in _impute_alike(source, chunk, references, alike, joint, source.threads):
                yield part, alike.typed
        return
    with ThreadPoolExecutor(source.threads) as pool:
        for first in range(0, len(groups), GROUPS_AT_ONCE):  # so that few wait in memory
            some = groups[first : first + GROUPS_AT_ONCE]
            found = [pool.submit(_listed, source, chunk, references, one, joint) for one in some]
            for alike, future in zip(some, found, strict=True):
                for part in future.result():
                    yield part, alike.typed


def _listed(
    source: ImputationSource,
    chunk: ChunkPlan,
    references: ChunkReferences,
    alike: TypedAlike,
    joint: JointPhases | None,
) -> list[_Part]:
    """Samples with the same typed sites, imputed by one thread."""
    return list(_impute_alike(source, chunk, references, alike, joint, 1))


def _impute_alike(
    source: ImputationSource,
    chunk: ChunkPlan,
    references: ChunkReferences,
    alike: TypedAlike,
    joint: JointPhases | None,
    threads: int,
) -> Iterator[_Part]:
    """Impute samples with the same typed sites."""
    if len(alike.typed) == 0:
        is_haploid = source.samples.ploidy.at(chunk.core.start)[alike.samples]
        yield _from_frequency(source, references, alike.samples, is_haploid)
        return
    references = references.reaching(chunk, alike.typed)
    rates = references.rates[switch_rates.num_to_fit(len(alike.typed))]
    prepared = engine.prepare(
        references.alleles.in_memory, np.searchsorted(references.sites, alike.typed), references.cm,
        references.group, rates, references.statistics, references.bits_at(alike.typed),
    )  # fmt: skip
    typed_panel = typed_panels.of_references(
        references, source.sites, alike.typed, prepared.chunk.typed_bits
    )
    first_rate = parameter_sets.initial(len(references.haplotypes)).rates[0]
    for first in range(0, len(alike.samples), SAMPLES_AT_ONCE):
        block = alike.samples[first : first + SAMPLES_AT_ONCE]
        is_haploid = source.samples.ploidy.at(chunk.core.start)[block]
        phases = chunk_phasing.find(
            source.samples, typed_panel, block, source.phasing, None,
            trust=source.trust, threads=threads, joint=joint,
        )  # fmt: skip
        counts = np.zeros((len(block), 2), np.int64)
        run = partial(
            _run, source, references, prepared, block, is_haploid, counts, threads=threads
        )
        imputed = chunk_phasing.impute(phases, prepared.chunk, run)
        multiallelic.exclude(
            imputed.alt, references.alternatives, prepared.chunk.typed,
            phases.alleles.transpose(2, 0, 1),
        )  # fmt: skip
        factor = float(prepared.chunk.rates[0] / first_rate)
        yield _Part(
            block, phases.alleles, references.sites, imputed, counts.ravel(), factor,
            phases.is_held,
        )  # fmt: skip


def _from_frequency(
    source: ImputationSource,
    references: ChunkReferences,
    samples: NDArray[np.int64],
    is_haploid: NDArray[np.bool_],
) -> _Part:
    """Samples without a typed site on the contig: frequencies in the panel without themselves."""
    bits, num_sites = references.alleles.in_memory, len(references.sites)
    counts = panel_statistics.alt_counts(bits, np.zeros(len(bits), np.int64), num_sites)[:, 0]
    alt = np.empty((num_sites, len(samples), 2), np.float32)
    for place, sample in enumerate(samples.tolist()):
        own = references.rows_of(source.samples.own[2 * sample])
        carried = tokens.unpack(np.ascontiguousarray(bits[own]).view(np.uint8), num_sites)
        share = (counts - carried.sum(axis=0)) / max(len(bits) - len(own), 1)
        alt[:, place] = share[:, None]
    alt[:, is_haploid, 1] = 0
    none = np.empty((0, len(samples), 2), np.float32)
    return _Part(
        samples, np.empty((len(samples), 2, 0), np.uint8), references.sites,
        ImputedChunk(alt, none, 0.0, 0.0),
        np.zeros(2 * len(samples), np.int64), 1.0, np.zeros(len(samples), np.bool_),
    )  # fmt: skip


def _run(
    source: ImputationSource,
    references: ChunkReferences,
    prepared: Prepared,
    block: NDArray[np.int64],
    is_haploid: NDArray[np.bool_],
    counts: NDArray[np.int64],
    alleles: NDArray[np.uint8],
    chosen: NDArray[np.int64],
    branches: Sequence[Branches] | None = None,
    *,
    threads: int,
) -> ImputedChunk:
    """Impute the haplotypes of some samples of a block; an absent one has no candidates.

    is_haploid  (n,) of the block
    counts      (n, 2) number of candidates, written for the chosen samples
    alleles     (k, 2, T)
    chosen      (k,) among the n samples of the block
    branches    k, if their phases are uncertain: both haplotypes then have the same candidates
    """
    samples, is_haploid = block[chosen], is_haploid[chosen]
    exists = np.flatnonzero(existing(is_haploid))
    places = haplotypes_of(samples)[exists].tolist()
    own = [references.rows_of(source.samples.own[place]) for place in places]
    found = chunk_candidates.find(
        prepared.chunk.typed_bits, alleles.reshape(-1, alleles.shape[2])[exists], own,
        threads=threads,
    )  # fmt: skip
    candidates = [np.empty(0, np.int64)] * (2 * len(samples))
    for place, rows in zip(exists.tolist(), found, strict=True):
        candidates[place] = rows
    if branches is not None:
        for first in range(0, len(candidates), 2):
            both = np.union1d(candidates[first], candidates[first + 1])
            both = np.setdiff1d(both, np.union1d(own[first], own[first + 1]), assume_unique=True)
            candidates[first] = candidates[first + 1] = both
    counts[chosen] = np.array([len(rows) for rows in candidates], np.int64).reshape(-1, 2)
    completed, candidates = references.alleles.complete(prepared, candidates)
    return _run_engine(
        completed, source.network, alleles, candidates, is_haploid, branches,
        threads=threads, device=source.device,
    )  # fmt: skip


def _run_engine(
    prepared: Prepared,
    network: Network,
    queries: NDArray[np.uint8],
    candidates: list[NDArray[np.int64]],
    is_haploid: NDArray[np.bool_],
    branches: Sequence[Branches] | None,
    *,
    threads: int,
    device: Device | None,
) -> ImputedChunk:
    """Impute samples of a prepared chunk on the CPU, or on a GPU if `device` is not None.

    Uncertain phases are imputed on the CPU, where they are found as well.
    """
    if device is None or branches is not None:
        return engine.impute_samples(
            prepared, network, queries, candidates,
            threads=threads, is_haploid=is_haploid, branches=branches,
        )  # fmt: skip
    from vcfbert.training.mosaic import torch_engine

    return torch_engine.impute_samples(
        prepared, network, queries, candidates, device=device, is_haploid=is_haploid
    )


def out_of_range_warnings(share: float) -> list[str]:
    """A warning if much of the data differs from what the network was trained on."""
    if share <= MUCH_OUT_OF_RANGE:
        return []
    return [
        f"{share:.1%} of the sites that the network decides have inputs outside the range seen in "
        "training; there the result falls back to the copying model."
    ]


def _copy_rows(
    source: NDArray[np.float32],
    rows: NDArray[np.int64],
    target: NDArray[np.float32],
    samples: NDArray[np.int64],
) -> None:
    """Copy rows of a (S, k, 2) view of a (k, 2, S) array to some samples of (n, N, 2)."""
    first_sample, is_range = samples[0], samples[-1] - samples[0] == len(samples) - 1
    columns = slice(first_sample, first_sample + len(samples)) if is_range else samples
    for first in range(0, len(rows), _SITES_AT_ONCE):
        block = rows[first : first + _SITES_AT_ONCE]
        if len(block) and block[-1] - block[0] == len(block) - 1:
            taken = source[block[0] : block[-1] + 1]
        else:
            taken = source[block]
        target[first : first + len(block), columns] = taken
