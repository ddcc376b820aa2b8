"""The command `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[WORKSPACE]", show_default="that of --workspace", help="Folder to check."
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="VCF",
            help="Compare every genotype with this file, from which the panel was prepared.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check every byte of a workspace.

    Checks checksums, shapes, ranges and parents of the panel, masks, embeddings, indexes and runs,
    and their contents against one another. Prints a line per store and every fault with its remedy.
    Exits with 1 if there is a fault. Writes nothing.

    Example: vcfbert verify work --source panel.vcf.gz
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines.verifying import verify as pipeline

            summary = pipeline.verify(
                Workspace(folder or workspace),
                pipeline.VerifyOptions(source=source),
                progress=progress,
            )
        print_lines([summary.to_json()] if json else summary.lines())
        summary.raise_faults()
