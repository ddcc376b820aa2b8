"""Phase of a target's samples by their parents and children, before the lattice.

A child's heterozygotes are put into the order father, mother if the parents decide it. Of a parent,
it is known which allele each child received.

T typed sites, N samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import mendel, tokens
from vcfbert.domain.families import Families, FamilyOrder
from vcfbert.domain.match_report import LIST_LIMIT
from vcfbert.domain.pedigree import ABSENT_PARENT, Pedigree, Trio
from vcfbert.domain.phased_calls import AS_WRITTEN, SET_MISSING, TURNED, UNPHASED, PhasedCalls
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.sites import Sites
from vcfbert.errors import ConfigError
from vcfbert.pipelines.chunks.chunk_phasing import Trust, nearest
from vcfbert.storage import pedigree_files
from vcfbert.storage.vcf.target import Target

MOST_ERRORS, MOST_ERRORS_OF_DUO = 0.1, 0.05
"""Share of Mendelian errors above which a pedigree is taken as wrong, of the genotypes of a child
that show its parents: errors, and heterozygotes that the parents decide. With a wrong parent it is
23 % and more (8 % in a duo), with .5 % of the genotypes wrong at most 8 % (2 %)."""

FEWEST_ERRORS = 5
"""With fewer errors that share means nothing."""

_NAMED = 3  # trios in a warning
MENDEL = "mendel.tsv"
"""Name of the table of Mendelian errors."""

_HEADER = ("#child", "father", "mother", "contig", "position", "ref", "alt",
           "child_gt", "father_gt", "mother_gt")  # fmt: skip


@dataclass(frozen=True)
class FamilyReport:
    """What was found about the trios of a target.

    names        of the target's samples
    pedigree     the file's trios
    path         the pedigree
    decided      heterozygotes of each child that the parents decide
    site_index   (T,) panel sites
    errors       (k,) rows of typed sites with a Mendelian error, by trio
    wrong        trios that are not used, because they have too many errors
    genotypes    child, father and mother at the listed errors as texts, by trio
    set_missing  rows of genotypes that were set missing, and the sample
    """

    names: list[str]
    pedigree: Pedigree
    path: Path
    site_index: NDArray[np.int64]
    decided: dict[Trio, int] = field(default_factory=dict)
    errors: dict[Trio, NDArray[np.int64]] = field(default_factory=dict)
    wrong: dict[Trio, float] = field(default_factory=dict)
    genotypes: dict[Trio, list[tuple[str, ...]]] = field(default_factory=dict)
    set_missing: list[tuple[NDArray[np.int64], int]] = field(default_factory=list)

    @property
    def num_errors(self) -> int:
        """Mendelian errors of all trios."""
        return sum(len(rows) for rows in self.errors.values())

    def record(self) -> dict[str, Any]:
        """Counts as JSON types."""
        trios, names = self.pedigree.trios, self.names
        return {
            "pedigree": str(self.path),
            "trios": sum(not trio.is_duo for trio in trios),
            "duos": sum(trio.is_duo for trio in trios),
            "matched_by": dict(self.pedigree.matched),
            "not_in_the_target": self.pedigree.num_unknown,
            "heterozygotes_decided": sum(self.decided.values()),
            "mendelian_errors": self.num_errors,
            "genotypes_set_missing": sum(len(rows) for rows, _ in self.set_missing),
            "not_used": [", ".join(_names(trio, names)) for trio in self.wrong],
            "by_child": {
                names[trio.child]: {
                    "decided": self.decided[trio], "mendelian_errors": len(self.errors[trio])
                }
                for trio in trios
            },
        }  # fmt: skip

    def warnings(self) -> list[str]:
        """A sentence if trios have so many errors that the pedigree is wrong."""
        if not self.wrong:
            return []
        worst = sorted(self.wrong.items(), key=lambda one: -one[1])
        shown = "; ".join(
            f"{_described(trio, self.names)} ({share:.1%})" for trio, share in worst[:_NAMED]
        )
        more = f" and {len(worst) - _NAMED:,} more" if len(worst) > _NAMED else ""
        return [
            f"{self.path}: {plurals.of(len(worst), 'child has', 'children have')} too many "
            f"Mendelian errors with the parents, which are not used: {shown}{more}. The parents "
            "are wrong, or samples are exchanged."
        ]

    def tables(self, sites: Sites) -> dict[str, str]:
        """The table of the errors by its name, with genotypes in the panel's alleles."""
        lines = ["\t".join(_HEADER)]
        for trio, genotypes in self.genotypes.items():
            rows = self.errors[trio][: len(genotypes)]
            who = "\t".join(_names(trio, self.names))
            for site, texts in zip(
                self.site_index[rows].tolist(), self.genotypes[trio], strict=True
            ):
                contig = sites.contigs[sites.contig[site]]
                place = (contig, str(sites.position[site]), sites.ref[site], sites.alt[site])
                lines.append("\t".join((who, *place, *texts)))
        return {MENDEL: "".join(f"{line}\n" for line in lines)}


def check_options(trios: Path | None, *, mendel: bool, unphased: str = "phase") -> None:
    """Raise ConfigError if options of trios do not go together."""
    if mendel and trios is None:
        raise ConfigError("--mendel needs the pedigree of the samples. Give it with --trios.")
    if trios is not None and unphased != "phase":
        raise ConfigError(
            f"--trios and --unphased {unphased} cannot be combined. Leave out --unphased."
        )


def of_target(
    read: Target, sites: Sites, path: Path | None, *, source: str, trust: Trust, mendel: bool
) -> tuple[Target, Families, FamilyReport | None]:
    """`apply`, if there is a pedigree."""
    if path is None:
        return read, Families(), None
    return apply(read, sites, path, source=source, trust=trust, sets_missing=mendel)


def summary_rows(record: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    """Rows of the summary that commands print, from a record of `FamilyReport`."""
    if record is None:
        return []
    return [
        ("trios", record["trios"]),
        ("pairs of parent and child", record["duos"]),
        ("  not used: too many Mendelian errors", len(record["not_used"])),
        ("  samples of the pedigree not in the target", record["not_in_the_target"]),
        ("  heterozygotes that parents decide", record["heterozygotes_decided"]),
        ("  Mendelian errors", record["mendelian_errors"]),
        ("  genotypes set missing", record["genotypes_set_missing"]),
    ]


@dataclass(frozen=True)
class _Decision:
    """Of one trio: (T,) order of the child by its parents, and True for Mendelian errors."""

    order: NDArray[np.uint8]
    is_error: NDArray[np.bool_]


def apply(
    read: Target,
    sites: Sites,
    path: Path,
    *,
    source: str,
    trust: Trust,
    sets_missing: bool,
) -> tuple[Target, Families, FamilyReport]:
    """The target with its children in the order of their parents.

    path          the pedigree
    source        the target, for messages
    trust         in the phase of the file: if it is kept, heterozygotes that the parents do not
                  decide keep their order relative to the nearest decided one of their phase set
    sets_missing  set genotypes of a trio missing at its Mendelian errors

    Raises InputError if the pedigree cannot be read, contradicts itself or is of another file.
    """
    pedigree = pedigree_files.of_samples(path, read.names, source)
    report = FamilyReport(read.names, pedigree, path, read.site_index)
    ploidy = Ploidy.diploid(len(read.names)) if read.haploid is None else read.haploid
    is_haploid = {
        sample: ploidy.is_haploid[ploidy.ranges_of(read.site_index), sample]
        for trio in pedigree.trios
        for sample in (trio.child, *trio.parents)
    }
    alleles = read.alleles.copy()
    decisions = {}
    for trio in pedigree.trios:
        found = _decide(read.alleles, read.record, trio, is_haploid)
        _note(report, trio, found, read.alleles, is_haploid)
        if trio not in report.wrong:
            decisions[trio] = found
    is_free = read.is_free
    if sets_missing:
        is_free = is_free.copy()
        _set_missing(report, decisions, alleles, is_free, is_haploid)
        decisions = {t: _decide(alleles, read.record, t, is_haploid) for t in decisions}
    changed = replace(read, alleles=alleles, is_free=is_free)
    families = _ordered(changed, sites, decisions, is_haploid, trust)
    return changed, families, report


def _gifts(
    alleles: NDArray[np.uint8], sample: int, is_haploid: dict[int, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    if sample == ABSENT_PARENT:
        return mendel.anything(len(alleles))
    return mendel.possible_gifts(alleles[:, sample], is_haploid[sample])


def _decide(
    alleles: NDArray[np.uint8],
    record: NDArray[np.int64],
    trio: Trio,
    is_haploid: dict[int, NDArray[np.bool_]],
) -> _Decision:
    child = alleles[:, trio.child]
    order, is_error = mendel.decided_order(
        child,
        is_haploid[trio.child],
        _gifts(alleles, trio.father, is_haploid),
        _gifts(alleles, trio.mother, is_haploid),
    )
    order, is_conflict = mendel.apart(order, child, record)
    is_error = np.isin(record, record[is_error | is_conflict])  # all sites of a record
    order[is_error] = mendel.UNDECIDED
    return _Decision(order, is_error)


def _note(
    report: FamilyReport,
    trio: Trio,
    found: _Decision,
    alleles: NDArray[np.uint8],
    is_haploid: dict[int, NDArray[np.bool_]],
) -> None:
    """Count and list what was found for one trio."""
    rows = np.flatnonzero(found.is_error)
    samples = (trio.child, trio.father, trio.mother)
    listed = sum(map(len, report.genotypes.values()))
    report.errors[trio] = rows
    report.decided[trio] = int((found.order != mendel.UNDECIDED).sum())
    report.genotypes[trio] = [
        tuple(
            "." if sample == ABSENT_PARENT else _text(alleles[row, sample], is_haploid[sample][row])
            for sample in samples
        )
        for row in rows[: max(0, LIST_LIMIT - listed)].tolist()
    ]
    support = report.decided[trio]
    if trio.mother != ABSENT_PARENT:
        is_seen = tokens.is_heterozygous(alleles[:, trio.mother].T) & is_haploid[trio.child]
        support += int((is_seen & tokens.is_observed(alleles[:, trio.child, 0])).sum())
    share = len(rows) / max(len(rows) + support, 1)
    most = MOST_ERRORS_OF_DUO if trio.is_duo else MOST_ERRORS
    if len(rows) >= FEWEST_ERRORS and share > most:
        report.wrong[trio] = share
        report.decided[trio] = 0


def _text(alleles: NDArray[np.uint8], is_haploid: bool) -> str:
    shown = ["." if allele > tokens.ALT else str(allele) for allele in alleles.tolist()]
    return shown[0] if is_haploid else "/".join(sorted(shown))


def _set_missing(
    report: FamilyReport,
    decisions: dict[Trio, _Decision],
    alleles: NDArray[np.uint8],
    is_free: NDArray[np.bool_],
    is_haploid: dict[int, NDArray[np.bool_]],
) -> None:
    """Set the genotypes of trios missing at their errors; a haploid child's father stays."""
    lost: defaultdict[int, NDArray[np.bool_]] = defaultdict(
        lambda: np.zeros(len(alleles), np.bool_)
    )
    for trio, found in decisions.items():
        lost[trio.child] |= found.is_error
        if trio.mother != ABSENT_PARENT:
            lost[trio.mother] |= found.is_error
        if trio.father != ABSENT_PARENT:
            lost[trio.father] |= found.is_error & ~is_haploid[trio.child]
    for sample, is_lost in sorted(lost.items()):
        rows = np.flatnonzero(is_lost & tokens.is_observed(alleles[:, sample]).any(axis=1))
        if len(rows):
            alleles[rows, sample] = tokens.MISSING
            is_free[rows, sample] = False
            report.set_missing.append((rows, sample))


def _ordered(
    read: Target,
    sites: Sites,
    decisions: dict[Trio, _Decision],
    is_haploid: dict[int, NDArray[np.bool_]],
    trust: Trust,
) -> Families:
    """Exchange alleles of children in place; what is known of the order of all family members."""
    turned: dict[int, NDArray[np.bool_]] = {}
    decided: dict[int, NDArray[np.bool_]] = {}
    contig = sites.contig[read.site_index]
    given: defaultdict[int, list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]] = defaultdict(list)
    for trio, found in decisions.items():
        child = read.alleles[:, trio.child]
        for parent in trio.parents:
            seen = mendel.received(
                child, is_haploid[trio.child], found.order, of_father=parent == trio.father
            )
            seen[found.is_error] = tokens.MISSING
            given[parent].append((seen, is_haploid[parent]))
    for trio, found in decisions.items():
        order = found.order.copy()
        is_het = tokens.is_heterozygous(read.alleles[:, trio.child].T)
        is_held = order != mendel.UNDECIDED
        spread = _spread(read, trio.child, order, is_het, contig)
        turned[trio.child] = spread == mendel.TURNED
        decided[trio.child] = (spread != mendel.UNDECIDED) if trust == "keep" else is_held
        rows = turned[trio.child]
        read.alleles[rows, trio.child] = read.alleles[rows, trio.child, ::-1]
    orders = {}
    for sample in sorted(set(decided) | set(given)):
        is_decided = decided.get(sample, np.zeros(len(contig), np.bool_))
        passed = [
            mendel.transmitted(read.alleles[:, sample], haploid, seen)
            for seen, haploid in given.get(sample, [])
        ]
        orders[sample] = FamilyOrder(
            is_decided, np.array(passed, np.int8).reshape(len(passed), len(contig))
        )
    return Families(orders, turned)


def _spread(
    read: Target,
    sample: int,
    order: NDArray[np.uint8],
    is_het: NDArray[np.bool_],
    contig: NDArray[np.integer],
) -> NDArray[np.uint8]:
    """Orders of a child's heterozygotes, also of those that share a phase set with decided ones.

    Each is turned as the nearest decided heterozygote of its set that is phased in the file.
    """
    found = order.copy()
    in_file = np.flatnonzero(is_het & ~read.is_free[:, sample])
    sets = np.ones(len(in_file), np.int64)
    if read.phase_sets is not None:
        sets = read.phase_sets[in_file, sample].astype(np.int64)
    keys = np.stack([contig[in_file].astype(np.int64), sets], axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    by_group = np.argsort(group.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(group.ravel()))
    for members in np.split(in_file[by_group], ends[:-1]):
        held = np.flatnonzero(order[members] != mendel.UNDECIDED)
        if len(held):
            found[members] = order[members[held[nearest(held, np.arange(len(members)))]]]
    return found


def restored(
    calls: PhasedCalls, typed: NDArray[np.int64], read: Target, families: Families,
    report: FamilyReport,
) -> PhasedCalls:  # fmt: skip
    """Orders relative to the file again, with the genotypes that were set missing.

    calls, families  at the typed sites; sites that were set missing in all samples are not typed
    typed            (T,) of the sites of `read`
    """
    rows = np.searchsorted(read.site_index, typed)
    whole = PhasedCalls.nothing(read.record, calls.is_kept)
    for field_ in ("order", "is_start", "quality"):
        getattr(whole, field_)[rows] = getattr(calls, field_)
    for sample, is_turned in families.turned.items():
        order = whole.order[rows, sample]
        is_other = is_turned & (order != UNPHASED)
        whole.order[rows, sample] = np.where(is_other, AS_WRITTEN + TURNED - order, order)
    for lost, sample in report.set_missing:
        whole.order[lost, sample] = SET_MISSING
    return whole


def _names(trio: Trio, names: list[str]) -> tuple[str, ...]:
    """Child, father, mother; 0 for an absent parent."""
    return tuple(
        "0" if one == ABSENT_PARENT else names[one]
        for one in (trio.child, trio.father, trio.mother)
    )


def _described(trio: Trio, names: list[str]) -> str:
    parents = " and ".join(names[one] for one in trio.parents)
    return f"{names[trio.child]} with {parents}"
