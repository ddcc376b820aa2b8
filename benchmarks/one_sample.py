"""Seconds of one sample: as a command, and in a process that has imputed one before.

    python benchmarks/one_sample.py FOLDER [--tasks array random50] [--repeats 5]

FOLDER holds the tasks of benchmarks/peers.py; missing ones are made. The process is what a service
on `vcfbert.impute` waits for; its panel has an array profile from the first call.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from pathlib import Path

from comparison import options, report, tables, tasks, tools
from comparison.report import Row
from comparison.tasks import Task

import vcfbert


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=("array", "random50"), choices=tasks.NAMES)
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    print(options.machine(arguments))
    wanted = tools.tools(["minimac4", "vcfbert", "profiled"], programs)
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        tools.prepare(task, programs, wanted)
        folder = task.folder / "one_sample"
        names = tasks.samples_of(task.target)[:1]
        target = tasks.cut(task.target, folder / "target.vcf.gz", names)
        tools.first_run(task, wanted, arguments.threads)
        times = tools.time_all(
            task, wanted, target=target, folder=folder, threads=arguments.threads,
            repeats=arguments.repeats,
        )  # fmt: skip
        found = [
            {"task": task.name, "tool": name} | report.time_cells(measured)
            for name, measured in times.items()
        ]
        found.append(in_one_process(task, target, arguments.threads, arguments.repeats))
        print(f"\n{tables.rows_text(found)}", flush=True)
        rows += found
    tables.write_csv(arguments.results / "one_sample.csv", rows)


def in_one_process(task: Task, target: Path, threads: int, repeats: int) -> Row:
    """Medians of calls after the first."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    logging.getLogger("vcfbert").setLevel(logging.ERROR)
    seconds, processor = [], []
    for _ in range(repeats + 1):
        begun, used = time.perf_counter(), time.process_time()
        vcfbert.impute(
            target, target.with_name("in-process.vcf.gz"), workspace=task.workspace,
            threads=threads, overwrite=True,
        )  # fmt: skip
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    return {
        "task": task.name, "tool": "vcfbert.impute, later calls",
        "seconds": round(statistics.median(seconds[1:]), 3),
        "processor seconds": round(statistics.median(processor[1:]), 3),
        "peak MB": None,
    }  # fmt: skip


if __name__ == "__main__":
    main()
