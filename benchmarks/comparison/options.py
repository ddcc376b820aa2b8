"""Command-line arguments that the benchmarks of imputation share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vcfbert import versions

from . import tasks, tools
from .tasks import Task
from .tools import Programs, Tool


def parser(doc: str | None, *, folder: bool = True) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    if folder:
        made.add_argument("folder", type=Path, help="holds the tasks; made where absent")
    made.add_argument(
        "--tools",
        nargs="+",
        choices=(*tools.KINDS, *tools.ON_REQUEST),
        help=f"default: all there are of {', '.join(tools.KINDS)}",
    )
    made.add_argument("--run", default="mosaic", help="run trained on the panel, where it exists")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--repeats", type=int, default=1, help="times are medians of these")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--vcfbert", type=Path, default=Path(sys.executable).with_name("vcfbert"))
    made.add_argument("--beagle", type=Path, default=tools.JAR, help="Beagle's jar")
    made.add_argument("--shared", type=Path, default=tasks.SHARED)
    made.add_argument("--results", type=Path, default=tasks.RESULTS)
    return made


def programs(arguments: argparse.Namespace) -> Programs:
    """The programs, all found; relative paths become absolute."""
    tools.find_or_install(arguments.beagle)
    return Programs(arguments.vcfbert.absolute(), arguments.beagle.absolute(), arguments.run)


def chosen(arguments: argparse.Namespace, found: Programs, task: Task) -> list[Tool]:
    """The tools asked for; of all tools, those with a trained run only where the task has it."""
    kinds: Sequence[str] = arguments.tools or tools.KINDS
    has_run = (task.workspace / "runs" / found.run).is_dir()
    return tools.tools([kind for kind in kinds if kind != "trained" or has_run], found)


def machine(arguments: argparse.Namespace) -> str:
    return (
        f"{versions.num_cores()} cores, {arguments.threads} threads, "
        f"median of {arguments.repeats}; "
        "whole processes, reading and writing included"
    )
