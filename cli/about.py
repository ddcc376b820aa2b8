"""The command `version`."""

from __future__ import annotations

from typing import Annotated

import typer

from .reporting import print_lines, reporting_errors


def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show versions of vcfbert, its dependencies, its file formats and this machine.

    Include the output in bug reports.

    Example: vcfbert version --json
    """
    with reporting_errors():
        from vcfbert.pipelines import about

        found = about.about()
        print_lines([found.to_json()] if as_json else found.lines())
