"""The commands `impute-part` and `impute-join`, which are also spelled `impute part` and so on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import options
from .progress import on_stderr
from .reporting import print_lines, reporting_errors

STEPS = ("part", "join")


class WithSteps(TyperGroup):
    """Takes `impute part` for `impute-part`, and `impute plan` for `impute` with --plan."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the words name."""
        if len(args) > 1 and args[0] == "impute":
            if args[1] in STEPS:
                args = [f"impute-{args[1]}", *args[2:]]
            elif args[1] == "plan":
                words = {arg.partition("=")[0] for arg in args}
                if not words & {"--plan", "--help", "-h"}:
                    raise typer.BadParameter("impute plan needs the option --plan FILE.")
                args = ["impute", *args[2:]]
        return super().resolve_command(ctx, args)


Plan = Annotated[
    Path, typer.Option("--plan", metavar="FILE", help="Plan written by: vcfbert impute --plan.")
]


def impute_part(
    plan: Plan,
    part: Annotated[
        int, typer.Option("--part", metavar="N", help="Number of the part, counted from 1.")
    ],
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Impute one part of a plan, unless it is finished.

    A part is one chunk of the genome for some samples. Parts run in any order and on any machine
    that sees the files of the plan; running one twice does no harm. The command is also spelled
    vcfbert impute part.

    Example: vcfbert impute-part --plan plan.json --part 1
    """
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines.imputing import separate_parts

            found = separate_parts.run_part(separate_parts.read(plan), part, progress, threads)
        print_lines(found.lines())


def impute_join(
    plan: Plan,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            show_default="of the plan",
            help="Output file: .vcf.gz, .vcf.bgz or .bcf.",
        ),
    ] = None,
    keep_parts: options.KeepParts = False,
    threads: options.Threads = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Join the finished parts of a plan to the output, which is that of one impute command.

    Writes FILE, its index and the QC files, then deletes the parts. The command is also spelled
    vcfbert impute join.

    Example: vcfbert impute-join --plan plan.json --out imputed.vcf.gz
    """  # fmt: skip
    with reporting_errors():
        with on_stderr(quiet=quiet, verbose=verbose) as progress:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from vcfbert.pipelines.imputing import separate_parts

            summary = separate_parts.join(
                separate_parts.read(plan), plan, out, progress=progress, threads=threads,
                overwrite=force, keep_parts=keep_parts,
            )  # fmt: skip
        print_lines(summary.lines())
