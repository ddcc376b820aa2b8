"""Panels and samples drawn from the copying model, and the exact phase by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from vcfbert.phasing.genotype_search import words
from vcfbert.phasing.phase_chunk import UnphasedChunk, heterozygotes

RATE = 4.0  # switches per cM
ERROR = 0.002
NO_ROWS = np.empty(0, np.int64)


def copies(
    rng: np.random.Generator,
    source: NDArray[np.uint8],
    cm: NDArray[np.float64],
    count: int,
    rate: float = RATE,
    error: float = ERROR,
) -> NDArray[np.uint8]:
    """(count, T) haplotypes that copy the rows of `source` as the model says."""
    switch = -np.expm1(-rate * np.diff(cm, prepend=cm[0]))
    out = np.empty((count, len(cm)), np.uint8)
    for alleles in out:
        row = 0
        for site in range(len(cm)):
            if site == 0 or rng.random() < switch[site]:
                row = rng.integers(len(source))
            alleles[site] = source[row, site] ^ (rng.random() < error)
    return out


def panel(
    rng: np.random.Generator, num_references: int, num_typed: int, length: float = 3.0
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(R, T) references that are mosaics of twelve founders, and (T,) cM."""
    cm = np.sort(rng.random(num_typed)) * length
    frequency = rng.beta(0.6, 1.2, num_typed)
    founders = (rng.random((12, num_typed)) < frequency).astype(np.uint8)
    return copies(rng, founders, cm, num_references), cm


def chunk(
    references: NDArray[np.uint8],
    cm: NDArray[np.float64],
    alleles: NDArray[np.uint8],
    turn_log_odds: NDArray[np.float32] | None = None,
) -> UnphasedChunk:
    """A chunk in one group, nothing known of the order, no rows excluded."""
    if turn_log_odds is None:
        turn_log_odds = np.zeros(alleles[:, 0].shape, np.float32)
    return UnphasedChunk(
        bits=words(references),
        cm=cm,
        group=np.zeros(len(references), np.int64),
        alleles=alleles,
        turn_log_odds=turn_log_odds,
        own=[NO_ROWS] * len(alleles),
    )


def switch_errors(alleles: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[int, int]:
    """Wrong steps between neighbouring heterozygotes, and all steps; both (N, 2, T)."""
    wrong = total = 0
    for found, true in zip(alleles, truth, strict=True):
        hets = heterozygotes(true)
        is_other = found[0, hets] != true[0, hets]
        wrong += int((is_other[1:] != is_other[:-1]).sum())
        total += max(len(hets) - 1, 0)
    return wrong, total


def log_likelihood(
    references: NDArray[np.uint8],
    haplotype: NDArray[np.uint8],
    cm: NDArray[np.float64],
    rate: float,
    error: float,
    share: NDArray[np.float64],
) -> float:
    """Log probability of a haplotype in the model of Li and Stephens; missing where above 1."""
    weights, total = share.astype(np.float64), 0.0
    switch = -np.expm1(-rate * np.diff(cm, prepend=cm[0]))
    for site in range(len(cm)):
        weights = (1 - switch[site]) * weights + switch[site] * share
        if haplotype[site] <= 1:
            weights = weights * np.where(references[:, site] == haplotype[site], 1 - error, error)
        total += np.log(weights.sum())
        weights = weights / weights.sum()
    return total


def exact_turns(
    references: NDArray[np.uint8],
    alleles: NDArray[np.uint8],
    cm: NDArray[np.float64],
    turn_log_odds: NDArray[np.floating],
    rate: float,
    error: float,
    share: NDArray[np.float64],
) -> tuple[NDArray[np.float64], dict[tuple[int, ...], float]]:
    """Probability of each turn, and of each vector of turns, by enumeration of all phases.

    alleles        (2, T)
    turn_log_odds  (H,)
    """
    is_unknown = (alleles > 1).any(axis=0)
    hets = np.flatnonzero(~is_unknown & (alleles[0] != alleles[1]))
    found = {}
    for turns in itertools.product((0, 1), repeat=len(hets) - 1):
        swapped = hets[np.cumsum((0, *turns)) % 2 == 1]
        pair = np.where(is_unknown, np.uint8(4), alleles)
        pair[:, swapped] = pair[::-1, swapped]
        prior = float(np.array((0, *turns)) @ turn_log_odds)
        found[0, *turns] = prior + sum(
            log_likelihood(references, one, cm, rate, error, share) for one in pair
        )
    top = max(found.values())
    total = sum(np.exp(value - top) for value in found.values())
    by_phase = {turns: float(np.exp(value - top) / total) for turns, value in found.items()}
    return np.sum([np.array(turns) * p for turns, p in by_phase.items()], axis=0), by_phase
