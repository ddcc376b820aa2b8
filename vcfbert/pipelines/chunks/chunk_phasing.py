"""Phasing of a chunk's samples before they are imputed, and imputation of uncertain phases.

The best phase decides the order of typed alleles in the output. Phases drawn by their probability
decide what the probabilities at other sites are: all are imputed in one pass
(`copying.pair_mosaic`), in the orientation of the best phase.

S sites of the chunk, T typed sites, n samples, M draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.branches import Branches, of_phases
from vcfbert.copying.engine import ImputedChunk
from vcfbert.copying.mosaic import Chunk
from vcfbert.domain import tokens
from vcfbert.domain.families import FamilyOrder, Transmissions
from vcfbert.domain.ploidy import rows_among
from vcfbert.domain.sites import haplotypes_of
from vcfbert.phasing import phase_chunk
from vcfbert.phasing.phase_chunk import PhasingOptions, UnphasedChunk
from vcfbert.pipelines.chunks.joint_phases import JointPhases
from vcfbert.pipelines.chunks.target_samples import TargetSamples
from vcfbert.pipelines.chunks.typed_panels import TypedPanel

Trust = Literal["keep", "refine", "redo"]
"""Keep the phase of the file, take it as a hint, or do without it."""

TRUSTED: dict[Trust, float] = {"keep": -np.inf, "refine": -3.0, "redo": 0.0}
"""Log odds of a turn between neighbouring heterozygotes that are phased in the file: statistical
phasing of arrays has a switch at one of thirty, reads at fewer."""

MOST_BACK = phase_chunk.MOST_BACK
"""Heterozygotes of one phase set that are further apart, with others between, are not linked."""

LEAST_TURN = 1e-3
"""Samples without a heterozygote of a higher probability of another order have a certain phase."""


@dataclass(frozen=True)
class KnownPhase:
    """The phase of typed genotypes, by which the next chunk is oriented.

    typed    (T,) panel sites, rising
    alleles  (T, N, 2) REF, ALT or MISSING of `tokens`
    """

    typed: NDArray[np.int64]
    alleles: NDArray[np.uint8]


@dataclass(frozen=True)
class Phases:
    """The phase of n samples.

    alleles    (n, 2, T) the best
    turn       (n, T) probability of the other order relative to the heterozygote before; 0
               elsewhere
    is_given   (n, T) True at heterozygotes whose order relative to the one before is the file's or
               is decided by the parents
    draws      (M, n, 2, T) phases drawn by their probability, of uncertain samples
    several    (n,) True for uncertain samples
    is_joined  (n,) True for samples that share a heterozygote with the chunk before
    is_held    (n,) True for samples whose first haplotype is the father's
    """

    alleles: NDArray[np.uint8]
    turn: NDArray[np.float32]
    is_given: NDArray[np.bool_]
    draws: NDArray[np.uint8]
    several: NDArray[np.bool_]
    is_joined: NDArray[np.bool_]
    is_held: NDArray[np.bool_]


def certain(alleles: NDArray[np.uint8]) -> Phases:
    """Phases of samples whose phase is known.

    alleles  (n, 2, T)
    """
    num_samples, _, num_typed = alleles.shape
    return Phases(
        alleles,
        np.zeros((num_samples, num_typed), np.float32),
        np.ones((num_samples, num_typed), np.bool_),
        np.empty((0, 0, 2, num_typed), np.uint8),
        np.zeros(num_samples, np.bool_),
        np.zeros(num_samples, np.bool_),
        np.zeros(num_samples, np.bool_),
    )


def find(
    samples: TargetSamples,
    panel: TypedPanel,
    block: NDArray[np.int64],
    options: PhasingOptions,
    before: KnownPhase | None,
    *,
    trust: Trust,
    threads: int,
    joint: JointPhases | None = None,
) -> Phases:
    """Phase samples with the same typed sites.

    panel   at the typed sites
    block   (n,) samples
    before  phase of the chunk before, which shares heterozygotes
    trust   in the phase of the file
    joint   the phase of all samples, if it is found already
    """
    asked = samples.queries(panel.sites, block)
    families = samples.family_orders(panel.sites, block)
    if samples.is_phased(block) and trust == "keep":
        return held(oriented(certain(asked.copy()), panel.sites, block, before), asked, families)
    sets = samples.sets_of(panel.sites, block)
    links = _links(asked, sets, families, panel, trust)
    loose = np.array([n for n, link in enumerate(links) if link.is_loose], np.int64)
    phases = certain(asked.copy())
    for place, link in enumerate(links):
        family = families[place]
        is_known = sets[place] > 0 if family is None else (sets[place] > 0) | family.is_decided
        phases.is_given[place] = np.isneginf(link.log_odds) & (link.back == 1) & is_known
    if len(loose):
        if joint is None:
            chunk = _with_links(
                samples, panel, block[loose], asked[loose], [links[n] for n in loose]
            )
            found = phase_chunk.phase(chunk, options, threads=threads, model=panel.model)
        else:
            found = joint.of(block[loose], panel.sites)
        phases.alleles[loose], phases.turn[loose] = found.alleles, found.turn
        is_unsure = (found.turn > LEAST_TURN).any(axis=1)
        if options.draws:
            phases.several[loose] = is_unsure
            phases = replace(phases, draws=found.draws[:, is_unsure])
    return held(oriented(phases, panel.sites, block, before), asked, families)


def unphased(
    samples: TargetSamples,
    panel: TypedPanel,
    block: NDArray[np.int64],
    asked: NDArray[np.uint8],
    trust: Trust,
) -> UnphasedChunk:
    """The panel and some samples, with what is known of their order.

    block  (n,) samples
    asked  (n, 2, T) their alleles, in the order of the file; MISSING at sites not to be read
    """
    sets, families = samples.sets_of(panel.sites, block), samples.family_orders(panel.sites, block)
    links = _links(asked, sets, families, panel, trust)
    return _with_links(samples, panel, block, asked, links)


def _links(
    asked: NDArray[np.uint8],
    sets: NDArray[np.int32],
    families: Sequence[FamilyOrder | None],
    panel: TypedPanel,
    trust: Trust,
) -> list[Links]:
    """What is known of each sample's order."""
    return [
        linked(one, its_sets, panel.position, trust, panel.cm, family)
        for one, its_sets, family in zip(asked, sets, families, strict=True)
    ]


def _with_links(
    samples: TargetSamples,
    panel: TypedPanel,
    block: NDArray[np.int64],
    asked: NDArray[np.uint8],
    links: Sequence[Links],
) -> UnphasedChunk:
    own = [
        rows_among(panel.haplotypes, np.union1d(samples.own[first], samples.own[second]))
        for first, second in haplotypes_of(block).reshape(-1, 2).tolist()
    ]
    return UnphasedChunk(
        bits=panel.bits,
        cm=panel.cm,
        group=panel.group,
        alleles=asked,
        turn_log_odds=_stacked([link.log_odds for link in links], asked, np.float32),
        back=_stacked([link.back for link in links], asked, np.int64),
        own=own,
    )


def _stacked(rows: list[NDArray[Any]], asked: NDArray[np.uint8], dtype: type) -> NDArray[Any]:
    """(n, T) of n rows, which may be none."""
    return np.array(rows, dtype).reshape(len(asked), asked.shape[2])


@dataclass(frozen=True)
class Links:
    """What is known of the order of one sample's heterozygotes; all are (T,).

    log_odds  that a heterozygote's order relative to an earlier one is the other than in the file:
              0 if nothing is known, or if there is no heterozygote
    back      how many heterozygotes before the earlier one is
    is_loose  True if the order of some heterozygote is not certain
    """

    log_odds: NDArray[np.float32]
    back: NDArray[np.int64]
    is_loose: bool


def linked(
    alleles: NDArray[np.uint8],
    sets: NDArray[np.int32],
    position: NDArray[np.int32],
    trust: Trust,
    cm: NDArray[np.floating] | None = None,
    family: FamilyOrder | None = None,
) -> Links:
    """Link each heterozygote to the last one of its phase set, or at its position.

    Two ALTs at one position, as of `1/2`, are on different haplotypes. What the parents decide is
    one set, which has priority; what children suggest is used where nothing else links.

    alleles   (2, T)
    sets      (T,) phase sets, 0 if the order is free
    position  (T,)
    cm        (T,) needed if there is a family
    family    of this sample
    """
    log_odds, back = np.zeros(len(sets), np.float32), np.ones(len(sets), np.int64)
    hets = np.flatnonzero(tokens.is_heterozygous(alleles))
    last: dict[int, int] = {}
    is_loose, decided = False, -1
    passed = None if family is None or cm is None else Transmissions(family.transmitted, cm)
    for number, het in enumerate(hets.tolist()):
        before = int(hets[number - 1]) if number else -1
        earlier = last.get(int(sets[het])) if sets[het] else None
        is_tied = sets[het] and sets[het] == sets[before]
        suggested = (0.0, 1) if passed is None else passed.take(number, het, MOST_BACK)
        if family is not None and family.is_decided[het]:
            if decided >= 0 and number - decided <= MOST_BACK:
                log_odds[het], back[het] = -np.inf, number - decided
            is_loose |= number > 0 and (decided < 0 or number - decided > 1)
            decided = number
        elif number and position[het] == position[before] and not is_tied:
            is_same = alleles[0, het] != alleles[0, before]
            log_odds[het] = -np.inf if is_same else np.inf
            is_loose |= not is_same
        elif earlier is not None and number - earlier <= MOST_BACK:
            log_odds[het], back[het] = TRUSTED[trust], number - earlier
            is_loose |= trust != "keep" or number - earlier > 1
        elif number:
            log_odds[het], back[het] = suggested
            is_loose = True
        if sets[het]:
            last[int(sets[het])] = number
    return Links(log_odds, back, is_loose)


def oriented(
    phases: Phases,
    typed: NDArray[np.int64],
    block: NDArray[np.int64],
    before: KnownPhase | None,
) -> Phases:
    """Exchange the haplotypes of samples that are the other way round in the chunk before.

    Most of the heterozygotes that both have decide. Arrays are changed in place.
    """
    if before is None:
        return phases
    _, here, there = np.intersect1d(typed, before.typed, assume_unique=True, return_indices=True)
    now = phases.alleles[:, :, here]
    known = before.alleles[there][:, block].transpose(1, 2, 0)
    is_shared = tokens.is_heterozygous(now) & tokens.is_heterozygous(known)
    is_other = is_shared & (now[:, 0] != known[:, 0])
    is_turned = 2 * is_other.sum(axis=1) > is_shared.sum(axis=1)
    phases.alleles[is_turned] = phases.alleles[is_turned, ::-1]
    phases.is_joined[:] = is_shared.any(axis=1)
    return phases


def held(
    phases: Phases, asked: NDArray[np.uint8], families: Sequence[FamilyOrder | None]
) -> Phases:
    """Put the father's haplotype first, and decided heterozygotes as they are decided.

    Decided heterozygotes are turned relative to each other only if too many others are between them
    for a link; then the change is at the least certain of these. Arrays are changed in place.

    asked     (n, 2, T) with decided heterozygotes in the order father, mother
    families  of the n samples
    """
    for place, family in enumerate(families):
        hets = np.flatnonzero(tokens.is_heterozygous(asked[place]))
        is_decided = np.zeros(0, np.bool_) if family is None else family.is_decided[hets]
        if not is_decided.any():
            continue
        phases.is_held[place] = True
        found, turn = phases.alleles[place], phases.turn[place]
        anchors = np.flatnonzero(is_decided)
        is_other = found[0, hets] != asked[place, 0, hets]
        is_turned = np.repeat(is_other[anchors[0]], len(hets))
        for one, next_one in zip(anchors[:-1].tolist(), anchors[1:].tolist(), strict=True):
            if is_other[one] != is_other[next_one]:
                weakest = one + 1 + int(np.argmax(turn[hets[one + 1 : next_one + 1]]))
                is_turned[weakest:] ^= True
                turn[hets[weakest]] = 0.5
        found[:, hets[is_turned]] = found[::-1, hets[is_turned]]
    return phases


class Run(Protocol):
    """What imputes some of n samples."""

    def __call__(
        self,
        alleles: NDArray[np.uint8],
        chosen: NDArray[np.int64],
        branches: Sequence[Branches] | None = None,
    ) -> ImputedChunk:
        """Impute k samples.

        alleles   (k, 2, T)
        chosen    (k,) among the n samples
        branches  k, if their phases are uncertain
        """


def impute(phases: Phases, chunk: Chunk, run: Run) -> ImputedChunk:
    """Impute the best phase of certain samples, and all draws of the others in one pass."""
    certain, loose = np.flatnonzero(~phases.several), np.flatnonzero(phases.several)
    if not len(loose):
        return run(phases.alleles, certain)
    draws = phases.draws.transpose(1, 0, 2, 3)
    likeliest = phases.alleles[loose]
    branches = [of_phases(*one, chunk.stops) for one in zip(draws, likeliest, strict=True)]
    uncertain = run(likeliest, loose, branches)
    if not len(certain):
        return uncertain
    parts = [(certain, run(phases.alleles[certain], certain)), (loose, uncertain)]
    num_samples = len(phases.alleles)
    # Sites last, as the engine has them, so that memory is read and written in order.
    alt = np.empty((num_samples, 2, len(chunk.cm)), np.float32)
    left_out = np.empty((num_samples, 2, len(chunk.typed)), np.float32)
    for samples, part in parts:
        alt[samples] = part.alt.transpose(1, 2, 0)
        left_out[samples] = part.left_out.transpose(1, 2, 0)
    opened = sum(part.open_share * len(samples) for samples, part in parts)
    outside = sum(part.out_of_range * part.open_share * len(samples) for samples, part in parts)
    return ImputedChunk(
        alt=alt.transpose(2, 0, 1),
        left_out=left_out.transpose(2, 0, 1),
        open_share=opened / num_samples,
        out_of_range=outside / opened if opened else 0.0,
    )


def nearest(places: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the nearest of some places, rising; of two as near, the first.

    >>> nearest(np.array([2, 6]), np.array([0, 4, 5, 9])).tolist()
    [0, 0, 1, 1]
    """
    after = np.searchsorted(places, wanted).clip(1, max(len(places) - 1, 1))
    if len(places) == 1:
        return np.zeros(len(wanted), np.int64)
    is_before = wanted - places[after - 1] <= places[after] - wanted
    return np.asarray(np.where(is_before, after - 1, after), dtype=np.int64)
