"""The order of a sample's heterozygotes: a beam of phases, each with its exact copying model.

A hypothesis says of each heterozygote so far if its order is that of the file or is turned. It has
two haplotypes, and for each the exact forward weights of the haploid model of Li and Stephens 2003
(Genetics 165:2213); so its weight is the probability of both haplotypes. Each heterozygote makes
two hypotheses of one. Those that differ long ago, or have little weight, are merged with the most
similar one: the weights are added, and the likelier keeps its forward weights. Hypotheses and
merges make a lattice; going back over it gives the probability of each turn, and samples.

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
from vcfbert.copying.intrinsics import count_ones, leading_zeros

LONGEST_LAG = 63
"""Turns that fit into a word."""

MOST_BACK = 64
"""Heterozygotes over which an order can be linked to an earlier one."""

IMPOSSIBLE = -1e30
"""Log probability of what cannot be; infinities are not safe in compiled kernels."""

_F = np.float32
_LEAST = 1e-30  # of a likelihood, which must not become 0 in single precision


class Lattice(NamedTuple):
    """All hypotheses at each heterozygote: children of those before, merged into nodes.

    children  (H,) int64 their number
    parent    (H, 2 B) int64 node before of each child
    node      (H, 2 B) int64 node that each child is merged into, rising
    weight    (H, 2 B) float64 its share of the node
    turned    (H, 2 B) uint8 1 if the heterozygote is turned in a child
    final     (B,) float64 weights of the nodes at the last typed site
    """

    children: NDArray[np.int64]
    parent: NDArray[np.int64]
    node: NDArray[np.int64]
    weight: NDArray[np.float64]
    turned: NDArray[np.uint8]
    final: NDArray[np.float64]


def empty(num_hets: int, beam: int) -> Lattice:
    """A lattice to be filled."""
    return Lattice(
        np.zeros(num_hets, np.int64),
        np.zeros((num_hets, 2 * beam), np.int64),
        np.zeros((num_hets, 2 * beam), np.int64),
        np.zeros((num_hets, 2 * beam), np.float64),
        np.zeros((num_hets, 2 * beam), np.uint8),
        np.zeros(beam, np.float64),
    )


class _Beam(NamedTuple):
    """The hypotheses at a site.

    forward  (2, B, 2, K) float32 forward weights, now and next
    scale    (B, 2) float32 that `forward` is still to be multiplied by
    fit      (B, 2, 2) float64 probability of REF and ALT on each haplotype
    log      (2, B) float64 log weight, now and next
    turns    (2, B) uint64 all turns, the newest in the highest bit
    order    (2, B) int64 1 if the last heterozygote is not in the order of the file
    """

    forward: NDArray[np.float32]
    scale: NDArray[np.float32]
    fit: NDArray[np.float64]
    log: NDArray[np.float64]
    turns: NDArray[np.uint64]
    order: NDArray[np.int64]


class _Children(NamedTuple):
    """Children of the hypotheses at a heterozygote, sorted by turns, and their groups.

    parent, order, turns, log  (2 B,) as in _Beam
    first   (2 B + 1,) int64 first child of each group
    best    (2 B,) int64 the likeliest child of each group
    total   (2 B,) float64 log weight of each group
    loss    (2 B,) float64 of merging a group with the next
    """

    parent: NDArray[np.int64]
    order: NDArray[np.int64]
    turns: NDArray[np.uint64]
    log: NDArray[np.float64]
    first: NDArray[np.int64]
    best: NDArray[np.int64]
    total: NDArray[np.float64]
    loss: NDArray[np.float64]


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
    )


@kernel()
def _no_children(most):
    """Space for that many children."""
    return _Children(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.uint64),
        np.empty(most, np.float64),
        np.empty(most + 1, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.float64),
        np.empty(most, np.float64),
    )


@kernel()
def fill(words, steps, share, log_prior, back, lag, floor, lattice):
    """Fill the lattice of a sample.

    words      (W, K) uint64 alleles of the candidates, the first site in the lowest bit
    steps      see `steps.Steps`
    share      (K,) float32 probability that a switch goes to a candidate
    log_prior  (H, 2) float64 log probability of the order of an earlier heterozygote, and of the
               other order, or IMPOSSIBLE
    back       (H,) int64 how many heterozygotes before it is, 1 to MOST_BACK
    lag        equally likely hypotheses that agree in so many last turns are merged
    floor      hypotheses this far below the best, in nats, are merged in any case
    """
    num_candidates = words.shape[1]
    most = lattice.final.size
    beam, children = _start(most, num_candidates, share), _no_children(2 * most)
    emission, table = np.empty(num_candidates, np.float32), np.ones(65, np.float32)
    live, now = 1, 0
    for n in range(steps.word.size):
        _emissions(words, steps, n, table, emission)
        switch, het = _F(steps.switch[n]), steps.het[n]
        if het < 0:
            _homozygote(beam, now, live, switch, share, emission)
            continue
        _fit(beam, now, live, switch, share, emission, steps.ratio[n])
        count = _bear(beam, now, live, het, log_prior[het], back[het], children)
        live = _merge(children, count, most, floor / lag, floor)
        _record(children, live, count, het, lattice)
        _reproduce(beam, now, children, live, emission, steps.ratio[n])
        now = 1 - now
    _finish(beam.log[now], live, lattice.final)


@kernel()
def log_likelihood(words, steps, share):
    """Log probability of the haplotype of a sample that is homozygous everywhere.

    It is relative to that of no miscopied allele. Arguments as of `fill`.
    """
    beam = _start(1, words.shape[1], share)
    emission, table = np.empty(words.shape[1], np.float32), np.ones(65, np.float32)
    for n in range(steps.word.size):
        _emissions(words, steps, n, table, emission)
        _homozygote(beam, 0, 1, _F(steps.switch[n]), share, emission)
    return 0.5 * beam.log[0, 0]


@kernel()
def _emissions(words, steps, n, table, out):
    """Likelihood of the wanted alleles of a step given each candidate, relative to no mismatch.

    table  (65,) space for the likelihood of a number of mismatches; the first is 1
    """
    mask, wanted, row = steps.mask[n], steps.wanted[n], words[steps.word[n]]
    for count in range(1, count_ones(mask) + 1):
        table[count] = max(table[count - 1] * steps.ratio[n], _F(_LEAST))
    for k in range(out.size):
        out[k] = table[count_ones((row[k] ^ wanted) & mask)]


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
def _bear(beam, now, live, het, log_prior, back, children):
    """The hypotheses that each hypothesis becomes at a heterozygote; returns their number."""
    older = np.uint64(MOST_BACK - back)
    count = 0
    for b in range(live):
        for order in range(2):
            turn = order ^ beam.order[now, b]
            turns = (beam.turns[now, b] >> np.uint64(1)) | (np.uint64(turn) << np.uint64(63))
            is_other = count_ones(turns >> older) & 1
            if (het == 0 and turn == 1) or log_prior[is_other] <= IMPOSSIBLE:
                continue
            fit = max(beam.fit[b, 0, order] * beam.fit[b, 1, 1 - order], _LEAST)
            log = beam.log[now, b] + math.log(fit) + log_prior[is_other]
            i = count
            while i > 0 and children.turns[i - 1] > turns:
                children.parent[i], children.order[i] = (
                    children.parent[i - 1],
                    children.order[i - 1],
                )
                children.turns[i], children.log[i] = children.turns[i - 1], children.log[i - 1]
                i -= 1
            children.parent[i], children.order[i] = b, order
            children.turns[i], children.log[i] = turns, log
            count += 1
    return count


@kernel()
def _merge(children, count, most, slope, floor):
    """Merge children that are alike, or unlikely, into groups; returns the number of groups.

    Merging two groups loses the forward weights of the less likely one. The loss is small if its
    weight is small, or if the two differ long ago.

    slope  nats by which a turn that both have in common makes the loss smaller
    """
    groups = count
    top = children.log[0]
    for i in range(count):
        children.first[i] = children.best[i] = i
        children.total[i] = children.log[i]
        top = max(top, children.log[i])
    children.first[count] = count
    for g in range(groups - 1):
        _set_loss(children, g, slope)
    while groups > 1:
        least = 0
        for g in range(1, groups - 1):
            if children.loss[g] < children.loss[least]:
                least = g
        if groups <= most and children.loss[least] > top - floor:
            break
        _join(children, least, groups)
        groups -= 1
        if least > 0:
            _set_loss(children, least - 1, slope)
        if least < groups - 1:
            _set_loss(children, least, slope)
    return groups


@kernel()
def _set_loss(children, g, slope):
    """Loss of merging a group with the next, in nats."""
    one, other = children.best[g], children.best[g + 1]
    common = leading_zeros(children.turns[one] ^ children.turns[other])
    children.loss[g] = min(children.total[g], children.total[g + 1]) - slope * common


@kernel()
def _join(children, g, groups):
    """Merge a group with the next."""
    high = max(children.total[g], children.total[g + 1])
    low = min(children.total[g], children.total[g + 1])
    one, other = children.best[g], children.best[g + 1]
    children.best[g] = one if children.log[one] >= children.log[other] else other
    children.total[g] = high + math.log1p(math.exp(low - high))
    for i in range(g + 1, groups - 1):
        children.best[i], children.total[i] = children.best[i + 1], children.total[i + 1]
        children.first[i], children.loss[i] = children.first[i + 1], children.loss[i + 1]
    children.first[groups - 1] = children.first[groups]


@kernel()
def _record(children, live, count, het, lattice):
    """Write children and groups into the lattice."""
    lattice.children[het] = count
    for g in range(live):
        for i in range(children.first[g], children.first[g + 1]):
            lattice.parent[het, i] = children.parent[i]
            lattice.node[het, i] = g
            lattice.weight[het, i] = math.exp(children.log[i] - children.total[g])
            lattice.turned[het, i] = children.turns[i] >> np.uint64(63)


@kernel()
def _reproduce(beam, now, children, live, emission, ratio):
    """Make the hypotheses of the groups from their likeliest children."""
    both, later = _F(1) + ratio, 1 - now
    top = children.total[0]
    for g in range(live):
        top = max(top, children.total[g])
    for g in range(live):
        i = children.best[g]
        b, order = children.parent[i], children.order[i]
        beam.log[later, g] = children.total[g] - top
        beam.turns[later, g] = children.turns[i]
        beam.order[later, g] = order
        for v in range(2):
            before, after = beam.forward[now, b, v], beam.forward[later, g, v]
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
        for i in range(lattice.children[het]):
            node = lattice.node[het, i]
            share = mass[node] * lattice.weight[het, i]
            before[lattice.parent[het, i]] += share
            if lattice.turned[het, i]:
                turned += share
        out[het] = turned
        mass, before = before, mass
