"""The command that imputes samples.

The pipeline is imported inside the command, so that `--help` does not wait for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def impute(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="Phased genotypes: .vcf, .vcf.gz or .bcf."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="File to write, .vcf.gz or .bcf."),
    ],
    run: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the network that comes with vcfbert",
            help="Impute with this run of mosaic, trained on the panel.",
        ),
    ] = None,
    no_network: Annotated[
        bool, typer.Option("--no-network", help="Use the copying model alone.")
    ] = False,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CHROM:FROM-TO",
            help="Write the sites of this region, both ends in, as imputing everything would.",
        ),
    ] = None,
    genetic_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            show_default="the panel's",
            help="Genetic map in PLINK columns: chromosome, id, cM, position.",
        ),
    ] = None,
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Write only these sites of the panel: chromosome, position, or REF and ALT too.",
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="F,F,...", help="FORMAT fields to write."),
    ] = options.FORMAT,
    er2: Annotated[
        bool,
        typer.Option(
            "--er2", help="Write INFO/ER2: r2 of typed sites imputed as if they were not typed."
        ),
    ] = False,
    unphased: Annotated[
        options.TargetUnphased,
        typer.Option(
            help="Heterozygotes without phase: stop, take as missing, or as phased as written."
        ),
    ] = options.TargetUnphased.ERROR,
    min_typed: Annotated[
        int,
        typer.Option(min=1, help="Fewest typed sites of a contig that is imputed."),
    ] = 5,
    chunk_cm: Annotated[float, typer.Option(help="Longest chunk, in cM.")] = 10.0,
    overlap_cm: Annotated[
        float,
        typer.Option(help="Genotypes are used up to this far outside a chunk, in cM."),
    ] = 2.0,
    qc: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="OUT.qc", help="Folder of the QC files."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the fit of switch rates.")] = 1,
    device: options.DeviceOption = options.Device.CPU,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Impute the samples of a VCF from a prepared panel.

    Reads the panel of the workspace; no training, embeddings or index is needed. Writes FILE with
    its index, and a folder of QC files; neither is left half-written. The output is the same for
    any number of threads.

    Example: vcfbert impute target.vcf.gz --out imputed.vcf.gz
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            # NumPy's own threads know nothing of --threads; here they only get in each other's way.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines.imputing import impute as pipeline

            chosen = pipeline.ImputeOptions(
                run=run,
                no_network=no_network,
                genetic_map=genetic_map,
                region=region,
                threads=threads,
                seed=seed,
                chunk_cm=chunk_cm,
                overlap_cm=overlap_cm,
                min_typed=min_typed,
                fields=settings.words(format_),
                sites=sites,
                unphased=unphased.value,
                er2=er2,
                qc=qc,
                device=device.value,
            )
            summary = pipeline.impute(
                Workspace(workspace), target, out, chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())
