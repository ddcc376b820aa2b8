"""Accuracy, wall time and peak memory of `vcfbert impute` beside Beagle and Minimac4, in one run.

    python benchmarks/peers.py FOLDER [--tasks array random50] [--tools beagle minimac4 vcfbert]
        [--train] [--repeats 3]

Cuts the tasks into FOLDER where they are absent, prepares each panel (timed apart), imputes with
each tool in turn and scores with the independent scorer. Each folder FOLDER/TASK keeps its
workspace and all imputed files. Tables go to the terminal, CSV and PNG to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from comparison import accuracy, figures, options, report, tables, tasks, tools
from comparison.accuracy import Floats, Truth
from comparison.processes import measure
from comparison.report import Found, Row
from comparison.tasks import Task
from comparison.tools import Programs

FINE = (0, 0.0006, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
FEWEST_SITES = 50  # of a point in the figure


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=tasks.NAMES)
    parser.add_argument("--train", action="store_true", help="train --run where it is absent")
    parser.add_argument("--draws", type=int, default=1000, help="of samples, for the intervals")
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    by_bin: list[Row] = []
    by_stage: list[Row] = []
    lines: dict[str, dict[str, figures.Line]] = {}
    print(options.machine(arguments))
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        is_first = not lines
        found, lines[task.name] = measure_task(task, programs, arguments, is_first=is_first)
        rows = report.accuracy_rows(found, arguments.draws, arguments.seed)
        print(f"\n{report.text(found, rows)}", flush=True)
        by_bin += rows
        by_stage += report.time_rows(found)
    tables.write_csv(arguments.results / "peers.csv", by_bin)
    tables.write_csv(arguments.results / "peers-time.csv", by_stage)
    figures.draw_lines(
        arguments.results / "peers.png", lines, x="MAF", y="aggregate r2", ticks=figures.MAF_TICKS
    )
    print(f"\nTables and figure are in {arguments.results}")


def measure_task(
    task: Task, programs: Programs, arguments: argparse.Namespace, *, is_first: bool
) -> tuple[Found, dict[str, figures.Line]]:
    """All figures of a task, and its lines in the figure."""
    wanted = options.chosen(arguments, programs, task)
    prepared = tools.prepare(task, programs, wanted)
    if arguments.train and not (task.workspace / "runs" / programs.run).is_dir():
        log = task.folder / "train.stderr"
        prepared["vcfbert train"] = measure(tools.train(task, programs), log)
    wanted = options.chosen(arguments, programs, task)
    if is_first:
        prepared |= tools.first_run(task, wanted, arguments.threads)
    times = tools.time_all(
        task,
        wanted,
        target=task.target,
        folder=task.folder,
        threads=arguments.threads,
        repeats=arguments.repeats,
    )
    scorer = arguments.shared / "peers" / "score.py"
    scores = {tool.name: accuracy.score(task, task.folder / tool.file, scorer) for tool in wanted}
    truth = accuracy.read_truth(task)
    sums, lines = {}, {}
    for tool in wanted:
        dosage = accuracy.read_imputed(task.folder / tool.file, truth).dosage
        members = report.GROUPS.members(truth.maf)
        sums[tool.name] = accuracy.sums_of_samples(truth.copies, dosage, members)
        lines[tool.name] = fine_points(truth, dosage)
    peers = tuple(tool.name for tool in wanted if tool.is_peer)
    return Found(task.name, peers, prepared, times, scores, sums), lines


def fine_points(truth: Truth, dosage: Floats) -> figures.Line:
    """Mean MAF and aggregate r2 of the fine bins that hold sites enough."""
    bins = np.array(
        [(truth.maf > low) & (truth.maf <= high) for low, high in itertools.pairwise(FINE)]
    )
    members = bins[bins.sum(axis=1) >= FEWEST_SITES]
    sums = accuracy.sums_of_samples(truth.copies, dosage, members).sum(axis=0)
    return np.array([truth.maf[one].mean() for one in members]), accuracy.r2(sums)


if __name__ == "__main__":
    main()
