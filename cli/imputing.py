"""The command `impute`.

The pipeline is imported inside the command, so that `--help` is quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Protocol

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


class HasLines(Protocol):
    """A summary."""

    def lines(self) -> list[str]:
        """What the command prints."""


def impute(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="Target genotypes: .vcf, .vcf.gz or .bcf."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Output file: .vcf.gz, .vcf.bgz or .bcf."),
    ],
    run: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the network shipped with vcfbert",
            help="Use the network of this run of mosaic.",
        ),
    ] = None,
    no_network: Annotated[
        bool, typer.Option("--no-network", help="Use the copying model alone.")
    ] = False,
    region: options.WrittenRegion = None,
    genetic_map: options.TargetMap = None,
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Write only these panel sites. Columns: chromosome, position, [REF, ALT].",
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="F,F,...", help="FORMAT fields to write."),
    ] = options.FORMAT,
    er2: Annotated[
        bool,
        typer.Option(
            "--er2",
            help="Write INFO/ER2: the r2 of each typed site when it is left out and imputed.",
        ),
    ] = False,
    all_typed_sites: Annotated[
        bool,
        typer.Option(
            "--all-typed-sites",
            help="Also write the target's records that the panel lacks, marked INFO/TYPED_ONLY.",
        ),
    ] = False,
    empirical: Annotated[
        bool,
        typer.Option(
            "--empirical",
            help="Also write NAME.empiricalDose.vcf.gz for meta-imputation: typed sites, imputed "
            "as if they were not typed.",
        ),
    ] = False,
    unphased: Annotated[
        options.TargetUnphased,
        typer.Option(
            help="Unphased heterozygotes: phase them, stop, impute the order of a few, or take the "
            "order as the phase."
        ),
    ] = options.TargetUnphased.PHASE,
    phase: options.Trust = options.PhaseTrust.KEEP,
    phase_draws: Annotated[
        int,
        typer.Option(
            min=0,
            help="Phases drawn by their probability if the phase is uncertain; all are imputed in "
            "one pass. 0 imputes only the most likely one.",
        ),
    ] = 32,
    target_references: options.TargetReferences = options.TargetReferencesChoice.AUTO,
    phasing_passes: options.PhasingPasses = 2,
    trios: options.Trios = None,
    mendel: options.Mendel = False,
    strand: options.Strand = options.TargetStrand.FIX,
    sex: options.Sex = None,
    par: options.Par = None,
    min_typed: options.MinTyped = 5,
    chunk_cm: Annotated[
        float, typer.Option(help="Length of a chunk in cM. Chunks are imputed one at a time.")
    ] = 10.0,
    overlap_cm: options.OverlapCm = 2.0,
    qc: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="OUT.qc", help="Folder for the QC files."),
    ] = None,
    memory: options.Memory = None,
    parts: options.Parts = None,
    keep_parts: options.KeepParts = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default="this process",
            help="Run the parts in N processes of Dask, with one thread each.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run the parts on the workers of this Dask scheduler, such as tcp://host:8786.",
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Impute nothing, but write a plan to FILE: its parts can be imputed on many "
            "machines with impute-part, and joined with impute-join.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Seed for fitting the switch rates and drawing phases."),
    ] = 1,
    device: options.DeviceOption = options.Device.CPU,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Impute the samples of a VCF from a prepared panel.

    Needs only the panel of the workspace: no training, embeddings or index. Writes FILE, its index
    and a folder of QC files, all or none of them. The output does not depend on --threads or
    --memory. After a kill, the same command continues from the parts that are finished.

    Example: vcfbert impute target.vcf.gz --out imputed.vcf.gz
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            # NumPy's own threads ignore --threads and only slow the engine's down.
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
                phase=phase.value,
                phase_draws=phase_draws,
                target_references=target_references.value,
                phasing_passes=phasing_passes,
                trios=trios,
                mendel=mendel,
                strand=strand.value,
                sex=sex,
                par=par,
                er2=er2,
                all_typed_sites=all_typed_sites,
                empirical=empirical,
                qc=qc,
                memory=memory,
                parts=parts,
                keep_parts=keep_parts,
                device=device.value,
            )
            run_with = _running(plan, workers, scheduler)
            summary = run_with(
                Workspace(workspace), target, out, chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())


def _running(
    plan: Path | None, workers: int | None, scheduler: str | None
) -> Callable[..., HasLines]:
    """What to do with the target: plan the parts, impute them on workers, or impute here."""
    if plan is not None:
        from vcfbert.pipelines.imputing import separate_parts

        return partial(separate_parts.plan, path=plan)
    if workers is not None or scheduler is not None:
        from vcfbert.pipelines.imputing import cluster

        where = cluster.ClusterOptions(workers=workers, scheduler=scheduler)
        return partial(cluster.run, cluster=where)
    from vcfbert.pipelines.imputing import impute as pipeline

    return pipeline.impute
