"""The contigs to impute, and which target file each is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfbert import plurals
from vcfbert.domain import joined_panels, pseudoautosomal
from vcfbert.domain.contig_names import find_in_panel
from vcfbert.domain.sites import Region
from vcfbert.errors import ConfigError, InputError
from vcfbert.storage import site_lists
from vcfbert.storage.vcf.reading import VcfFile


@dataclass(frozen=True)
class ContigTarget:
    """A contig of the panel, and the file with its genotypes.

    contig    its name in the panel
    store     of the panel
    region    to write; None if the file has no other contig, so that it can be read as it is
    """

    contig: str
    store: Path
    target: Path
    region: str | None


@dataclass(frozen=True)
class GenomePlan:
    """The contigs to impute, in the order of the genome.

    names     of the samples
    warnings  about contigs that only the panel or only the target has
    """

    contigs: list[ContigTarget]
    names: list[str]
    warnings: list[str]


def plan(
    targets: Sequence[Path],
    stores: Mapping[str, Path],
    *,
    region: str | None,
    sites: Path | None,
    par: str | None,
) -> GenomePlan:
    """Find the contigs of the panel in the target files.

    stores  of the panel, by contig, in the order of the genome
    region  to write; None is everything
    sites   list of sites to write; None is all

    Raises InputError if two files have one contig or other samples, or no contig is in the panel.
    """
    names, homes, alone, foreign = _read(targets, list(stores))
    wanted = list(stores)
    if region is not None:
        wanted = [Region.parse(region, wanted, source="the panel").contig]
    if sites is not None:
        listed = site_lists.contigs_of(sites, list(stores))
        wanted = [name for name in wanted if name in listed]
    found = [
        ContigTarget(name, stores[name], homes[name], region or (None if name in alone else name))
        for name in wanted
        if name in homes
    ]
    if not found:
        raise _no_contig(targets, foreign + list(homes), wanted)
    if par is not None and not any(pseudoautosomal.is_x(one.contig) for one in found):
        raise InputError("--par is given, but no contig is an X chromosome. Leave out --par.")
    absent = [name for name in wanted if name not in homes]
    warnings = []
    if absent:
        warnings.append(
            plurals.of(
                len(absent),
                "contig of the panel has no genotypes in the target and is not written: ",
                "contigs of the panel have no genotypes in the target and are not written: ",
            )
            + f"{_some(absent)}."
        )
    if foreign:
        warnings.append(
            plurals.of(
                len(foreign),
                "contig of the target is not in the panel and is not imputed: ",
                "contigs of the target are not in the panel and are not imputed: ",
            )
            + f"{_some(foreign)}."
        )
    return GenomePlan(found, names, warnings)


def _read(
    targets: Sequence[Path], of_panel: Sequence[str]
) -> tuple[list[str], dict[str, Path], set[str], list[str]]:
    """Names of the samples, the file of each contig, contigs alone in their file, other contigs."""
    names: list[str] | None = None
    homes: dict[str, Path] = {}
    alone: set[str] = set()
    foreign: list[str] = []
    for path in targets:
        with VcfFile(path) as file:
            contigs = file.contigs_with_records()
            if contigs is None:
                raise InputError(
                    f"{path} has no index, which tells its contigs. Make one with: bcftools index "
                    f"{path}"
                )
            if names is None:
                names = file.samples
            _refuse_other_samples(names, file.samples, targets[0], path)
        found = {contig: find_in_panel(contig, contigs, of_panel) for contig in contigs}
        foreign += [contig for contig, name in found.items() if name is None]
        for name in filter(None, dict.fromkeys(found.values())):
            if name in homes:
                raise InputError(
                    f"{homes[name]} and {path} both have records of contig {name}. Join them with: "
                    f"bcftools concat -Oz -o joined.vcf.gz {homes[name]} {path}"
                )
            homes[name] = path
        if len(set(found.values())) == 1:
            alone |= {name for name, home in homes.items() if home == path}
    if names is None:
        raise ConfigError("No TARGET is given. Name the files, or a list of them with --list.")
    return names, homes, alone, foreign


def _refuse_other_samples(
    first: Sequence[str], names: Sequence[str], one: Path, path: Path
) -> None:
    fault = joined_panels.name_difference(first, names, str(one), str(path))
    if fault is not None:
        raise InputError(
            f"All target files need the same samples in the same order, but {fault}. Choose and "
            f"order the samples with: bcftools view -S samples.txt {path}"
        )


def _no_contig(targets: Sequence[Path], there: list[str], wanted: list[str]) -> InputError:
    more = f" and {plurals.of(len(targets) - 1, 'other file')}" if len(targets) > 1 else ""
    return InputError(
        f"{targets[0]}{more} and the panel share no contig to write: the target has "
        f"{_some(there) or 'no records'}, to write are {_some(wanted) or 'none'}. Give a target "
        "with the panel's contigs, or rename contigs with: bcftools annotate --rename-chrs"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
