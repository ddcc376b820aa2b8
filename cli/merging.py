"""The command `merge`.

The pipeline is imported inside the command, so that `--help` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def merge(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Output file: .vcf.gz, .vcf.bgz or .bcf."),
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...", help="Imputed batches, in the order of the samples in the output."
        ),
    ] = None,
    list_: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="File with the paths of more batches, one per line."
        ),
    ] = None,
    allow_differences: Annotated[
        bool,
        typer.Option(
            "--allow-differences",
            help="Also join batches of another panel, version, network or other options.",
        ),
    ] = False,
    threads: options.Threads = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Join the samples of batches that were imputed apart.

    The batches have different samples and the same sites. Genotypes are copied; AC, AN, AF and DR2
    are computed for all samples. Takes outputs of impute, and of Minimac4 and Beagle. Writes FILE
    and its index.

    Example: vcfbert merge batch1.vcf.gz batch2.vcf.gz --out imputed.vcf.gz
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines.merging import merge as pipeline

            paths = [*(files or []), *([] if list_ is None else pipeline.read_list(list_))]
            chosen = pipeline.MergeOptions(allow_differences=allow_differences, threads=threads)
            summary = pipeline.merge(paths, out, chosen, progress=progress, overwrite=force)
        print_lines(summary.lines())
