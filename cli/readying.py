"""The commands `profile` and `warm-up`, which prepare the first imputation.

The pipelines are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def profile(
    typed: Annotated[
        Path,
        typer.Option(
            metavar="TSV",
            help="Sites of the array. Columns: chromosome, position, [REF, ALT].",
        ),
    ],
    genetic_map: options.TargetMap = None,
    min_typed: options.MinTyped = 5,
    chunk_cm: Annotated[float, typer.Option(help="Length of a chunk in cM.")] = 10.0,
    overlap_cm: options.OverlapCm = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed for fitting the switch rates.")] = 1,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compute what imputation needs from a panel and an array before the first target.

    `impute` and `phase` compute and keep it in the workspace at the first use. Results are the same
    with and without a profile. Give the same options as for `impute` and `phase`.

    Example: vcfbert profile --typed array.tsv
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines.chunks import array_profile

            chosen = array_profile.ProfileOptions(
                genetic_map=genetic_map,
                threads=threads,
                seed=seed,
                chunk_cm=chunk_cm,
                overlap_cm=overlap_cm,
                min_typed=min_typed,
            )
            summary = array_profile.make(Workspace(workspace), typed, chosen, progress=progress)
        print_lines(summary.lines())


def warm_up(quiet: options.Quiet = False, verbose: options.Verbose = False) -> None:
    """Compile for this machine before the first use, which takes about a minute.

    Without it, the first impute or phase compiles. Run it when you build a container image, for
    example.

    Example: vcfbert warm-up
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines import warm_up as pipeline

            summary = pipeline.warm_up(progress=progress)
        print_lines(summary.lines())
