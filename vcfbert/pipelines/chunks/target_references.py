"""Phasing of a chunk's samples with the other samples of the target as references.

N samples, n of a group that is typed alike, T typed sites of any sample, t of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import tokens
from vcfbert.phasing import target_references
from vcfbert.phasing.phase_chunk import PhasingOptions, UnphasedChunk
from vcfbert.pipelines.chunks import chunk_phasing
from vcfbert.pipelines.chunks.chunk_phasing import Trust
from vcfbert.pipelines.chunks.joint_phases import JointPhases
from vcfbert.pipelines.chunks.target_samples import TargetSamples, TypedAlike
from vcfbert.pipelines.chunks.typed_panels import TypedPanels

TargetReferences = Literal["auto", "on", "off"]
"""Whether samples of the target are references of each other."""

LEAST_RATIO = 1.0
"""With `auto`, they are if the target has more than this many samples for each of the panel
(docs/decisions/phasing.md)."""

_SAMPLES_AT_ONCE = 256


def are_used(
    chosen: TargetReferences, samples: TargetSamples, num_panel: int, trust: Trust
) -> bool:
    """True if the samples are references of each other.

    Samples whose phase is kept are not phased, and one sample has no others.
    """
    count = len(samples.names)
    if chosen == "off" or count < 2 or (trust == "keep" and samples.is_phased()):
        return False
    return chosen == "on" or count > LEAST_RATIO * num_panel


def note(chosen: TargetReferences, num_target: int, num_panel: int) -> str:
    """A sentence that says that they are, and why."""
    why = "" if chosen == "on" else f" and the panel only {num_panel:,}"
    off = "" if chosen == "on" else " --target-references off phases each with the panel alone."
    return (
        f"The target has {plurals.of(num_target, 'sample')}{why}: they are phased with each "
        f"other's haplotypes, too.{off}"
    )


def header_text(*, is_used: bool) -> str:
    """Ends the line of options in the header of an output.

    >>> header_text(is_used=True)
    ' target_references=on'
    """
    return " target_references=on" if is_used else ""


def find(
    samples: TargetSamples,
    groups: Sequence[TypedAlike],
    panels: TypedPanels,
    options: PhasingOptions,
    *,
    trust: Trust,
    threads: int,
) -> JointPhases:
    """Phase all samples with the panel alone, then with the panel and each other."""
    whole = panels.whole_with_model
    asked = _at_all_sites(samples, groups, whole.sites)
    alone = asked.copy()
    is_unsure = np.zeros(len(asked), np.bool_)
    first = replace(options, draws=0)

    def phase(part: tuple[TypedAlike, NDArray[np.int64], int]) -> None:
        alike, block, of_part = part
        found = chunk_phasing.find(
            samples, panels.of(alike.typed), block, first, None, trust=trust, threads=of_part
        )
        rows = np.searchsorted(whole.sites, alike.typed)
        alone[block[:, None], :, rows] = found.alleles.transpose(0, 2, 1)
        is_unsure[block] = found.turn.any(axis=1)

    parts = [
        (alike, alike.samples[start : start + _SAMPLES_AT_ONCE])
        for alike in groups if len(alike.typed)
        for start in range(0, len(alike.samples), _SAMPLES_AT_ONCE)
    ]  # fmt: skip
    if len(parts) < 2 * threads:
        for alike, block in parts:
            phase((alike, block, threads))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(phase, [(alike, block, 1) for alike, block in parts]))

    def chunk_of(block: NDArray[np.int64]) -> UnphasedChunk:
        return chunk_phasing.unphased(samples, whole, block, asked[block], trust)

    assert whole.model is not None
    unsure = np.flatnonzero(is_unsure)
    phased = target_references.phase(chunk_of, alone, unsure, options, whole.model, threads=threads)
    return JointPhases(whole.sites, phased)


def _at_all_sites(
    samples: TargetSamples, groups: Sequence[TypedAlike], sites: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """(N, 2, T) alleles in the order of the file; MISSING at sites that a group does not read."""
    out = np.full((len(samples.names), 2, len(sites)), tokens.MISSING, np.uint8)
    for alike in groups:
        if len(alike.typed):
            rows = np.searchsorted(sites, alike.typed)
            queries = samples.queries(alike.typed, alike.samples)
            out[alike.samples[:, None], :, rows] = queries.transpose(0, 2, 1)
    return out
