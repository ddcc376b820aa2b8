"""Genotyping and phasing errors of simulated haplotypes.

Low-coverage sequencing with statistical phasing, as in phase 3 of the 1000 Genomes Project (Nature
526:68, 2015), misses heterozygotes, mostly at rare sites, calls few false ones, has some sites
that are often wrong, switches phase about once per Mb, and phases singletons and doubletons poorly.
All functions change haplotypes in place; rows 2n and 2n + 1 belong to sample n.

    H haplotypes   S sites
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

COMMON = 0.05  # at this minor allele frequency the error rate is the full one
RARE = 0.02  # heterozygotes are missed below this frequency of ALT


@dataclass(frozen=True, kw_only=True)
class ErrorRates:
    """Rates of all kinds of errors."""

    switches_per_mb: float = 0.0
    """Mean number of phase switches per sample and Mb; samples differ by a gamma factor."""
    allele_error: float = 0.0
    """Probability that an allele of a common site is wrong; below 5 %, proportional to the MAF."""
    bad_sites: float = 0.0
    """Share of sites with a 30 times larger probability, at most 0.1."""
    missed: float = 0.0
    """Probability that the only copy of ALT is called REF; falls as 1 / sqrt(count)."""
    random_phase: float = 0.0
    """Probability that a singleton or doubleton is phased at random; falls as 1 / count."""

    def as_dict(self) -> dict[str, float]:
        """The rates as JSON types."""
        return asdict(self)


def draw_rates(rng: np.random.Generator) -> ErrorRates:
    """A clean call set in one of four draws; otherwise good to poor low-coverage calls.

    Three panels like the 1000 Genomes' (4,508 references, 879 typed sites, one Li-Stephens head)
    bracket the real one: r2 at MAF .06-.2, .2-.5, .5-1, 1-5, 5-50 % is on average .855 .876 .924
    .961 .964 without rates and .790 .823 .887 .947 .957 with 1 switch a Mb, allele_error 3e-4,
    bad_sites .005, missed .1, random_phase .5, against .828 .835 .940 .952 .956 for the real panel.
    """
    if rng.random() < 0.25:
        return ErrorRates(switches_per_mb=float(rng.choice([0.0, 0.3])))
    return ErrorRates(
        switches_per_mb=float(np.exp(rng.uniform(np.log(0.2), np.log(2.5)))),
        allele_error=float(10 ** rng.uniform(-4.7, -3.0)),
        bad_sites=float(rng.choice([0.0, 0.003, 0.01])),
        missed=float(rng.choice([0.0, rng.uniform(0.02, 0.2)])),
        random_phase=float(rng.choice([0.0, rng.uniform(0.2, 1.0)])),
    )


def switch_phase(
    haplotypes: NDArray[np.uint8],
    position: NDArray[np.integer],
    per_mb: float,
    rng: np.random.Generator,
) -> None:
    """Exchange the two haplotypes of samples from some points on.

    haplotypes  (H, S) changed in place
    position    (S,) rising
    """
    if per_mb <= 0 or not position.size:
        return
    length = float(position[-1] - position[0]) / 1e6
    for sample in range(len(haplotypes) // 2):
        rate = per_mb * float(rng.gamma(2.0, 0.5))
        count = int(rng.poisson(rate * length))
        points = np.sort(rng.uniform(position[0], position[-1], size=count))
        swapped = np.searchsorted(points, position) % 2 == 1
        pair = haplotypes[2 * sample : 2 * sample + 2]
        pair[:, swapped] = pair[::-1, swapped]


def wrong_alleles(
    haplotypes: NDArray[np.uint8],
    frequency: NDArray[np.floating],
    rates: ErrorRates,
    rng: np.random.Generator,
    *,
    is_bad: NDArray[np.bool_],
) -> None:
    """Flip alleles at random and call rare heterozygotes REF.

    haplotypes  (H, S) changed in place
    frequency   (S,) of ALT before any error
    is_bad      (S,) sites that are wrong more often
    """
    num_haplotypes, num_sites = haplotypes.shape
    minor = np.minimum(frequency, 1 - frequency)
    rate = rates.allele_error * np.minimum(minor / COMMON, 1.0)
    rate[is_bad] = np.minimum(30 * rate[is_bad], 0.1)
    site = np.repeat(np.arange(num_sites), rng.binomial(num_haplotypes, rate))
    row = rng.integers(0, num_haplotypes, size=len(site))
    haplotypes[row, site] ^= 1
    if rates.missed > 0:
        rare = np.flatnonzero(frequency < RARE)
        count = np.maximum(frequency[rare] * num_haplotypes, 1.0)
        row, at = np.nonzero(haplotypes[:, rare])
        is_single = haplotypes[row ^ 1, rare[at]] == 0
        is_missed = rng.random(len(row)) < rates.missed / np.sqrt(count[at])
        gone = is_single & is_missed
        haplotypes[row[gone], rare[at[gone]]] = 0


def forget_phase(
    haplotypes: NDArray[np.uint8],
    count: NDArray[np.integer],
    chance: float,
    rng: np.random.Generator,
) -> None:
    """Toss a coin for the phase of heterozygotes at very rare sites.

    haplotypes  (H, S) changed in place
    count       (S,) copies of ALT in the whole call set; up to 20 of them matter
    """
    if chance <= 0:
        return
    rare = np.flatnonzero((count > 0) & (count <= 20))
    row, at = np.nonzero(haplotypes[:, rare])
    site = rare[at]
    wanted = chance * np.minimum(1.0, 2.0 / count[site])
    swap = (haplotypes[row ^ 1, site] == 0) & (rng.random(len(row)) < wanted / 2)
    haplotypes[row[swap], site[swap]] = 0
    haplotypes[row[swap] ^ 1, site[swap]] = 1
