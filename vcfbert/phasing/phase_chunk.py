"""Phasing of samples over one chunk against the haplotypes of a panel.

Each pass finds candidates among the references and runs the lattice over them. The first pass knows
no phase and finds them by genotypes; the later ones find them by the haplotypes of the pass before.
Candidates come from the panel only, so a sample's result does not depend on the other samples.

T typed sites, R reference haplotypes, N samples, K candidates of a sample, H its heterozygotes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.phasing import genotype_search, lattice, neighbours, panel_model, sampling, steps
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.site_errors import Asked

LONGEST_RUN = 0.01
"""Most switches expected in a run of homozygotes that is one step."""

FLOOR = 9.0
"""Hypotheses so far below the best, in nats, are left out."""

PLACES_PER_CM = 8.4
FEWEST_PLACES = 16
"""Places along a chunk at which candidates are searched."""

SEARCHED_BY_GENOTYPE = 10_000
"""Most references that the first pass searches, evenly spaced in the panel: its phase is rough."""

HITS_OF_GENOTYPES = 8
HITS_OF_HAPLOTYPES = 12
"""References that each place adds in the first pass, and in each direction in the later ones."""

GROUP_POWER = 2.0
"""A group's prior grows with this power of its share among a sample's candidates."""

MOST_BACK = lattice.MOST_BACK

LAG_CM = 0.5
SHORTEST_LAG = 12
LONGEST_LAG = 60


@dataclass(frozen=True)
class UnphasedChunk:
    """Typed genotypes of samples, and the panel at the same sites.

    bits           (R, ceil(T / 64)) panel alleles, the first site in the lowest bit
    cm             (T,) never falling
    group          (R,) group (population) of each reference, from 0
    alleles        (N, 2, T) 0 REF, 1 ALT, tokens.MISSING; in the order of the file
    turn_log_odds  (N, T) at each heterozygote: prior log odds that its order relative to the
                   heterozygote before it in the same sample is the other one than in the file; 0 if
                   unknown, -inf if it is as in the file, inf if it is the other; not read elsewhere
    own            N arrays of rows that a sample must not copy: itself and its relatives
    back           (N, T) if the log odds are not of the heterozygote before but of an earlier one:
                   how many heterozygotes before it is, 1 to MOST_BACK; None is 1
    """

    bits: NDArray[np.uint64]
    cm: NDArray[np.floating]
    group: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    turn_log_odds: NDArray[np.float32]
    own: Sequence[NDArray[np.int64]]
    back: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class PhasingOptions:
    """How samples are phased."""

    passes: int = 2
    """The first finds candidates by genotype, the others by haplotype. A third gains little."""

    draws: int = 0
    """Phases to draw for each sample."""

    seed: int = 1
    """Of the draws."""

    beam: int = 16
    """Hypotheses that are followed at the same time."""

    lag: int | None = None
    """Hypotheses that agree in so many last heterozygotes are merged; None is about .5 cM."""

    effective_size: float | None = None
    """Ne: 4 Ne / R switches a Morgan. None fits the rate to haplotypes of the panel."""

    error: float = 1e-3
    """Probability that an allele differs from the copied one; more where the panel has errors."""

    def __post_init__(self) -> None:
        for name, least in (("passes", 1), ("draws", 0), ("beam", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} of phasing must be at least {least}, got {getattr(self, name)}"
                )
        if self.lag is not None and not 1 <= self.lag <= lattice.LONGEST_LAG:
            raise ConfigError(
                f"lag of phasing must be 1 to {lattice.LONGEST_LAG} heterozygotes, got {self.lag}"
            )


@dataclass(frozen=True)
class PhasedChunk:
    """The phase of all samples.

    alleles  (N, 2, T) the likeliest order of each heterozygote relative to the one before, if this
             agrees with all that is certain (`agreeing`); the first is as in the file, and so are
             missing genotypes
    turn     (N, T) probability that the order of a heterozygote relative to the one before is the
             other than in `alleles`; 0 elsewhere
    draws    (M, N, 2, T) phases drawn by their probability
    """

    alleles: NDArray[np.uint8]
    turn: NDArray[np.float32]
    draws: NDArray[np.uint8]


Candidates = Callable[[Sequence[int]], list[NDArray[np.int64]]]
"""Rows of the candidates of some samples."""


@dataclass(frozen=True)
class _Turns:
    """Of one sample's heterozygotes.

    probability  (H,) of a turn
    best         (H,) True for the turns of the best guess
    drawn        (M, H) turns of draws
    """

    probability: NDArray[np.float32]
    best: NDArray[np.bool_]
    drawn: NDArray[np.uint8]


def phase(
    chunk: UnphasedChunk,
    options: PhasingOptions,
    *,
    threads: int,
    model: PanelModel | None = None,
    start: NDArray[np.uint8] | None = None,
    candidates: Candidates | None = None,
) -> PhasedChunk:
    """Phase all samples; the result is the same for any `threads`, company and order of samples.

    model       None fits one at the typed sites
    start       (N, 2, T) a phase by which the first pass finds candidates; None finds them by
                genotype
    candidates  finds them in the first pass instead
    """
    num_samples, _, num_typed = chunk.alleles.shape
    out = PhasedChunk(
        chunk.alleles.copy(),
        np.zeros((num_samples, num_typed), np.float32),
        np.repeat(chunk.alleles[None], options.draws, axis=0),
    )
    free = [n for n in range(num_samples) if len(heterozygotes(chunk.alleles[n])) > 1]
    if not free:
        return out
    places = places_along(chunk.cm)
    if model is None:
        model = fit_model(chunk.bits, chunk.cm, options, threads=threads)
    known = start
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for number in range(options.passes):
            is_last = number == options.passes - 1
            if number == 0 and candidates is not None:
                found = candidates(free)
            elif known is None:
                found = _by_genotype(chunk, places, free, threads)
            else:
                found = by_haplotype(chunk, places, known, free, threads)

            def run(sample: int, rows: NDArray[np.int64], is_last: bool = is_last) -> None:
                draws = options.draws if is_last else 0
                turns = _turns(chunk, options, model, sample, rows, draws)
                _write(out, chunk.alleles[sample], sample, turns)

            list(pool.map(run, free, found))
            known = out.alleles
    return out


def heterozygotes(alleles: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Indexes of the sites at which a sample has one REF and one ALT allele.

    alleles  (2, T)
    """
    return np.flatnonzero(tokens.is_heterozygous(alleles))


def places_along(cm: NDArray[np.floating]) -> NDArray[np.int64]:
    """Evenly spaced typed sites at which candidates are searched, rising.

    >>> places_along(np.array([0.0, 0.1, 0.2]))
    array([0, 1, 2])
    """
    count = max(FEWEST_PLACES, round(PLACES_PER_CM * float(cm[-1] - cm[0])))
    inner = np.linspace(0, len(cm) - 1, count + 2)[1:-1]
    return np.unique(inner.astype(np.int64)) if count < len(cm) else np.arange(len(cm))


def lag_of(num_hets: int, length_cm: float) -> int:
    """Heterozygotes in LAG_CM.

    >>> lag_of(270, 7.65), lag_of(1063, 7.65)
    (18, 60)
    """
    if length_cm <= 0:
        return LONGEST_LAG
    return int(np.clip(round(LAG_CM * num_hets / length_cm), SHORTEST_LAG, LONGEST_LAG))


def fit_model(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    options: PhasingOptions,
    *,
    threads: int,
    asked: Asked | None = None,
) -> PanelModel:
    """What the panel alone decides, found at landmarks.

    bits, cm  of the landmarks, (R, W) and (F,)
    asked     typed sites for which the model is wanted; None is the landmarks
    """
    return panel_model.fit(
        bits, cm, places=places_along(cm), hits=HITS_OF_HAPLOTYPES, error=options.error,
        longest=LONGEST_RUN, threads=threads, effective_size=options.effective_size, asked=asked,
    )  # fmt: skip


def _by_genotype(
    chunk: UnphasedChunk, places: NDArray[np.int64], samples: Sequence[int], threads: int
) -> list[NDArray[np.int64]]:
    """Rows of the candidates of some samples in the first pass."""
    num_rows = len(chunk.bits)
    count = min(num_rows, SEARCHED_BY_GENOTYPE)
    searched = np.linspace(0, num_rows - 1, count).astype(np.int64)
    bits, cm = chunk.bits[searched], chunk.cm.astype(np.float32)

    def find(sample: int) -> NDArray[np.int64]:
        own = np.flatnonzero(np.isin(searched, chunk.own[sample]))
        found = genotype_search.candidates(
            bits, chunk.alleles[sample], cm, places, HITS_OF_GENOTYPES, own
        )
        return searched[found]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(find, samples))


def by_haplotype(
    chunk: UnphasedChunk,
    places: NDArray[np.int64],
    alleles: NDArray[np.uint8],
    samples: Sequence[int],
    threads: int,
) -> list[NDArray[np.int64]]:
    """Rows of the candidates of some samples by their current phase.

    alleles  (N, 2, T)
    """
    queries = alleles[samples].reshape(2 * len(samples), -1)
    own = [chunk.own[sample] for sample in samples for _ in range(2)]
    found = neighbours.find(
        chunk.bits, queries, places, HITS_OF_HAPLOTYPES, own, threads=threads
    ).reshape(len(samples), -1)
    return [rows[rows >= 0].astype(np.int64) for rows in map(np.unique, found)]


def _turns(
    chunk: UnphasedChunk,
    options: PhasingOptions,
    model: PanelModel,
    sample: int,
    rows: NDArray[np.int64],
    draws: int,
) -> _Turns:
    """Run the lattice of one sample over its candidates; without any, a turn has its prior."""
    alleles = chunk.alleles[sample]
    hets = heterozygotes(alleles)
    lag = options.lag or lag_of(len(hets), float(chunk.cm[-1] - chunk.cm[0]))
    log_odds = chunk.turn_log_odds[sample, hets]
    back = np.ones(len(hets), np.int64) if chunk.back is None else chunk.back[sample, hets]
    found = lattice.empty(len(hets), options.beam)
    lattice.fill(
        np.ascontiguousarray(chunk.bits[rows].T) if len(rows) else _indifferent(chunk),
        steps.along(alleles, chunk.cm, model.rate, model.errors, LONGEST_RUN),
        _shares(chunk.group, rows),
        log_prior(log_odds),
        back,
        lag,
        FLOOR,
        found,
    )
    probability = np.empty(len(hets), np.float32)
    lattice.turn_probabilities(found, probability)
    rng = np.random.default_rng([options.seed, zlib.crc32(alleles.tobytes())])
    best = agreeing(probability, log_odds, back)
    return _Turns(probability, best, sampling.turns(found, draws, rng))


def agreeing(
    probability: NDArray[np.float32], log_odds: NDArray[np.floating], back: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The likeliest turns that agree with what is certain of heterozygotes with others between.

    The likeliest turn of each heterozygote by itself may contradict it. Then the least certain of
    the turns between the two changes, except those between two others that already agree.

    probability     (H,) of a turn
    log_odds, back  (H,) as `turn_log_odds` and `back` of `UnphasedChunk`
    returns         (H,) True for a turn

    >>> log_odds, back = np.array([0, 0, -np.inf]), np.array([1, 1, 2])
    >>> agreeing(np.array([0, 0.9, 0.4], np.float32), log_odds, back)
    array([False,  True,  True])
    """
    is_turned = probability > 0.5
    is_certain, is_far = np.isinf(log_odds), back > 1
    is_settled = is_certain & ~is_far
    for het in np.flatnonzero(is_certain & is_far).tolist():
        between = np.arange(het + 1 - int(back[het]), het + 1)
        if is_turned[between].sum() % 2 != (log_odds[het] > 0):
            loose = between[~is_settled[between]]
            is_turned[loose[np.abs(probability[loose] - 0.5).argmin()]] ^= True
        is_settled[between] = True
    return is_turned


def _indifferent(chunk: UnphasedChunk) -> NDArray[np.uint64]:
    """(W, 1) one haplotype of REF, which makes all phases equally likely."""
    return np.zeros((chunk.bits.shape[1], 1), np.uint64)


def _shares(group: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(K,) prior of each candidate: references of groups that are often among them get more."""
    if len(rows) == 0:
        return np.ones(1, np.float32)
    used = np.bincount(group[rows], minlength=int(group.max()) + 1)
    share = ((used + 2) / (np.bincount(group) + 2)) ** GROUP_POWER
    weight = share[group[rows]]
    return (weight / weight.sum()).astype(np.float32)


def log_prior(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log probabilities of no turn and of a turn; the first heterozygote has none before it.

    log_odds  (H,) of a turn
    returns   (H, 2) lattice.IMPOSSIBLE for a probability of 0

    >>> log_prior(np.array([9.0, 0.0, -np.inf])).round(3).tolist()
    [[0.0, 0.0], [-0.693, -0.693], [-0.0, -1e+30]]
    """
    odds = log_odds.astype(np.float64)
    both = np.stack([-np.logaddexp(0.0, odds), -np.logaddexp(0.0, -odds)], axis=1)
    both[:1] = 0.0
    return np.maximum(both, lattice.IMPOSSIBLE)


def _write(out: PhasedChunk, file: NDArray[np.uint8], sample: int, turns: _Turns) -> None:
    """Write a sample's turns into the result.

    file  (2, T) alleles in the order of the file
    """
    hets = heterozygotes(file)
    out.alleles[sample] = turned(file, hets, turns.best)
    out.turn[sample, hets] = np.where(turns.best, 1 - turns.probability, turns.probability)
    for draw, drawn in enumerate(turns.drawn):
        out.draws[draw, sample] = turned(file, hets, drawn)


def turned(
    alleles: NDArray[np.uint8],
    hets: NDArray[np.int64],
    turns: NDArray[np.bool_] | NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Alleles of a sample after turns at some heterozygotes, which turn the later ones along.

    alleles  (2, T)
    hets     (H,) indexes of heterozygotes
    turns    (H,) 1 if a heterozygote's order relative to the one before changes

    >>> turned(np.array([[0, 0, 1], [1, 1, 0]], np.uint8), np.arange(3), np.array([0, 1, 0]))
    array([[0, 1, 0],
           [1, 0, 1]], dtype=uint8)
    """
    swapped = hets[np.cumsum(turns, dtype=np.int64) % 2 == 1]
    out = alleles.copy()
    out[:, swapped] = alleles[::-1, swapped]
    return out
