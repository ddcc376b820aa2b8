"""The Typer application and its commands."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from vcfbert.versions import __version__

from . import (
    about,
    comparing,
    impute_steps,
    imputing,
    leaving,
    merging,
    panels,
    parts,
    phasing,
    readying,
    references,
    systems,
    verifying,
)

# Importing makes a million objects that stay; by default they are searched for garbage 2,000 times,
# which takes a tenth of a second.
gc.set_threshold(50_000)

app = typer.Typer(
    name="vcfbert",
    cls=impute_steps.WithSteps,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help reads the same in a pipe, a log and docs/cli.md
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vcfbert {__version__}")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Impute untyped genotypes from a phased reference panel.

    To impute, run prepare, then impute. Optionally run train --preset mosaic in between, which fits
    the network to your panel. The BERT systems run as prepare, encode-refs, build-index, train,
    eval. All commands share one workspace folder. Results go to stdout, progress to stderr.
    Exit codes: 0 success, 1 error with an explanation, 2 wrong usage, 130 interrupted, 143
    terminated.

    Example: vcfbert prepare panel.vcf.gz && vcfbert impute target.vcf.gz --out imputed.vcf.gz
    """


app.command("prepare")(panels.prepare)
app.command("impute")(imputing.impute)
app.command("impute-part")(impute_steps.impute_part)
app.command("impute-join")(impute_steps.impute_join)
app.command("parts")(parts.parts)
app.command("phase")(phasing.phase)
app.command("merge")(merging.merge)
app.command("profile")(readying.profile)
app.command("warm-up")(readying.warm_up)
app.command("encode-refs")(references.encode_refs)
app.command("build-index")(references.build_index)
app.command("train")(systems.train)
app.command("refresh")(references.refresh)
app.command("eval")(systems.evaluate)
app.command("compare")(comparing.compare)
app.command("audit-dims")(systems.audit_dims)
app.command("verify")(verifying.verify)
app.command("simulate")(panels.simulate)
app.command("version")(about.version)


def run(prog_name: str | None = None) -> None:
    """Run the command of this process, and end the process."""
    try:
        app(prog_name=prog_name)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            leaving.leave(end.code or 0)
        raise
