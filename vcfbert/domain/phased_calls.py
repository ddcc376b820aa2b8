"""Order of a target's genotypes, found by phasing: what is written into its records.

T typed sites, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens

UNPHASED, AS_WRITTEN, TURNED, SET_MISSING = 0, 1, 2, 3
"""Order of a genotype: not known, that of the file, or the other one; UNPHASED for homozygotes.
SET_MISSING is written without alleles."""

NO_QUALITY = 255
"""Of genotypes without a PQ."""

MOST_QUALITY = 99


@dataclass(frozen=True)
class PhasedCalls:
    """Order of the heterozygotes of a target.

    record     (T,) index of the record that types each site; a record may type several
    order      (T, N) UNPHASED, AS_WRITTEN, TURNED or SET_MISSING
    is_start   (T, N) True for heterozygotes that begin a phase set
    quality    (T, N) PQ, or NO_QUALITY
    is_kept    (N,) True for samples whose typed heterozygotes all are phased in the file
    """

    record: NDArray[np.int64]
    order: NDArray[np.uint8]
    is_start: NDArray[np.bool_]
    quality: NDArray[np.uint8]
    is_kept: NDArray[np.bool_]

    @classmethod
    def nothing(cls, record: NDArray[np.int64], is_kept: NDArray[np.bool_]) -> Self:
        """No genotype is phased yet."""
        shape = len(record), len(is_kept)
        return cls(
            record,
            np.full(shape, UNPHASED, np.uint8),
            np.zeros(shape, np.bool_),
            np.full(shape, NO_QUALITY, np.uint8),
            is_kept,
        )

    def rows_by_record(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Records that type sites, rising, and for each the end of its rows in `rows`.

        Use `rows` for the rows themselves.
        """
        records, counts = np.unique(self.record, return_counts=True)
        return records, np.cumsum(counts)

    def rows(self) -> NDArray[np.int64]:
        """(T,) rows in the order of the records."""
        return np.argsort(self.record, kind="stable")

    def confidence(self) -> float | None:
        """Mean probability that an order is right; None if none was found."""
        found = self.quality[:, ~self.is_kept]
        phred = found[found != NO_QUALITY].astype(np.float64)
        return float(1 - (10 ** (-phred / 10)).mean()) if len(phred) else None


def quality(is_wrong: NDArray[np.floating]) -> NDArray[np.uint8]:
    """PQ: the phred-scaled probability that an order is wrong.

    >>> quality(np.array([0.0, 0.001, 0.5, 0.9])).tolist()
    [99, 30, 3, 0]
    """
    phred = np.round(-10 * np.log10(np.maximum(is_wrong, 1e-10)))
    return np.asarray(np.clip(phred, 0, MOST_QUALITY), dtype=np.uint8)


def turned(
    alleles: NDArray[np.uint8], phased: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Heterozygotes with both alleles, and those of them whose order is not that of the file.

    alleles  (n, 2, T) in the order of the file: 0 REF, 1 ALT, more for missing
    phased   (n, 2, T) the same, phased

    >>> is_het, is_turned = turned(np.array([[[0, 1, 0], [1, 0, 0]]]), np.array([[[1, 1, 0]] * 2]))
    >>> is_het.tolist(), is_turned.tolist()
    ([[True, True, False]], [[True, False, False]])
    """
    is_het = tokens.is_heterozygous(alleles)
    return is_het, is_het & (alleles[:, 0] != phased[:, 0])
