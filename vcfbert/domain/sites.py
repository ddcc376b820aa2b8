"""Tables of the sites and samples of a panel.

S sites, N samples, H = 2 N haplotypes, P populations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.contig_names import find_contig
from vcfbert.domain.ploidy import Ploidy
from vcfbert.errors import InputError

MOST_DIGITS = 30
"""Longest text of a position, including commas and leading zeros."""

_RANGE = r"([\d,]+)-([\d,]*)"

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Split codes, and the columns of `Sites.alt_count`."""

BASES = frozenset("ACGTUNRYSWKMBDHVacgtunryswkmbdhv")
"""Letters of a sequence (IUPAC)."""

SPLITS = ("train", "validation", "test")
"""Names of the split codes."""


@dataclass(frozen=True)
class Region:
    """A region of a contig; start and end are 1-based and inclusive."""

    contig: str
    start: int = 1
    end: int = 2**31 - 2

    @classmethod
    def parse(cls, text: str, contigs: Sequence[str], *, source: str) -> Self:
        """Read `contig`, `contig:start-end` or `contig:start-`, with a name that a file has.

        Names may contain colons. If the whole text and the text before its last colon are both
        names, braces around the name tell them apart, as in htslib.

        contigs  of the file
        source   the file, for messages

        >>> Region.parse("chr20:1,000-2,000", ["20"], source="a.vcf")
        Region(contig='20', start=1000, end=2000)
        >>> Region.parse("HLA-A*01:01:5-9", ["HLA-A*01:01"], source="a.vcf")
        Region(contig='HLA-A*01:01', start=5, end=9)
        """
        name, ends = _split_region(text, contigs)
        start, end = cls.start, cls.end
        if ends is not None:
            if max(map(len, ends)) > MOST_DIGITS:
                raise InputError(f"The region {text[:60]!r} must end at 2^31 - 2 or before.")
            first, last = (part.replace(",", "") for part in ends)
            start, end = int(first or 0), int(last) if last else cls.end
        if not 1 <= start <= end <= cls.end:
            raise InputError(
                f"The region {text!r} must start at 1 or later and must not end before its start."
            )
        found = find_contig(name, contigs)
        if found is None:
            raise InputError(
                f"{source} has no contig {name}, which the region names. It has "
                f"{', '.join(contigs[:5]) or 'none in its header'}."
            )
        return cls(found, start, end)

    def __str__(self) -> str:
        name = f"{{{self.contig}}}" if ":" in self.contig else self.contig
        return f"{name}:{self.start}-{self.end}"


@dataclass(frozen=True)
class Sites:
    """Biallelic sites in contig and position order.

    Sites at one position may have the same alleles if their identifiers differ.

    contig                (S,) index into contigs
    position              (S,) 1-based
    record                (S,) number of the record; the sites of a multi-allelic record share it
    alt                   letters, or as in the panel: `<DEL>`, `*`, a breakend
    info                  what the panel's INFO says of a structural variant, such as
                          `SVTYPE=DEL;END=4153`; `.` for nothing
    site_type             (S,) 0 SNV, 1 insertion, 2 deletion, 3 other
    cm                    (S,) centimorgans
    alt_count             (S, 3) ALT copies among train, validation and test samples
    population_alt_count  (S, P) ALT copies among the train samples of each population
    """

    contigs: tuple[str, ...]
    contig: NDArray[np.int32]
    position: NDArray[np.int32]
    record: NDArray[np.int32]
    identifier: list[str]
    ref: list[str]
    alt: list[str]
    info: list[str]
    site_type: NDArray[np.int8]
    cm: NDArray[np.float64]
    alt_count: NDArray[np.int32]
    population_alt_count: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.position)

    def last_positions(self) -> dict[str, int]:
        """The last position on each contig that has sites."""
        last = np.flatnonzero(np.diff(self.contig, append=-1)).tolist()
        return {self.contigs[self.contig[row]]: int(self.position[row]) for row in last}


@dataclass(frozen=True)
class Samples:
    """The samples of a panel, in VCF order; sample n has haplotypes 2 n and 2 n + 1.

    split        (N,) TRAIN, VALIDATION or TEST
    populations  the names behind the columns of `Sites.population_alt_count`
    relatives    (n, 2) pairs of close relatives, listed by the user, that never use each other
    haploid      which samples are haploid at which sites; None if all are diploid everywhere
    """

    names: list[str]
    population: list[str]
    superpopulation: list[str]
    split: NDArray[np.int8]
    populations: tuple[str, ...]
    relatives: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    haploid: Ploidy | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def most_haplotypes(self) -> int:
        """Haplotypes that exist at the sites with most."""
        return int((2 * len(self) - self.ploidy.is_haploid.sum(axis=1)).max())

    @property
    def ploidy(self) -> Ploidy:
        """Which samples are haploid at which sites."""
        return Ploidy.diploid(len(self)) if self.haploid is None else self.haploid

    def in_splits(self, *splits: int) -> NDArray[np.int64]:
        """Indexes of the samples in these splits, rising."""
        return np.flatnonzero(np.isin(self.split, splits)).astype(np.int64)

    def haplotypes(self, *splits: int) -> NDArray[np.int64]:
        """Indexes of the haplotypes of these splits' samples, rising."""
        return haplotypes_of(self.in_splits(*splits))

    def relatives_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples that are listed as close relatives of any of these samples, rising."""
        both_ways = np.concatenate([self.relatives, self.relatives[:, ::-1]])
        found: NDArray[np.int64] = np.unique(both_ways[np.isin(both_ways[:, 0], samples), 1])
        return found

    @property
    def labels(self) -> list[str]:
        """N names of superpopulations, or of populations if no superpopulation is known."""
        return labels(self.population, self.superpopulation)

    def groups(self) -> NDArray[np.bool_]:
        """(3 + P, H) True if a haplotype is in a split, or in a population's train samples."""
        label = np.array(self.labels)
        groups = [self.split == code for code in range(len(SPLITS))]
        groups += [(self.split == TRAIN) & (label == name) for name in self.populations]
        return np.repeat(np.stack(groups), 2, axis=1)

    def population_index(self) -> NDArray[np.int64]:
        """(N,) column of each sample's population; -1 if it is unknown or has no train sample."""
        columns = {name: column for column, name in enumerate(self.populations)}
        return np.array([columns.get(name, -1) for name in self.labels], dtype=np.int64)

    def population_sizes(self) -> NDArray[np.int64]:
        """(P,) haplotypes of train samples in each population."""
        return np.asarray(self.groups()[len(SPLITS) :].sum(axis=1), dtype=np.int64)


def haplotypes_of(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both haplotypes of each sample, sample by sample.

    samples   (n,)
    returns  (2 n,)

    >>> haplotypes_of(np.array([3, 0]))
    array([6, 7, 0, 1])
    """
    return (2 * samples[:, None] + np.arange(2)).ravel()


def _split_region(text: str, contigs: Sequence[str]) -> tuple[str, tuple[str, str] | None]:
    """The name of the contig, and the texts of start and end if there are any."""
    quoted = re.fullmatch(rf"\{{([^{{}}\s]+)\}}(?::{_RANGE})?", text)
    if quoted is not None:
        return quoted[1], (quoted[2], quoted[3]) if quoted[2] else None
    split = re.fullmatch(rf"([^{{}}\s]+):{_RANGE}", text)
    names = [text] if split is None else [split[1], text]
    known = [name for name in names if name in contigs]
    known = known or [name for name in names if find_contig(name, contigs) is not None]
    if len(known) == 2:
        place = text[len(names[0]) :]
        raise InputError(
            f"The region {text!r} can mean two contigs: {names[0]} and {names[1]}. Put the name in "
            f"braces: {{{names[0]}}}{place} or {{{names[1]}}}"
        )
    if known == [text] or (split is None and re.fullmatch(r"[^{}\s:]+", text)):
        return text, None
    if split is None:
        raise InputError(
            f"The region {text[:200]!r} does not have the form CONTIG:START-END, and is not the "
            "name of a contig."
        )
    return split[1], (split[2], split[3])


def site_types(ref: Sequence[str], alt: Sequence[str]) -> NDArray[np.int8]:
    """Codes of `storage.schema.SITE_TYPES` by the lengths of the two alleles.

    Symbolic alleles, `*`, breakends, and letters that are not bases, such as P for present, are
    other.

    >>> site_types(["A", "A", "AT", "AT", "A", "A"], ["G", "AC", "A", "GC", "<DEL>", "P"])
    array([0, 1, 2, 3, 3, 3], dtype=int8)
    """
    before = np.fromiter(map(len, ref), dtype=np.int64, count=len(ref))
    after = np.fromiter(map(len, alt), dtype=np.int64, count=len(alt))
    is_single = (before == 1) & (after == 1)
    is_other = np.fromiter(
        (not BASES.issuperset(pair[0] + pair[1]) for pair in zip(ref, alt, strict=True)),
        dtype=np.bool_,
        count=len(ref),
    )
    conditions = [is_other, is_single, after > before, after < before]
    return np.select(conditions, [3, 0, 1, 2], 3).astype(np.int8)


def labels(population: list[str], superpopulation: list[str]) -> list[str]:
    """The superpopulation of each sample, or the population if no superpopulation is known.

    >>> labels(["YRI", "CEU"], [".", "."])
    ['YRI', 'CEU']
    """
    return superpopulation if any(value != "." for value in superpopulation) else population


def reference_frequency(sites: Sites, samples: Samples) -> NDArray[np.float64]:
    """(S,) ALT frequency among the train haplotypes, which the network may use."""
    count = samples.ploidy.num_haplotypes(len(sites), samples.in_splits(TRAIN))
    return sites.alt_count[:, TRAIN].astype(np.float64) / np.maximum(count, 1)


def panel_frequency(sites: Sites, samples: Samples) -> NDArray[np.float64]:
    """(S,) ALT frequency among train and validation samples, which defines frequency bins."""
    count = samples.ploidy.num_haplotypes(len(sites), samples.in_splits(TRAIN, VALIDATION))
    copies: NDArray[np.float64] = sites.alt_count[:, [TRAIN, VALIDATION]].sum(axis=1, dtype=float)
    return np.asarray(copies / np.maximum(count, 1), dtype=np.float64)


def whole_frequency(sites: Sites, samples: Samples) -> NDArray[np.float64]:
    """(S,) ALT frequency among all haplotypes that exist."""
    count = samples.ploidy.num_haplotypes(len(sites))
    return np.asarray(sites.alt_count.sum(axis=1) / count, dtype=np.float64)


def minor(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minor allele frequency of an ALT frequency."""
    return np.minimum(frequency, 1.0 - frequency)
