"""What the compiled kernels compute, in slow and plain NumPy and float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.copying.chunks import Case
from vcfbert.copying import inputs
from vcfbert.copying.forward_backward import reference_weights
from vcfbert.copying.inputs import HEADS

_PENALTY = 1e-4  # added before a log is taken of a posterior


@dataclass(frozen=True)
class Answer:
    """weights (A, T, K), probabilities (S, A), rows (S, F) NaN at typed sites, shares (T, G)."""

    weights: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    rows: NDArray[np.float64]
    shares: NDArray[np.float64]
    left_out: NDArray[np.float64]


def impute(
    case: Case, query: NDArray[np.uint8], candidates: NDArray[np.int64], active: float
) -> Answer:
    """Candidates below `active` at both neighbours of a site, by every head, do not vote there.

    The inputs that need the other haplotype are left NaN.
    """
    chunk, typed = case.chunk, case.chunk.typed
    cm = chunk.cm.astype(np.float64)
    alleles = case.alleles[candidates].astype(np.float64)
    step = np.diff(cm[typed], prepend=cm[typed[0]])
    weights = np.stack(
        [
            reference_weights(case.alleles[candidates][:, typed], query, step, rate, error)
            for rate, error in zip(
                chunk.rates.astype(np.float64), chunk.errors.astype(np.float64), strict=True
            )
        ]
    )
    probabilities = np.empty((len(cm), HEADS))
    rows = np.full((len(cm), inputs.NUM_INPUTS), np.nan)
    matches = (case.alleles[candidates][:, typed] == query) | (query > 1)
    for site in range(len(cm)):
        right = int(np.searchsorted(typed, site))
        if right < len(typed) and typed[right] == site:
            seen = query[right] <= 1
            probabilities[site] = query[right] if seen else weights[:, right] @ alleles[:, site]
            continue
        left = right - 1
        ends = weights[:, [max(left, 0), min(right, len(typed) - 1)]]  # (A, 2, K)
        voting = ends.max(axis=(0, 1)) > active
        share = ends * voting / (ends * voting).sum(axis=2, keepdims=True)
        part = _part(cm, typed, site, left, right)
        probabilities[site] = (share[:, 0] * (1 - part) + share[:, 1] * part) @ alleles[:, site]
        rows[site] = _row(case, matches, ends, alleles[:, site], site, left, right)
        rows[site, :HEADS] = [_log_odds(value) for value in probabilities[site]]
    group = chunk.group[candidates]
    shares = np.stack([(weights[0] * (group == g)).sum(axis=1) for g in range(group.max() + 1)], 1)
    left_out = _left_out(chunk.errors, weights, query, case.alleles[candidates][:, typed])
    return Answer(weights, probabilities, rows, shares, left_out)


def _ends(cm: NDArray[np.float64], typed: NDArray[np.int64], left: int, right: int) -> tuple:
    """cM of the typed neighbours, or of the chunk's ends."""
    return (
        cm[typed[left]] if left >= 0 else cm[0],
        cm[typed[right]] if right < len(typed) else cm[-1],
    )


def _part(cm, typed, site: int, left: int, right: int) -> float:
    start, stop = _ends(cm, typed, left, right)
    return (cm[site] - start) / max(stop - start, 1e-9)


def _left_out(errors, weights, query, alleles) -> NDArray[np.float64]:
    """Mean of the first two heads' weights without the factor of the site's own allele."""
    answers = []
    for head in range(2):
        emission = np.where(alleles == query, 1 - errors[head], errors[head]).T  # (T, K)
        emission[query > 1] = 1.0
        cavity = weights[head] / emission
        answers.append((cavity * alleles.T).sum(axis=1) / cavity.sum(axis=1))
    return np.mean(answers, axis=0)


def _row(case, matches, ends, allele, site: int, left: int, right: int) -> NDArray[np.float64]:
    chunk, typed = case.chunk, case.chunk.typed
    cm, unit = chunk.cm.astype(np.float64), float(chunk.rates[0])
    start, stop = _ends(cm, typed, left, right)
    part = _part(cm, typed, site, left, right)
    lengths = np.array([_lengths(cm, typed, match, left, right) for match in matches])
    lengths = np.column_stack([lengths, ends[0].mean(axis=0)])  # (K, 6)
    row = dict.fromkeys(inputs.NAMES, math.nan)
    row["frequency"], row["minor frequency"] = chunk.frequency[site], chunk.minor[site]
    row["distance left"] = _log_length(unit * (cm[site] - start))
    row["distance right"] = _log_length(unit * (stop - cm[site]))
    row["carriers"] = math.log(1 + allele.sum())
    for name, carries in (("carrier", allele == 1), ("other", allele == 0)):
        best = np.where(carries[:, None], lengths, 0.0).max(axis=0)
        for place, measure in enumerate(("left", "right", "total", "total but one")):
            row[f"{name} {measure}"] = _log_length(unit * best[place])
        row[f"{name} sites"] = math.log(best[4] + 1)
        row[f"{name} posterior"] = math.log(best[5] + _PENALTY)
    for power in (3, 6):
        votes = (lengths[:, 2] + 1e-5) ** power
        row[f"vote {power}"] = _log_odds((votes * allele).sum() / votes.sum())
    for head in range(HEADS):
        at_ends = 1 / (ends[head] ** 2).sum(axis=1)
        row[f"states {head}"] = math.log((1 - part) * at_ends[0] + part * at_ends[1])
    return np.array([row[name] for name in inputs.NAMES])


def _lengths(cm, typed, match, left: int, right: int) -> tuple:
    """Shared match of one candidate around the interval: left, right, both, both with one mismatch
    bridged, and the number of typed sites it ends at, counted as a difference of their numbers."""
    start, stop = _ends(cm, typed, left, right)
    to_left = [t for t in range(left, -1, -1) if not match[t]]
    to_right = [t for t in range(right, len(typed)) if not match[t]]
    left_cm = [*(cm[typed[t]] for t in to_left[:2]), cm[0], cm[0]]
    right_cm = [*(cm[typed[t]] for t in to_right[:2]), cm[-1], cm[-1]]
    return (
        start - left_cm[0],
        right_cm[0] - stop,
        right_cm[0] - left_cm[0],
        max(right_cm[1] - left_cm[0], right_cm[0] - left_cm[1]),
        (to_right[0] if to_right else len(typed)) - (to_left[0] if to_left else -1),
    )


def _log_length(length: float) -> float:
    return math.log(max(length, 0.0) + 1e-2)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-7), 1 - 1e-7)
    return min(max(math.log(inside / (1 - inside)), -12.0), 12.0)
