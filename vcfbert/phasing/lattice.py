"""The order of a sample's heterozygotes: a beam of phases, each with its exact copying model.

A hypothesis says of each heterozygote so far if its order is that of the file or is turned. It has
two haplotypes, and for each the exact forward weights of the haploid model of Li and Stephens 2003
(Genetics 165:2213); so its weight is the probability of both haplotypes. Each heterozygote makes
two hypotheses of one. Those that agree in the last `lag` turns are merged: their weights are added,
and the likeliest keeps its forward weights. Of the others, the `beam` likeliest stay. Hypotheses
and merges make a lattice; going back over it gives the probability of each turn, and samples.

A turn of a heterozygote: its order relative to the heterozygote before is the other than in the
file.

T typed sites in W words of 64, K candidates, H heterozygotes, B hypotheses at most.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import count_ones

PARENTS = 2
"""Most hypotheses that merge: they differ in the oldest turn alone."""

LONGEST_LAG = 63
"""Turns that fit into a word."""

IMPOSSIBLE = -1e30
"""Log probability of what cannot be; infinities are not safe in compiled kernels."""

_F = np.float32
_LEAST = 1e-30  # of a likelihood, which must not become 0 in single precision


class Lattice(NamedTuple):
    """All hypotheses that stayed at each heterozygote.

    live     (H,) int64 their number
    turned   (H, B) uint8 1 if the heterozygote is turned
    parents  (H, B) int64 number of hypotheses before that merged into this
    parent   (H, B, PARENTS) int64 which they are
    weight   (H, B, PARENTS) float64 their shares
    final    (B,) float64 weights at the last typed site
    """

    live: NDArray[np.int64]
    turned: NDArray[np.uint8]
    parents: NDArray[np.int64]
    parent: NDArray[np.int64]
    weight: NDArray[np.float64]
    final: NDArray[np.float64]


def empty(num_hets: int, beam: int) -> Lattice:
    """A lattice to be filled."""
    return Lattice(
        np.zeros(num_hets, np.int64),
        np.zeros((num_hets, beam), np.uint8),
        np.zeros((num_hets, beam), np.int64),
        np.zeros((num_hets, beam, PARENTS), np.int64),
        np.zeros((num_hets, beam, PARENTS), np.float64),
        np.zeros(beam, np.float64),
    )


class _Beam(NamedTuple):
    """The hypotheses at a site, and the children that they have at a heterozygote.

    forward  (2, B, 2, K) float32 forward weights, now and next
    scale    (B, 2) float32 that `forward` is still to be multiplied by
    fit      (B, 2, 2) float64 probability of REF and ALT on each haplotype
    log      (2, B) float64 log weight, now and next
    turns    (2, B) uint64 the last turns, the newest in the lowest bit
    order    (2, B) int64 1 if the last heterozygote is not in the order of the file
    child    (2 B, 3) int64 parent, order and turn of each child
    key      (2 B,) uint64 its last turns
    child_log   (2 B,) float64
    group    (2 B,) int64 the group that it is merged into
    best     (2 B,) int64 the likeliest child of each group
    group_log   (2 B,) float64
    """

    forward: NDArray[np.float32]
    scale: NDArray[np.float32]
    fit: NDArray[np.float64]
    log: NDArray[np.float64]
    turns: NDArray[np.uint64]
    order: NDArray[np.int64]
    child: NDArray[np.int64]
    key: NDArray[np.uint64]
    child_log: NDArray[np.float64]
    group: NDArray[np.int64]
    best: NDArray[np.int64]
    group_log: NDArray[np.float64]


@kernel()
def _start(beam, num_candidates, share):
    """A beam of one hypothesis before the first site."""
    forward = np.empty((2, beam, 2, num_candidates), np.float32)
    forward[0, 0, 0] = share
    forward[0, 0, 1] = share
    return _Beam(
        forward,
        np.ones((beam, 2), np.float32),
        np.empty((beam, 2, 2), np.float64),
        np.zeros((2, beam), np.float64),
        np.zeros((2, beam), np.uint64),
        np.zeros((2, beam), np.int64),
        np.empty((2 * beam, 3), np.int64),
        np.empty(2 * beam, np.uint64),
        np.empty(2 * beam, np.float64),
        np.empty(2 * beam, np.int64),
        np.empty(2 * beam, np.int64),
        np.empty(2 * beam, np.float64),
    )


@kernel()
def fill(words, steps, share, log_prior, error, lag, floor, lattice):
    """Fill the lattice of a sample.

    words      (W, K) uint64 alleles of the candidates, the first site in the lowest bit
    steps      see `steps.Steps`
    share      (K,) float32 probability that a switch goes to a candidate
    log_prior  (H, 2) float64 log probability of no turn and of a turn, or IMPOSSIBLE
    error      probability that an allele is miscopied
    lag        hypotheses that agree in so many last turns are merged; at most LONGEST_LAG
    floor      hypotheses this far below the best, in nats, are left out
    """
    num_candidates = words.shape[1]
    ratio = error / (1.0 - error)
    table = np.empty(65, np.float32)
    for n in range(65):
        table[n] = max(ratio**n, _LEAST)
    recent = (np.uint64(1) << np.uint64(lag)) - np.uint64(1)
    beam = _start(lattice.final.size, num_candidates, share)
    emission = np.empty(num_candidates, np.float32)
    live, now = 1, 0
    for n in range(steps.word.size):
        _emissions(words[steps.word[n]], steps.wanted[n], steps.mask[n], table, emission)
        switch, het = _F(steps.switch[n]), steps.het[n]
        if het < 0:
            _homozygote(beam, now, live, switch, share, emission)
            continue
        _fit(beam, now, live, switch, share, emission, table[1])
        count = _children(beam, now, live, het, log_prior[het], recent)
        groups = _merge(beam, count)
        live = _select(beam, count, groups, floor)
        _record(beam, live, count, het, lattice)
        _reproduce(beam, now, live, emission, table[1])
        now = 1 - now
    _finish(beam.log[now], live, lattice.final)


@kernel()
def _emissions(words, wanted, mask, table, out):
    """Likelihood of the wanted alleles of a step given each candidate, relative to no mismatch."""
    for k in range(out.size):
        out[k] = table[count_ones((words[k] ^ wanted) & mask)]


@kernel()
def _homozygote(beam, now, live, switch, share, emission):
    """Forward step of both haplotypes of all hypotheses at homozygotes."""
    for b in range(live):
        for v in range(2):
            weights = beam.forward[now, b, v]
            stay = (_F(1) - switch) * beam.scale[b, v]
            total = _F(0)
            for k in range(weights.size):
                value = (stay * weights[k] + switch * share[k]) * emission[k]
                weights[k] = value
                total += value
            beam.scale[b, v] = _F(1) / total
            beam.log[now, b] += math.log(total)


@kernel()
def _fit(beam, now, live, switch, share, emission, ratio):
    """Predict the forward weights at a heterozygote, and the probability of each allele.

    emission  (K,) of the first allele of the file; that of the second is 1 + ratio less this
    """
    both = _F(1) + ratio
    for b in range(live):
        for v in range(2):
            weights = beam.forward[now, b, v]
            stay = (_F(1) - switch) * beam.scale[b, v]
            first, second = _F(0), _F(0)
            for k in range(weights.size):
                value = stay * weights[k] + switch * share[k]
                weights[k] = value
                first += value * emission[k]
                second += value * (both - emission[k])
            beam.fit[b, v, 0], beam.fit[b, v, 1] = first, second


@kernel()
def _children(beam, now, live, het, log_prior, recent):
    """The hypotheses that each hypothesis becomes at a heterozygote; returns their number."""
    count = 0
    for b in range(live):
        for order in range(2):
            turn = order ^ beam.order[now, b]
            if (het == 0 and turn == 1) or log_prior[turn] <= IMPOSSIBLE:
                continue
            fit = max(beam.fit[b, 0, order] * beam.fit[b, 1, 1 - order], _LEAST)
            beam.child_log[count] = beam.log[now, b] + math.log(fit) + log_prior[turn]
            beam.key[count] = ((beam.turns[now, b] << np.uint64(1)) | np.uint64(turn)) & recent
            beam.child[count, 0], beam.child[count, 1], beam.child[count, 2] = b, order, turn
            count += 1
    return count


@kernel()
def _merge(beam, count):
    """Merge children with the same last turns; returns the number of groups."""
    groups = 0
    for i in range(count):
        g = 0
        while g < groups and beam.key[beam.best[g]] != beam.key[i]:
            g += 1
        beam.group[i] = g
        if g == groups:
            beam.best[g], beam.group_log[g] = i, beam.child_log[i]
            groups += 1
            continue
        high = max(beam.group_log[g], beam.child_log[i])
        low = min(beam.group_log[g], beam.child_log[i])
        if beam.child_log[i] > beam.child_log[beam.best[g]]:
            beam.best[g] = i
        beam.group_log[g] = high + math.log1p(math.exp(low - high))
    return groups


@kernel()
def _select(beam, count, groups, floor):
    """Move the likeliest groups to the front, the best first; returns how many stay."""
    most = beam.scale.shape[0]
    live = 0
    renamed = np.full(groups, -1, np.int64)
    order = np.argsort(-beam.group_log[:groups], kind="mergesort")
    logs, best = beam.group_log[:groups].copy(), beam.best[:groups].copy()
    for g in order[:most]:
        if logs[g] < logs[order[0]] - floor:
            break
        renamed[g] = live
        beam.group_log[live], beam.best[live] = logs[g], best[g]
        live += 1
    for i in range(count):
        beam.group[i] = renamed[beam.group[i]]
    return live


@kernel()
def _record(beam, live, count, het, lattice):
    """Write the groups that stay into the lattice."""
    lattice.live[het] = live
    for g in range(live):
        lattice.turned[het, g] = beam.child[beam.best[g], 2]
        lattice.parents[het, g] = 0
    for i in range(count):
        g = beam.group[i]
        if g >= 0:
            place = lattice.parents[het, g]
            lattice.parent[het, g, place] = beam.child[i, 0]
            lattice.weight[het, g, place] = math.exp(beam.child_log[i] - beam.group_log[g])
            lattice.parents[het, g] = place + 1


@kernel()
def _reproduce(beam, now, live, emission, ratio):
    """Make the hypotheses of the groups that stay, from their likeliest children."""
    both, next_ = _F(1) + ratio, 1 - now
    for g in range(live):
        i = beam.best[g]
        b, order = beam.child[i, 0], beam.child[i, 1]
        beam.log[next_, g] = beam.group_log[g] - beam.group_log[0]
        beam.turns[next_, g] = beam.key[i]
        beam.order[next_, g] = order
        for v in range(2):
            before, after = beam.forward[now, b, v], beam.forward[next_, g, v]
            if order == v:
                for k in range(before.size):
                    after[k] = before[k] * emission[k]
            else:
                for k in range(before.size):
                    after[k] = before[k] * (both - emission[k])
            beam.scale[g, v] = _F(1.0 / max(beam.fit[b, v, order ^ v], _LEAST))


@kernel()
def _finish(log, live, final):
    """Weights of the last hypotheses, the largest 1."""
    top = log[0]
    for b in range(live):
        top = max(top, log[b])
    for b in range(live):
        final[b] = math.exp(log[b] - top)


@kernel(fastmath=False)
def turn_probabilities(lattice, out):
    """Probability that each heterozygote is turned; out (H,) float32."""
    mass = lattice.final / lattice.final.sum()
    before = np.empty_like(mass)
    for het in range(out.size - 1, -1, -1):
        before[:] = 0.0
        turned = 0.0
        for g in range(lattice.live[het]):
            if lattice.turned[het, g]:
                turned += mass[g]
            shares = lattice.weight[het, g, : lattice.parents[het, g]]
            for m in range(shares.size):
                before[lattice.parent[het, g, m]] += mass[g] * shares[m] / shares.sum()
        out[het] = turned
        mass, before = before, mass
