"""Ploidy of a panel's samples: a first reading of a file that has haploid genotypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import haploid_calls, pseudoautosomal
from vcfbert.domain.genome import Genome
from vcfbert.domain.haploid_calls import PloidyDecision, PloidyRules
from vcfbert.domain.ploidy_scan import Border, PloidyScan
from vcfbert.domain.sites import Region, Samples, Sites, minor, whole_frequency
from vcfbert.errors import InputError
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.progress import Progress
from vcfbert.storage import sex_tables
from vcfbert.storage.vcf import genome_header
from vcfbert.storage.vcf.reading import VcfFile

_COMMON, _MOST_SITES = 0.05, 500  # sites at which samples are compared
_X_NAMES = ("X", "chrX", "23", "chr23", "NC_000023.10", "NC_000023.11")


class HaploidGenotypesError(Exception):
    """The panel has haploid genotypes, so its ploidy must be known before it is read."""


def scan(
    path: Path,
    region: Region | None,
    columns: NDArray[np.int64],
    names: Sequence[str],
    options: PrepareOptions,
    progress: Progress,
) -> PloidyDecision:
    """Read the whole file, and decide the ploidy of the kept samples.

    columns  (N,) of the kept samples, rising
    names    N

    Raises InputError if it cannot be decided, or --par is given without an X chromosome.
    """
    sexes = {} if options.sex is None else sex_tables.of_samples(options.sex, names, str(path))
    with VcfFile(path) as file:
        genome = genome_header.read(file.header.text)
        given = None if options.par is None else pseudoautosomal.parse(options.par)
        contigs = dict.fromkeys([*genome.lengths, *_X_NAMES], 0)
        known = pseudoautosomal.of_contigs(genome, contigs, given)
        borders: dict[str, Sequence[Border]] = {
            name: pseudoautosomal.borders(ranges) for name, ranges in known.items()
        }
        found = PloidyScan(len(names), borders)
        progress.start("reading the ploidy of the samples", file.count(region))
        for block in file.blocks(columns, region=region):
            contig = [record.contig for record in block.records]
            position = np.array([record.position for record in block.records], np.int64)
            found.add(contig, position, block.calls)
            progress.advance(len(block.records))
    regions = found.regions()
    if given is not None and not any(one.contig in known for one in regions):
        raise InputError(
            f"--par is given, but {path} has no X chromosome: its first contig is "
            f"{regions[0].contig}. Leave out --par."
        )
    asked = haploid_calls.options_given(sex=options.sex, par=options.par)
    rules = PloidyRules(sexes=sexes, borders=borders, given=asked)
    return haploid_calls.decide(regions, names, rules, str(path), is_panel=True)


def like_males(
    table: Sites,
    samples: Samples,
    genome: Genome,
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
) -> list[str]:
    """A warning that names samples without heterozygotes on X outside its PAR, as far as known.

    read  from site indexes, rising, to alleles (n, H)
    """
    known = pseudoautosomal.of_contigs(genome, table.last_positions(), None)
    found = []
    for number, contig in enumerate(table.contigs):
        if not pseudoautosomal.is_x(contig):
            continue
        frequency = whole_frequency(table, samples)
        is_usable = (table.contig == number) & (minor(frequency) >= _COMMON)
        for first, last in known.get(contig, ()):
            is_usable &= (table.position < first) | (table.position > last)
        sites = np.flatnonzero(is_usable)
        if len(sites) < haploid_calls.FEWEST_TO_SEX:
            continue
        sites = sites[np.linspace(0, len(sites) - 1, min(len(sites), _MOST_SITES)).astype(int)]
        alleles = read(sites)
        longest = _longest_run(alleles[:, 0::2] == alleles[:, 1::2])
        alike = np.flatnonzero(longest >= max(haploid_calls.FEWEST_TO_SEX, len(sites) / 2))
        if 0 < len(alike) < len(samples):
            named = haploid_calls.named(alike, samples.names)
            found.append(
                f"{named} no heterozygote at {longest[alike].min():,} or more common sites of "
                f"{contig} in a row, and no known sex: taken as diploid. If these are males "
                "written as homozygotes, each haplotype is in the panel twice: give the sex of the "
                "samples with --sex."
            )
    return found


def _longest_run(is_alike: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) longest run of True in each column of (n, N)."""
    longest = np.zeros(is_alike.shape[1], np.int64)
    current = longest.copy()
    for row in is_alike:
        current = np.where(row, current + 1, 0)
        longest = np.maximum(longest, current)
    return longest
