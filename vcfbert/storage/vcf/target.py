"""Reader of a target: typed genotypes of samples at the sites of a panel.

S sites in the panel, T typed sites, N samples of the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import contig_names, unordered
from vcfbert.domain.match_report import MatchReport
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.row_blocks import Zeros
from vcfbert.domain.sites import Region, Sites
from vcfbert.domain.strand_decisions import PanelAlleles
from vcfbert.domain.typed import TargetCollector
from vcfbert.domain.typed_only import TypedOnly
from vcfbert.files.spill import Spill
from vcfbert.storage.vcf.reading import VcfFile


@dataclass(frozen=True)
class Target:
    """The samples to impute, at the sites of a panel.

    names       N, in the order of the file
    site_index  (T,) indexes of the panel's sites, rising; at least one
    alleles     (T, N, 2) REF, ALT or MISSING of `tokens`, in the panel's orientation; UNORDERED of
                `unordered` is added if the haplotype of an allele is unknown
    is_free     (T, N) True for heterozygotes whose order has to be found by phasing
    phase_sets  (T, N) sets within which the other heterozygotes are phased, from 1; None if each
                sample has one set a contig
    identifiers  T, the ID of each site's record
    record      (T,) index of each site's record among those that were read
    numbers     (T, 2) that record's numbers of the panel's REF and ALT, or ABSENT of `matching`
    others      records that the panel lacks, if they are kept
    haploid     which samples are haploid at which of the panel's sites; None for none. Their second
                allele is MISSING
    spill       where large arrays are; None if all are in memory
    """

    names: list[str]
    site_index: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    is_free: NDArray[np.bool_]
    phase_sets: NDArray[np.int32] | None
    report: MatchReport
    identifiers: list[str]
    record: NDArray[np.int64]
    numbers: NDArray[np.int64]
    others: list[TypedOnly]
    haploid: Ploidy | None = None
    spill: Spill | None = None


def read_target(
    file: VcfFile,
    sites: Sites,
    policy: TargetPolicy,
    *,
    region: Region | None = None,
    panel_frequency: NDArray[np.floating] | None = None,
    panel_alleles: PanelAlleles | None = None,
    keep_others: bool = False,
    spill: Spill | None = None,
) -> Target:
    """Read all records of a file and match them to the sites of a panel.

    region           use only records of this region, whose contig has the panel's name; without an
                     index, a whole VCF is read, but only lines of the contig are parsed
    panel_frequency  (S,) ALT frequencies to check the strand of A/T and C/G sites; None for no
                     check
    panel_alleles    the panel's haplotypes, to decide the strand of A/T and C/G sites by linkage;
                     None leaves out those that the rest of the file does not decide
    keep_others      keep the genotypes of records that the panel lacks
    spill            where large arrays of genotypes are; None keeps all in memory

    Raises InputError if the file is damaged or does not fit the panel, as docs/policy.md says.
    """
    contigs = file.contigs
    zeros: Zeros = np.zeros if spill is None else spill.zeros
    collector = TargetCollector(
        str(file.path), file.samples, sites, policy, region=region, keep_others=keep_others,
        contigs=contigs, zeros=zeros,
    )  # fmt: skip
    is_split = (
        region is not None
        and contig_names.canonical(region.contig) == "X"
        and any(contig_names.is_part_of_x(name) for name in contigs)
    )
    read_from = contig = None
    if region is not None and not is_split:
        if file.has_index:
            read_from = file.find_region(str(region))
        elif not file.header.is_bcf and len(contigs) > 1:
            contig = contig_names.find_contig(region.contig, contigs)
    columns = np.arange(len(file.samples))
    for block in file.blocks(
        columns,
        region=read_from,
        contig=contig,
        wants=collector.wants,
        keep_phase_sets=policy.unphased == "phase",
    ):
        collector.add(block)
    typed = collector.finish(panel_frequency, panel_alleles)
    is_free = zeros(typed.alleles.shape[:2], np.bool_)
    if policy.unphased == "phase":
        unordered.to_phase(typed.alleles, is_free)
    if spill is not None:
        spill.release()
    return Target(
        file.samples, typed.site_index, typed.alleles, is_free, typed.phase_sets, typed.report,
        typed.identifiers, typed.record, typed.numbers, typed.others, typed.haploid, spill,
    )  # fmt: skip
