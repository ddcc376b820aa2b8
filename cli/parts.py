"""The command `parts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .reporting import print_lines, reporting_errors


def parts(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of finished parts: OUT.parts, or --parts."),
    ],
    clean: Annotated[bool, typer.Option("--clean", help="Delete all parts in the folder.")] = False,
) -> None:
    """List the finished parts of an imputation that was stopped, or delete them.

    A part is one chunk of the genome for some samples. The command that was stopped continues from
    its parts. Chunks and samples are counted from 1, the latter in the order of the target.

    Example: vcfbert parts imputed.parts
    """
    with reporting_errors():
        from vcfbert.pipelines.parts import listing

        found = listing.clean_parts(folder) if clean else listing.list_parts(folder)
        print_lines(found.lines())
