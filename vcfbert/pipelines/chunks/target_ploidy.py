"""What `impute` knows of the ploidy of a target besides its genotypes, and where chunks begin.

S sites in the panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import pseudoautosomal
from vcfbert.domain.genome import Genome
from vcfbert.domain.haploid_calls import PloidyRules, options_given
from vcfbert.domain.ploidy import Ploidy, as_homozygotes
from vcfbert.domain.ploidy_scan import Border
from vcfbert.domain.sites import Sites
from vcfbert.errors import InputError
from vcfbert.storage import pedigree_files, sex_tables
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import PanelReader


def rules(
    sites: Sites,
    panel: PanelReader,
    of_target: Genome,
    names: list[str],
    *,
    sex: Path | None,
    par: str | None,
    source: str,
    trios: Path | None = None,
) -> PloidyRules:
    """Sexes of the samples, and borders of the pseudo-autosomal regions (PAR).

    The borders are those of --par, of the genome build, or those at which the panel's samples
    change their ploidy.

    of_target  facts in the target's header
    names      of the target's samples
    source     the target, for messages
    trios      a pedigree, whose sexes are used besides those of `sex`
    """
    known = par_of(sites, genome_of(sites, panel.genome, of_target), par)
    borders: dict[str, Sequence[Border]] = dict(of_ploidy(sites, panel.samples.ploidy))
    borders |= {name: pseudoautosomal.borders(ranges) for name, ranges in known.items()}
    sexes = {} if sex is None else sex_tables.of_samples(sex, names, source)
    if trios is not None:
        of_pedigree = pedigree_files.of_samples(trios, names, source).sexes
        sexes = pedigree_files.joined_sexes(of_pedigree, sexes, trios)
    given = options_given(sex=sex, par=par)
    return PloidyRules(sexes=sexes, borders=borders, given=given)


def genome_of(sites: Sites, of_panel: Genome, of_target: Genome) -> Genome:
    """Facts about the contigs: the panel's, or the target's if the panel knows nothing of one."""
    last = sites.last_positions()
    return of_panel.of(last).completed(of_target.of(last))


def par_of(sites: Sites, genome: Genome, par: str | None) -> dict[str, pseudoautosomal.Ranges]:
    """PAR by contig. Raises InputError if --par is given and there is no X chromosome."""
    given = None if par is None else pseudoautosomal.parse(par)
    known = pseudoautosomal.of_contigs(genome, sites.last_positions(), given)
    if given is not None and not known:
        raise InputError(
            f"--par is given, but the panel has no X chromosome: its contigs are "
            f"{', '.join(sites.contigs[:5])}. Leave out --par."
        )
    return known


def of_ploidy(sites: Sites, ploidy: Ploidy) -> Mapping[str, Sequence[Border]]:
    """Borders on contigs with haploid and diploid samples of a panel."""
    found: dict[str, list[Border]] = {}
    for number, name in enumerate(sites.contigs):
        here = np.flatnonzero(sites.contig == number)
        if len(here) == 0:
            continue
        ranges = np.unique(ploidy.ranges_of(here))
        is_mixed = {
            row: bool(ploidy.is_haploid[row].any() and not ploidy.is_haploid[row].all())
            for row in ranges.tolist()
        }
        if not any(is_mixed.values()):
            continue
        for row, mixed in is_mixed.items():
            first = max(int(ploidy.start[row]), int(here[0]))
            start = 1 if row == ranges[0] else int(sites.position[first])
            found.setdefault(name, []).append((start, "non-par" if mixed else "par"))
    return found


def panel_alleles(panel: PanelReader, sites: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, 2 N) alleles of the panel at some sites, rising; those of haploid samples twice."""
    alleles = haplotypes.read_alleles(panel, sites)
    if panel.samples.haploid is None:
        return alleles
    return as_homozygotes(alleles, panel.samples.haploid.of_sites(sites))


def chunk_borders(sites: Sites, known: PloidyRules, *ploidies: Ploidy | None) -> NDArray[np.int64]:
    """Panel sites at which a chunk begins: borders of PAR, and changes of ploidy; rising."""
    found = [ploidy.start for ploidy in ploidies if ploidy is not None]
    for name, borders in known.borders.items():
        here = np.flatnonzero(sites.contig == sites.contigs.index(name))
        starts = [start for start, _ in borders]
        found.append(here[0] + np.searchsorted(sites.position[here], starts))
    every = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    return every[(every > 0) & (every < len(sites))].astype(np.int64)
