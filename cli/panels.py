"""The commands `prepare` and `simulate`.

Pipelines are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def prepare(
    panel: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PANEL...",
            help="Phased panel: .vcf, .vcf.gz or .bcf; several files must have "
            "different contigs of the same samples.",
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="File with the paths of panel files, one per line."
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Sample table with a header: sample, population, superpopulation, split.",
        ),
    ] = None,
    relatives: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Pairs of close relatives. They never retrieve each other, and a training sample "
            "with a held-out relative is dropped.",
        ),
    ] = None,
    genetic_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            show_default="1 cM per Mb",
            help="Genetic map of PLINK, SHAPEIT, Eagle, HapMap or others; may be gzipped. With "
            "one file per contig, write {contig} in its name: plink.chr{contig}.GRCh38.map.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CHROM:FROM-TO",
            help="Read only this region (1-based, inclusive). Needs an index.",
        ),
    ] = None,
    min_maf: Annotated[
        float,
        typer.Option(min=0.0, max=0.5, help="Drop sites with a lower minor allele frequency."),
    ] = 0.0,
    min_mac: Annotated[
        int, typer.Option(min=0, help="Drop sites with fewer copies of the minor allele.")
    ] = 0,
    window_size: Annotated[
        int, typer.Option(min=2, help="Sites per window, flanks included (L).")
    ] = 1030,
    flank: Annotated[
        int, typer.Option(min=0, help="Sites of context on either side of a window's core.")
    ] = 32,
    windows: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Use these window cores: contig,start,end. Drops all sites outside them.",
        ),
    ] = None,
    validation_fraction: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, help="Share of training samples to validate on."),
    ] = 0.04,
    test_fraction: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.9, help="Share of samples to test on if the table has no split."
        ),
    ] = 0.1,
    missing: Annotated[
        options.Missing,
        typer.Option(
            help="Missing genotypes: fill in the alleles of the most similar haplotypes, drop the "
            "record, stop, or fill in the major allele."
        ),
    ] = options.Missing.FILL,
    unphased: Annotated[
        options.Unphased,
        typer.Option(help="Unphased heterozygotes: stop, or drop the record."),
    ] = options.Unphased.ERROR,
    phase_panel: Annotated[
        bool,
        typer.Option(
            "--phase-panel",
            help="Phase unphased heterozygotes by the panel's own samples; the expected accuracy "
            "is reported.",
        ),
    ] = False,
    sex: options.Sex = None,
    par: options.Par = None,
    max_dropped: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Stop if a larger share of the sites cannot be used."),
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the split and mask version 0.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            show_default="all cores",
            help="Number of files to prepare at the same time, one process for each.",
        ),
    ] = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: Annotated[
        bool, typer.Option("--force", help="Replace contigs that the panel already has.")
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Skip files whose contigs the panel already has."),
    ] = False,
    progress_form: options.ProgressOption = options.ProgressForm.AUTO,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Convert a phased reference panel to the panel of a workspace.

    Writes panel.zarr with a store for each contig, mask version 0, the QC report panel.qc.json and
    panel.relatives.tsv into the workspace. The last lists pairs of duplicates and, in panels of 300
    cM or more, close relatives. Other contigs of the panel are not changed.

    Example: vcfbert prepare panel.vcf.gz --samples samples.tsv --map genetic.map --min-maf 0.01
    """
    if not panel and listed is None:
        raise typer.BadParameter("give PANEL files, or a list of them with --list FILE.")
    as_json = progress_form == options.ProgressForm.JSON
    with reporting_errors(as_json=as_json):
        with on_stderr(quiet=quiet, verbose=verbose, as_json=as_json) as progress:
            from vcfbert.pipelines.file_lists import files_of
            from vcfbert.pipelines.preparing import prepare as pipeline

            chosen = pipeline.PrepareOptions(
                samples=samples,
                relatives=relatives,
                genetic_map=genetic_map,
                region=region,
                min_maf=min_maf,
                min_mac=min_mac,
                window_size=window_size,
                flank=flank,
                windows=windows,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                missing=missing.value,
                unphased=unphased.value,
                phase_panel=phase_panel,
                sex=sex,
                par=par,
                max_dropped=max_dropped,
                seed=seed,
            )
            summary = pipeline.prepare(
                [*(panel or []), *files_of(listed)],
                Workspace(workspace),
                chosen,
                progress=progress,
                overwrite=force,
                skip_existing=skip_existing,
                threads=threads,
            )
        print_lines(summary.lines())


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")],
    num_samples: Annotated[int, typer.Option(min=6, help="Number of samples.")] = 500,
    length: Annotated[int, typer.Option(min=1000, help="Length in base pairs.")] = 2_000_000,
    seed: Annotated[int, typer.Option(min=1, help="Seed of the simulation.")] = 1,
    chromosome: Annotated[
        options.Chromosome,
        typer.Option(
            help="An autosome, or X with haploid males outside a pseudo-autosomal region."
        ),
    ] = options.Chromosome.AUTOSOME,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Simulate a phased panel and a target.

    Writes panel.vcf.gz and target.vcf.gz with their indexes, samples.tsv, genetic.map and typed.tsv
    (the sites of the target) into DIR.

    Example: vcfbert simulate demo --num-samples 500
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines.preparing import simulate as pipeline

            summary = pipeline.simulate(
                folder,
                pipeline.SimulateOptions(
                    num_samples=num_samples,
                    length=length,
                    seed=seed,
                    chromosome=chromosome.value,
                ),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())
