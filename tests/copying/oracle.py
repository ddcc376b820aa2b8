"""The model of the compiled kernels in slow, plain NumPy and float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.copying.chunks import MISSING, Case
from vcfbert.copying import inputs
from vcfbert.copying.forward_backward import MIN_STEP_CM
from vcfbert.copying.inputs import NUM_SETS

_PENALTY = 1e-4  # added before a log is taken of a posterior


@dataclass(frozen=True)
class Answer:
    """weights (A, C, K), probabilities (S, A), shares (C, G)."""

    weights: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    shares: NDArray[np.float64]


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
    """At each site, candidates below `active` at both clusters around it in every parameter set
    do not vote.
    """
    return answer(case, query, candidates, copying_weights(case, query, candidates), active)


def answer(
    case: Case,
    query: NDArray[np.uint8],
    candidates: NDArray[np.int64],
    weights: NDArray[np.float64],
    active: float,
) -> Answer:
    """The same from copying weights (A, C, K)."""
    chunk, typed = case.chunk, case.chunk.typed
    alleles = case.alleles[candidates].astype(np.float64)
    probabilities = np.empty((len(chunk.cm), NUM_SETS))
    for site in range(len(chunk.cm)):
        if site in typed:
            number = int(np.searchsorted(typed, site))
            cluster = int(np.searchsorted(chunk.stops, number, side="right"))
            seen = query[number] <= 1
            probabilities[site] = query[number] if seen else weights[:, cluster] @ alleles[:, site]
            continue
        place = _place(case, site)
        ends = _ends(weights, place)
        voting = ends.max(axis=(0, 1)) > active
        share = ends * voting / (ends * voting).sum(axis=2, keepdims=True)
        share = share[:, 0] * (1 - place.part) + share[:, 1] * place.part
        probabilities[site] = share @ alleles[:, site]
    group = chunk.group[candidates]
    shares = np.stack([(weights[0] * (group == g)).sum(axis=1) for g in range(group.max() + 1)], 1)
    return Answer(weights, probabilities, shares)


def network_inputs(
    case: Case,
    query: NDArray[np.uint8],
    candidates: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(S, F) inputs of the network; NaN at typed sites and for what needs the other haplotype.

    probabilities  (S, A) of `impute`
    """
    alleles, weights = case.alleles[candidates], copying_weights(case, query, candidates)
    mismatches = _mismatches(case, query, candidates)
    rows = np.full((len(case.chunk.cm), inputs.NUM_INPUTS), np.nan)
    for site in np.setdiff1d(np.arange(len(rows)), case.chunk.typed):
        ends = _ends(weights, _place(case, site))
        rows[site] = _row(case, mismatches, ends, alleles[:, site].astype(np.float64), site)
        rows[site, :NUM_SETS] = [_log_odds(value) for value in probabilities[site]]
    return rows


def left_out(
    case: Case, query: NDArray[np.uint8], candidates: NDArray[np.int64], number: int
) -> float:
    """Probability of ALT at one typed site after its allele is deleted from the query."""
    hidden = query.copy()
    hidden[number] = MISSING
    cluster = np.searchsorted(case.chunk.stops, number, side="right")
    weights = copying_weights(case, hidden, candidates)[:2, cluster]
    return float((weights @ case.alleles[candidates, case.chunk.typed[number]]).mean())


def copying_weights(
    case: Case, query: NDArray[np.uint8], candidates: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(A, C, K) posterior weights of a haplotype."""
    chunk, alleles = case.chunk, case.alleles[candidates][:, case.chunk.typed]
    place = chunk.cm.astype(np.float64)[chunk.typed[chunk.points]]
    step = np.diff(place, prepend=place[0])
    rates = zip(chunk.rates.astype(np.float64), chunk.errors.astype(np.float64), strict=True)
    return np.stack(
        [reference_weights(alleles, query, chunk.stops, step, *constants) for constants in rates]
    )


def _ends(weights: NDArray[np.float64], place: _Place) -> NDArray[np.float64]:
    """(A, 2, K) weights at the clusters left and right of a place."""
    return weights[:, [max(place.left, 0), min(place.right, weights.shape[1] - 1)]]


def _mismatches(
    case: Case, query: NDArray[np.uint8], candidates: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(K, C) numbers of mismatches in each cluster."""
    differ = (case.alleles[candidates][:, case.chunk.typed] != query) & (query <= 1)
    return np.stack([part.sum(axis=1) for part in np.split(differ, case.chunk.stops[:-1], 1)], 1)


def _place(case: Case, site: int) -> _Place:
    cm, points = case.chunk.cm.astype(np.float64), case.chunk.typed[case.chunk.points]
    right = int(np.searchsorted(points, site))
    start = cm[points[right - 1]] if right else cm[0]
    stop = cm[points[right]] if right < len(points) else cm[-1]
    return _Place(right - 1, right, start, stop, (cm[site] - start) / max(stop - start, 1e-9))


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
    mismatches = np.add.reduceat(differ, np.append(0, stops[:-1]), axis=1).T  # (C, K)
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
