"""Phasing of all chunks of a target, each of which continues the one before.

T typed sites of the target, t typed sites of a chunk, N samples, n samples with the same typed
sites.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import phased_calls, tokens
from vcfbert.domain.phased_calls import AS_WRITTEN, NO_QUALITY, TURNED, PhasedCalls
from vcfbert.domain.sites import Sites
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import chunk_phasing, target_references, typed_panels
from vcfbert.pipelines.chunks.chunk_imputation import GROUPS_AT_ONCE, SAMPLES_AT_ONCE
from vcfbert.pipelines.chunks.chunk_phasing import KnownPhase, Phases, Trust
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.target_samples import TargetSamples, TypedAlike, typed_alike
from vcfbert.pipelines.chunks.typed_panels import TypedPanel
from vcfbert.storage.profiles import NOTHING, Profiles
from vcfbert.storage.vcf.bgzf import Workers
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class PhasingSource:
    """What all chunks are phased from.

    sites      the panel's, with genetic positions of the chosen map
    min_typed  fewest typed sites that a sample's chunk reads, if its contig has as many
    trust      in the phase of the file
    is_joint   True if the samples are references of each other
    """

    panel: PanelReader
    sites: Sites
    samples: TargetSamples
    min_typed: int
    options: PhasingOptions
    trust: Trust
    threads: int
    profiles: Profiles = NOTHING
    is_joint: bool = False


@dataclass(frozen=True)
class PhasedBlock:
    """Samples with the same typed sites over a chunk.

    typed    (t,) panel sites
    samples  (n,)
    """

    typed: NDArray[np.int64]
    samples: NDArray[np.int64]
    phases: Phases


UNCERTAIN = 3
"""PQ of an order that is as likely wrong as right."""


class PhasedTarget:
    """The order of a target's genotypes, chunk by chunk.

    calls    what was found so far
    samples  of the target
    """

    def __init__(self, source: PhasingSource, record: NDArray[np.int64]) -> None:
        """`record` (T,) is the index of the record that types each of the typed sites."""
        num_samples = len(source.samples.names)
        is_kept = source.samples.keep_order(trusted=source.trust == "keep")
        self.calls = PhasedCalls.nothing(record, is_kept)
        self.samples = source.samples
        self._source = source
        self._before: KnownPhase | None = None
        self._contig = -1
        self._is_begun = np.zeros(num_samples, np.bool_)  # has a heterozygote on the contig
        self._is_held = np.zeros(num_samples, np.bool_)  # whose parents decide its haplotypes there

    @property
    def has_order(self) -> bool:
        """True if the file says something about the order of samples that do not keep it."""
        samples = self._source.samples
        pairs = samples.alleles.transpose(1, 2, 0)[~self.calls.is_kept]
        is_het = tokens.is_heterozygous(pairs)
        return bool((is_het & ~samples.is_free.T[~self.calls.is_kept]).any())

    def add(self, chunk: ChunkPlan, advance: Callable[[int], None]) -> KnownPhase:
        """Phase one chunk; they come in the order of the panel. Returns its phase.

        advance  called with a number of finished samples
        """
        source = self._source
        samples = source.samples
        contig = int(source.sites.contig[chunk.core.start])
        if contig != self._contig:
            self._contig = contig
            self._is_begun[:] = self._is_held[:] = False
        phase = KnownPhase(chunk.typed, samples.alleles_at(chunk.typed))
        groups = typed_alike(samples, source.sites, chunk, source.min_typed)
        for part in self._found(chunk, groups):
            self._take(chunk, part)
            is_read = np.isin(part.typed, chunk.typed)
            rows = np.searchsorted(chunk.typed, part.typed[is_read])
            known = part.phases.alleles[:, :, is_read].transpose(2, 0, 1)
            phase.alleles[np.ix_(rows, part.samples)] = known
            advance(len(part.samples))
        advance(sum(len(alike.samples) for alike in groups if not len(alike.typed)))
        self._before = phase
        return phase

    def _found(self, chunk: ChunkPlan, groups: list[TypedAlike]) -> Iterator[PhasedBlock]:
        """Phases of some samples at a time; many groups are each phased by one thread."""
        source = self._source
        panels = typed_panels.read(
            source.panel, source.sites, chunk, [alike.typed for alike in groups], source.options,
            threads=source.threads, profiles=source.profiles,
        )  # fmt: skip
        joint = None
        if source.is_joint:
            joint = target_references.find(
                source.samples, groups, panels, source.options,
                trust=source.trust, threads=source.threads,
            )  # fmt: skip

        def find(one: tuple[TypedAlike, TypedPanel], threads: int) -> list[PhasedBlock]:
            alike, panel = one
            found = []
            for first in range(0, len(alike.samples), SAMPLES_AT_ONCE):
                block = alike.samples[first : first + SAMPLES_AT_ONCE]
                phases = chunk_phasing.find(
                    source.samples, panel, block, source.options, self._before,
                    trust=source.trust, threads=threads, joint=joint,
                )  # fmt: skip
                found.append(PhasedBlock(alike.typed, block, phases))
            return found

        typed_groups = [(alike, panels.of(alike.typed)) for alike in groups if len(alike.typed)]
        if len(typed_groups) < GROUPS_AT_ONCE or source.threads == 1:
            for one in typed_groups:
                yield from find(one, source.threads)
            return
        with Workers(source.threads) as workers:
            for found in workers.in_order(lambda one: find(one, 1), typed_groups):
                yield from found

    def _take(self, chunk: ChunkPlan, part: PhasedBlock) -> None:
        """Take the order of the heterozygotes in the core of a chunk, and of some before it.

        The chunk before may have put the last heterozygotes of its core the other way round. So the
        two are joined at the last heterozygote before this core at which they agree.
        """
        typed, block, found = part.typed, part.samples, part.phases
        samples, calls = self._source.samples, self.calls
        alleles = samples.queries(typed, block)
        is_linked = found.is_joined & self._is_begun[block]
        is_het, is_turned = phased_calls.turned(alleles, found.alleles)
        order = np.where(is_turned, TURNED, AS_WRITTEN).astype(np.uint8)
        rows_of_typed = np.searchsorted(samples.typed, typed)
        for place, sample in enumerate(block.tolist()):
            hets = np.flatnonzero(is_het[place] & (typed < chunk.core.stop))
            before = int((typed[hets] < chunk.core.start).sum())
            if before == len(hets):
                continue
            rows, own = rows_of_typed[hets], order[place, hets]
            quality = phased_calls.quality(found.turn[place, hets])
            quality[found.is_given[place, hets]] = NO_QUALITY
            first = before
            if is_linked[place] and before > 0:
                joint = joined(own[:before], calls.order[rows[:before], sample])
                if joint is None and not found.is_held[place]:
                    # those that agree are behind the start of the core
                    own = TURNED + AS_WRITTEN - own
                    found.alleles[place] = found.alleles[place, ::-1].copy()
                first = before if joint is None else joint + 1
                if joint is None and found.is_held[place]:
                    quality[first] = UNCERTAIN
            else:
                quality[first] = NO_QUALITY
            taken = rows[first:]
            calls.order[taken, sample], calls.quality[taken, sample] = own[first:], quality[first:]
            is_continued = is_linked[place] or (found.is_held[place] and self._is_held[sample])
            is_new = not (is_continued or calls.is_kept[sample])
            calls.is_start[rows[before], sample] = is_new
            self._is_begun[sample] = True
            self._is_held[sample] |= found.is_held[place]


def joined(own: NDArray[np.uint8], written: NDArray[np.uint8]) -> int | None:
    """The last heterozygote at which two chunks agree; None if there is none.

    own, written  (k,) order of the heterozygotes before a core, in its chunk and the chunk before

    >>> joined(np.array([1, 2, 1]), np.array([1, 2, 2]))
    1
    """
    agreed = np.flatnonzero(own == written)
    return int(agreed[-1]) if len(agreed) else None
