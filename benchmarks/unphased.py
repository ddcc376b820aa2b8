"""Imputation of unphased targets compared with Beagle: accuracy, switch error, time, memory.

    python benchmarks/unphased.py FOLDER [--tasks array random50] [--draws 0 32] [--repeats 3]
        [--simulated SEED SEED]

--simulated adds regions of 3 Mb with 4,508 simulated reference haplotypes and as many typed sites
per Mb as `array`, one for each seed.
The alleles of each target genotype are sorted, so that its order says nothing. "Beagle" phases and
imputes in one run. "Beagle's phase" is vcfbert with typed sites that Beagle phased, "true phase"
an upper bound. Scores are those of the independent scorers: `score.py`, and
`switch.py` for switches between neighbouring typed heterozygotes. Writes results/unphased.csv.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from comparison import accuracy, genotype_files, options, simulation, tables, tasks, tools
from comparison.processes import Command, command
from comparison.report import Row, time_cells
from comparison.tasks import Task
from comparison.tools import Imputes, Programs, Tool

SHOWN = ("r2", "F1")


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="*", default=["array", "random50"], choices=tasks.NAMES)
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 32])
    parser.add_argument("--simulated", type=int, nargs="*", default=[], help="seeds")
    parser.add_argument("--name", default="unphased", help="of the CSV file")
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    rows: list[Row] = []
    print(options.machine(arguments))
    folder = arguments.folder.absolute()
    wanted = tasks.make(folder, arguments.shared, arguments.tasks)
    wanted += [
        simulation.task(
            folder / f"simulated-{seed}", programs, 4_508,
            length=3_000_000, num_targets=250, seed=seed,
        )
        for seed in arguments.simulated
    ]  # fmt: skip
    for task in wanted:
        rows += measure_task(task, programs, arguments)
        tables.write_csv(arguments.results / f"{arguments.name}.csv", rows)
        mine = [row for row in rows if row["task"] == task.name]
        print(f"\n{tables.rows_text(mine)}", flush=True)


def measure_task(task: Task, programs: Programs, arguments: argparse.Namespace) -> list[Row]:
    """The rows of one task, one for each tool."""
    folder = task.folder / "unphased"
    folder.mkdir(exist_ok=True)
    target = folder / "target.vcf.gz"
    genotype_files.without_phase(task.target, target)
    wanted = [
        Tool("Beagle", "beagle.vcf.gz", True, tools.beagle(programs)),
        Tool("Beagle's phase, vcfbert", "beagles-phase.vcf.gz", False, after_beagle(programs)),
        *(draws_of(programs, count) for count in arguments.draws),
        Tool("true phase, vcfbert", "true-phase.vcf.gz", False, with_truth(task, programs)),
    ]
    tools.prepare(task, programs, wanted[1:])
    once = draws_of(programs, arguments.draws[0])
    given = {"target": target, "folder": folder, "threads": arguments.threads}
    tools.time_all(task, [once], repeats=1, **given)  # compiles
    times = tools.time_all(task, wanted, repeats=arguments.repeats, **given)
    rows = []
    for tool in wanted:
        path = folder / tool.file
        scores = accuracy.score(task, path, arguments.shared / "peers" / "score.py")
        figures = {
            f"{metric} {group}": values[metric]
            for metric in SHOWN
            for group, values in scores.items()
            if group.startswith("(") and not group.startswith("(0,")
        }
        found = accuracy.switches(task, path, arguments.shared / "peers")
        switches = {"switch error %": round(found["SER_percent"], 3), "flips": found["flip_pairs"]}
        rows.append(
            {"task": task.name, "tool": tool.name} | figures | switches
            | time_cells(times[tool.name])
        )  # fmt: skip
    return rows


def draws_of(programs: Programs, count: int) -> Tool:
    """Vcfbert with a number of draws of the phase."""
    run = tools.ours(programs, "--phase-draws", str(count))
    name = f"vcfbert, {count} draws" if count else "vcfbert, likeliest phase"
    return Tool(name, f"draws-{count}.vcf.gz", False, run)


def with_truth(task: Task, programs: Programs) -> Imputes:
    """Vcfbert with the phased target instead of the unphased one."""

    def impute(_: Task, __: Path, out: Path, threads: int) -> Command:
        return tools.ours(programs)(task, task.target, out, threads)

    return impute


def after_beagle(programs: Programs) -> Imputes:
    """Phase with Beagle, then impute with vcfbert; seconds and memory are of both."""

    def impute(task: Task, target: Path, out: Path, threads: int) -> Command:
        phased = target.with_name("beagle-phase.vcf.gz")
        first = tools.beagle_phase(task, programs.jar, target, phased, threads)
        second = tools.ours(programs)(task, phased, out, threads)
        text = " && ".join(shlex.join(one.words) for one in (first, second))
        return command("sh", "-c", text)

    return impute


if __name__ == "__main__":
    main()
