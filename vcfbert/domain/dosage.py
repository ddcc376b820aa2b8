"""Dosages, genotype probabilities and best-guess calls from ALT probabilities.

S sites, N samples. A sample's two haplotypes are phased: the first is left of the `|` in a VCF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens

_CELLS_AT_ONCE = 1 << 20  # of sums in float64
MIN_VARIANCE = 1e-12  # smaller variances are rounding errors

CALL_ABOVE = 0.5  # a haplotype is called ALT above this

FEWEST_FOR_DR2 = 50
"""Samples of a file from which on DR2 is written: with fewer, it depends on whether a sample
happens to carry the allele (docs/decisions/site-quality.md)."""


@dataclass(frozen=True)
class Imputed:
    """Result of one system at some sites of some samples.

    alt_probability       (S, N, 2) probability that each haplotype carries ALT
    calls                 (S, N, 2) best guess of each haplotype, 0 REF or 1 ALT
    dosage                (S, N) expected ALT copies, 0 to 2
    genotype_probability  (S, N, 3) probabilities of 0, 1 and 2 ALT copies
    """

    alt_probability: NDArray[np.float32]
    calls: NDArray[np.uint8]
    dosage: NDArray[np.float32]
    genotype_probability: NDArray[np.float32]

    def at(self, rows: NDArray[np.bool_]) -> Imputed:
        """The results at some of the sites, (S,) True."""
        return Imputed(
            alt_probability=self.alt_probability[rows],
            calls=self.calls[rows],
            dosage=self.dosage[rows],
            genotype_probability=self.genotype_probability[rows],
        )


def from_haplotypes(alt_probability: NDArray[np.floating]) -> Imputed:
    """Take the two haplotypes of a sample as independent.

    alt_probability  (S, N, 2)

    >>> imputed = from_haplotypes(np.array([[[0.9, 0.2]]], dtype=np.float32))
    >>> imputed.calls.tolist(), imputed.dosage.round(2).tolist()
    ([[[1, 0]]], [[1.100000023841858]])
    """
    probability = alt_probability.astype(np.float32, copy=False)
    return Imputed(
        alt_probability=probability,
        calls=(probability > CALL_ABOVE).astype(np.uint8),
        dosage=probability.sum(axis=-1),
        genotype_probability=of_independent(probability),
    )


def as_pairs(alt_probability: NDArray[np.floating], is_haploid: NDArray[np.bool_]) -> Imputed:
    """Like `from_haplotypes`, with a haploid sample as a homozygote, to score it among diploids.

    alt_probability  (S, N, 2)
    is_haploid       (N,) samples whose second haplotype is not there

    >>> as_pairs(np.array([[[0.75, 0.0]]]), np.array([True])).genotype_probability.tolist()
    [[[0.25, 0.0, 0.75]]]
    """
    imputed = from_haplotypes(alt_probability)
    if not is_haploid.any():
        return imputed
    alt, genotypes = imputed.alt_probability.copy(), imputed.genotype_probability.copy()
    alt[:, is_haploid, 1] = alt[:, is_haploid, 0]
    genotypes[:, is_haploid] = genotypes[:, is_haploid][..., [0, 2, 1]]
    return from_genotypes(genotypes, alt)


def from_genotypes(
    genotype_probability: NDArray[np.floating], alt_probability: NDArray[np.floating]
) -> Imputed:
    """Dosage from genotype probabilities; the phase of the calls is that of the haplotypes.

    genotype_probability  (S, N, 3) summing to 1
    alt_probability       (S, N, 2)
    """
    genotypes = genotype_probability.astype(np.float32, copy=False)
    probability = alt_probability.astype(np.float32, copy=False)
    return Imputed(
        alt_probability=probability,
        calls=(probability > CALL_ABOVE).astype(np.uint8),
        dosage=genotypes[..., 1] + 2 * genotypes[..., 2],
        genotype_probability=genotypes,
    )


def from_alleles(alleles: NDArray[np.uint8]) -> Imputed:
    """Certain calls, such as copied or typed alleles.

    alleles  (S, N, 2) 0 REF, 1 ALT
    """
    return from_haplotypes(alleles.astype(np.float32))


def from_frequency(frequency: NDArray[np.floating], num_samples: int) -> Imputed:
    """The site's frequency for all samples: dosage 2 f and the most frequent allele.

    frequency  (S,) ALT frequency
    """
    shape = (len(frequency), num_samples, 2)
    return from_haplotypes(np.broadcast_to(frequency[:, None, None], shape))


def of_independent(alt_probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Genotype probabilities of two independent haplotypes.

    alt_probability  (..., 2)
    returns          (..., 3)

    >>> of_independent(np.array([0.5, 1.0], dtype=np.float32)).tolist()
    [0.0, 0.5, 0.5]
    """
    first, second = alt_probability[..., 0], alt_probability[..., 1]
    both = first * second
    neither = (1 - first) * (1 - second)
    one = first * (1 - second) + second * (1 - first)
    return np.stack([neither, one, both], axis=-1)


def estimated_r2(alt_probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared correlation with the true alleles, if the probabilities are calibrated.

    The variance of the probabilities over haplotypes divided by that of alleles, f (1 - f): the Rsq
    of Minimac (Das et al. 2016, Nature Genetics 48:1284), and the DR2 of Beagle (Browning and
    Browning 2009, AJHG 84:210) except that Beagle adds up the two haplotypes of a sample.

    alt_probability  (S, N, 2)
    returns          (S,) 0 to 1; 0 if no haplotype carries ALT or all do

    >>> estimated_r2(np.array([[[1, 0]], [[0.5, 0.5]], [[0, 0]]], dtype=np.float32))
    array([1., 0., 0.])
    """
    r2 = np.zeros(len(alt_probability))
    for rows in _blocks(alt_probability.shape):
        flat = alt_probability[rows].astype(np.float64).reshape(rows.stop - rows.start, -1)
        frequency = flat.mean(axis=1)
        largest = frequency * (1 - frequency)
        np.divide(flat.var(axis=1), largest, out=r2[rows], where=largest > 0)
    return np.clip(r2, 0.0, 1.0)


def empirical_r2(alleles: NDArray[np.uint8], left_out: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared correlation of typed alleles with those imputed without them: ER2 of Minimac.

    alleles   (T, N, 2) 0 REF, 1 ALT, more if missing
    left_out  (T, N, 2) probability of ALT as if the site were not typed
    returns   (T,) NaN if either does not vary

    >>> typed, imputed = [[[0, 1]], [[1, 1]], [[0, 4]]], [[[0.1, 0.9]], [[0.5, 0.6]], [[0.1, 0.2]]]
    >>> empirical_r2(np.array(typed, dtype=np.uint8), np.array(imputed, dtype=np.float32))
    array([ 1., nan, nan])
    """
    r2 = np.full(len(alleles), np.nan)
    for rows in _blocks(alleles.shape):
        observed = alleles[rows] <= tokens.ALT
        truth = alleles[rows].astype(np.float64)
        answer = left_out[rows].astype(np.float64)
        count = np.maximum(observed.sum(axis=(1, 2), keepdims=True), 1)
        for values in (truth, answer):
            values -= values.sum(axis=(1, 2), where=observed, keepdims=True) / count
            values *= observed
        covariance = (truth * answer).sum(axis=(1, 2))
        variances = (truth**2).sum(axis=(1, 2)) * (answer**2).sum(axis=(1, 2))
        np.divide(covariance**2, variances, out=r2[rows], where=variances > MIN_VARIANCE)
    return r2


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an array (S, N, 2), a few at a time."""
    step = max(1, _CELLS_AT_ONCE // max(1, 2 * shape[1]))
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))
