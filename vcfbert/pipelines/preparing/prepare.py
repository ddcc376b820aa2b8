"""`prepare`: from phased VCFs to a panel, mask version 0 and a QC report.

Each file becomes a store for each of its contigs. A finished store is put in its place while the
other files are still read, unless the whole panel is replaced, which happens at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vcfbert import plurals, versions
from vcfbert.domain.relatedness import Relatedness
from vcfbert.errors import ConfigError, VcfbertError
from vcfbert.files import digests
from vcfbert.pipelines.preparing import file_workers, panel_files
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.panel_change import PanelChange
from vcfbert.pipelines.preparing.panel_files import PanelPlan
from vcfbert.pipelines.preparing.qc_report import PrepareSummary
from vcfbert.pipelines.preparing.whole_panel import WholePanel
from vcfbert.progress import Progress
from vcfbert.storage import profiles
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.workspace import Workspace

__all__ = ["PrepareOptions", "PrepareSummary", "prepare"]

logger = logging.getLogger(__name__)

MANY_HAPLOTYPES = 10_000
"""From so many on, statistics of the panel are made for imputation. With fewer, they take the first
imputation less than a second for each chunk."""


def prepare(
    panel_vcf: Path | Sequence[Path],
    workspace: Workspace,
    options: PrepareOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
    skip_existing: bool = False,
    threads: int | None = None,
) -> PrepareSummary:
    """Read the files of a phased panel and write the panel, mask version 0 and the QC report.

    Contigs that the panel of the workspace has and the files lack stay as they are.

    panel_vcf      one file, or several with other contigs of the same samples
    overwrite      replace contigs that the panel has
    skip_existing  leave out files whose contigs the panel has
    threads        files that are prepared at a time; None is one for each core

    Raises InputError if a file or a table cannot be used, by the policy in docs/policy.md. If one
    of several files fails, those that were finished are in the panel.
    """
    started = time.perf_counter()
    paths = [panel_vcf] if isinstance(panel_vcf, Path) else list(panel_vcf)
    if not paths:
        raise ConfigError("No PANEL file is given. Name the files, or a list of them with --list.")
    with (
        workspace.writing("panel", "masks"),
        stores.staging(workspace.root / "prepare") as folder,
    ):
        planned = panel_files.plan(
            paths, workspace.panel, options, progress,
            overwrite=overwrite, skip_existing=skip_existing,
        )  # fmt: skip
        if planned.skipped:
            about = (
                "file is skipped: its contigs are there.",
                "files are skipped: their contigs are there.",
            )
            progress.note(plurals.of(len(planned.skipped), *about))
        change = PanelChange(folder, workspace, is_whole=planned.is_whole)
        workers = threads or versions.num_cores()
        try:
            warnings = _add_files(change, planned, options, progress, workers)
        except VcfbertError as error:
            if planned.is_whole or not change.added:
                raise
            _finish(change, paths, options, started)
            raise type(error)(f"{error} {_kept(change.added)}") from error
        report, related = _finish(change, paths, options, started)
        if overwrite:
            profiles.remove(workspace.profiles)
    for message in (*warnings, *related.warnings(str(workspace.relatives))):
        logger.warning("%s", message)
    if 2 * report["samples"]["kept"] >= MANY_HAPLOTYPES:
        _keep_statistics(workspace, progress, workers)
    return PrepareSummary(workspace.panel, workspace.qc, report["fingerprint"], report, related)


def _add_files(
    change: PanelChange,
    planned: PanelPlan,
    options: PrepareOptions,
    progress: Progress,
    workers: int,
) -> list[str]:
    """Prepare the files; returns warnings about them."""
    warnings, left = [], len(planned.files)
    for made in file_workers.prepared(
        planned.files, change.new_folder("files"), options, progress, workers=workers
    ):
        left -= 1
        change.add(made, is_last=left == 0)
        warnings += made.warnings
        if len(planned.files) > 1:
            progress.note(
                f"{made.source}: {', '.join(made.contigs)} finished, {left:,} of "
                f"{plurals.of(len(planned.files), 'file')} left"
            )
    return warnings


def _finish(
    change: PanelChange, paths: Sequence[Path], options: PrepareOptions, started: float
) -> tuple[dict[str, Any], Relatedness]:
    """Write what concerns the whole panel, and put it in place with the last stores."""
    whole = WholePanel.of(change.stores())
    related = whole.related()
    report = whole.report(paths, options, related)
    report["seconds"] = round(time.perf_counter() - started, 3)
    staged = change.staged
    whole.write_masks(staged.version("masks", 0), options.seed)
    stores.write_file(staged.qc, digests.sealed_json(report, indent=2))
    stores.write_file(staged.relatives, related.table().encode())
    change.finish([staged.version("masks", 0), staged.qc, staged.relatives])
    return report, related


def _keep_statistics(workspace: Workspace, progress: Progress, threads: int) -> None:
    """Keep what imputation needs of a large panel; the panel is complete without it."""
    from vcfbert.pipelines.chunks import array_profile  # which imports the compiler

    try:
        array_profile.keep_statistics(workspace, threads=threads, progress=progress)
    except KeyboardInterrupt:
        progress.note("The panel is complete; the first imputation computes its statistics.")
        raise
    except (VcfbertError, OSError, MemoryError) as error:
        logger.warning(
            "The panel is complete, but its statistics could not be computed (%s). The first "
            "imputation computes them.",
            str(error) or "not enough memory",
        )


def _kept(contigs: Iterable[str]) -> str:
    return (
        f"The contigs {', '.join(contigs)} are finished and in the panel; to prepare the others, "
        "correct the file and run the command again with --skip-existing."
    )
