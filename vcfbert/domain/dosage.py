"""ALT probabilities to dosages, genotype probabilities and best-guess calls.

S sites, N people. A person's two haplotypes are phased: the first is left of the `|` in a VCF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CALL_ABOVE = 0.5  # a haplotype carries ALT where that is the likelier allele; ties are REF


@dataclass(frozen=True)
class Imputed:
    """What one system says about some sites of some people.

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
        """The same system's answer at some of the sites, (S,) True."""
        return Imputed(
            alt_probability=self.alt_probability[rows],
            calls=self.calls[rows],
            dosage=self.dosage[rows],
            genotype_probability=self.genotype_probability[rows],
        )


def from_haplotypes(alt_probability: NDArray[np.floating]) -> Imputed:
    """Take the two haplotypes of a person as independent.

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


def from_genotypes(
    genotype_probability: NDArray[np.floating], alt_probability: NDArray[np.floating]
) -> Imputed:
    """Take dosage from genotype probabilities; only the haplotypes know the phase of the calls.

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


def from_frequency(frequency: NDArray[np.floating], num_people: int) -> Imputed:
    """Everyone gets the site's frequency: dosage 2 f and the most frequent allele.

    frequency  (S,) ALT frequency
    """
    shape = (len(frequency), num_people, 2)
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
