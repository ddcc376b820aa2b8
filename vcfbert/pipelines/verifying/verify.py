"""`vcfbert verify`: check every store, run and report of a workspace, and list all faults."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vcfbert import plurals
from vcfbert.domain.contig_names import find_contig
from vcfbert.errors import InputError, StoreError
from vcfbert.files import temporary
from vcfbert.pipelines.verifying import check_panel, check_runs, check_source, check_stores
from vcfbert.pipelines.verifying.check_stores import Known
from vcfbert.pipelines.verifying.store_report import StoreReport, VerifySummary
from vcfbert.progress import Progress
from vcfbert.storage import profiles
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr import schema
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Versioned, Workspace

__all__ = ["VerifyOptions", "VerifySummary", "verify"]

_KINDS: dict[Versioned, str] = {
    "masks": schema.AGAIN["masks"],
    "embeddings": schema.AGAIN["embeddings"],
    "indexes": check_stores.INDEX,
}


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Options of `verify`."""

    source: Path | None = None
    """The VCF the panel was prepared from; if given, every genotype is compared with it."""


def verify(workspace: Workspace, options: VerifyOptions, *, progress: Progress) -> VerifySummary:
    """Check every store, run and report of a workspace; faults are returned, not raised.

    Raises StoreError if the folder does not exist.
    """
    begun = time.perf_counter()
    if not workspace.root.is_dir():
        raise StoreError(f"No workspace at {workspace.root}. Name one with --workspace DIR.")
    known, found = Known(home=workspace), list[StoreReport]()
    with ExitStack() as stack:
        found += _check_panel(workspace, options, known, stack, progress)
        progress.start("verifying", _count(workspace))
        for report in (_check_qc(workspace, known), *_check_versions(workspace, known, progress)):
            found.append(report)
        for run in _runs(workspace):
            report = StoreReport(f"runs/{run.name}")
            check_runs.check_run(run, known, report)
            found.append(report)
            progress.advance()
    shipped = StoreReport("shipped network")
    check_runs.check_shipped(shipped)
    found += [shipped, *_profiles(workspace), *_leftovers(workspace)]
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    return VerifySummary(
        workspace=workspace.root,
        stores=found,
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        seconds=time.perf_counter() - begun,
    )


def _count(workspace: Workspace) -> int:
    return sum(len(workspace.versions(kind)) for kind in _KINDS) + len(_runs(workspace))


def _runs(workspace: Workspace) -> list[Path]:
    folder = workspace.root / "runs"
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in names if path.is_dir() and not path.name.startswith(".")]


def _check_panel(
    workspace: Workspace,
    options: VerifyOptions,
    known: Known,
    stack: ExitStack,
    progress: Progress,
) -> list[StoreReport]:
    """Check the panel and compare it with its source. An intact panel is added to `known`."""
    path = workspace.panel
    reports = []
    for place in panel_store.contig_stores(path).values() or [path]:
        report = StoreReport(path.name if place == path else f"{path.name}/{place.name}")
        if not place.is_dir():
            report.faults.append(str(StoreError.missing(place, made_by=schema.MADE_BY["panel"])))
        else:
            is_sealed = report.check_seal(place, schema.AGAIN["panel"])
            _check_contig(place, report, is_sealed=is_sealed)
        reports.append(report)
    if not any(report.faults for report in reports):
        with reports[0].catching(is_sealed=True):
            known.panel = stack.enter_context(open_panel(path, takes_haploid=True))
    if options.source is None:
        return reports
    return [*reports, _check_source(options.source, path, progress)]


def _check_contig(place: Path, report: StoreReport, *, is_sealed: bool) -> None:
    """Check one store of the panel."""
    with report.catching(is_sealed=is_sealed), panel_store.open_contig(place) as part:
        report.content = (
            f"{plurals.of(len(part.samples), 'sample')}, {plurals.of(len(part.sites), 'site')} in "
            f"{plurals.of(len(part.windows), 'window')}"
        )
        check_panel.check(part, report, is_sealed=is_sealed)


def _check_source(source: Path, path: Path, progress: Progress) -> StoreReport:
    """Compare every genotype with the VCF; of a panel of many files, the contigs of this file."""
    report = StoreReport(f"source {source.name}", "not compared")
    with report.catching():
        there = list(panel_store.contig_stores(path))
        contigs = None
        if len(there) > 1:
            with VcfFile(source) as file:
                named = file.contigs_with_records() or there
            contigs = [name for name in there if find_contig(name, named) is not None]
            if not contigs:
                raise InputError(
                    f"{source} was not compared, because it has no contig of the panel. "
                    f"{check_source.AGAIN}"
                )
        try:
            with open_panel(path, takes_haploid=True, contigs=contigs) as panel:
                check_source.check(source, panel, report, progress)
        except StoreError as error:
            raise StoreError(
                f"{source} was not compared, because the panel cannot be read: {error}"
            ) from error
    return report


def _check_qc(workspace: Workspace, known: Known) -> StoreReport:
    report = StoreReport(workspace.qc.name)
    check_runs.check_qc(workspace, known, report)
    return report


def _check_versions(workspace: Workspace, known: Known, progress: Progress) -> list[StoreReport]:
    """Check masks, embeddings and indexes, parents first."""
    out = []
    for kind, made_by in _KINDS.items():
        for number in workspace.versions(kind):
            path = workspace.version(kind, number)
            report = StoreReport(f"{kind}/{path.name}")
            is_sealed = report.check_seal(path, made_by)
            with report.catching(is_sealed=is_sealed):
                if kind == "masks":
                    check_stores.check_masks(path, number, known, report)
                elif kind == "embeddings":
                    check_stores.check_embeddings(path, known, report, made_by=made_by)
                else:
                    check_stores.check_index(path, known, report)
            if report.faults:
                known.forget(kind, path)
            out.append(report)
            progress.advance()
    return out


def _profiles(workspace: Workspace) -> list[StoreReport]:
    """Array profiles are made again if they are damaged, so a fault names the file to delete."""
    entries = sorted(workspace.profiles.glob(f"*{profiles.SUFFIX}"))
    if not entries:
        return []
    report = StoreReport("profiles", f"{plurals.of(len(entries), 'entry', 'entries')}")
    for path in entries:
        if fault := profiles.damage(path):
            report.faults.append(f"{path} is damaged ({fault}). Delete it; it is made again.")
    return [report]


def _leftovers(workspace: Workspace) -> list[StoreReport]:
    """Notes on files left by stopped commands, and on files that vcfbert did not write."""
    ours = {
        workspace.panel.name,
        workspace.qc.name,
        workspace.relatives.name,
        "runs",
        "eval",
        "compare",
        workspace.profiles.name,
        *_KINDS,
    }
    folders = [workspace.root, workspace.root / "runs", *(workspace.root / kind for kind in _KINDS)]
    notes = []
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if temporary.is_temporary(path.name):
                notes.append(
                    f"{path} belongs to a running command, or to one that was stopped. Leave it: "
                    "the next command that writes there recovers or deletes it."
                )
            elif folder == workspace.root and path.name not in ours:
                notes.append(f"{path} is not a file of vcfbert and was not checked.")
    return [StoreReport("leftovers", "not stores", notes=notes)] if notes else []
