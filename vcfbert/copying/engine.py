"""Imputation of all samples over one chunk on the CPU: copying model, inputs and network.

S sites of the chunk, T typed sites in C clusters, R reference haplotypes, N samples, G groups of
references, A parameter sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import inputs, mosaic, pair_mosaic, parameter_sets
from vcfbert.copying.branches import Branches
from vcfbert.copying.compiled import kernel
from vcfbert.copying.forward_backward import LONGEST_CLUSTER_CM, clusters
from vcfbert.copying.inputs import NUM_INPUTS, NUM_SETS
from vcfbert.copying.mosaic import Chunk
from vcfbert.copying.network import FIRST_GATES, Network, copying_only
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.copying.parameter_sets import ParameterSets
from vcfbert.domain import tokens

LOW = 8e-3
"""A site is decided if every parameter set is within this of the same allele; it gets their mean,
and the network runs on the others only (one site in ten). From 1e-3 to this, r2 stays the same to
the fourth digit in every bin of chr20."""

CLUSTER = 0.005
"""Longest cluster of typed sites, in switches of the first parameter set at its initial rate, if
that is below LONGEST_CLUSTER_CM."""

FEWEST_TO_FIT = 8
"""With fewer typed sites the switch rates are not fitted."""

_ALIKE = 20.0  # neighbouring sites of a haplotype that carry the same information
_CERTAIN = 1e-3  # of a likelihood, so that one wrong allele does not decide a fit
_F = np.float32


@dataclass(frozen=True)
class Prepared:
    """A chunk that is ready for queries.

    group_frequency  (S, G) ALT frequency in each group, shrunk towards the panel's
    """

    chunk: Chunk
    group_frequency: NDArray[np.float32]


@dataclass(frozen=True)
class OpenSites:
    """The undecided sites of one haplotype.

    rows   (n, F) inputs of the network
    sites  (n,) indexes in the chunk
    """

    rows: NDArray[np.float32]
    sites: NDArray[np.int64]


@dataclass(frozen=True)
class Haplotype:
    """One haplotype, imputed by the copying model.

    probabilities  (S, A) of ALT
    left_out       (T,) probability of ALT at each typed site, imputed as if it were not typed
    """

    probabilities: NDArray[np.float32]
    left_out: NDArray[np.float32]
    open: OpenSites


@dataclass(frozen=True)
class ImputedChunk:
    """alt (S, N, 2) and left_out (T, N, 2) probabilities of ALT.

    open_share    share of haplotypes and sites that the copying model leaves undecided
    out_of_range  share of the undecided ones with an input outside the range seen in training
    """

    alt: NDArray[np.float32]
    left_out: NDArray[np.float32]
    open_share: float
    out_of_range: float


def prepare(
    bits: NDArray[np.uint64],
    typed: NDArray[np.int64],
    cm: NDArray[np.floating],
    group: NDArray[np.int64],
    rates: ParameterSets,
    statistics: PanelStatistics,
    typed_bits: NDArray[np.uint64] | None = None,
) -> Prepared:
    """Prepare what all queries with the same typed sites share.

    bits        (R, ceil(S / 64)) alleles, the first site in the lowest bit; (0, ceil(S / 64)) if
                those of the candidates follow, see `among`
    typed       (T,) indexes of typed sites among the S, rising, at least one
    cm          (S,) never falling
    group       (R,) group of each reference, from 0
    typed_bits  (R, ceil(T / 64)) alleles at the typed sites; None takes them from `bits`
    """
    rate = float(parameter_sets.initial(len(group)).rates[0])
    chunk = lay_out(
        bits=bits,
        typed_bits=take_bits(bits, typed) if typed_bits is None else typed_bits,
        typed=typed.astype(np.int64),
        stops=clusters(cm[typed], min(CLUSTER / rate, LONGEST_CLUSTER_CM)),
        cm=(cm - cm[0]).astype(np.float32),
        frequency=statistics.frequency,
        minor=statistics.minor,
        panel=statistics.panel,
        group=group.astype(np.int64),
        rates=rates.rates,
        errors=rates.errors,
    )
    return Prepared(chunk, statistics.group_frequency)


def among(prepared: Prepared, rows: NDArray[np.int64], bits: NDArray[np.uint64]) -> Prepared:
    """The same chunk with some of its references.

    rows  (k,) of the R
    bits  (k, ceil(S / 64)) their alleles
    """
    chunk = prepared.chunk
    taken = chunk._replace(bits=bits, typed_bits=chunk.typed_bits[rows], group=chunk.group[rows])
    return Prepared(taken, prepared.group_frequency)


def lay_out(
    *, typed: NDArray[np.int64], stops: NDArray[np.int64], cm: NDArray[np.float32], **others: Any
) -> Chunk:
    """A chunk with the fields that follow from its sites and clusters; arguments as its fields."""
    place = np.searchsorted(typed, np.arange(len(cm)), side="right")
    left = cm - np.append(cm[0], cm[typed])[place]
    right = np.append(cm[typed], cm[-1])[place] - cm
    return Chunk(
        typed=typed,
        untyped=_bits_but(typed, len(cm)),
        stops=stops,
        points=(np.append(0, stops[:-1]) + stops - 1) // 2,
        around=np.stack([left, right]),
        cm=cm,
        **others,
    )


def _bits_but(typed: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """(ceil(count / 64),) words with a bit set for each site that is not typed."""
    is_untyped = np.ones(-(-count // 64) * 64, np.bool_)
    is_untyped[typed] = is_untyped[count:] = False
    return np.packbits(is_untyped, bitorder="little").view(np.uint64)


def take_bits(bits: NDArray[np.uint64], sites: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The bits of some sites.

    bits     (R, ceil(S / 64))
    sites    (T,)
    returns  (R, ceil(T / 64))
    """
    taken = np.zeros((len(bits), -(-len(sites) // 64)), np.uint64)
    _take(bits, _pieces(sites), taken)
    return taken


def open_sites(
    prepared: Prepared,
    query: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    *,
    low: float = LOW,
) -> tuple[Haplotype, ...]:
    """Run the copying model over the haplotypes of a sample.

    query       (2, T) 0 REF, 1 ALT, more if missing; (1, T) of a haploid sample
    candidates  rows of the references for each haplotype
    low         see LOW
    """
    chunk, num_groups = prepared.chunk, prepared.group_frequency.shape[1]
    num_sites, num_typed, num_clusters = len(chunk.cm), len(chunk.typed), len(chunk.stops)
    found = []
    for alleles, rows_of in zip(query, candidates, strict=True):
        probabilities = np.empty((num_sites, NUM_SETS), np.float32)
        rows = np.empty((num_sites, NUM_INPUTS), np.float32)
        sites = np.empty(num_sites, np.int64)
        places = np.empty(num_sites, np.float32)
        shares = np.zeros((num_clusters, num_groups), np.float32)
        left_out = np.empty(num_typed, np.float32)
        count = mosaic.impute_haplotype(
            chunk, alleles, rows_of, _F(low), probabilities, rows, sites, places, shares, left_out
        )
        found.append(
            _Found(probabilities, left_out, rows[:count], sites[:count], places[:count], shares)
        )
    return _completed(prepared, found)


def open_sites_of_pair(
    prepared: Prepared,
    query: NDArray[np.uint8],
    candidates: NDArray[np.int64],
    branches: Branches,
    *,
    low: float = LOW,
) -> tuple[Haplotype, ...]:
    """Run the copying model over a sample whose phase is uncertain.

    query       (2, T) the likeliest phase
    candidates  rows of the references for both haplotypes
    branches    the other phases
    """
    chunk = prepared.chunk
    num_sites, num_groups = len(chunk.cm), prepared.group_frequency.shape[1]
    probabilities = np.empty((2, num_sites, NUM_SETS), np.float32)
    rows = np.empty((2, num_sites, NUM_INPUTS), np.float32)
    sites = np.empty((2, num_sites), np.int64)
    places = np.empty((2, num_sites), np.float32)
    shares = np.zeros((2, len(chunk.stops), num_groups), np.float32)
    left_out = np.empty((2, len(chunk.typed)), np.float32)
    counts = pair_mosaic.impute_sample(
        chunk, query, candidates, branches, _F(low),
        probabilities, rows, sites, places, shares, left_out,
    )  # fmt: skip
    found = [
        _Found(probabilities[v], left_out[v], rows[v, :n], sites[v, :n], places[v, :n], shares[v])
        for v, n in enumerate(counts.tolist())
    ]
    return _completed(prepared, found)


class _Found(NamedTuple):
    """What the kernels write of one haplotype, see `mosaic.impute_haplotype`."""

    probabilities: NDArray[np.float32]
    left_out: NDArray[np.float32]
    rows: NDArray[np.float32]
    sites: NDArray[np.int64]
    places: NDArray[np.float32]
    shares: NDArray[np.float32]


def _completed(prepared: Prepared, found: Sequence[_Found]) -> tuple[Haplotype, ...]:
    """Fill in the inputs that need the whole chunk, or the other haplotype."""
    chunk, by_group = prepared.chunk, prepared.group_frequency
    around = _around(chunk, found[0].shares + found[-1].shares)
    for number, one in enumerate(found):
        other = found[1 - number].probabilities if len(found) > 1 else likely_haplotype(chunk)
        inputs.complete(one.rows, one.sites, one.places, one.shares, around, by_group, other)
    return tuple(
        Haplotype(one.probabilities, one.left_out, OpenSites(one.rows, one.sites)) for one in found
    )


def likely_haplotype(chunk: Chunk) -> NDArray[np.float32]:
    """(S, A) the more frequent allele of each site, with certainty: the other of a haploid sample.

    The network expects another haplotype, and most have this allele. On chr20 (array), r2 of each
    haplotype alone is then that of both together, to .0006 in every bin of MAF; with the
    frequencies in its place it is .003 lower below 0.5 %, and with the haplotype itself .007.
    """
    alleles = (chunk.frequency > 0).astype(np.float32)
    return np.ascontiguousarray(np.repeat(alleles[:, None], NUM_SETS, axis=1))


def impute_samples(
    prepared: Prepared,
    network: Network,
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    *,
    threads: int = 2,
    is_haploid: NDArray[np.bool_] | None = None,
    branches: Sequence[Branches] | None = None,
) -> ImputedChunk:
    """Impute all samples; the numbers do not depend on `threads`.

    queries     (N, 2, T) 0 REF, 1 ALT, more if missing
    candidates  2 N arrays, rows of the references; of uncertain phases, both of a sample are equal
    is_haploid  (N,) True if the second haplotype is absent: it is not imputed, and its
                probabilities are 0; None for no sample
    branches    of N uncertain phases, of which `queries` are the likeliest; None if all are certain
    """
    num_sites, num_samples = len(prepared.chunk.cm), len(queries)
    alt = np.empty((num_samples, 2, num_sites), np.float32)
    left_out = np.empty((num_samples, 2, len(prepared.chunk.typed)), np.float32)
    count = np.full(num_samples, 2) if is_haploid is None else 2 - is_haploid
    is_absent = np.flatnonzero(count == 1)
    alt[is_absent, 1], left_out[is_absent, 1] = 0, 0
    num_open = np.zeros(num_samples, np.int64)
    num_outside = np.zeros(num_samples, np.int64)
    low = decided_below(network)

    def impute(sample: int) -> None:
        num_own, first = int(count[sample]), 2 * sample
        query, rows = queries[sample, :num_own], candidates[first : first + num_own]
        if branches is None:
            found = open_sites(prepared, query, rows, low=low)
        else:
            found = open_sites_of_pair(prepared, query, rows[0], branches[sample], low=low)
        for side, haplotype in enumerate(found):
            target = alt[sample, side]
            _mix_sets(haplotype.probabilities, target)
            values, outside = network.probabilities(haplotype.open.rows)
            target[haplotype.open.sites] = values
            left_out[sample, side] = haplotype.left_out
            num_open[sample] += len(values)
            num_outside[sample] += outside

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(impute, range(num_samples)):
            pass
    total = int(num_open.sum())
    return ImputedChunk(
        alt=alt.transpose(2, 0, 1),
        left_out=left_out.transpose(2, 0, 1),
        open_share=total / max(int(count.sum()) * num_sites, 1),
        out_of_range=int(num_outside.sum()) / max(total, 1),
    )


def decided_below(network: Network) -> float:
    """LOW; 1 without a network, so that every site is decided."""
    return 1.0 if network.weights is None else LOW


def fit_rates(
    prepared: Prepared,
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    *,
    seed: int,
    threads: int = 2,
    is_haploid: NDArray[np.bool_] | None = None,
) -> Prepared:
    """Scale the switch rates to maximise the likelihood of masked typed sites of left-out samples.

    Half of the typed sites are masked and imputed. This corrects a map that is missing or in
    another unit, and panels whose haplotypes are shared over other lengths than 4 Ne / H implies.

    queries     (n, 2, T) typed alleles of some of the references
    candidates  2 n arrays of rows, none of them of the query's own sample
    is_haploid  (n,) as for `impute_samples`
    """
    num_typed = queries.shape[2]
    if num_typed < FEWEST_TO_FIT or len(queries) == 0:
        return prepared
    masked = np.sort(np.random.default_rng(seed).permutation(num_typed)[: num_typed // 2])
    truth = queries[:, :, masked].transpose(2, 0, 1) == 1
    absent = np.flatnonzero(np.zeros(len(queries), np.bool_) if is_haploid is None else is_haploid)
    visible = queries.copy()
    visible[:, :, masked] = tokens.MISSING

    def likelihood(factor: float) -> float:
        found = impute_samples(
            scaled(prepared, factor),
            copying_only(),
            visible,
            candidates,
            threads=threads,
            is_haploid=is_haploid,
        )
        alt = np.clip(found.left_out[masked], _CERTAIN, 1 - _CERTAIN)
        likelihoods = np.log(np.where(truth, alt, 1 - alt))
        likelihoods[:, absent, 1] = 0
        total = likelihoods.sum(dtype=np.float64)
        return float(total / _ALIKE)

    return scaled(prepared, parameter_sets.best_factor(likelihood))


def scaled(prepared: Prepared, factor: float) -> Prepared:
    """The same chunk with all switch rates multiplied by a factor."""
    rates = (prepared.chunk.rates * factor).astype(np.float32)
    return Prepared(prepared.chunk._replace(rates=rates), prepared.group_frequency)


def _around(chunk: Chunk, shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight of each group over the chunk; a cluster counts for the cM around it.

    shares  (C, G)
    """
    place = chunk.cm[chunk.typed[chunk.points]].astype(np.float64)
    width = np.gradient(place) if len(place) > 1 else np.ones(1)
    total = (shares * (np.maximum(width, 0.0) + 1e-9)[:, None]).sum(axis=0)
    return (total / total.sum()).astype(np.float32)


@kernel(fastmath=False)
def _mix_sets(probabilities, out):
    """Mean of the parameter sets with their weights before training; exact if all are certain."""
    weights = np.exp(np.array(FIRST_GATES))
    weights /= weights.sum()
    for site in range(out.size):
        first = probabilities[site, 0]
        total = 0.0
        for a in range(NUM_SETS):
            total += weights[a] * (probabilities[site, a] - first)
        out[site] = first + total


def _pieces(sites: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Runs of sites within one word, here and among those taken.

    returns  (n, 5) of each run: word and bit of its first site, the same of its first place among
             those taken, and a mask of its length
    """
    place = np.arange(len(sites))
    is_first = (np.diff(sites, prepend=-2) != 1) | (sites & 63 == 0) | (place & 63 == 0)
    first = np.flatnonzero(is_first)
    length = np.diff(first, append=len(sites)).astype(np.uint64)
    mask = np.uint64(2**64 - 1) >> (np.uint64(64) - length)
    here = [sites[first] >> 6, sites[first] & 63, first >> 6, first & 63, mask]
    return np.stack([values.astype(np.uint64) for values in here], axis=1)


@kernel(fastmath=False)
def _take(bits, pieces, taken):
    for row in range(bits.shape[0]):
        for n in range(pieces.shape[0]):
            value = (bits[row, pieces[n, 0]] >> pieces[n, 1]) & pieces[n, 4]
            taken[row, pieces[n, 2]] |= value << pieces[n, 3]
