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
    region: options.WrittenRegion = None,
    genetic_map: options.TargetMap = None,
    trust: options.Trust = options.PhaseTrust.KEEP,
    target_references: options.TargetReferences = options.TargetReferencesChoice.AUTO,
    phasing_passes: options.PhasingPasses = 2,
    fill_missing: Annotated[
        bool,
        typer.Option(
            "--fill-missing",
            help="Fill missing genotypes at sites of the panel with their most probable alleles, "
            "and write FORMAT/FQ.",
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default="1",
            help="Seed for fitting the switch rates of --fill-missing; the rest is not random.",
        ),
    ] = None,
    trios: options.Trios = None,
    mendel: options.Mendel = False,
    strand: options.Strand = options.TargetStrand.FIX,
    exclude_samples: options.ExcludeSamples = None,
    force_samples: options.ForceSamples = False,
    sex: options.Sex = None,
    par: options.Par = None,
    min_typed: options.MinTyped = 5,
    chunk_cm: Annotated[
        float, typer.Option(help="Length of a chunk in cM. Chunks are phased one at a time.")
    ] = 10.0,
    overlap_cm: options.OverlapCm = 2.0,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Phase the genotypes of a VCF with a prepared panel.

    Writes the target's own records with phased genotypes, FORMAT/PS and FORMAT/PQ, and an index.
    Heterozygotes that the panel lacks are phased only by the phase sets of the file. The output
    does not depend on --threads.

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
                target_references=target_references.value,
                phasing_passes=phasing_passes,
                fill_missing=fill_missing,
                seed=seed,
                trios=trios,
                mendel=mendel,
                strand=strand.value,
                exclude_samples=exclude_samples,
                force_samples=force_samples,
                sex=sex,
                par=par,
            )
            summary = pipeline.phase(
                Workspace(workspace), target, out, chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())
