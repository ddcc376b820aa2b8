"""The files of a panel: which contigs each has, and whether they fit together and the workspace.

All of this is known from headers and indexes, so faults are found before the work begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfbert.domain import joined_panels, pseudoautosomal
from vcfbert.domain.contig_names import find_direct
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.preparing import panel_samples
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.progress import Progress
from vcfbert.storage import map_files
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.zarr import panel


@dataclass(frozen=True)
class PanelFile:
    """A file to prepare.

    contigs  that have records; None if only reading the file can tell
    records  their number; None if it is not known
    """

    path: Path
    contigs: tuple[str, ...] | None
    records: int | None

    @property
    def has_no_x(self) -> bool:
        """True if the file is known to have no X chromosome."""
        return self.contigs is not None and not any(map(pseudoautosomal.is_x, self.contigs))


@dataclass(frozen=True)
class PanelPlan:
    """What to prepare.

    files     in the order given
    is_whole  True if they replace everything that the panel has, so that it is replaced at once
    skipped   files whose contigs are in the panel already
    """

    files: list[PanelFile]
    is_whole: bool
    skipped: list[Path]


def plan(
    paths: Sequence[Path],
    place: Path,
    options: PrepareOptions,
    progress: Progress,
    *,
    overwrite: bool,
    skip_existing: bool,
) -> PanelPlan:
    """Check the files against each other and the panel in the workspace.

    place          of the panel
    overwrite      replace contigs that the panel has
    skip_existing  leave out files whose contigs the panel has

    Raises InputError if they do not fit, StoreError if the panel has contigs of theirs already.
    """
    if overwrite and skip_existing:
        raise ConfigError("--force and --skip-existing cannot be combined. Give one of them.")
    if options.region is not None and len(paths) > 1:
        raise ConfigError("--region needs one PANEL file. Give the files without it.")
    is_old = panel.is_one_store(place)
    if is_old and not overwrite:
        raise StoreError.exists(place)
    there = list(panel.contig_stores(place))
    if len(paths) == 1 and not there:
        return PanelPlan([PanelFile(paths[0], None, None)], True, [])
    files = [_opened(path, options) for path in paths]
    _refuse_repeats(files)
    _refuse_other_names(files, there, place)
    skipped = []
    if skip_existing:
        skipped = [file.path for file in files if set(file.contigs or ()) <= set(there)]
        files = [file for file in files if file.path not in skipped]
    if not overwrite:
        _refuse_existing(files, there, place)
    _check_maps(files, options)
    if options.par is not None and all(file.has_no_x for file in files):
        raise InputError("--par is given, but no file has an X chromosome. Leave out --par.")
    _refuse_other_samples(paths)
    replaced = {name for file in files for name in file.contigs or ()}
    rest = [name for name in there if name not in replaced]
    if rest and files:
        _refuse_other_table(files[0].path, place, rest, options, progress)
    return PanelPlan(files, is_old or bool(files and there and not rest), skipped)


def _opened(path: Path, options: PrepareOptions) -> PanelFile:
    """The contigs and the number of records of a file."""
    with VcfFile(path) as file:
        if options.region is not None:
            return PanelFile(path, (file.find_region(options.region).contig,), None)
        contigs = file.contigs_with_records()
        if contigs is None:
            raise InputError(
                f"{path} has no index, which tells its contigs. Make one with: bcftools index "
                f"{path}"
            )
        return PanelFile(path, tuple(contigs), file.count())


def _refuse_repeats(files: Sequence[PanelFile]) -> None:
    """Raise InputError if two files have one contig."""
    homes: dict[str, Path] = {}
    for file in files:
        for contig in file.contigs or ():
            known = find_direct(contig, list(homes))
            if known is not None:
                raise InputError(
                    f"{homes[known]} and {file.path} both have records of contig {contig}. Give "
                    "each contig once; files of parts of a contig are joined with: bcftools concat "
                    f"-Oz -o joined.vcf.gz {homes[known]} {file.path}"
                )
        homes |= dict.fromkeys(file.contigs or (), file.path)


def _refuse_other_names(files: Sequence[PanelFile], there: Sequence[str], place: Path) -> None:
    """Raise InputError if the panel has a contig under another name."""
    for file in files:
        for contig in file.contigs or ():
            known = find_direct(contig, there)
            if known is not None and known != contig:
                raise InputError(
                    f"{file.path} names a contig {contig}, which is {known} in {place}. Rename it "
                    "with: bcftools annotate --rename-chrs"
                )


def _refuse_existing(files: Sequence[PanelFile], there: Sequence[str], place: Path) -> None:
    for file in files:
        for contig in file.contigs or ():
            if contig in there:
                raise StoreError(
                    f"{place} already has contig {contig}, which {file.path} contains. Pass "
                    "--force to replace it, or --skip-existing to prepare only the other files."
                )


def _check_maps(files: Sequence[PanelFile], options: PrepareOptions) -> None:
    """Raise InputError if a contig has no file in a pattern of maps."""
    if options.genetic_map is not None:
        for file in files:
            for contig in file.contigs or ():
                map_files.of_contig(options.genetic_map, contig)


def _refuse_other_samples(paths: Sequence[Path]) -> None:
    """Raise InputError if a file has other samples than the first, or another order of them."""
    with VcfFile(paths[0]) as file:
        first = file.samples
    for path in paths[1:]:
        with VcfFile(path) as file:
            names = file.samples
        fault = joined_panels.name_difference(first, names, str(paths[0]), str(path))
        if fault is not None:
            raise InputError(
                f"All files need the same samples in the same order, but {fault}. "
                f"{_remedy(first, names, path)}"
            )


def _remedy(first: Sequence[str], names: Sequence[str], path: Path) -> str:
    """What to do if the samples of a file differ from those of the first."""
    if set(first) <= set(names):
        return (
            f"Bring them into the order of the first file with: bcftools view -S samples.txt {path}"
        )
    missing = next(name for name in first if name not in set(names))
    return (
        f"{path} has no sample {missing}. Keep the common samples of all files with: bcftools view "
        "-S common.txt; or prepare the file in a workspace of its own."
    )


def _refuse_other_table(
    path: Path, place: Path, rest: Sequence[str], options: PrepareOptions, progress: Progress
) -> None:
    """Raise InputError if the samples, splits or windows are not those of the panel's contigs."""
    with VcfFile(path) as file:
        _, samples, _ = panel_samples.choose(file, options, progress)
    with panel.open_contig(panel.contig_stores(place)[rest[0]]) as reader:
        there = f"contig {rest[0]} of {place}"
        fault = joined_panels.difference(samples, reader.samples, str(path), there)
        if fault is None and reader.length != options.window_size:
            fault = f"a window has {options.window_size} sites here and {reader.length} in {there}"
        if fault is not None:
            raise InputError(
                f"{path} cannot be added: {fault}. All contigs of a panel need the same samples, "
                f"splits and window size. The panel was prepared {_made_with(reader)}. For another "
                "panel choose another --workspace."
            )


def _made_with(reader: panel.PanelReader) -> str:
    """The options that decide about samples, splits and windows."""
    settings = reader.settings
    flags = ["samples", "relatives", "window_size", "validation_fraction", "test_fraction", "seed"]
    given = [f"--{name.replace('_', '-')} {settings[name]}" for name in flags if settings.get(name)]
    without = "" if settings.get("samples") else "without --samples, "
    return f"{without}with {' '.join(given)}"
