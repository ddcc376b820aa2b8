"""What the compiled kernels compute, in slow and plain NumPy and float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.copying.chunks import Case
from vcfbert.copying import inputs
from vcfbert.copying.forward_backward import MIN_STEP_CM
from vcfbert.copying.inputs import NUM_SETS

_PENALTY = 1e-4  # added before a log is taken of a posterior


@dataclass(frozen=True)
class Answer:
    """weights (A, C, K), probabilities (S, A), rows (S, F) NaN at typed sites, shares (C, G)."""

    weights: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    rows: NDArray[np.float64]
    shares: NDArray[np.float64]
    left_out: NDArray[np.float64]


@dataclass(frozen=True)
class _Place:
    """Where a site is: between the points of clusters left and right, -1 and C being the ends.

    start, stop  cM of the two points, or of the chunk's ends
    """

    left: int
    right: int
    start: float
    stop: float
    part: float


def impute(
    case: Case, query: NDArray[np.uint8], candidates: NDArray[np.int64], active: float
) -> Answer:
    """Candidates below `active` at both clusters around a site, by every head, do not vote there.

    The inputs that need the other haplotype are left NaN.
    """
    chunk, typed = case.chunk, case.chunk.typed
    cm = chunk.cm.astype(np.float64)
    alleles = case.alleles[candidates].astype(np.float64)
    at_typed = case.alleles[candidates][:, typed]
    weights = _weights(case, query, at_typed)
    last = len(chunk.points) - 1
    probabilities = np.empty((len(cm), NUM_SETS))
    rows = np.full((len(cm), inputs.NUM_INPUTS), np.nan)
    for site in range(len(cm)):
        if site in typed:
            number = int(np.searchsorted(typed, site))
            cluster = int(np.searchsorted(chunk.stops, number, side="right"))
            seen = query[number] <= 1
            probabilities[site] = query[number] if seen else weights[:, cluster] @ alleles[:, site]
            continue
        place = _place(case, site)
        ends = weights[:, [max(place.left, 0), min(place.right, last)]]  # (A, 2, K)
        voting = ends.max(axis=(0, 1)) > active
        share = ends * voting / (ends * voting).sum(axis=2, keepdims=True)
        share = share[:, 0] * (1 - place.part) + share[:, 1] * place.part
        probabilities[site] = share @ alleles[:, site]
        rows[site] = _row(case, _mismatches(case, query, at_typed), ends, alleles[:, site], site)
        rows[site, :NUM_SETS] = [_log_odds(value) for value in probabilities[site]]
    group = chunk.group[candidates]
    shares = np.stack([(weights[0] * (group == g)).sum(axis=1) for g in range(group.max() + 1)], 1)
    left_out = _left_out(case, weights, query, at_typed)
    return Answer(weights, probabilities, rows, shares, left_out)


def _weights(case: Case, query: NDArray[np.uint8], at_typed) -> NDArray[np.float64]:
    chunk = case.chunk
    place = chunk.cm.astype(np.float64)[chunk.typed[chunk.points]]
    step = np.diff(place, prepend=place[0])
    rates = zip(chunk.rates.astype(np.float64), chunk.errors.astype(np.float64), strict=True)
    return np.stack(
        [reference_weights(at_typed, query, chunk.stops, step, *constants) for constants in rates]
    )


def _mismatches(case: Case, query: NDArray[np.uint8], at_typed) -> NDArray[np.int64]:
    """(K, C) numbers of mismatches in each cluster."""
    differ = (at_typed != query) & (query <= 1)
    return np.stack([part.sum(axis=1) for part in np.split(differ, case.chunk.stops[:-1], 1)], 1)


def _place(case: Case, site: int) -> _Place:
    cm, points = case.chunk.cm.astype(np.float64), case.chunk.typed[case.chunk.points]
    right = int(np.searchsorted(points, site))
    start = cm[points[right - 1]] if right else cm[0]
    stop = cm[points[right]] if right < len(points) else cm[-1]
    return _Place(right - 1, right, start, stop, (cm[site] - start) / max(stop - start, 1e-9))


def _left_out(case: Case, weights, query, at_typed) -> NDArray[np.float64]:
    """Mean of the first two parameter sets, with the site's own emission divided out."""
    cluster = np.searchsorted(case.chunk.stops, np.arange(len(query)), side="right")
    answers = []
    for a in range(2):
        error = case.chunk.errors[a]
        emission = np.where(at_typed == query, 1 - error, error).T  # (T, K)
        emission[query > 1] = 1.0
        cavity = weights[a][cluster] / emission
        answers.append((cavity * at_typed.T).sum(axis=1) / cavity.sum(axis=1))
    return np.mean(answers, axis=0)


def _row(case: Case, mismatches, ends, allele, site: int) -> NDArray[np.float64]:
    chunk, place = case.chunk, _place(case, site)
    cm, unit = chunk.cm.astype(np.float64), float(chunk.rates[0])
    lengths = np.array([_lengths(case, of_one, place) for of_one in mismatches])
    lengths = np.column_stack([lengths, ends[0].mean(axis=0)])  # (K, 6)
    before, after = cm[chunk.typed[chunk.typed < site]], cm[chunk.typed[chunk.typed > site]]
    row = dict.fromkeys(inputs.NAMES, math.nan)
    row["frequency"], row["minor frequency"] = chunk.frequency[site], chunk.minor[site]
    row["panel carriers"], row["panel others"] = chunk.panel[:, site]
    row["distance left"] = _log_length(unit * (cm[site] - (before[-1] if len(before) else cm[0])))
    row["distance right"] = _log_length(unit * ((after[0] if len(after) else cm[-1]) - cm[site]))
    row["carriers"] = math.log(1 + allele.sum())
    for name, carries in (("carrier", allele == 1), ("other", allele == 0)):
        best = np.where(carries[:, None], lengths, 0.0).max(axis=0)
        for number, measure in enumerate(("left", "right", "total", "total but one")):
            row[f"{name} {measure}"] = _log_length(unit * best[number])
        row[f"{name} sites"] = math.log(best[4] + 1)
        row[f"{name} posterior"] = math.log(best[5] + _PENALTY)
    for power in (3, 6):
        votes = (lengths[:, 2] + 1e-5) ** power
        row[f"vote {power}"] = _log_odds((votes * allele).sum() / votes.sum())
    for a in range(NUM_SETS):
        at_ends = 1 / (ends[a] ** 2).sum(axis=1)
        row[f"states {a}"] = math.log((1 - place.part) * at_ends[0] + place.part * at_ends[1])
    return np.array([row[name] for name in inputs.NAMES])


def _lengths(case: Case, mismatches: NDArray[np.int64], place: _Place) -> tuple:
    """Shared match of one candidate around a place: left, right, both, both with one mismatch
    bridged, and the number of typed sites it ends at, counted as a difference of their numbers."""
    chunk = case.chunk
    cm, points = chunk.cm.astype(np.float64), chunk.points
    at = cm[chunk.typed[points]]
    twice = [[c] * min(int(number), 2) for c, number in enumerate(mismatches)]
    to_left = [c for some in reversed(twice[: place.right]) for c in some]
    to_right = [c for some in twice[place.right :] for c in some]
    left_cm = [*(at[c] for c in to_left[:2]), cm[0], cm[0]]
    right_cm = [*(at[c] for c in to_right[:2]), cm[-1], cm[-1]]
    return (
        place.start - left_cm[0],
        right_cm[0] - place.stop,
        right_cm[0] - left_cm[0],
        max(right_cm[1] - left_cm[0], right_cm[0] - left_cm[1]),
        (points[to_right[0]] if to_right else len(chunk.typed))
        - (points[to_left[0]] if to_left else -1),
    )


def _log_length(length: float) -> float:
    return math.log(max(length, 0.0) + 1e-2)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-7), 1 - 1e-7)
    return min(max(math.log(inside / (1 - inside)), -12.0), 12.0)


def reference_weights(
    alleles: NDArray[np.uint8],
    query: NDArray[np.uint8],
    stops: NDArray[np.int64],
    step_cm: NDArray[np.float64],
    rate: float,
    error: float,
) -> NDArray[np.float64]:
    """Posterior copying weights of one parameter set, step by step in float64.

    alleles  (K, T) 0 REF, 1 ALT
    query    (T,) 0, 1, or more if missing
    stops    (C,) and step_cm (C,) as in `kernels.copying_weights`
    returns  (C, K)
    """
    differ = ((alleles != query) & (query <= 1)).astype(np.int64)
    mismatches = np.add.reduceat(differ, np.append(0, stops[:-1]), axis=1).clip(max=2).T  # (C, K)
    emission = (error / (1.0 - error)) ** mismatches
    rho = -np.expm1(-rate * np.maximum(step_cm, MIN_STEP_CM))
    forward, backward = np.empty_like(emission), np.ones_like(emission)
    num_sites, num_states = emission.shape
    forward[0] = emission[0] / emission[0].sum()
    for t in range(1, num_sites):
        forward[t] = ((1 - rho[t]) * forward[t - 1] + rho[t] / num_states) * emission[t]
        forward[t] /= forward[t].sum()
    for t in range(num_sites - 1, 0, -1):
        onward = emission[t] * backward[t]
        backward[t - 1] = (1 - rho[t]) * onward / onward.sum() + rho[t] / num_states
    weights = forward * backward
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
