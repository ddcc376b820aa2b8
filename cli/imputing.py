"""The command `impute`.

The pipeline is imported inside the command, so that `--help` is quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vcfbert.progress import Progress
from vcfbert.storage.zarr.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import print_lines, reporting_errors

if TYPE_CHECKING:
    from vcfbert.pipelines.imputing.genome import ImputeOne
    from vcfbert.pipelines.imputing.impute import ImputeOptions


def impute(
    target: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TARGET...",
            help="Target genotypes: .vcf, .vcf.gz or .bcf; several files must have "
            "different contigs of the same samples.",
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="File with the paths of target files, one per line."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Output file: .vcf.gz, .vcf.bgz or .bcf. With {contig} in its name, each contig "
            "gets a file.",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out-dir",
            metavar="DIR",
            help="Write a file for each contig into DIR; short for --out DIR/{contig}.vcf.gz.",
        ),
    ] = None,
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
    exclude_samples: options.ExcludeSamples = None,
    force_samples: options.ForceSamples = False,
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
    progress_form: options.ProgressOption = options.ProgressForm.AUTO,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Impute the samples of a VCF from a prepared panel.

    Needs only the panel of the workspace: no training, embeddings or index. Writes FILE, its index
    and a folder of QC files, all or none of them. The output does not depend on --threads or
    --memory. After a kill, the same command continues from the parts that are finished.

    Example: vcfbert impute target.vcf.gz --out imputed.vcf.gz
    """
    place = _place(target, listed, out, out_dir)
    if plan is not None and (out is None or len(target or []) != 1 or listed is not None):
        raise typer.BadParameter("--plan takes one TARGET and --out FILE.")
    if plan is not None and (workers is not None or scheduler is not None):
        raise typer.BadParameter("--plan imputes nothing, so leave out --workers and --scheduler.")
    as_json = progress_form == options.ProgressForm.JSON
    with reporting_errors(as_json=as_json):
        with on_stderr(quiet=quiet, verbose=verbose, as_json=as_json) as progress:
            # NumPy's own threads ignore --threads and only slow the engine's down.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines.file_lists import files_of
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
                exclude_samples=exclude_samples,
                force_samples=force_samples,
                qc=qc,
                memory=memory,
                parts=parts,
                keep_parts=keep_parts,
                device=device.value,
            )
            targets = [*(target or []), *files_of(listed)]
            lines = _lines(
                Workspace(workspace), targets, place, chosen, plan, (workers, scheduler), progress,
                overwrite=force,
            )  # fmt: skip
        print_lines(lines)


def _place(
    target: list[Path] | None, listed: Path | None, out: Path | None, out_dir: Path | None
) -> Path:
    """Where to write; raises BadParameter if that, or what to impute, is not given."""
    if not target and listed is None:
        raise typer.BadParameter("give TARGET files, or a list of them with --list FILE.")
    if out is not None and out_dir is None:
        return out
    if out_dir is not None and out is None:
        return out_dir / "{contig}.vcf.gz"
    raise typer.BadParameter("give either --out FILE or --out-dir DIR.")


def _lines(
    home: Workspace,
    targets: list[Path],
    out: Path,
    chosen: ImputeOptions,
    plan: Path | None,
    on_cluster: tuple[int | None, str | None],
    progress: Progress,
    *,
    overwrite: bool,
) -> list[str]:
    """Impute, or write a plan; returns the summary.

    on_cluster  workers and scheduler; None of both is this process alone
    """
    if plan is not None:
        from vcfbert.pipelines.imputing import separate_parts

        return separate_parts.plan(
            home, targets[0], out, chosen, plan, progress=progress, overwrite=overwrite
        ).lines()
    from vcfbert.pipelines.imputing import genome

    with _impute_one(*on_cluster) as impute_one:
        return genome.impute_files(
            home, targets, out, chosen, progress=progress, overwrite=overwrite,
            impute_one=impute_one,
        ).lines()  # fmt: skip


@contextmanager
def _impute_one(workers: int | None, scheduler: str | None) -> Iterator[ImputeOne | None]:
    """What imputes one contig, on one cluster for all contigs; None in this process alone."""
    if workers is None and scheduler is None:
        yield None
        return
    from vcfbert.pipelines.imputing import cluster

    options = cluster.ClusterOptions(workers=workers, scheduler=scheduler)
    with cluster.opened(options) as opened:
        yield opened.impute
