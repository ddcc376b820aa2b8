"""The commands `encode-refs`, `build-index` and `refresh`.

Pipelines are imported inside the commands and after the settings are checked, so that `--help` and
mistyped settings do not wait for PyTorch.
"""

from __future__ import annotations

from typing import Annotated

import typer

from vcfbert.storage.zarr.workspace import Workspace

from . import options, settings
from .progress import on_stderr
from .reporting import print_lines, reporting_errors


def encode_refs(
    layout: Annotated[
        options.EmbeddingsLayout,
        typer.Option(help="codebook stores one table per window; dense stores every haplotype."),
    ] = options.EmbeddingsLayout.CODEBOOK,
    run: options.EncoderRun = None,
    mask_version: options.MaskVersion = None,
    dtype: Annotated[
        options.EmbeddingsDtype | None,
        typer.Option(
            show_default="float32",
            help="Numbers of the dense layout; float16 takes half the space, with 3 digits.",
        ),
    ] = None,
    device: options.DeviceOption = options.Device.CPU,
    devices: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Encode with N GPUs, or with N processes on the CPU; the store is the same.",
        ),
    ] = 1,
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

    Reads the panel and, for the dense layout, a mask version. Writes a new version into
    embeddings/; --force replaces the newest.

    Example: vcfbert encode-refs --preset v18-large
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            home = Workspace(workspace)
            chosen = settings.of_run(home, run, preset, config_path, set_, seed=seed)
            from vcfbert.pipelines.systems import encode

            summary = encode.encode_refs(
                home,
                chosen,
                encode.EncodeOptions(
                    layout=layout.value,
                    run=run,
                    mask_version=mask_version,
                    dtype=None if dtype is None else dtype.value,
                    device=device.value,
                    num_devices=devices,
                ),
                progress=progress,
                overwrite=force,
            )
        print_lines(summary.lines())


def build_index(
    kind: Annotated[
        options.IndexKind,
        typer.Option(
            help="exact stores one bit per allele; fast does too and searches a large panel many "
            "times faster, but may miss a neighbour; dense is flat L2 over embeddings."
        ),
    ] = options.IndexKind.EXACT,
    max_references: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="all",
            help="Index a random subset of this many haplotypes.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, show_default="1", help="Seed of the draw of --max-references."
        ),
    ] = None,
    embeddings: options.EmbeddingsVersion = None,
    mask_version: options.MaskVersion = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="all cores; 1 for dense",
            help="Number of windows to index (and keep in memory) at the same time.",
        ),
    ] = None,
    workspace: options.Workspace = options.DEFAULT_WORKSPACE,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Index the reference haplotypes for search.

    Reads the panel and, for the dense kind, embeddings and masks. Writes version 0 into indexes/;
    --force replaces the newest.

    Example: vcfbert build-index --kind exact
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            from vcfbert.pipelines.systems import build_index

            summary = build_index.build_index(
                Workspace(workspace),
                build_index.IndexOptions(
                    kind=kind.value,
                    max_references=max_references,
                    seed=seed,
                    embeddings=embeddings,
                    mask_version=mask_version,
                    threads=threads,
                ),
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
            min=0.01,
            max=0.99,
            show_default="masks.start_rate",
            help="Share of sites that the new masks hide.",
        ),
    ] = None,
    prune: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="keep all",
            help="Then delete all but the newest N versions of masks, embeddings and indexes.",
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
    """Add a new version of masks or embeddings.

    Reads the panel and, with --run, the settings and the best checkpoint of a run. Old versions
    stay until you pass --prune.

    Example: vcfbert refresh --masks --embeddings --run v18-large
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            home = Workspace(workspace)
            chosen = settings.of_run(home, run, preset, config_path, set_, seed=seed)
            from vcfbert.pipelines.systems import refresh

            summary = refresh.refresh(
                home,
                chosen,
                refresh.RefreshOptions(
                    masks=masks, embeddings=embeddings, run=run, rate=rate, prune=prune
                ),
                progress=progress,
            )
        print_lines(summary.lines())
