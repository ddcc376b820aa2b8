"""The application: which commands there are, and what is said before any of them runs."""

from __future__ import annotations

from typing import Annotated

import typer

import vcfbert

from . import commands

app = typer.Typer(
    name="vcfbert",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help reads the same in a pipe, a log and docs/cli.md
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vcfbert {vcfbert.__version__}")
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
    """Impute genotypes with a BERT that reads the most similar reference haplotypes.

    The stages run in this order and meet in one workspace folder: prepare, encode-refs,
    build-index, train, eval. Results go to stdout, progress to stderr. Exit codes: 0 done, 1 a
    mistake that is explained, 2 wrong usage, 130 interrupted, 143 terminated.

    Example: vcfbert prepare panel.vcf.gz --samples samples.tsv --map genetic.map
    """


app.command("prepare")(commands.prepare)
app.command("encode-refs")(commands.encode_refs)
app.command("build-index")(commands.build_index)
app.command("train")(commands.train)
app.command("refresh")(commands.refresh)
app.command("eval")(commands.evaluate)
app.command("audit-dims")(commands.audit_dims)
app.command("simulate")(commands.simulate)
