"""Sample columns of a record, with the order of their genotypes and their phase sets replaced.

N samples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.filled_calls import NO_ALLELE, FilledGenotypes
from vcfbert.domain.phased_calls import NO_QUALITY, SET_MISSING, TURNED, UNPHASED

FIELDS = (b"PS", b"PQ")
"""FORMAT fields that are replaced."""

FILL_QUALITY = b"FQ"
"""FORMAT field of filled genotypes, which is replaced if genotypes are filled."""

_UNKNOWN = b":.:."
_AS_IN_FILE, _UNPHASED, _PHASED, _TURNED, _MISSING = range(5)
_FORMS = 5
_NUMBER = re.compile(rb"\d+|\.")


@dataclass(frozen=True)
class Genotype:
    """A genotype of the file, in all forms in which it may be written.

    texts        as in the file, unphased, phased, phased in the other order, and without alleles
    is_known     True if no allele is missing
    is_het       True for two different known alleles
    is_phased    True if the file says so
    """

    texts: tuple[bytes, bytes, bytes, bytes, bytes]
    is_known: bool
    is_het: bool
    is_phased: bool

    @classmethod
    def parse(cls, text: bytes) -> Genotype:
        """Read a genotype. The sign before the first allele (VCF 4.4) is left out.

        >>> Genotype.parse(b"/0|1").texts
        (b'0/1', b'0/1', b'0|1', b'1|0', b'./.')
        """
        alleles = _NUMBER.findall(text)
        is_phased = b"|" in text and b"/" not in text
        plain = (b"|" if is_phased else b"/").join(alleles)
        is_known = b"." not in alleles and len(alleles) > 0
        return cls(
            (
                plain,
                b"/".join(alleles),
                b"|".join(alleles),
                b"|".join(alleles[::-1]),
                b"/".join([b"."] * len(alleles)),
            ),
            is_known,
            is_known and len(set(alleles)) > 1,
            is_phased,
        )


@dataclass
class WrittenGenotypes:
    """Genotypes that were written.

    phased         heterozygotes in a phase set
    unphased       heterozygotes without
    unmatched      those of them whose record types no site of the panel
    missing        genotypes with a missing allele
    filled         genotypes whose missing alleles were filled; in none of the other counts
    sets           phase sets
    """

    phased: int = 0
    unphased: int = 0
    unmatched: int = 0
    missing: int = 0
    filled: int = 0
    sets: int = 0


@dataclass(frozen=True)
class RecordOrder:
    """Order of the genotypes of one record.

    order     (N,) UNPHASED, AS_WRITTEN, TURNED or SET_MISSING
    is_start  (N,) True for heterozygotes that begin a phase set
    quality   (N,) PQ, or NO_QUALITY
    is_typed  False if the record types no site of the panel
    names     PS of samples whose set is not that of the heterozygotes around
    """

    order: NDArray[np.uint8]
    is_start: NDArray[np.bool_]
    quality: NDArray[np.uint8]
    is_typed: bool = True
    names: Mapping[int, int] = field(default_factory=dict)


class PhasedCells:
    """Writes the sample columns of one record after another."""

    def __init__(self, is_kept: NDArray[np.bool_], *, fills: bool = False) -> None:
        """What applies to all records.

        is_kept  (N,) True for samples whose genotypes keep the order of the file
        fills    True if missing genotypes are filled
        """
        self.tally = WrittenGenotypes()
        self._replaced = (*FIELDS, FILL_QUALITY) if fills else FIELDS
        self._is_kept = is_kept
        self._numbers: dict[bytes, int] = {}
        self._texts: list[bytes] = []
        self._traits = np.empty((0, 3), np.bool_)  # is_known, is_het, is_phased
        self._contig = b""
        self._set = np.zeros(len(is_kept), np.int64)  # 0 if the sample has none yet
        self._set_texts: list[bytes] = [b""] * len(is_kept)

    def write(
        self,
        contig: bytes,
        position: int,
        format_: bytes,
        cells: Sequence[bytes],
        found: RecordOrder | None,
        filled: FilledGenotypes | None = None,
    ) -> tuple[bytes, list[bytes]]:
        """FORMAT and the sample columns.

        cells   N, as in the file
        found   None if nothing is known of the order
        filled  genotypes of this record to fill; those without a missing allele in the file, or
                with another known allele, stay as they are
        """
        if contig != self._contig:
            self._contig = contig
            self._set[:] = 0
        keys = format_.split(b":")
        others = [place for place, key in enumerate(keys) if key not in (b"GT", *self._replaced)]
        if keys == [b"GT"]:
            genotypes: Sequence[bytes] = cells
        else:
            genotypes = [cell.partition(b":")[0] for cell in cells]
        number = self._number(genotypes)
        form, is_in_set = self._forms(number, found)
        written = [self._texts[place] for place in (_FORMS * number + form).tolist()]
        scores = {} if filled is None else self._fill(filled, number, written, is_in_set)
        if others:
            rest = [_others(cell, others, len(keys)) for cell in cells]
            written = [first + second for first, second in zip(written, rest, strict=True)]
        kept = [b"GT", *(keys[place] for place in others)]
        if is_in_set.any():
            starts = None if filled is None else filled.sample[filled.is_start]
            self._add_sets(position, written, is_in_set, found, starts)
            kept += FIELDS
        if scores:
            kept.append(FILL_QUALITY)
            written = [one + scores.get(sample, b":.") for sample, one in enumerate(written)]
        return b":".join(kept), written

    def _fill(
        self,
        filled: FilledGenotypes,
        number: NDArray[np.int64],
        written: list[bytes],
        is_in_set: NDArray[np.bool_],
    ) -> dict[int, bytes]:
        """Replace missing genotypes; returns the FQ of each sample with a filled one.

        number     (N,) of the texts of the genotypes
        is_in_set  (N,) changed at filled heterozygotes
        """
        scores = {}
        is_set = filled.is_heterozygous & filled.is_phased
        for row, sample in enumerate(filled.sample.tolist()):
            alleles = [b"%d" % n for n in filled.alleles[row].tolist() if n != NO_ALLELE]
            known = _NUMBER.findall(self._texts[_FORMS * int(number[sample])])
            if b"." not in known or any(a not in (b".", *alleles) for a in known):
                continue
            written[sample] = (b"|" if filled.is_phased[row] else b"/").join(alleles)
            is_in_set[sample] |= is_set[row]
            scores[sample] = b":%d" % filled.quality[row]
        self.tally.filled += len(scores)
        self.tally.missing -= len(scores)
        return scores

    def _number(self, genotypes: Sequence[bytes]) -> NDArray[np.int64]:
        """(N,) a number for each text of a genotype."""
        numbers = self._numbers
        for text in set(genotypes) - numbers.keys():
            numbers[text] = len(numbers)
            one = Genotype.parse(text)
            self._texts += one.texts
            traits = [[one.is_known, one.is_het, one.is_phased]]
            self._traits = np.concatenate([self._traits, np.array(traits, np.bool_)])
        return np.fromiter(map(numbers.__getitem__, genotypes), np.int64, len(genotypes))

    def _forms(
        self, number: NDArray[np.int64], found: RecordOrder | None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(N,) how each genotype is written, and (N,) True if it is in a phase set."""
        is_known, is_het, is_phased = self._traits[number].T
        form = np.full(len(number), _AS_IN_FILE)
        form[is_het | ~is_known] = _UNPHASED
        form[self._is_kept] = _AS_IN_FILE
        is_in_set = self._is_kept & is_het & is_phased
        if found is not None:
            if found.is_typed:
                form[is_known & ~is_het] = _PHASED
            is_lost = found.order == SET_MISSING
            form[is_lost] = _MISSING
            is_known, is_het = is_known & ~is_lost, is_het & ~is_lost
            is_in_set &= ~is_lost
            is_found = is_het & (found.order != UNPHASED)
            form[is_found] = np.where(found.order == TURNED, _TURNED, _PHASED)[is_found]
            is_in_set |= is_found
        self.tally.missing += int((~is_known).sum())
        num_unphased = int((is_het & ~is_in_set).sum())
        self.tally.unphased += num_unphased
        self.tally.unmatched += num_unphased if found is None or not found.is_typed else 0
        self.tally.phased += int(is_in_set.sum())
        return form, is_in_set

    def _add_sets(
        self,
        position: int,
        written: list[bytes],
        is_in_set: NDArray[np.bool_],
        found: RecordOrder | None,
        starts: NDArray[np.int64] | None,
    ) -> None:
        """Add PS and PQ to each column; sets begin at this position if they have to.

        starts  samples with a filled genotype that begins a set
        """
        is_start = is_in_set & (self._set == 0)
        if found is not None:
            is_start[list(found.names)] = False
        if starts is not None:
            is_start[starts] |= is_in_set[starts]
        if found is not None:
            is_start |= is_in_set & found.is_start
        names = {} if found is None else found.names
        for sample in np.flatnonzero(is_start).tolist():
            if sample in names:
                continue
            self._set[sample] = position
            self._set_texts[sample] = b":%d:" % position
        self.tally.sets += int(is_start.sum())
        quality = np.full(len(written), NO_QUALITY) if found is None else found.quality
        shown = np.where(is_start, NO_QUALITY, quality).tolist()
        for sample, is_here in enumerate(is_in_set.tolist()):
            if not is_here:
                written[sample] += _UNKNOWN
                continue
            score = shown[sample]
            text = b"." if score == NO_QUALITY else b"%d" % score
            name = b":%d:" % names[sample] if sample in names else self._set_texts[sample]
            written[sample] += name + text


def order_of(orders: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Order of the genotypes of a record with several sites, and the site that decides: the first.

    orders   (k, N) of the sites
    returns  (N,), and (N,) among the k

    >>> order_of(np.array([[0, 2], [1, 1]], np.uint8))[0].tolist()
    [1, 2]
    """
    first = (orders != UNPHASED).argmax(axis=0)
    is_lost = orders == SET_MISSING
    first = np.where(is_lost.any(axis=0), is_lost.argmax(axis=0), first)
    return orders[first, np.arange(orders.shape[1])], first


def _others(cell: bytes, places: Sequence[int], num_keys: int) -> bytes:
    """The fields at these places, each with its colon; those left out at the end are missing."""
    values = cell.split(b":")
    values += [b"."] * (num_keys - len(values))
    return b"".join(b":" + values[place] for place in places)
