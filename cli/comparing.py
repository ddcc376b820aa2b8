"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs to compare; the first is the baseline."),
    ],
    split: Annotated[
        options.Split, typer.Option(help="Samples to evaluate on.")
    ] = options.Split.TEST,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.99,
            show_default="masks.validation_rate of the first run",
            help="Hide this share of the sites at random.",
        ),
    ] = None,
    mask_version: Annotated[
        str | None,
        typer.Option(
            metavar="N|PATH",
            help="Hide the sites of this mask version, of the workspace or by its path.",
        ),
    ] = None,
    typed: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV", help="Hide all sites except these. Columns: chromosome, position."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            show_default="seed of the first run",
            help="Seed for --draws and --rate.",
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(metavar="N", min=20, help="Bootstrap draws of samples for the intervals.")
    ] = 1000,
    edges: Annotated[
        str,
        typer.Option(metavar="F,F,...", help="Bin edges of minor allele frequency."),
    ] = options.EDGES,
    rare_maf: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            show_default="training.rare_maf of the first run",
            help="Sites below this minor allele frequency count as rare.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            show_default="compare/RUN-vs-RUN in the workspace",
            help="Output folder for CSV, PNG, JSON and the report of each run.",
        ),
    ] = None,
    device: options.DeviceOption = options.Device.AUTO,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare runs on the same samples and hidden sites.

    Evaluates each run as eval does. Prints and writes F1, r2 by frequency with intervals of the
    differences, parameters, seconds, milliseconds per batch and peak memory.

    Example: vcfbert compare v17 v18-current --typed array.sites.tsv
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            bounds = settings.numbers("--edges", edges)
            from vcfbert.pipelines.evaluating import compare as comparing

            chosen = comparing.CompareOptions(
                runs=tuple(runs),
                split=split.value,
                rate=rate,
                seed=seed,
                mask_version=mask_version,
                typed=typed,
                edges=bounds,
                rare_maf=rare_maf,
                draws=draws,
                out=out,
                device=device.value,
            )
            found = comparing.compare(
                Workspace(workspace), chosen, progress=progress, overwrite=force
            )
        print_lines(found.lines())
