"""The commands `train`, `eval` and `audit-dims`.

Pipelines are imported inside the commands and after the settings are checked, so that `--help` and
mistyped settings do not wait for PyTorch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def train(
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default="the preset's name", help="Name of the run."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run from its last checkpoint.")
    ] = False,
    retrieve_k: Annotated[
        int | None,
        typer.Option(
            "--retrieve-k",
            metavar="K",
            min=1,
            show_default="from the settings",
            help="Neighbours per haplotype; short for --set retrieval.num_neighbours=K.",
        ),
    ] = None,
    typed: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="TSV",
            show_default="drawn at random",
            help="Train mosaic for targets typed at these sites. Can be repeated.",
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            show_default="initial weights",
            help="Start with the best weights of this run, as far as they fit.",
        ),
    ] = None,
    mask_version: Annotated[
        str | None,
        typer.Option(
            metavar="N|PATH|new",
            show_default="newest",
            help="First training masks: a version of the workspace, the path of one that a run "
            "wrote, or new to draw them as if none were stored.",
        ),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="N|PATH|new",
            show_default="newest",
            help="First embeddings; training starts with the encoder that made them. A version of "
            "the workspace, a path, or new to encode with initial weights.",
        ),
    ] = None,
    preset: options.Preset = None,
    config_path: options.ConfigFile = None,
    set_: options.Set = None,
    seed: options.SettingsSeed = None,
    device: options.DeviceOption = options.Device.AUTO,
    devices: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="1, or those of torchrun",
            help="Train a BERT system with N GPUs, or with N processes on the CPU, which share "
            "each batch.",
        ),
    ] = None,
    threads: options.Threads = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model on the training samples of the panel.

    Reads the panel. The BERT systems also read the newest index, masks and embeddings, start with
    those masks and with the encoder that made those embeddings, and make what is missing. Writes
    runs/NAME in the workspace: config.toml, metrics.csv, the weights and, for the BERT systems,
    the last masks and embeddings and TensorBoard events.

    Without --preset and --config, --resume continues and --force repeats a run with its own
    settings.

    Example: vcfbert train --preset v18-large --retrieve-k 32 --set training.batch_size=16
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines import train

            base = None
            if preset is None and config_path is None:
                if resume:
                    base = train.saved_settings(Workspace(workspace), run)
                elif force and run is not None:
                    base = train.replaced_settings(Workspace(workspace), run)
            chosen = settings.resolve(
                preset, config_path, set_, seed=seed, retrieve_k=retrieve_k, base=base
            )
            summary = train.train(
                Workspace(workspace),
                chosen,
                train.TrainOptions(
                    run or chosen.preset,
                    resume,
                    device.value,
                    threads,
                    train.StartOptions(mask_version, embeddings, init_from),
                    devices,
                    tuple(typed or ()),
                ),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())


def evaluate(
    run: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the network shipped with vcfbert",
            help="Run to evaluate; its best checkpoint is used.",
        ),
    ] = None,
    split: Annotated[
        options.Split, typer.Option(help="Samples to evaluate on.")
    ] = options.Split.TEST,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.99,
            show_default="masks.validation_rate of the run",
            help="Hide this share of the sites at random.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, show_default="seed of the run", help="Seed for --rate."),
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
    panel: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Evaluate on the samples of another prepared workspace."),
    ] = None,
    genotypes: Annotated[
        options.Genotypes,
        typer.Option(help="Compute dosages from the two haplotypes, or from the genotype head."),
    ] = options.Genotypes.HAPLOTYPES,
    edges: Annotated[
        str,
        typer.Option(metavar="F,F,...", help="Bin edges of minor allele frequency."),
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
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained/--no-untrained",
            help="Also score the network before training, if it copies.",
        ),
    ] = True,
    vcf: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the predictions to this .vcf.gz or .bcf."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="runs/NAME/eval, or eval",
            help="Folder for the JSON and CSV.",
        ),
    ] = None,
    device: options.DeviceOption = options.Device.AUTO,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score a run on held-out samples, next to two baselines.

    Hides sites by one of --rate, --mask-version and --typed and imputes them. Prints and writes F1,
    r2, IQS and concordance, overall and by frequency.

    Example: vcfbert eval --run v18-large --typed array.sites.tsv
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines.evaluating import evaluate as evaluating

            chosen = evaluating.EvalOptions(
                run=run,
                split=split.value,
                rate=rate,
                seed=seed,
                mask_version=mask_version,
                typed=typed,
                panel=panel,
                vcf=vcf,
                output=output,
                device=device.value,
                genotypes=genotypes.value,
                edges=settings.numbers("--edges", edges),
                untrained=untrained,
                rare_maf=rare_maf,
            )
            summary = evaluating.evaluate(
                Workspace(workspace), chosen, progress=progress, overwrite=force
            )
        print_lines(summary.lines())


def audit_dims(
    preset: options.Preset = None,
    config_path: options.ConfigFile = None,
    set_: options.Set = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Use the settings of this run, and check it too."),
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
            help="Reference haplotypes, for disk sizes.",
        ),
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(
            metavar="W",
            min=1,
            show_default="the panel's, else 26",
            help="Windows, for disk sizes.",
        ),
    ] = None,
    window_size: Annotated[
        int | None,
        typer.Option(
            metavar="L", min=2, show_default="the panel's, else 1030", help="Sites per window."
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Run only the eight checks that train starts with."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show shapes, parameters, memory and disk of a system.

    Works without a workspace. If there is one, checks the shapes, parents and embeddings of its
    stores and exits with 1 on a mismatch. Writes nothing.

    Example: vcfbert audit-dims --preset v18-large --gpu-memory 80
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose):
            home = Workspace(workspace)
            chosen = settings.of_run(home, run, preset, config_path, set_)
            from vcfbert.pipelines.auditing import audit

            report = audit.audit(
                chosen,
                home,
                audit.AuditOptions(
                    run=run,
                    gpu_memory_gb=gpu_memory,
                    haplotypes=haplotypes,
                    windows=windows,
                    window_size=window_size,
                    strict=strict,
                ),
            )
        print_lines([report.to_json()] if json else report.lines())
        report.raise_mismatch()
