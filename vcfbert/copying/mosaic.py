"""Imputation of one haplotype as a mosaic of candidates: probabilities, and inputs of the network.

S sites of the chunk, T typed sites in C clusters (`forward_backward.clusters`), R reference
haplotypes, K candidates, A parameter sets, G groups of references, F inputs (`inputs.NAMES`).

The first pass goes from left to right and keeps the forward weights at every 64th typed site; the
second goes from right to left, a block of 64 typed sites at a time. So memory is 64 A K floats, not
C A K. The position of a cluster is its middle typed site; the sites between two such points are
imputed from the weights of both clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import inputs
from vcfbert.copying.compiled import kernel
from vcfbert.copying.forward_backward import (
    backward_step,
    forward_step,
    posterior,
    read_block,
    switch_table,
)
from vcfbert.copying.inputs import NUM_SETS, log_length, log_odds
from vcfbert.copying.intrinsics import trailing_zeros

ACTIVE = np.float32(2e-3)
"""A candidate votes between two clusters only if its weight at either is above this, or above half
of an even share if that is less."""

SHORTEST_MATCH_CM = 1e-5
"""Added to a shared match that votes, so that all votes are equal if the map is flat."""

_F = np.float32
_LANES = 4  # parameter sets, padded to a power of two


class Chunk(NamedTuple):
    """What all queries of a chunk share.

    bits         (R, ceil(S / 64)) uint64 alleles, the first site in the lowest bit
    typed_bits   (R, ceil(T / 64)) uint64, typed sites alone
    typed        (T,) indexes of the typed sites among the S
    untyped      (ceil(S / 64),) uint64, a bit set for each site that is not typed
    stops        (C,) typed sites up to the end of each cluster
    points       (C,) index among the typed sites of each cluster's middle
    around       (2, S) float32 cM to the next typed site, or the chunk's end, on the left and right
    cm           (S,) float32
    frequency    (S,) float32 log odds of the ALT frequency
    minor        (S,) float32 log of the minor allele frequency
    panel        (2, S) float32 log odds of `leave_one_out.predictions`
    group        (R,) group of each reference
    rates        (A,) float32 switches per cM
    errors       (A,) float32
    """

    bits: NDArray[np.uint64]
    typed_bits: NDArray[np.uint64]
    typed: NDArray[np.int64]
    untyped: NDArray[np.uint64]
    stops: NDArray[np.int64]
    points: NDArray[np.int64]
    around: NDArray[np.float32]
    cm: NDArray[np.float32]
    frequency: NDArray[np.float32]
    minor: NDArray[np.float32]
    panel: NDArray[np.float32]
    group: NDArray[np.int64]
    rates: NDArray[np.float32]
    errors: NDArray[np.float32]


class State(NamedTuple):
    """Scratch arrays of one query."""

    candidates: NDArray[np.int64]  # (K,)
    typed: NDArray[np.uint64]  # (K,) alleles at the typed sites of a block
    mismatches: NDArray[np.uint8]  # (64, K)
    forward: NDArray[np.float32]  # (64, A, K)
    ends: NDArray[np.float32]  # (2, A, K) weights at two clusters, by parity of their indexes
    beta: NDArray[np.float32]  # (A, K)
    left: NDArray[np.float32]  # (64, 3, K) last mismatch to the left: cM, the one before, site
    right: NDArray[np.float32]  # (2, 3, K), by parity of the next cluster to the left
    lengths: NDArray[np.float32]  # (8, K)
    allele: NDArray[np.float32]  # (K,)
    mask: NDArray[np.int32]  # (K,) all bits set if the candidate carries ALT
    alleles: NDArray[np.uint64]  # (ceil(S / 64), K) the candidates' bits, adjacent
    words: NDArray[np.uint64]  # (K,) alleles of up to 64 sites
    active: NDArray[np.int64]  # (K,)
    votes: NDArray[np.float32]  # (K, 2 * _LANES) weights of the active candidates at both clusters
    sums: NDArray[np.float32]  # (64, 2 * _LANES)
    scales: NDArray[np.float32]  # (A,) of the latest forward weights
    states: NDArray[np.float32]  # (2, A) effective number of candidates at two clusters, as `ends`


@kernel()
def impute_haplotype(
    chunk, query, candidates, low, probabilities, rows, sites, places, shares, left_out
):
    """Impute one haplotype; returns n, the number of undecided sites.

    query          (T,) 0 REF, 1 ALT, more if missing
    candidates     (K,) rows of the references
    low            sites whose probabilities are all below `low` or above 1 - low are decided
    probabilities  (S, A) written: probability of ALT under each parameter set
    rows           (S, F) written up to n; `inputs.complete` adds what needs the other haplotype
    sites, places  (S,) written up to n, see `inputs.complete`
    shares         (C, G) written: weight of each group at each cluster under the first set
    left_out       (T,) written: probability of ALT at each typed site as if it were not typed
    """
    candidates, starts = by_group(chunk.group, candidates, shares.shape[1])
    state = new_state(chunk, candidates)
    rho = switches(chunk)
    saved, scales, lasts, firsts = _sweep_right(chunk, query, state, rho)
    last = chunk.stops.size - 1
    state.right[last & 1, :2] = chunk.cm[-1]
    state.right[last & 1, 2] = _F(query.size)
    count = 0
    for block in range(saved.shape[0] - 1, -1, -1):
        first = firsts[block]
        size = _refill(chunk, query, state, rho, block, first, saved[block], scales[block], lasts)
        for t in range(size - 1, -1, -1):
            c = first + t
            here, own = state.ends[c & 1], state.mismatches[t]
            posterior(state.forward[t], state.beta, here, state.states[c & 1])
            share_of_groups(here, starts, shares[c])
            if c == last:
                state.ends[1 - (c & 1)] = here
                state.states[1 - (c & 1)] = state.states[c & 1]
            count = between(
                chunk, state, state.left[t], c, low, probabilities, rows, sites, places, count
            )
            typed_sites(chunk, state, query, c, probabilities, left_out)
            point = chunk.points[c]
            before, after = state.right[c & 1], state.right[1 - (c & 1)]
            note_mismatches(before, after, own, chunk.cm[chunk.typed[point]], point)
            if c == 0:
                state.left[0, :2] = chunk.cm[0]
                state.left[0, 2] = _F(-1)
                state.ends[1] = here
                state.states[1] = state.states[0]
                count = between(
                    chunk, state, state.left[0], -1, low, probabilities, rows, sites, places, count
                )
            else:
                backward_step(state.beta, own, rho[c], chunk.errors)
    return count


@kernel()
def new_state(chunk, candidates):
    """Scratch arrays before the first cluster."""
    count = candidates.size
    # A copy: the rows are far apart and would be fetched again for every interval.
    alleles = np.empty((chunk.bits.shape[1], count), np.uint64)
    for k in range(count):
        row = chunk.bits[candidates[k]]
        for word in range(row.size):
            alleles[word, k] = row[word]
    return State(
        candidates,
        np.empty(count, np.uint64),
        np.empty((64, count), np.uint8),
        np.empty((64, NUM_SETS, count), np.float32),
        np.empty((2, NUM_SETS, count), np.float32),
        np.ones((NUM_SETS, count), np.float32),
        np.empty((64, 3, count), np.float32),
        np.empty((2, 3, count), np.float32),
        np.empty((8, count), np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.int32),
        alleles,
        np.empty(count, np.uint64),
        np.empty(count, np.int64),
        np.zeros((count, 2 * _LANES), np.float32),
        np.empty((64, 2 * _LANES), np.float32),
        np.ones(NUM_SETS, np.float32),
        np.empty((2, NUM_SETS), np.float32),
    )


@kernel()
def by_group(group, candidates, num_groups):
    """The candidates sorted by group, and the start of each group, (G + 1,)."""
    starts = np.zeros(num_groups + 1, np.int64)
    for k in range(candidates.size):
        starts[group[candidates[k]] + 1] += 1
    for number in range(num_groups):
        starts[number + 1] += starts[number]
    ordered, places = np.empty(candidates.size, np.int64), starts.copy()
    for k in range(candidates.size):
        number = group[candidates[k]]
        ordered[places[number]] = candidates[k]
        places[number] += 1
    return ordered, starts


@kernel()
def share_of_groups(here, starts, share):
    """Weight of each group under the first parameter set."""
    for number in range(share.size):
        total = _F(0)
        for k in range(starts[number], starts[number + 1]):
            total += here[0, k]
        share[number] = total


@kernel()
def switches(chunk):
    """Switch probabilities (C, A) before each cluster."""
    step = np.zeros(chunk.points.size, np.float32)
    for c in range(1, step.size):
        here, before = chunk.typed[chunk.points[c]], chunk.typed[chunk.points[c - 1]]
        step[c] = chunk.cm[here] - chunk.cm[before]
    return switch_table(step, chunk.rates)


@kernel()
def _sweep_right(chunk, query, state, rho):
    """State before each block of 64 typed sites: forward weights, scales, last mismatches, index of
    its first cluster.
    """
    count, blocks = state.candidates.size, chunk.typed_bits.shape[1]
    saved = np.empty((blocks, NUM_SETS, count), np.float32)
    scales = np.ones((blocks, NUM_SETS), np.float32)
    lasts = np.empty((blocks, 3, count), np.float32)
    firsts = np.zeros(blocks, np.int64)
    saved[0] = _F(1) / _F(count)
    lasts[0, :2] = chunk.cm[0]
    lasts[0, 2] = _F(-1)
    for block in range(blocks - 1):
        first = firsts[block]
        size = _refill(chunk, query, state, rho, block, first, saved[block], scales[block], lasts)
        saved[block + 1], lasts[block + 1] = state.forward[size - 1], state.left[size - 1]
        scales[block + 1] = state.scales
        firsts[block + 1] = first + size
    return saved, scales, lasts, firsts


@kernel()
def _refill(chunk, query, state, rho, block, first, saved, scales, lasts):
    """Forward weights and last mismatches of every cluster of a block; returns their number."""
    size = read_block(
        chunk.typed_bits, state.candidates, query, chunk.stops, first, block,
        state.typed, state.mismatches,
    )  # fmt: skip
    state.scales[:] = scales
    for t in range(size):
        c, own = first + t, state.mismatches[t]
        before = state.forward[t - 1] if t else saved
        forward_step(before, state.forward[t], own, state.scales, rho[c], chunk.errors)
        noted = state.left[t - 1] if t else lasts[block]
        point = chunk.points[c]
        note_mismatches(noted, state.left[t], own, chunk.cm[chunk.typed[point]], point)
    return size


@kernel()
def note_mismatches(before, after, mismatches, place, site):
    """Update the last mismatches of candidates that mismatch in this cluster.

    before, after  (3, K); must not be the same array, or the loops are not vectorised
    """
    mark = _F(site)
    for k in range(mismatches.size):
        after[0, k] = before[0, k] if mismatches[k] == 0 else place
    for k in range(mismatches.size):
        second = before[1, k] if mismatches[k] == 0 else before[0, k]
        after[1, k] = place if mismatches[k] >= 2 else second
    for k in range(mismatches.size):
        after[2, k] = before[2, k] if mismatches[k] == 0 else mark


@kernel()
def typed_sites(chunk, state, query, c, probabilities, left_out):
    """Probabilities at a cluster's typed sites: the observed allele, or imputed if it is missing.

    `left_out` is the mean of the first two parameter sets after the site's own emission is divided
    out of the weights.
    """
    here, words = state.ends[c & 1], state.typed
    start = chunk.stops[c - 1] if c else 0
    for site in range(start, chunk.stops[c]):
        place, bit = chunk.typed[site], np.uint64(site & 63)
        allele = query[site]
        if allele > 1:
            for a in range(NUM_SETS):
                probabilities[place, a] = carried_weights(here[a], words, bit)[1]
            left_out[site] = _F(0.5) * (probabilities[place, 0] + probabilities[place, 1])
            continue
        probabilities[place] = _F(allele)
        total = _F(0)
        for a in range(2):
            ref, alt = carried_weights(here[a], words, bit)
            hit = _F(1) - chunk.errors[a]
            alt /= hit if allele == 1 else chunk.errors[a]
            ref /= hit if allele == 0 else chunk.errors[a]
            total += _F(0.5) * alt / (alt + ref)
        left_out[site] = total


@kernel()
def carried_weights(weights, words, bit):
    """Total weight of candidates with REF, and with ALT."""
    ref, alt = _F(0), _F(0)
    for k in range(words.size):
        carried = _F((words[k] >> bit) & np.uint64(1))
        ref += weights[k] * (_F(1) - carried)
        alt += weights[k] * carried
    return ref, alt


@kernel()
def between(chunk, state, left, c, low, probabilities, rows, sites, places, count):
    """Impute the untyped sites between the points of clusters c and c + 1, where -1 is the chunk's
    start; returns the new number of undecided sites.
    """
    last = chunk.points.size - 1
    start = chunk.typed[chunk.points[c]] if c >= 0 else -1
    stop = chunk.typed[chunk.points[c + 1]] if c < last else chunk.cm.size
    typed = (chunk.points[c + 1] if c < last else chunk.typed.size) - 1
    typed -= chunk.points[c] if c >= 0 else -1
    if stop - start - 1 == typed:
        return count
    here, onward = state.ends[c & 1], state.ends[1 - (c & 1)]
    right = state.right[c & 1]
    num_active, mass = _gather_active(state, here, onward)
    from_cm = chunk.cm[max(start, 0)]
    to_cm = chunk.cm[min(stop, chunk.cm.size - 1)]
    mass3, mass6 = _measure(left, right, here[0], onward[0], from_cm, to_cm, state.lengths)
    for base in range(start + 1, stop, 64):
        size = min(64, stop - base)
        state.sums[:size] = 0
        untyped = _word(chunk.untyped, base, size)
        _words(state.alleles, base, untyped, state.words)
        for i in range(num_active):
            _spread(state.words[state.active[i]], state.votes[i], state.sums)
        for i in range(size):
            if (untyped >> np.uint64(i)) & np.uint64(1) == 0:
                continue
            place = base + i
            part = (chunk.cm[place] - from_cm) / max(to_cm - from_cm, _F(1e-9))
            highest, lowest = _F(0), _F(1)
            for a in range(NUM_SETS):
                value = (_F(1) - part) * state.sums[i, a] / mass[a]
                value += part * state.sums[i, _LANES + a] / mass[_LANES + a]
                probabilities[place, a] = value
                highest, lowest = max(highest, value), min(lowest, value)
            if highest > low and lowest < _F(1) - low:
                row = rows[count]
                for a in range(NUM_SETS):
                    row[a] = log_odds(probabilities[place, a])
                _describe(chunk, state, c, place, i, part, row, mass3, mass6)
                sites[count] = place
                places[count] = min(max(c + part, _F(0)), _F(last))
                count += 1
    return count


@kernel()
def _gather_active(state, here, onward):
    """Collect the weights of candidates that vote; returns their number and sums."""
    bits = state.mask  # not in use here
    bits[:] = 0
    first, second = here.view(np.int32), onward.view(np.int32)
    for a in range(NUM_SETS):
        # Floats of one sign sort like their bits, and only the maximum of integers is compiled to
        # vector instructions.
        for k in range(bits.size):
            bits[k] = max(bits[k], max(first[a, k], second[a, k]))
    largest = bits.view(np.float32)
    count = 0
    mass = np.full(2 * _LANES, _F(1e-30), np.float32)
    limit = min(ACTIVE, _F(0.5) / _F(largest.size))  # so that some candidates always vote
    for k in range(largest.size):
        if largest[k] > limit:
            state.active[count] = k
            for a in range(NUM_SETS):
                state.votes[count, a] = here[a, k]
                state.votes[count, _LANES + a] = onward[a, k]
                mass[a] += here[a, k]
                mass[_LANES + a] += onward[a, k]
            count += 1
    return count, mass


@kernel()
def _measure(left, right, here, onward, from_cm, to_cm, lengths):
    """Length of every candidate's match around an interval; returns sums of its powers 3 and 6.

    lengths  (8, K) written: left, right, total, total across one mismatch, typed sites, weight,
             and powers 3 and 6 of the total
    """
    sum3, sum6 = _F(0), _F(0)
    for k in range(here.size):
        total = right[0, k] - left[0, k]
        lengths[0, k] = from_cm - left[0, k]
        lengths[1, k] = right[0, k] - to_cm
        lengths[2, k] = total
        lengths[3, k] = max(right[1, k] - left[0, k], right[0, k] - left[1, k])
        lengths[4, k] = right[2, k] - left[2, k]
        lengths[5, k] = _F(0.5) * (here[k] + onward[k])
        votes = total + _F(SHORTEST_MATCH_CM)
        cube = votes * votes * votes
        lengths[6, k] = cube
        lengths[7, k] = cube * cube
        sum3 += cube
        sum6 += cube * cube
    return sum3, sum6


@kernel()
def _word(bits, first, size):
    """The `size` bits from site `first` on, at most 64, the first in the lowest bit."""
    number, shift = first >> 6, np.uint64(first & 63)
    word = bits[number] >> shift
    if shift != 0 and number + 1 < bits.size:
        word |= bits[number + 1] << (np.uint64(64) - shift)
    return word if size == 64 else word & ((np.uint64(1) << np.uint64(size)) - np.uint64(1))


@kernel()
def _words(alleles, first, keep, words):
    """Alleles of every candidate at the sites of `keep`, whose lowest bit is site `first`."""
    number, shift = first >> 6, np.uint64(first & 63)
    here = alleles[number]
    if shift == 0 or number + 1 == alleles.shape[0]:
        for k in range(words.size):
            words[k] = (here[k] >> shift) & keep
        return
    onward, back = alleles[number + 1], np.uint64(64) - shift
    for k in range(words.size):
        words[k] = ((here[k] >> shift) | (onward[k] << back)) & keep


@kernel()
def _spread(word, votes, sums):
    """Add a candidate's weights at the sites where it carries ALT."""
    while word:
        row = sums[trailing_zeros(word)]
        for lane in range(2 * _LANES):
            row[lane] += votes[lane]
        word &= word - np.uint64(1)


@kernel()
def _describe(chunk, state, c, place, bit, part, row, mass3, mass6):
    """Fill in the inputs of an undecided site that depend on this haplotype only."""
    shift = np.uint64(bit)
    for k in range(state.words.size):
        state.mask[k] = -np.int32((state.words[k] >> shift) & np.uint64(1))
        state.allele[k] = -state.mask[k]
    unit = chunk.rates[0]
    row[NUM_SETS] = chunk.frequency[place]
    row[NUM_SETS + 1] = chunk.minor[place]
    row[inputs.PANEL] = chunk.panel[0, place]
    row[inputs.PANEL + 1] = chunk.panel[1, place]
    row[NUM_SETS + 2] = log_length(unit * chunk.around[0, place])
    row[NUM_SETS + 3] = log_length(unit * chunk.around[1, place])
    _best(state.allele, state.mask, state.lengths, unit, mass3, mass6, row)
    for a in range(NUM_SETS):
        here, onward = state.states[c & 1, a], state.states[1 - (c & 1), a]
        states = (_F(1) - part) * here + part * onward
        row[inputs.STATES + a] = np.log(states)


@kernel()
def _best(allele, mask, lengths, unit, mass3, mass6, row):
    """Best match among carriers of ALT and among the others, and votes by length."""
    best = np.zeros((2, 6), np.int32)  # bits of lengths, which sort like the lengths
    bits = lengths.view(np.int32)
    for measure in range(6):
        carrier, other = np.int32(0), np.int32(0)
        values = bits[measure]
        for k in range(mask.size):
            carrier = max(carrier, values[k] & mask[k])
            other = max(other, values[k] & ~mask[k])
        best[0, measure], best[1, measure] = carrier, other
    carriers, others = best.view(np.float32)
    count, vote3, vote6 = _F(0), _F(0), _F(0)
    for k in range(allele.size):
        count += allele[k]
        vote3 += allele[k] * lengths[6, k]
        vote6 += allele[k] * lengths[7, k]
    row[inputs.CARRIER - 1] = np.log(_F(1) + count)
    for measure in range(4):
        row[inputs.CARRIER + 2 * measure] = log_length(unit * carriers[measure])
        row[inputs.CARRIER + 2 * measure + 1] = log_length(unit * others[measure])
    row[inputs.CARRIER + 8] = np.log(carriers[5] + _F(1e-4))
    row[inputs.CARRIER + 9] = np.log(others[5] + _F(1e-4))
    row[inputs.CARRIER + 10] = np.log(carriers[4] + _F(1))
    row[inputs.CARRIER + 11] = np.log(others[4] + _F(1))
    row[inputs.VOTES] = log_odds(vote3 / mass3)
    row[inputs.VOTES + 1] = log_odds(vote6 / mass6)
