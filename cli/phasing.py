"""The command `phase`.

The pipeline is imported inside the command, so that `--help` is quick.
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


def phase(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="Target genotypes: .vcf, .vcf.gz or .bcf."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Output file: .vcf.gz, .vcf.bgz or .bcf."),
    ],
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CHROM:FROM-TO",
            help="Write only this region (1-based, inclusive).",
        ),
    ] = None,
    genetic_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            show_default="the panel's",
            help="Genetic map of PLINK, SHAPEIT, Eagle, HapMap or others; may be gzipped.",
        ),
    ] = None,
    trust: Annotated[
        options.PhaseTrust,
        typer.Option(
            "--phase", help="The file's phase: keep it, take it as a hint, or do without it."
        ),
    ] = options.PhaseTrust.KEEP,
    strand: Annotated[
        options.TargetStrand,
        typer.Option(help="Strand flips: repair them, leave them out, or stop at the first."),
    ] = options.TargetStrand.FIX,
    min_typed: Annotated[
        int,
        typer.Option(min=1, help="Skip contigs with fewer typed sites than this."),
    ] = 5,
    chunk_cm: Annotated[
        float, typer.Option(help="Length of a chunk in cM. Chunks are phased one at a time.")
    ] = 10.0,
    overlap_cm: Annotated[
        float, typer.Option(help="Context read on either side of a chunk, in cM.")
    ] = 2.0,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Phase the genotypes of a VCF with a prepared panel.

    Writes the target's own records with phased genotypes, FORMAT/PS and FORMAT/PQ, and an index.
    Records that the panel lacks keep unphased genotypes. The output does not depend on --threads.

    Example: vcfbert phase target.vcf.gz --out phased.vcf.gz
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            # NumPy's own threads ignore --threads and only slow the engine's down.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines.phasing import phase as pipeline

            chosen = pipeline.PhaseOptions(
                genetic_map=genetic_map,
                region=region,
                threads=threads,
                chunk_cm=chunk_cm,
                overlap_cm=overlap_cm,
                min_typed=min_typed,
                phase=trust.value,
                strand=strand.value,
            )
            summary = pipeline.phase(
                Workspace(workspace), target, out, chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())
