"""The panels of several contigs as one: their sites, samples and windows one after another.

S sites, W windows, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain.genome import Genome
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.sites import SPLITS, Samples, Sites
from vcfbert.domain.windows import Windows


def sites(parts: Sequence[Sites]) -> Sites:
    """All sites; records are numbered on."""
    if len(parts) == 1:
        return parts[0]
    first_contig = _firsts([len(part.contigs) for part in parts])
    first_record = _firsts([int(part.record[-1]) + 1 for part in parts])
    moved = list(zip(parts, first_contig, first_record, strict=True))
    return Sites(
        contigs=tuple(name for part in parts for name in part.contigs),
        contig=np.concatenate([part.contig + np.int32(first) for part, first, _ in moved]),
        position=np.concatenate([part.position for part in parts]),
        record=np.concatenate([part.record + np.int32(first) for part, _, first in moved]),
        identifier=[text for part in parts for text in part.identifier],
        ref=[text for part in parts for text in part.ref],
        alt=[text for part in parts for text in part.alt],
        info=[text for part in parts for text in part.info],
        site_type=np.concatenate([part.site_type for part in parts]),
        cm=np.concatenate([part.cm for part in parts]),
        alt_count=np.concatenate([part.alt_count for part in parts]),
        population_alt_count=np.concatenate([part.population_alt_count for part in parts]),
    )


def of_contig(table: Sites, number: int) -> tuple[int, Sites]:
    """The first site of a contig, and its sites as a table of their own.

    number  of the contig, which has sites
    """
    rows = np.flatnonzero(table.contig == number)
    first, stop = int(rows[0]), int(rows[-1]) + 1
    here = slice(first, stop)
    return first, Sites(
        contigs=(table.contigs[number],),
        contig=np.zeros(stop - first, np.int32),
        position=table.position[here],
        record=table.record[here] - table.record[first],
        identifier=table.identifier[here],
        ref=table.ref[here],
        alt=table.alt[here],
        info=table.info[here],
        site_type=table.site_type[here],
        cm=table.cm[here],
        alt_count=table.alt_count[here],
        population_alt_count=table.population_alt_count[here],
    )


def samples(parts: Sequence[Samples], num_sites: Sequence[int]) -> Samples:
    """The samples, which are the same in all parts but for their ploidy.

    num_sites  of each part
    """
    if all(part.haploid is None for part in parts):
        return parts[0]
    starts = [
        int(first) + start
        for part, first in zip(parts, _firsts(num_sites), strict=True)
        for start in part.ploidy.start.tolist()
    ]
    rows = [row for part in parts for row in part.ploidy.is_haploid]
    return replace(parts[0], haploid=Ploidy.joined(starts, rows))


def windows(parts: Sequence[Windows], num_sites: Sequence[int]) -> Windows:
    """The windows of all parts, which have the same length; `num_sites` of each part."""
    firsts = _firsts(num_sites)

    def joined(name: str) -> NDArray[np.int64]:
        columns = [getattr(part, name) + first for part, first in zip(parts, firsts, strict=True)]
        return np.concatenate(columns)

    return Windows(
        start=joined("start"),
        stop=joined("stop"),
        core_start=joined("core_start"),
        core_stop=joined("core_stop"),
        length=parts[0].length,
    )


def genome(parts: Sequence[Genome]) -> Genome:
    """What the headers of all parts say; the reference is that of the first that names one."""
    return Genome(
        next((part.reference for part in parts if part.reference is not None), None),
        {name: length for part in parts for name, length in part.lengths.items()},
        {name: text for part in parts for name, text in part.assemblies.items()},
    )


def difference(one: Samples, other: Samples, here: str, there: str) -> str | None:
    """The first difference of two tables of samples, ploidy apart; None if they are the same.

    here, there  what the tables belong to, for the sentence

    >>> table = Samples(["a", "b"], [".", "."], [".", "."], np.zeros(2, np.int8), ())
    >>> difference(table, replace(table, names=["a", "c"]), "the file", "the panel")
    'sample 2 is b in the file and c in the panel'
    """
    found = name_difference(one.names, other.names, here, there)
    if found is not None:
        return found
    for row in np.flatnonzero(one.split != other.split).tolist():
        mine, theirs = SPLITS[one.split[row]], SPLITS[other.split[row]]
        return f"sample {one.names[row]} is in the split {mine} in {here} and {theirs} in {there}"
    for what, column, another in (
        ("population", one.population, other.population),
        ("superpopulation", one.superpopulation, other.superpopulation),
    ):
        for name, before, after in zip(one.names, column, another, strict=True):
            if before != after:
                return f"sample {name} has the {what} {before} in {here} and {after} in {there}"
    if not np.array_equal(one.relatives, other.relatives):
        return f"{here} and {there} have other pairs of close relatives"
    return None


def name_difference(one: Sequence[str], other: Sequence[str], here: str, there: str) -> str | None:
    """The first difference of two lists of samples; None if they are the same.

    >>> name_difference(["a", "b"], ["a"], "x.vcf", "y.vcf")
    'x.vcf has 2 samples and y.vcf has 1'
    """
    for number, (name, another) in enumerate(zip(one, other, strict=False), start=1):
        if name != another:
            return f"sample {number:,} is {name} in {here} and {another} in {there}"
    if len(one) != len(other):
        return f"{here} has {plurals.of(len(one), 'sample')} and {there} has {len(other):,}"
    return None


def _firsts(lengths: Sequence[int]) -> NDArray[np.int64]:
    """The number of items before each part.

    >>> _firsts([3, 5]).tolist()
    [0, 3]
    """
    return np.cumsum([0, *lengths[:-1]], dtype=np.int64)
