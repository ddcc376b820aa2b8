"""Missing genotypes of a target that were filled from a panel.

F filled genotypes, k sites of one record, n samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import dosage, phased_calls
from vcfbert.domain.matching import ABSENT

NO_ALLELE = -1
"""Second allele of a haploid genotype."""


@dataclass(frozen=True)
class FilledGenotypes:
    """Filled genotypes, sorted by record.

    record     (F,) index of the record in the file, never falling
    sample     (F,)
    alleles    (F, 2) allele numbers of the record, phased; NO_ALLELE second if haploid
    is_phased  (F,) False for heterozygotes whose order relative to the others is not known
    is_start   (F,) True for heterozygotes that begin a phase set
    quality    (F,) FQ
    """

    record: NDArray[np.int64]
    sample: NDArray[np.int64]
    alleles: NDArray[np.int64]
    is_phased: NDArray[np.bool_]
    is_start: NDArray[np.bool_]
    quality: NDArray[np.uint8]

    @classmethod
    def nothing(cls) -> Self:
        """No filled genotypes."""
        none = np.empty(0, np.int64)
        no_flag = np.empty(0, np.bool_)
        return cls(none, none, none.reshape(0, 2), no_flag, no_flag, np.empty(0, np.uint8))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All parts, sorted by record."""
        every = [cls.nothing(), *parts]
        fields = ("record", "sample", "alleles", "is_phased", "is_start", "quality")
        whole = [np.concatenate([getattr(part, name) for part in every]) for name in fields]
        order = np.argsort(whole[0], kind="stable")
        return cls(*(values[order] for values in whole))

    @property
    def is_heterozygous(self) -> NDArray[np.bool_]:
        """(F,) True for two different alleles."""
        first, second = self.alleles.T
        return np.asarray((first != second) & (second != NO_ALLELE), dtype=np.bool_)

    def at(self, rows: slice) -> Self:
        """Some of them."""
        return type(self)(
            self.record[rows], self.sample[rows], self.alleles[rows], self.is_phased[rows],
            self.is_start[rows], self.quality[rows],
        )  # fmt: skip

    def of_record(self, number: int) -> Self:
        """Those of one record."""
        first, stop = np.searchsorted(self.record, [number, number + 1]).tolist()
        return self.at(slice(first, stop))


class BestAlleles(NamedTuple):
    """The most probable allele of each haplotype of n samples at one record.

    alleles      (n, 2) allele numbers of the record, NO_ALLELE second if haploid
    is_possible  (n,) False if the record does not have such an allele
    right        (n,) probability of the genotype, whatever its order
    """

    alleles: NDArray[np.int64]
    is_possible: NDArray[np.bool_]
    right: NDArray[np.float64]


def best_alleles(
    alt: NDArray[np.floating], numbers: NDArray[np.int64], is_haploid: NDArray[np.bool_]
) -> BestAlleles:
    """The alleles of one record from the probabilities at its sites.

    alt         (k, n, 2) probability of ALT on each haplotype
    numbers     (k, 2) the record's numbers of REF and ALT of each site, or ABSENT
    is_haploid  (n,)

    >>> alt = np.array([[[0.9, 0.25]], [[0.0, 0.625]]])
    >>> best_alleles(alt, np.array([[0, 1], [0, 2]]), np.array([False])).alleles.tolist()
    [[1, 2]]
    """
    probability = np.concatenate([np.clip(1 - alt.sum(axis=0), 0, 1)[None], alt]).astype(np.float64)
    is_alt = alt.max(axis=0) > dosage.CALL_ABOVE
    chosen = np.where(is_alt, 1 + alt.argmax(axis=0), 0)
    alleles = np.append(numbers[:1, 0], numbers[:, 1])[chosen]
    one, other = chosen[:, 0], chosen[:, 1]
    rows = np.arange(len(chosen))
    of_first, of_second = probability[:, :, 0], probability[:, :, 1]
    right = of_first[one, rows] * of_second[other, rows]
    right += np.where(one != other, of_first[other, rows] * of_second[one, rows], 0)
    right = np.where(is_haploid, of_first[one, rows], right)
    is_possible = (alleles[:, 0] != ABSENT) & ((alleles[:, 1] != ABSENT) | is_haploid)
    alleles[is_haploid, 1] = NO_ALLELE
    return BestAlleles(alleles, is_possible, right)


def quality(right: NDArray[np.floating]) -> NDArray[np.uint8]:
    """FQ: the phred-scaled probability that a filled genotype is wrong."""
    return phased_calls.quality(1 - right)
