"""Groups of samples in a panel, found from its genotypes, in place of populations.

Groups are never read from a sample table, so that the inputs made from them mean the same on every
panel. On chr20, 16 groups are within .001 of r2 of the 26 populations of the 1000 Genomes
(docs/decisions/mosaic.md).

N samples, R haplotypes, S sites, G groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NUM_GROUPS = 16
MAX_SITES = 6_000
MIN_FREQUENCY = 0.002

_COMPONENTS = 10
_SPARE_COMPONENTS = 10
_POWER_STEPS = 3
_ROUNDS = 30


def of_references(
    alleles: NDArray[np.uint8], sample: NDArray[np.int64], *, seed: int = 1
) -> NDArray[np.int64]:
    """Group of each haplotype, (R,) from 0; both haplotypes of a sample are in the same group.

    Principal components of the samples' standardised genotypes, then k-means. A small panel has
    fewer groups, at most one for every eight samples.

    alleles  (R, S) 0 REF, 1 ALT, at sites picked by `sites_for`
    sample   (R,) of each haplotype, never falling; a sample with one counts as a homozygote
    """
    rng = np.random.default_rng(seed)
    first = np.flatnonzero(np.diff(sample, prepend=-1))
    last = np.append(first[1:], len(sample)) - 1
    num_samples = len(first)
    num_groups = max(1, min(NUM_GROUPS, num_samples // 8))
    frequency = alleles.mean(axis=0, dtype=np.float64)
    varies = (frequency > 0) & (frequency < 1)
    if num_groups == 1 or varies.sum() < _COMPONENTS:
        return np.zeros(len(alleles), np.int64)
    frequency = frequency[varies]
    genotypes = (alleles[first][:, varies] + alleles[last][:, varies]).astype(np.float32)
    genotypes -= 2 * frequency.astype(np.float32)
    genotypes /= np.sqrt(frequency * (1 - frequency)).astype(np.float32)
    number = _k_means(_components(genotypes, rng), num_groups, rng)
    return np.repeat(number, last - first + 1).astype(np.int64)


def sites_for(frequency: NDArray[np.floating]) -> NDArray[np.int64]:
    """Sites whose genotypes separate groups: at most MAX_SITES indexes, rising.

    frequency  (S,) of ALT
    """
    usable = np.flatnonzero(np.minimum(frequency, 1 - frequency) > MIN_FREQUENCY)
    if len(usable) <= MAX_SITES:
        return usable
    return usable[np.linspace(0, len(usable) - 1, MAX_SITES).astype(np.int64)]


def _components(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Scores on the first principal components, by the randomised method of Halko et al. 2011.

    values   (N, S) centred
    returns  (N, 10) or fewer
    """
    width = min(_COMPONENTS + _SPARE_COMPONENTS, *values.shape)
    sketch = values @ rng.standard_normal((values.shape[1], width)).astype(np.float32)
    for _ in range(_POWER_STEPS):
        basis, _ = np.linalg.qr(sketch)
        sketch = values @ (values.T @ basis)
    basis, _ = np.linalg.qr(sketch)
    left, sizes, _ = np.linalg.svd(basis.T @ values, full_matrices=False)
    scores: NDArray[np.float32] = (basis @ left)[:, :_COMPONENTS] * sizes[:_COMPONENTS]
    return scores


def _k_means(
    points: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Index of the nearest of `count` centres for each point; centres start by k-means++."""
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
        distance = (centre**2).sum(axis=1) - 2 * points @ centre.T
        number = distance.argmin(axis=1)
        size = np.bincount(number, minlength=len(centre))
        total = np.zeros_like(centre)
        np.add.at(total, number, points)
        centre = np.where(size[:, None] > 0, total / np.maximum(size, 1)[:, None], centre)
    return np.asarray(number, dtype=np.int64)
