"""`verify`: everything in a workspace, checked again.

It never stops at the first fault: each store is looked at, and all that is wrong is listed.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vcfbert.errors import StoreError
from vcfbert.files import temporary
from vcfbert.pipelines.verifying import check_panel, check_runs, check_source, check_stores
from vcfbert.pipelines.verifying.check_stores import Known
from vcfbert.pipelines.verifying.verification import Findings, VerifySummary
from vcfbert.progress import Progress
from vcfbert.storage.zarr import schema
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Versioned, Workspace

__all__ = ["VerifyOptions", "VerifySummary", "verify"]

_KINDS: dict[Versioned, str] = {
    "masks": schema.AGAIN["masks"],
    "embeddings": schema.AGAIN["embeddings"],
    "indexes": check_stores.INDEX,
}


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """How much is compared."""

    source: Path | None = None
    """The VCF that the panel was prepared from, to compare every genotype with; None leaves it."""


def verify(workspace: Workspace, options: VerifyOptions, *, progress: Progress) -> VerifySummary:
    """Check every store, run and report of a workspace; faults are in the summary, none is raised.

    Raises StoreError where there is no such folder.
    """
    begun = time.perf_counter()
    if not workspace.root.is_dir():
        raise StoreError(f"No workspace at {workspace.root}. Name one with --workspace DIR.")
    known, found = Known(), list[Findings]()
    with ExitStack() as stack:
        found += _check_panel(workspace, options, known, stack, progress)
        progress.start("verifying", _count(workspace))
        for findings in (_check_qc(workspace, known), *_check_versions(workspace, known, progress)):
            found.append(findings)
        for run in _runs(workspace):
            findings = Findings(f"runs/{run.name}")
            check_runs.check_run(run, known, findings)
            found.append(findings)
            progress.advance()
    shipped = Findings("shipped network")
    check_runs.check_shipped(shipped)
    found += [shipped, *_leftovers(workspace)]
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
) -> list[Findings]:
    """The panel, also against its source; it is known to the others where nothing is wrong."""
    path = workspace.panel
    findings, panel = Findings(path.name), None
    if path.is_dir():
        is_sealed = findings.check_seal(path, schema.AGAIN["panel"])
        with findings.explained(besides_seal=is_sealed):
            panel = stack.enter_context(open_panel(path))
            findings.content = (
                f"{len(panel.samples):,} samples, {len(panel.sites):,} sites in "
                f"{len(panel.windows):,} windows"
            )
            check_panel.check(panel, findings, is_sealed=is_sealed)
            known.panel = None if findings.faults else panel
    else:
        findings.faults.append(str(StoreError.missing(path, made_by=schema.MADE_BY["panel"])))
    if options.source is None:
        return [findings]
    return [findings, _check_source(options.source, panel, progress)]


def _check_source(source: Path, panel: PanelReader | None, progress: Progress) -> Findings:
    """Every genotype against the file."""
    findings = Findings(f"source {source.name}", "not compared")
    if panel is None:
        findings.faults.append(f"{source} was not compared: there is no panel that can be read.")
    else:
        with findings.explained():
            check_source.check(source, panel, findings, progress)
    return findings


def _check_qc(workspace: Workspace, known: Known) -> Findings:
    findings = Findings(workspace.qc.name)
    check_runs.check_qc(workspace, known, findings)
    return findings


def _check_versions(workspace: Workspace, known: Known, progress: Progress) -> list[Findings]:
    """Masks, embeddings and indexes, parents first."""
    out = []
    for kind, made_by in _KINDS.items():
        for number in workspace.versions(kind):
            path = workspace.version(kind, number)
            findings = Findings(f"{kind}/{path.name}")
            is_sealed = findings.check_seal(path, made_by)
            with findings.explained(besides_seal=is_sealed):
                if kind == "masks":
                    check_stores.check_masks(path, number, known, findings)
                elif kind == "embeddings":
                    check_stores.check_embeddings(path, known, findings, made_by=made_by)
                else:
                    check_stores.check_index(path, known, findings)
            if findings.faults:
                known.forget(kind, path)
            out.append(findings)
            progress.advance()
    return out


def _leftovers(workspace: Workspace) -> list[Findings]:
    """What commands that were killed have left, as notes; and what nobody knows."""
    ours = {
        workspace.panel.name,
        workspace.qc.name,
        workspace.relatives.name,
        "runs",
        "compare",
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
                notes.append(f"{path} is nothing that vcfbert knows of and was not checked.")
    return [Findings("leftovers", "no store", notes=notes)] if notes else []
