"""One thin function a command: parse, call one pipeline function, print its summary.

Pipelines are imported inside the commands and after the settings are checked, so that `--help`,
`prepare` and a mistyped setting do not wait for PyTorch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import reporting_errors


def prepare(
    panel: Annotated[
        Path,
        typer.Argument(metavar="PANEL", help="Phased panel: .vcf, .vcf.gz or .bcf."),
    ],
    samples: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Sample table with a header: sample, population, superpopulation, split.",
        ),
    ] = None,
    genetic_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            show_default="1 cM per Mb",
            help="Genetic map in PLINK columns: chromosome, id, cM, position.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CHROM:FROM-TO", help="Read this region only, both ends in; needs an index."
        ),
    ] = None,
    min_maf: Annotated[
        float,
        typer.Option(min=0.0, max=0.5, help="Keep sites with at least this minor frequency."),
    ] = 0.0,
    min_mac: Annotated[
        int, typer.Option(min=0, help="Keep sites with at least this many minor copies.")
    ] = 1,
    window_size: Annotated[
        int, typer.Option(min=2, help="Sites in a window, flanks included (L).")
    ] = 1030,
    flank: Annotated[
        int, typer.Option(min=0, help="Sites of context on either side of a window's core.")
    ] = 32,
    windows: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Window cores made elsewhere: contig,start,end; sites outside are dropped.",
        ),
    ] = None,
    validation_fraction: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, help="Share of train people to validate on."),
    ] = 0.04,
    test_fraction: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.9, help="Share of people to test on if the table has no split."
        ),
    ] = 0.1,
    missing: Annotated[
        options.Missing,
        typer.Option(help="Missing genotypes: drop the record, stop, or fill in the major allele."),
    ] = options.Missing.DROP,
    unphased: Annotated[
        options.Unphased,
        typer.Option(help="Heterozygotes without phase: stop, or drop the record."),
    ] = options.Unphased.ERROR,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of mask version 0.")] = 1,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Cut a phased panel into windows and store it.

    Reads the VCF once, in chunks. Writes panel.zarr, mask version 0 and the QC report
    panel.qc.json into the workspace.

    Example: vcfbert prepare panel.vcf.gz --samples samples.tsv --map genetic.map --min-maf 0.01
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines import prepare as pipeline

            chosen = pipeline.PrepareOptions(
                samples=samples,
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
                seed=seed,
            )
            summary = pipeline.prepare(
                panel, Workspace(workspace), chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())


def encode_refs(
    layout: Annotated[
        options.Layout,
        typer.Option(help="codebook stores each token once a site; dense stores every haplotype."),
    ] = options.Layout.CODEBOOK,
    run: options.EncoderRun = None,
    mask_version: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, show_default="newest", help="Mask version to encode under."
        ),
    ] = None,
    preset: options.Preset = None,
    config_path: options.ConfigFile = None,
    set_: options.Set = None,
    seed: options.SettingsSeed = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Encode the reference haplotypes.

    Reads the panel (dense: a mask version too). Writes embeddings/; --force replaces the newest.

    Example: vcfbert encode-refs --preset v18-large
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            chosen = settings.resolve(preset, config_path, set_, seed=seed)
            from vcfbert.pipelines import references

            summary = references.encode_refs(
                Workspace(workspace),
                chosen,
                references.EncodeOptions(layout=layout.value, run=run, mask_version=mask_version),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())


def build_index(
    kind: Annotated[
        options.IndexKind,
        typer.Option(help="exact searches one bit an allele; dense is flat L2 over embeddings."),
    ] = options.IndexKind.EXACT,
    max_references: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="all",
            help="Index this many train haplotypes, drawn by the seed.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw of --max-references.")] = 1,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Index the reference haplotypes for search.

    Reads the panel and, for the dense kind, the newest embeddings. Writes indexes/ with a manifest
    of SHA-256 sums; --force replaces the newest version.

    Example: vcfbert build-index --kind exact
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines import references

            summary = references.build_index(
                Workspace(workspace),
                references.IndexOptions(kind=kind.value, max_references=max_references, seed=seed),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())


def train(
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default="the preset's name", help="Name of the run."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint, exactly.")
    ] = False,
    retrieve_k: Annotated[
        int | None,
        typer.Option(
            "--retrieve-k",
            metavar="K",
            min=1,
            show_default="from the settings",
            help="Neighbours of each haplotype; short for --set retrieval.num_neighbours=K.",
        ),
    ] = None,
    preset: options.Preset = None,
    config_path: options.ConfigFile = None,
    set_: options.Set = None,
    seed: options.SettingsSeed = None,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model on the panel's train people.

    Reads the panel, masks, embeddings and indexes. Writes runs/NAME in the workspace: config.toml,
    metrics.csv, TensorBoard events, the best and the last checkpoint.

    Example: vcfbert train --preset v18-large --retrieve-k 32 --set training.batch_size=16
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines import fit

            is_saved = resume and preset is None and config_path is None
            base = fit.saved_settings(Workspace(workspace), run) if is_saved else None
            chosen = settings.resolve(
                preset, config_path, set_, seed=seed, retrieve_k=retrieve_k, base=base
            )
            summary = fit.train(
                Workspace(workspace),
                chosen,
                fit.TrainOptions(run or chosen.preset, resume, device.value, threads),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())


def refresh(
    masks: Annotated[bool, typer.Option("--masks", help="Draw a new mask version.")] = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Encode the references again.")
    ] = False,
    run: options.EncoderRun = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=0.99, show_default="masks.start_rate", help="Rate of the new masks."
        ),
    ] = None,
    prune: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="keep all",
            help="Afterwards keep only the newest N versions of masks, embeddings and indexes.",
        ),
    ] = None,
    preset: options.Preset = None,
    config_path: options.ConfigFile = None,
    set_: options.Set = None,
    seed: options.SettingsSeed = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Renew masks or encodings, beside the old versions.

    Reads the panel and, with --run, a checkpoint. Writes new versions of masks/ and embeddings/ in
    the workspace; old ones stay until --prune.

    Example: vcfbert refresh --masks --embeddings --run v18-large
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            chosen = settings.resolve(preset, config_path, set_, seed=seed)
            from vcfbert.pipelines import references

            summary = references.refresh(
                Workspace(workspace),
                chosen,
                references.RefreshOptions(
                    masks=masks, embeddings=embeddings, run=run, rate=rate, prune=prune
                ),
                progress=progress,
            )
        print_lines(summary.lines())


def evaluate(
    run: Annotated[str, typer.Option(metavar="NAME", help="Run to evaluate, its best checkpoint.")],
    split: Annotated[
        options.Split, typer.Option(help="People to evaluate on.")
    ] = options.Split.TEST,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.99,
            show_default="masks.validation_rate of the run",
            help="Hide this share of the sites.",
        ),
    ] = None,
    mask_version: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Hide the sites of this mask version.")
    ] = None,
    typed: Annotated[
        Path | None,
        typer.Option(metavar="TSV", help="Hide all but these sites: chromosome and position."),
    ] = None,
    panel: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Evaluate on the people of another prepared workspace."),
    ] = None,
    genotypes: Annotated[
        options.Genotypes,
        typer.Option(help="Dosages from two independent haplotypes, or from the genotype head."),
    ] = options.Genotypes.HAPLOTYPES,
    edges: Annotated[
        str,
        typer.Option(metavar="F,F,...", help="Bounds of the bins of minor allele frequency."),
    ] = options.EDGES,
    rare_maf: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            show_default="training.rare_maf of the run",
            help="Sites below this minor allele frequency count as rare.",
        ),
    ] = None,
    vcf: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the predictions, .vcf.gz or .bcf."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="runs/NAME/eval", help="Folder of the JSON and CSV."
        ),
    ] = None,
    device: options.DeviceOption = options.Device.AUTO,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score a run on people it has not seen, beside two baselines.

    Hides sites by one of --rate, --mask-version and --typed. Reads the panel, masks, indexes and
    the run. Prints and writes F1, r2, IQS and concordance, overall and by frequency.

    Example: vcfbert eval --run v18-large --typed array.sites.tsv
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines import assess

            chosen = assess.EvalOptions(
                run=run,
                split=split.value,
                rate=rate,
                mask_version=mask_version,
                typed=typed,
                panel=panel,
                vcf=vcf,
                output=output,
                device=device.value,
                genotypes=genotypes.value,
                edges=settings.numbers("--edges", edges),
                rare_maf=rare_maf,
            )
            summary = assess.evaluate(
                Workspace(workspace), chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())


def audit_dims(
    preset: options.Preset = None,
    config_path: options.ConfigFile = None,
    set_: options.Set = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Check this run of the workspace against the settings."),
    ] = None,
    gpu_memory: Annotated[
        float, typer.Option(metavar="GB", min=0.1, help="Memory of the GPU, in 10^9 bytes.")
    ] = 80.0,
    haplotypes: Annotated[
        int | None,
        typer.Option(
            metavar="H",
            min=1,
            show_default="the panel's, else 4508",
            help="Reference haplotypes to size the disk for.",
        ),
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(
            metavar="W",
            min=1,
            show_default="the panel's, else 26",
            help="Windows to size the disk for.",
        ),
    ] = None,
    window_size: Annotated[
        int | None,
        typer.Option(
            metavar="L", min=2, show_default="the panel's, else 1030", help="Sites in a window."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show shapes, parameters, memory and disk of a system.

    Needs no store. Where the workspace has stores, their real shapes, parents and embeddings are
    checked, and a mismatch ends with exit code 1. Writes nothing.

    Example: vcfbert audit-dims --preset v18-large --gpu-memory 80
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose):
            chosen = settings.resolve(preset, config_path, set_)
            from vcfbert.pipelines import audit

            report = audit.audit(
                chosen,
                Workspace(workspace),
                audit.AuditOptions(
                    run=run,
                    gpu_memory_gb=gpu_memory,
                    haplotypes=haplotypes,
                    windows=windows,
                    window_size=window_size,
                ),
            )
        print_lines([report.to_json()] if json else report.lines())
        report.raise_mismatch()


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")],
    people: Annotated[int, typer.Option(min=6, help="People; each has two haplotypes.")] = 500,
    length: Annotated[int, typer.Option(min=1000, help="Length in base pairs.")] = 2_000_000,
    seed: Annotated[int, typer.Option(min=1, help="Seed of the simulation.")] = 1,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Simulate a phased panel to try the other commands on.

    Writes panel.vcf.gz with its index, samples.tsv, genetic.map and typed.tsv into DIR.

    Example: vcfbert simulate demo --people 500
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines import simulate as pipeline

            summary = pipeline.simulate(
                folder,
                pipeline.SimulateOptions(people=people, length=length, seed=seed),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())


def print_lines(lines: list[str]) -> None:
    """Results, and nothing else, on stdout."""
    for line in lines:
        typer.echo(line)
