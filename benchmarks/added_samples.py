"""Seconds and memory of `vcfbert impute` and its peers for 1, 50 and 250 target samples.

    python benchmarks/added_samples.py FOLDER [--tasks array random50] [--samples 1 50 250]

FOLDER holds the tasks of benchmarks/peers.py; missing ones are made. The targets are the first
samples of each task's target. Prints the seconds of an added sample for each tool: the slope
between the last two counts.
"""

from __future__ import annotations

import argparse

from comparison import growth, options, report, tables, tasks, tools
from comparison.report import Row
from comparison.tasks import Task
from comparison.tools import Programs


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=("array", "random50"))
    parser.add_argument("--samples", type=int, nargs="+", default=(1, 50, 250))
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    print(options.machine(arguments))
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        found = measure_task(task, programs, arguments, is_first=not rows)
        print(f"\n{growth.text(task.name, found)}", flush=True)
        rows += found
    tables.write_csv(arguments.results / "samples.csv", rows)
    print(f"\nThe table is in {arguments.results}")


def measure_task(
    task: Task, programs: Programs, arguments: argparse.Namespace, *, is_first: bool
) -> list[Row]:
    """A row for each tool and number of samples."""
    wanted = options.chosen(arguments, programs, task)
    tools.prepare(task, programs, wanted)
    if is_first:
        tools.first_run(task, wanted, arguments.threads)
    names = tasks.samples_of(task.target)
    rows = []
    for count in sorted({min(number, len(names)) for number in arguments.samples}):
        folder = task.folder / f"samples{count}"
        target = tasks.cut(task.target, folder / "target.vcf.gz", names[:count])
        times = tools.time_all(
            task,
            wanted,
            target=target,
            folder=folder,
            threads=arguments.threads,
            repeats=arguments.repeats,
        )
        for name, measured in times.items():
            row: Row = {"task": task.name, "tool": name, "samples": count}
            rows.append(row | report.time_cells(measured))
    return growth.with_slopes(rows)


if __name__ == "__main__":
    main()
