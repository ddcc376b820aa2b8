"""Imputation of both haplotypes of a sample whose phase is uncertain, in one pass.

The two tracks (`branches`) are imputed together from the same candidates. At a cluster with
branches, the weights of a track are the mean over the branches, each in proportion to its
probability p:

    sum over branches of p * g / sum(g * beta),   g = predicted weights * emission

The predicted weights are those of the same track, or of the other one in a turn. Because of the
denominator, a branch has its probability p in the posterior weights as well: the phasing has
already read both haplotypes, and one haplotype alone must not decide anew. On the way back the same
holds for the backward weights `beta`. On the way forth they are those of the likeliest phase, from
a first sweep. With branches at one cluster, the result is the exact mean over the phases.

The inputs of the network that measure shared matches are those of the likeliest phase.

S sites, T typed sites in C clusters, K candidates, A parameter sets, B branches, F inputs, and a
block of 64 typed sites at a time as in `mosaic`. V = 2 tracks come first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import mosaic
from vcfbert.copying.compiled import kernel
from vcfbert.copying.forward_backward import (
    SMALLEST_EMISSION,
    backward_step,
    forward_step,
    posterior,
    read_block,
)
from vcfbert.copying.inputs import NUM_SETS
from vcfbert.copying.intrinsics import count_ones

_F = np.float32


class _Tracks(NamedTuple):
    """Scratch arrays of both tracks, as in `mosaic.State` with a first dimension of 2."""

    mismatches: NDArray[np.uint8]
    forward: NDArray[np.float32]
    ends: NDArray[np.float32]
    beta: NDArray[np.float32]
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    scales: NDArray[np.float32]
    states: NDArray[np.float32]


class _Sweep(NamedTuple):
    """What is known of each block and cluster after the first sweeps.

    firsts     (blocks + 1,) first cluster of each block
    ordinal    (C,) number of a cluster among those with branches, or -1
    likeliest  (n, 2, A, K) backward weights at these, in the likeliest phase
    factors    (B, 2, A) weight of a branch, by which its forward weights are multiplied
    saved, scales, lasts  (blocks, 2, ...) state before each block, as in `mosaic`
    """

    firsts: NDArray[np.int64]
    ordinal: NDArray[np.int64]
    likeliest: NDArray[np.float32]
    factors: NDArray[np.float32]
    saved: NDArray[np.float32]
    scales: NDArray[np.float32]
    lasts: NDArray[np.float32]


class _Room(NamedTuple):
    """Scratch arrays at a cluster with branches.

    predicted   (2, A, K) weights before the cluster's emission
    back        (2, A, K) backward weights before the switches to the left
    mismatches  (K,) of a branch
    emission    (K,) of a branch and parameter set
    product     (K,) its posterior weights, not normalised
    """

    predicted: NDArray[np.float32]
    back: NDArray[np.float32]
    mismatches: NDArray[np.uint8]
    emission: NDArray[np.float32]
    product: NDArray[np.float32]


@kernel()
def impute_sample(
    chunk, query, candidates, branches, low, probabilities, rows, sites, places, shares, left_out
):
    """Impute both tracks; returns (2,) the numbers of undecided sites.

    query       (2, T) the likeliest phase
    candidates  (K,) rows of the references, of both tracks
    branches    see `branches.Branches`
    The other arguments are those of `mosaic.impute_haplotype`, with a first dimension for the
    track. An allele of `left_out` is on the track that has it in the likeliest phase.
    """
    candidates, starts = mosaic.by_group(chunk.group, candidates, shares.shape[2])
    state, tracks = mosaic.new_state(chunk, candidates), _new_tracks(candidates.size)
    rho = mosaic.switches(chunk)
    sweep, room = _new_sweep(chunk, branches, candidates.size), _new_room(candidates.size)
    _sweep_left(chunk, query, state, tracks, rho, sweep)
    num_blocks, last = sweep.firsts.size - 1, chunk.stops.size - 1
    count = np.zeros(2, np.int64)
    tracks.right[:, last & 1, :2] = chunk.cm[-1]
    tracks.right[:, last & 1, 2] = _F(chunk.typed.size)
    for visit in range(2 * num_blocks - 1):  # to the last block, and back to the first
        block = min(visit, 2 * num_blocks - 2 - visit)
        _refill(chunk, query, state, tracks, rho, block, branches, visit < num_blocks, sweep, room)
        if visit < num_blocks - 1:
            continue
        first = sweep.firsts[block]
        for c in range(sweep.firsts[block + 1] - 1, first - 1 - (block == 0), -1):
            t = max(c - first, 0)  # c is -1 before the first cluster
            is_mixed = c >= 0 and sweep.ordinal[c] >= 0
            if is_mixed:
                _predict(tracks, sweep.saved[block], t, rho[c], room.predicted)
                _mix_posterior(chunk, query, state.typed, tracks, c, branches, room, left_out)
            for v in range(2):
                own = _track(state, tracks, v)
                _arrive(chunk, own, c, t, is_mixed, starts, shares[v])
                count[v] = mosaic.between(
                    chunk, own, own.left[t], c, low,
                    probabilities[v], rows[v], sites[v], places[v], count[v],
                )  # fmt: skip
                if c >= 0:
                    _depart(
                        chunk, own, query[v], c, t, is_mixed, rho, probabilities[v], left_out[v]
                    )
            if c > 0 and is_mixed:
                _mix_back(tracks, rho[c], room.back)
    return count


@kernel()
def _new_tracks(num_candidates):
    return _Tracks(
        np.empty((2, 64, num_candidates), np.uint8),
        np.empty((2, 64, NUM_SETS, num_candidates), np.float32),
        np.empty((2, 2, NUM_SETS, num_candidates), np.float32),
        np.ones((2, NUM_SETS, num_candidates), np.float32),
        np.empty((2, 64, 3, num_candidates), np.float32),
        np.empty((2, 2, 3, num_candidates), np.float32),
        np.ones((2, NUM_SETS), np.float32),
        np.empty((2, 2, NUM_SETS), np.float32),
    )


@kernel()
def _track(state, tracks, v):
    """The state of one track; both share what lasts no longer than an interval."""
    return mosaic.State(
        state.candidates,
        state.typed,
        tracks.mismatches[v],
        tracks.forward[v],
        tracks.ends[v],
        tracks.beta[v],
        tracks.left[v],
        tracks.right[v],
        state.lengths,
        state.allele,
        state.mask,
        state.alleles,
        state.words,
        state.active,
        state.votes,
        state.sums,
        tracks.scales[v],
        tracks.states[v],
    )


@kernel()
def _new_sweep(chunk, branches, num_candidates):
    num_blocks, num_clusters = chunk.typed_bits.shape[1], chunk.stops.size
    firsts, ordinal = np.zeros(num_blocks + 1, np.int64), np.full(num_clusters, -1, np.int64)
    num_mixed = 0
    for c in range(num_clusters):
        firsts[((chunk.stops[c] - 1) >> 6) + 1] = c + 1
        if branches.first[c + 1] > branches.first[c]:
            ordinal[c] = num_mixed
            num_mixed += 1
    sweep = _Sweep(
        firsts,
        ordinal,
        np.empty((num_mixed, 2, NUM_SETS, num_candidates), np.float32),
        np.zeros((branches.weight.size, 2, NUM_SETS), np.float32),
        np.empty((num_blocks, 2, NUM_SETS, num_candidates), np.float32),
        np.ones((num_blocks, 2, NUM_SETS), np.float32),
        np.empty((num_blocks, 2, 3, num_candidates), np.float32),
    )
    sweep.saved[0] = _F(1) / _F(num_candidates)
    sweep.lasts[0, :, :2] = chunk.cm[0]
    sweep.lasts[0, :, 2] = _F(-1)
    return sweep


@kernel()
def _new_room(num_candidates):
    return _Room(
        np.empty((2, NUM_SETS, num_candidates), np.float32),
        np.empty((2, NUM_SETS, num_candidates), np.float32),
        np.empty(num_candidates, np.uint8),
        np.empty(num_candidates, np.float32),
        np.empty(num_candidates, np.float32),
    )


@kernel()
def _sweep_left(chunk, query, state, tracks, rho, sweep):
    """Backward weights of the likeliest phase at the clusters with branches."""
    for v in range(2):
        beta, mismatches = tracks.beta[v], tracks.mismatches[v]
        for block in range(sweep.firsts.size - 2, -1, -1):
            first = sweep.firsts[block]
            size = read_block(
                chunk.typed_bits, state.candidates, query[v], chunk.stops, first, block,
                state.typed, mismatches,
            )  # fmt: skip
            for t in range(size - 1, -1, -1):
                c = first + t
                if sweep.ordinal[c] >= 0:
                    sweep.likeliest[sweep.ordinal[c], v] = beta
                if c > 0:
                    backward_step(beta, mismatches[t], rho[c], chunk.errors)
        beta[:] = _F(1)


@kernel()
def _refill(chunk, query, state, tracks, rho, block, branches, is_new, sweep, room):
    """Forward weights and last mismatches of every cluster of a block, and the state after it.

    is_new  the factors of the branches are not known yet
    """
    first = sweep.firsts[block]
    size = sweep.firsts[block + 1] - first
    for v in range(2):
        read_block(
            chunk.typed_bits, state.candidates, query[v], chunk.stops, first, block,
            state.typed, tracks.mismatches[v],
        )  # fmt: skip
    tracks.scales[:] = sweep.scales[block]
    for t in range(size):
        c = first + t
        number = sweep.ordinal[c]
        point = chunk.points[c]
        place = chunk.cm[chunk.typed[point]]
        for v in range(2):
            own, after = tracks.mismatches[v, t], tracks.forward[v, t]
            if number < 0:
                before = tracks.forward[v, t - 1] if t else sweep.saved[block, v]
                forward_step(before, after, own, tracks.scales[v], rho[c], chunk.errors)
            noted = tracks.left[v, t - 1] if t else sweep.lasts[block, v]
            mosaic.note_mismatches(noted, tracks.left[v, t], own, place, point)
        if number >= 0:
            _predict(tracks, sweep.saved[block], t, rho[c], room.predicted)
            likeliest = sweep.likeliest[number]
            _mix_forward(
                chunk, query, state.typed, tracks, c, t, branches, likeliest, is_new,
                sweep.factors, room,
            )  # fmt: skip
    if is_new and block + 1 < sweep.firsts.size - 1:
        sweep.saved[block + 1] = tracks.forward[:, size - 1]
        sweep.lasts[block + 1] = tracks.left[:, size - 1]
        sweep.scales[block + 1] = tracks.scales


@kernel()
def _predict(tracks, saved, t, rho, predicted):
    """Weights of both tracks before the emission of a cluster; each sums to 1."""
    for v in range(2):
        before = tracks.forward[v, t - 1] if t else saved[v]
        for a in range(NUM_SETS):
            total = _sum(before[a])
            stay, switch = _F((_F(1) - rho[a]) / total), _F(rho[a] / before.shape[1])
            for k in range(before.shape[1]):
                predicted[v, a, k] = stay * before[a, k] + switch


@kernel()
def _sum(values):
    total = _F(0)
    for k in range(values.size):
        total += values[k]
    return total


@kernel()
def _mix_forward(chunk, query, words, tracks, c, t, branches, likeliest, is_new, factors, room):
    """Forward weights after a cluster with branches.

    likeliest  (2, A, K) backward weights
    factors    (B, 2, A) written for the branches if they are new, else read
    """
    tracks.forward[:, t] = _F(0)
    tracks.scales[:] = _F(1)
    for branch in range(branches.first[c], branches.first[c + 1]):
        for v in range(2):
            after = tracks.forward[v, t]
            _compare(chunk, query[v], words, c, branches.flips[branch], room.mismatches)
            for a in range(NUM_SETS):
                _emit(room.mismatches, chunk.errors[a], room.emission)
                before = room.predicted[v ^ branches.turned[branch], a]
                if is_new:
                    total = _F(0)
                    for k in range(before.size):
                        total += before[k] * room.emission[k] * likeliest[v, a, k]
                    factors[branch, v, a] = branches.weight[branch] / total
                factor = factors[branch, v, a]
                for k in range(before.size):
                    after[a, k] += factor * before[k] * room.emission[k]
    for v in range(2):
        for a in range(NUM_SETS):
            after = tracks.forward[v, t, a]
            factor = _F(1) / _sum(after)
            for k in range(after.size):
                after[k] *= factor


@kernel()
def _mix_posterior(chunk, query, words, tracks, c, branches, room, left_out):
    """Posterior weights at a cluster with branches, its `left_out`, and `room.back`."""
    room.back[:] = _F(0)
    start, stop = chunk.stops[c - 1] if c else 0, chunk.stops[c]
    tracks.ends[:, c & 1] = _F(0)
    left_out[:, start:stop] = _F(0)
    for branch in range(branches.first[c], branches.first[c + 1]):
        flips, weight = branches.flips[branch], branches.weight[branch]
        for v in range(2):
            source = v ^ branches.turned[branch]
            _compare(chunk, query[v], words, c, flips, room.mismatches)
            for a in range(NUM_SETS):
                _emit(room.mismatches, chunk.errors[a], room.emission)
                here, back, beta = tracks.ends[v, c & 1, a], room.back[source, a], tracks.beta[v, a]
                for k in range(here.size):
                    room.emission[k] *= beta[k]
                    room.product[k] = room.predicted[source, a, k] * room.emission[k]
                factor = weight / _sum(room.product)
                for k in range(here.size):
                    here[k] += factor * room.product[k]
                    back[k] += factor * room.emission[k]
                if a < 2:
                    _leave_out(
                        chunk, query, words, v, start, stop, flips, a,
                        room.product, _F(0.5) * weight, left_out,
                    )  # fmt: skip
    for v in range(2):
        for a in range(NUM_SETS):
            here, squares = tracks.ends[v, c & 1, a], _F(0)
            factor = _F(1) / _sum(here)
            for k in range(here.size):
                value = here[k] * factor
                here[k] = value
                squares += value * value
            tracks.states[v, c & 1, a] = _F(1) / squares


@kernel()
def _leave_out(chunk, query, words, v, start, stop, flips, a, weights, share, left_out):
    """Add a branch to the probability of ALT at observed typed sites as if they were not typed.

    weights  (K,) posterior of the branch on track v under parameter set a, up to a factor
    share    what the branch counts
    """
    hit, miss = _F(1) - chunk.errors[a], chunk.errors[a]
    for site in range(start, stop):
        if query[v, site] > 1:
            continue
        flip = np.int64((flips >> np.uint64(site & 63)) & np.uint64(1))
        allele = query[v, site] ^ flip
        ref, alt = mosaic.carried_weights(weights, words, np.uint64(site & 63))
        alt /= hit if allele == 1 else miss
        ref /= hit if allele == 0 else miss
        left_out[v ^ flip, site] += share * alt / (alt + ref)


@kernel()
def _mix_back(tracks, rho, back):
    """Move the backward weights to the left of a cluster with branches."""
    for v in range(2):
        for a in range(NUM_SETS):
            stay = _F((_F(1) - rho[a]) / _sum(back[v, a]))
            switch = _F(rho[a] / back.shape[2])
            for k in range(back.shape[2]):
                tracks.beta[v, a, k] = stay * back[v, a, k] + switch


@kernel()
def _compare(chunk, query, words, c, flips, mismatches):
    """Mismatches of each candidate in a cluster, after the flips of a branch."""
    asked, seen = np.uint64(0), np.uint64(0)
    for site in range(chunk.stops[c - 1] if c else 0, chunk.stops[c]):
        if query[site] <= 1:
            asked |= np.uint64(query[site]) << np.uint64(site & 63)
            seen |= np.uint64(1) << np.uint64(site & 63)
    for k in range(mismatches.size):
        mismatches[k] = np.uint8(count_ones((words[k] ^ asked ^ flips) & seen))


@kernel()
def _emit(mismatches, error, emission):
    """Emission of each candidate, relative to that of the best."""
    fewest = mismatches[0]
    for k in range(mismatches.size):
        fewest = min(fewest, mismatches[k])
    table = np.empty(65, np.float32)
    table[0] = _F(1)
    for number in range(1, 65):
        value = _F(table[number - 1] * _F(error / (_F(1) - error)))
        table[number] = max(value, _F(SMALLEST_EMISSION))
    for k in range(mismatches.size):
        emission[k] = table[mismatches[k] - fewest]


@kernel()
def _arrive(chunk, state, c, t, is_mixed, starts, shares):
    """Posterior weights of a track at a cluster, or before the first if c is -1."""
    if c < 0:
        state.left[0, :2] = chunk.cm[0]
        state.left[0, 2] = _F(-1)
        state.ends[1] = state.ends[0]
        state.states[1] = state.states[0]
        return
    here, states = state.ends[c & 1], state.states[c & 1]
    if not is_mixed:
        posterior(state.forward[t], state.beta, here, states)
    mosaic.share_of_groups(here, starts, shares[c])
    if c == chunk.stops.size - 1:
        state.ends[1 - (c & 1)] = here
        state.states[1 - (c & 1)] = states


@kernel()
def _depart(chunk, state, query, c, t, is_mixed, rho, probabilities, left_out):
    """Typed sites of a cluster on one track, and the step to the left."""
    start = chunk.stops[c - 1] if c else 0
    mixed = left_out[start : chunk.stops[c]].copy()
    mosaic.typed_sites(chunk, state, query, c, probabilities, left_out)
    for site in range(start, chunk.stops[c]):
        if is_mixed and query[site] <= 1:
            left_out[site] = mixed[site - start]
    own, point = state.mismatches[t], chunk.points[c]
    before, after = state.right[c & 1], state.right[1 - (c & 1)]
    mosaic.note_mismatches(before, after, own, chunk.cm[chunk.typed[point]], point)
    if c > 0 and not is_mixed:
        backward_step(state.beta, own, rho[c], chunk.errors)
