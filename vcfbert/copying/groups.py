"""Groups of samples in a panel, found from its genotypes, in place of populations.

Groups are never read from a sample table, so that the inputs made from them mean the same on every
panel. On chr20, 16 groups are within .001 of r2 of the 26 populations of the 1000 Genomes
(docs/decisions/mosaic.md).

N samples, R haplotypes, S sites, G groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import trailing_zeros
from vcfbert.domain import tokens

NUM_GROUPS = 16
MAX_SITES = 6_000
MIN_FREQUENCY = 0.002

MOST_SAMPLES = 2_500
"""Groups of a larger panel are found from this many of its samples."""

_COMPONENTS = 10
_SPARE_COMPONENTS = 10
_POWER_STEPS = 3
_ROUNDS = 30


def of_references(
    bits: NDArray[np.uint64],
    num_sites: int,
    sample: NDArray[np.int64],
    *,
    seed: int = 1,
    most_samples: int = MOST_SAMPLES,
) -> NDArray[np.int64]:
    """Group of each haplotype, (R,) from 0; both haplotypes of a sample are in the same group.

    Principal components of the samples' standardised genotypes, then k-means. A small panel has
    fewer groups, at most one for every eight samples. In a panel of more than `most_samples`,
    groups are found from that many, evenly spread, and the others join the nearest one.

    bits    (R, ceil(S / 64)) alleles at S sites picked by `sites_for`, the first in the lowest bit
    sample  (R,) of each haplotype, never falling; a sample with one counts as a homozygote
    """
    rng = np.random.default_rng(seed)
    first = np.flatnonzero(np.diff(sample, prepend=-1))
    last = np.append(first[1:], len(sample)) - 1
    num_samples = len(first)
    asked = np.unique(np.linspace(0, num_samples - 1, min(num_samples, most_samples)).astype(int))
    num_groups = max(1, min(NUM_GROUPS, num_samples // 8))
    chosen = np.flatnonzero(np.isin(np.repeat(np.arange(num_samples), last - first + 1), asked))
    alleles = tokens.unpack(np.ascontiguousarray(bits[chosen]).view(np.uint8), num_sites)
    frequency = alleles.mean(axis=0, dtype=np.float64)
    varies = (frequency > 0) & (frequency < 1)
    if num_groups == 1 or varies.sum() < _COMPONENTS:
        return np.zeros(len(bits), np.int64)
    frequency = frequency[varies]
    places = np.searchsorted(chosen, np.stack([first[asked], last[asked]]))
    genotypes = (alleles[places[0]][:, varies] + alleles[places[1]][:, varies]).astype(np.float32)
    genotypes -= 2 * frequency.astype(np.float32)
    genotypes /= np.sqrt(frequency * (1 - frequency)).astype(np.float32)
    scores, axes = _components(genotypes, rng)
    number, centre = _k_means(scores, num_groups, rng)
    if len(asked) < num_samples:
        loadings = np.zeros((64 * bits.shape[1], axes.shape[1]))
        loadings[np.flatnonzero(varies)] = axes / np.sqrt(frequency * (1 - frequency))[:, None]
        summed = _sums_of_carried(bits, loadings)
        scores = summed[first] + summed[last] - 2 * (frequency @ loadings[: len(varies)][varies])
        number = _nearest(scores.astype(np.float32), centre)
    return np.repeat(number, last - first + 1).astype(np.int64)


def sites_for(frequency: NDArray[np.floating]) -> NDArray[np.int64]:
    """Sites whose genotypes separate groups: at most MAX_SITES indexes, rising.

    frequency  (S,) of ALT
    """
    usable = np.flatnonzero(np.minimum(frequency, 1 - frequency) > MIN_FREQUENCY)
    if len(usable) <= MAX_SITES:
        return usable
    return usable[np.linspace(0, len(usable) - 1, MAX_SITES).astype(np.int64)]


def _components(
    values: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first principal components, by the randomised method of Halko et al. 2011.

    values   (N, S) centred
    returns  scores (N, 10) or fewer, and axes (S, 10): the scores are about `values @ axes`
    """
    width = min(_COMPONENTS + _SPARE_COMPONENTS, *values.shape)
    sketch = values @ rng.standard_normal((values.shape[1], width)).astype(np.float32)
    for _ in range(_POWER_STEPS):
        basis, _ = np.linalg.qr(sketch)
        sketch = values @ (values.T @ basis)
    basis, _ = np.linalg.qr(sketch)
    left, sizes, axes = np.linalg.svd(basis.T @ values, full_matrices=False)
    scores: NDArray[np.float32] = (basis @ left)[:, :_COMPONENTS] * sizes[:_COMPONENTS]
    return scores, axes[:_COMPONENTS].T


def _sums_of_carried(
    bits: NDArray[np.uint64], loadings: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(R, c) sums of the loadings (S, c) of the sites where each haplotype carries ALT."""
    sums = np.zeros((len(bits), loadings.shape[1]))
    _add_carried(bits, np.ascontiguousarray(loadings), sums)
    return sums


@kernel(fastmath=False)
def _add_carried(bits, loadings, sums):
    for row in range(bits.shape[0]):
        for word in range(bits.shape[1]):
            value = bits[row, word]
            while value:
                site = 64 * word + trailing_zeros(value)
                for component in range(loadings.shape[1]):
                    sums[row, component] += loadings[site, component]
                value &= value - np.uint64(1)


def _k_means(
    points: NDArray[np.float32], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Index of the nearest of `count` centres for each point, and the centres it was chosen from.

    They start by k-means++.
    """
    centres = [points[rng.integers(len(points))]]
    nearest = ((points - centres[0]) ** 2).sum(axis=1).astype(np.float64)
    for _ in range(count - 1):
        total = nearest.sum()
        if total <= 0:
            break
        centres.append(points[rng.choice(len(points), p=nearest / total)])
        nearest = np.minimum(nearest, ((points - centres[-1]) ** 2).sum(axis=1))
    centre = np.array(centres)
    for _ in range(_ROUNDS):
        number, before = _nearest(points, centre), centre
        size = np.bincount(number, minlength=len(centre))
        total = np.zeros_like(centre)
        np.add.at(total, number, points)
        centre = np.where(size[:, None] > 0, total / np.maximum(size, 1)[:, None], centre)
    return number, before


def _nearest(points: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) index of the nearest centre for each point."""
    distance = (centre**2).sum(axis=1) - 2 * points @ centre.T
    return np.asarray(distance.argmin(axis=1), dtype=np.int64)
