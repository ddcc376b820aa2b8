"""Ploidy of samples from their genotypes and their sex, and genotypes that do not agree with it.

Most files with haploid genotypes have the X chromosome: males are haploid outside the
pseudo-autosomal regions (PAR). A sample has one ploidy in each region of `ploidy_scan`: that of
most of its genotypes, or that of its sex.

n records, N samples, P regions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import pseudoautosomal, tokens
from vcfbert.domain.contig_names import find_contig
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.ploidy_scan import (
    HAPLOID,
    HETEROZYGOUS,
    HOMOZYGOUS,
    Border,
    PloidyRegion,
    PloidyScan,
)
from vcfbert.domain.records import MISSING_CALL, NO_CALL, Record, RecordBlock
from vcfbert.domain.sites import Sites
from vcfbert.domain.unordered import UNORDERED
from vcfbert.errors import InputError

Sex = Literal["male", "female"]

ABSENT = 5
"""Second allele of a haploid genotype, among the alleles of `tokens`."""

MOST_MIXED = 0.1
"""Share of the genotypes of a sample in a region that may have another ploidy than the rest."""

FEWEST_TO_SEX = 100
"""Genotypes outside the PAR from which on a sample without a heterozygote looks like a male."""

_NAMED = 5
_CELLS_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PloidyRules:
    """What is known about ploidy besides the genotypes."""

    sexes: Mapping[str, Sex] = field(default_factory=dict)
    """Of samples, by name."""

    borders: Mapping[str, Sequence[Border]] = field(default_factory=dict)
    """By contig, if they are known."""

    given: frozenset[str] = frozenset()
    """Of `options_given`: those that the user gave are not advised again."""

    def are_haploid_males(
        self, records: Sequence[Record], names: Sequence[str]
    ) -> NDArray[np.bool_]:
        """(n, N) True for males by their sex, at records outside the PAR."""
        is_male = np.array([self.sexes.get(name) == "male" for name in names], np.bool_)
        is_outside = np.array([self._is_outside(record) for record in records], np.bool_)
        return is_outside[:, None] & is_male

    def _is_outside(self, record: Record) -> bool:
        contig = find_contig(record.contig, list(self.borders))
        if contig is None:
            return False
        before = [kind for start, kind in self.borders[contig] if start <= record.position]
        return before[-1:] == ["non-par"]


@dataclass(frozen=True)
class RecordPloidy:
    """The ploidy of a file's samples by contig and position.

    starts      P contigs and first positions, in the order of the file
    is_haploid  (P, N)
    """

    starts: list[tuple[str, int]]
    is_haploid: NDArray[np.bool_]

    @classmethod
    def of_panel(cls, sites: Sites, ploidy: Ploidy) -> Self:
        """The ploidy of a panel, from the first site of each range on."""
        contig_starts = np.flatnonzero(np.diff(sites.contig, prepend=-1))
        firsts = np.union1d(contig_starts, ploidy.start)
        starts = [
            (
                sites.contigs[sites.contig[site]],
                1 if site in contig_starts else int(sites.position[site]),
            )
            for site in firsts.tolist()
        ]
        return cls(starts, ploidy.of_sites(firsts))

    def of(self, records: Sequence[Record]) -> NDArray[np.bool_]:
        """(n, N) True if a sample is haploid at these records."""
        rows = [self._row(record.contig, record.position) for record in records]
        nowhere = np.zeros((1, self.is_haploid.shape[1]), np.bool_)
        return np.asarray(np.concatenate([self.is_haploid, nowhere])[rows], dtype=np.bool_)

    def _row(self, contig: str, position: int) -> int:
        """The range of a position; P if there is none."""
        here = [n for n, start in enumerate(self.starts) if start[0] == contig]
        inside = [n for n in here if self.starts[n][1] <= position] or here[:1]
        return inside[-1] if inside else len(self.starts)


@dataclass(frozen=True)
class PloidyDecision:
    """The ploidy of all samples.

    regions            in the order of the file
    is_haploid         (P, N)
    num_heterozygous   heterozygous genotypes of haploid samples, which become missing
    num_homozygous     homozygous genotypes of haploid samples, whose allele counts once
    num_single         haploid genotypes of diploid samples, which become missing
    warnings           sentences
    """

    regions: list[PloidyRegion]
    is_haploid: NDArray[np.bool_]
    num_heterozygous: int
    num_homozygous: int
    num_single: int
    warnings: list[str]

    def record(self) -> dict[str, Any]:
        """The decision as JSON types."""
        return {
            "haploid_samples": int(self.is_haploid.any(axis=0).sum()),
            "regions": [
                {
                    "contig": region.contig,
                    "start": region.start,
                    "haploid_samples": int(row.sum()),
                    "diploid_samples": int((~row).sum()),
                }
                for region, row in zip(self.regions, self.is_haploid, strict=True)
            ],
            "haploid_heterozygotes_set_missing": self.num_heterozygous,
            "homozygotes_taken_as_haploid": self.num_homozygous,
            "haploid_genotypes_of_diploid_samples_set_missing": self.num_single,
        }

    @property
    def of_records(self) -> RecordPloidy:
        """The ploidy by position."""
        return RecordPloidy([(one.contig, one.start) for one in self.regions], self.is_haploid)

    def of_sites(self, sites: Sites) -> Ploidy:
        """The ploidy at the sites of a panel. A region begins at its first position."""
        num_samples = self.is_haploid.shape[1]
        start, rows = [0], [np.zeros(num_samples, np.bool_)]
        for number, contig in enumerate(sites.contigs):
            here = np.flatnonzero(sites.contig == number)
            if len(here) == 0:
                continue
            start.append(int(here[0]))
            rows.append(np.zeros(num_samples, np.bool_))
            for place, region in enumerate(self.regions):
                if find_contig(region.contig, [contig]) is None:
                    continue
                first = int(np.searchsorted(sites.position[here], region.start))
                if first < len(here):
                    start.append(int(here[first]))
                    rows.append(self.is_haploid[place])
                if region is self._first_of(region.contig):
                    start[-1] = int(here[0])
        return Ploidy.joined(start, rows)

    def _first_of(self, contig: str) -> PloidyRegion:
        return next(region for region in self.regions if region.contig == contig)


def settle_target(
    site: NDArray[np.int64],
    alleles: NDArray[np.uint8],
    sites: Sites,
    names: Sequence[str],
    rules: PloidyRules,
    source: str,
) -> PloidyDecision | None:
    """Decide the ploidy of a target's samples, and make its alleles agree with it, in place.

    The second allele of a haploid sample becomes MISSING.

    site     (T,) panel sites, rising
    alleles  (T, N, 2) REF, ALT or MISSING of `tokens`, UNORDERED added to some; ABSENT second in a
             haploid genotype
    returns  None if all samples are diploid, and no sex and no X chromosome is there to ask about
    """
    contigs = [sites.contigs[number] for number in np.unique(sites.contig[site]).tolist()]
    is_asked = bool(rules.sexes) or any(
        pseudoautosomal.is_x(name) or name in rules.borders for name in contigs
    )
    if not is_asked and not any((alleles[rows] == ABSENT).any() for rows in _blocks(alleles.shape)):
        return None
    scan = PloidyScan(len(names), rules.borders)
    for rows in _blocks(alleles.shape):
        calls = _numbers(alleles[rows])
        of_rows = [sites.contigs[number] for number in sites.contig[site[rows]].tolist()]
        scan.add(of_rows, sites.position[site[rows]], calls)
    decision = decide(scan.regions(), names, rules, source)
    ploidy = decision.of_sites(sites)
    for rows in _blocks(alleles.shape):
        is_haploid = ploidy.of_sites(site[rows])
        pairs, is_single = settled(_numbers(alleles[rows]), is_haploid)
        found = np.where(pairs < 0, tokens.MISSING, pairs).astype(np.uint8)
        found[is_haploid, 1] = tokens.MISSING
        changed = is_haploid | is_single | (alleles[rows] == ABSENT).any(axis=2)
        alleles[rows][changed] = found[changed]
    return decision


def _numbers(alleles: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Alleles of `tokens` as allele numbers, MISSING_CALL and NO_CALL of `records`."""
    numbers = (alleles & np.uint8(UNORDERED - 1)).astype(np.int8)
    numbers[alleles == tokens.MISSING] = MISSING_CALL
    numbers[alleles == ABSENT] = NO_CALL
    numbers[numbers[:, :, 0] == NO_CALL] = MISSING_CALL
    return numbers


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, _CELLS_AT_ONCE // max(1, shape[1]))
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def settled(
    calls: NDArray[np.integer], is_haploid: NDArray[np.bool_]
) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
    """Genotypes that agree with the ploidy, as pairs, and which of them are single alleles.

    A haploid sample has its allele twice. Its heterozygotes, and the single alleles of a diploid
    sample, are missing.

    calls       (n, N, 2)
    is_haploid  (n, N)

    >>> calls = np.array([[[1, -2], [0, 0], [0, 1], [1, -1], [1, -2]]])
    >>> settled(calls, np.array([[True, True, True, True, False]]))[0].tolist()
    [[[1, 1], [0, 0], [-1, -1], [1, 1], [-1, -1]]]
    """
    first, second = calls[:, :, 0], calls[:, :, 1]
    only = np.where(first < 0, second, first)  # the known allele of a genotype with one
    is_lost = (first >= 0) & (second >= 0) & (first != second)
    only = np.where(is_lost | (only < 0), MISSING_CALL, only)
    is_single = ~is_haploid & (second == NO_CALL)
    out = np.where(is_haploid[:, :, None], only[:, :, None], calls)
    out[is_single] = MISSING_CALL
    return out.astype(calls.dtype), is_single


def settled_block(block: RecordBlock, is_haploid: NDArray[np.bool_]) -> RecordBlock:
    """A panel's records with the allele of each haploid sample there twice.

    Haploid genotypes of diploid samples stay as they are.

    is_haploid  (n, N)
    """
    calls = block.calls.copy()
    calls[:, :, :2], is_single = settled(block.calls[:, :, :2], is_haploid)
    calls[is_single] = block.calls[is_single]
    calls[:, :, 2] |= is_haploid
    return RecordBlock(block.records, calls, np.ones(len(calls), np.bool_))


def options_given(*, sex: object, par: object) -> frozenset[str]:
    """Those of --sex and --par that are not None.

    >>> sorted(options_given(sex="sex.tsv", par=None))
    ['--sex']
    """
    options = {"--sex": sex, "--par": par}
    return frozenset(name for name, value in options.items() if value is not None)


def decide(
    regions: list[PloidyRegion],
    names: Sequence[str],
    rules: PloidyRules,
    source: str,
    *,
    is_panel: bool = False,
) -> PloidyDecision:
    """The ploidy of each sample in each region.

    names     of the N samples
    source    the file, for messages
    is_panel  True if records with haploid genotypes of diploid samples are dropped

    Raises InputError if a sample has both kinds of genotypes and no sex, or its sex contradicts
    its genotypes, or sexes are given and the PAR is not known.
    """
    male = np.array([rules.sexes.get(name) == "male" for name in names], np.bool_)
    female = np.array([rules.sexes.get(name) == "female" for name in names], np.bool_)
    rows, warnings = [], []
    for region in regions:
        is_haploid = _of_region(region, names, male, female, rules, source, is_panel=is_panel)
        if region.num_records:
            warnings += _warnings(region, is_haploid, names, rules, source, is_panel=is_panel)
        rows.append(is_haploid)
    for number, region in enumerate(regions):
        if region.num_records == 0 and region.kind == "non-par":
            rows[number] = rows[_like(region, regions)]
    is_haploid = np.stack(rows) if rows else np.zeros((0, len(names)), np.bool_)
    counts = np.array([region.counts for region in regions]).reshape(-1, 3, len(names))
    return PloidyDecision(
        regions=regions,
        is_haploid=is_haploid,
        num_heterozygous=int(counts[:, HETEROZYGOUS][is_haploid].sum()),
        num_homozygous=int(counts[:, HOMOZYGOUS][is_haploid].sum()),
        num_single=int(counts[:, HAPLOID][~is_haploid].sum()),
        warnings=warnings,
    )


def _like(region: PloidyRegion, regions: list[PloidyRegion]) -> int:
    """Index of the region outside the PAR of the same contig that has most records."""
    alike = [
        (other.num_records, number)
        for number, other in enumerate(regions)
        if (other.contig, other.kind) == (region.contig, region.kind)
    ]
    return max(alike)[1]


def _of_region(
    region: PloidyRegion,
    names: Sequence[str],
    male: NDArray[np.bool_],
    female: NDArray[np.bool_],
    rules: PloidyRules,
    source: str,
    *,
    is_panel: bool,
) -> NDArray[np.bool_]:
    """(N,) True for haploid samples of a region."""
    is_haploid, known = region.is_mostly_haploid, region.num_known
    is_empty = known == 0
    if is_haploid.any() and is_haploid[~is_empty].all():
        is_haploid = is_haploid | is_empty  # as all others
    is_of_x = pseudoautosomal.is_x(region.contig)
    by_sex = region.kind == "non-par" or (
        is_of_x and region.kind == "unknown" and is_haploid.any() and not is_haploid.all()
    )
    if by_sex:
        _refuse_other_sex(region, names, female & is_haploid & ~is_empty, source)
        is_haploid = (is_haploid | male) & ~female
    elif is_of_x and region.kind == "unknown" and male.any() and not is_haploid.any():
        raise InputError(
            f"{source}: the sex of samples is given, but the pseudo-autosomal regions of "
            f"{region.contig} are not known: its length in the header is missing, or is not that "
            "of GRCh37, GRCh38 or T2T-CHM13. Give them with --par FROM-TO,FROM-TO, or --par none "
            "if the file has no pseudo-autosomal sites."
        )
    is_asked = ~(male | female) if by_sex else np.ones_like(male)
    _refuse_mixed(region, names, is_asked & is_haploid if is_panel else is_asked, rules, source)
    return np.asarray(is_haploid, dtype=np.bool_)


def _refuse_other_sex(
    region: PloidyRegion, names: Sequence[str], is_wrong: NDArray[np.bool_], source: str
) -> None:
    if is_wrong.any():
        sample = int(np.argmax(is_wrong))
        raise InputError(
            f"{source}: sample {names[sample]} is female in the table of --sex or --trios, but has "
            f"{plurals.of(int(region.counts[HAPLOID, sample]), 'haploid genotype')} from "
            f"{_place(region)} on, outside the pseudo-autosomal regions. Correct its sex, or leave "
            f"the sample out: bcftools view -s ^{names[sample]}"
        )


def _refuse_mixed(
    region: PloidyRegion,
    names: Sequence[str],
    is_asked: NDArray[np.bool_],
    rules: PloidyRules,
    source: str,
) -> None:
    """Raise InputError if a sample that is asked about has both kinds of genotypes."""
    single = region.counts[HAPLOID]
    pairs = region.num_known - single
    is_mixed = np.minimum(single, pairs) > MOST_MIXED * region.num_known
    is_mixed &= is_asked
    if is_mixed.any():
        sample = int(np.argmax(is_mixed))
        raise InputError(
            f"{source}: sample {names[sample]} has {single[sample]:,} haploid and "
            f"{plurals.of(int(pairs[sample]), 'diploid genotype')} from {_place(region)} on. Each "
            f"sample needs one ploidy in a region: {_remedies(region, names[sample], rules)}"
        )


def _remedies(region: PloidyRegion, name: str, rules: PloidyRules) -> str:
    """What to do about a sample with both kinds of genotypes."""
    found = []
    is_of_x = region.kind != "unknown" or pseudoautosomal.is_x(region.contig)
    if is_of_x and region.kind != "par":
        found.append(_sex_advice([name], rules))
    if is_of_x and "--par" in rules.given:
        found.append("check the borders given with --par")
    elif is_of_x:
        found.append("give the borders of the pseudo-autosomal regions with --par")
    split = "plink2 --split-par before the export from PLINK, or " if is_of_x else ""
    found.append(f"correct the genotypes: {split}bcftools +fixploidy")
    return ", or ".join(found)


def _sex_advice(names: Sequence[str], rules: PloidyRules) -> str:
    """How to tell the sex of samples whose sex is not known."""
    if "--sex" not in rules.given:
        return "give the sex of the samples with --sex"
    whose = f"the sex of {names[0]}" if len(names) == 1 else "their sex"
    return f"add {whose} to the table of --sex"


def _warnings(
    region: PloidyRegion,
    is_haploid: NDArray[np.bool_],
    names: Sequence[str],
    rules: PloidyRules,
    source: str,
    *,
    is_panel: bool,
) -> list[str]:
    """Sentences about genotypes that do not agree with the ploidy, and samples of unknown sex."""
    found = []
    mixed = np.where(is_haploid, region.counts[HETEROZYGOUS], 0)
    if mixed.any():
        worst = int(np.argmax(mixed))
        share = mixed[worst] / max(region.num_known[worst], 1)
        doubt = "; its sex may be wrong" if share > MOST_MIXED else ""
        found.append(
            f"{source}: {plurals.of(int(mixed.sum()), 'heterozygous genotype')} of "
            f"{plurals.of(int((mixed > 0).sum()), 'haploid sample')} from {_place(region)} on "
            f"{plurals.word(int(mixed.sum()), 'is', 'are')} set to missing; {names[worst]} has "
            f"{mixed[worst]:,} ({share:.1%} of its genotypes{doubt})."
        )
    single = np.where(is_haploid, 0, region.counts[HAPLOID])
    if single.any() and not is_panel:
        worst = int(np.argmax(single))
        found.append(
            f"{source}: {plurals.of(int(single.sum()), 'haploid genotype')} of "
            f"{plurals.of(int((single > 0).sum()), 'diploid sample')} from {_place(region)} on "
            f"{plurals.word(int(single.sum()), 'is', 'are')} set to missing; {names[worst]} has "
            f"{single[worst]:,}."
        )
    if region.kind != "non-par" and not (is_haploid.any() and not is_haploid.all()):
        return found
    if not (region.kind == "non-par" or pseudoautosomal.is_x(region.contig)):
        return found
    asked = ~is_haploid & np.array([name not in rules.sexes for name in names], np.bool_)
    empty = np.flatnonzero(asked & (region.num_known == 0))
    if len(empty):
        advice = _sex_advice([names[n] for n in empty.tolist()], rules)
        found.append(
            f"{source}: {named(empty, names)} no genotype from {_place(region)} on, outside the "
            "pseudo-autosomal regions, and no known sex: taken as diploid there. "
            f"{advice[0].upper()}{advice[1:]}."
        )
    is_like_male = asked & (region.counts[HOMOZYGOUS] >= FEWEST_TO_SEX)
    is_like_male &= region.counts[HETEROZYGOUS] == 0
    alike = np.flatnonzero(is_like_male)
    if len(alike):
        advice = _sex_advice([names[n] for n in alike.tolist()], rules)
        found.append(
            f"{source}: {named(alike, names)} no heterozygote from {_place(region)} on, outside "
            "the pseudo-autosomal regions, and no known sex: taken as diploid there. If these are "
            f"males written as homozygotes, {advice}."
        )
    return found


def named(samples: NDArray[np.int64], names: Sequence[str]) -> str:
    """`sample A has`, or `3 samples (A, B, C) have`."""
    shown = ", ".join(names[n] for n in samples[:_NAMED].tolist())
    if len(samples) == 1:
        return f"sample {shown} has"
    more = ", ..." if len(samples) > _NAMED else ""
    return f"{len(samples):,} samples ({shown}{more}) have"


def _place(region: PloidyRegion) -> str:
    return f"{region.contig}:{region.start}"
