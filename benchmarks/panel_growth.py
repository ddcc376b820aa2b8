"""Seconds and memory of `vcfbert impute` and its peers as the reference panel grows.

    python benchmarks/panel_growth.py FOLDER [--haplotypes 500 1000 2000 4508] [--simulated 50000]

The panels are random subsets of the task `array` of benchmarks/peers.py, without sites that do not
vary; each smaller panel is part of the larger ones. --simulated adds a panel of that many simulated
haplotypes over --length bases with as many typed sites per Mb as `array`. Each is imputed for the
numbers of samples in --samples; the slope is the cost of an added sample.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from comparison import figures, growth, options, report, simulation, tables, tasks, tools
from comparison.report import Row
from comparison.tasks import Task
from comparison.tools import Programs


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--haplotypes", type=int, nargs="*", default=(500, 1000, 2000, 4508))
    parser.add_argument("--simulated", type=int, default=0, help="haplotypes; 0 to skip")
    parser.add_argument("--length", type=int, default=1_000_000, help="bases to simulate")
    parser.add_argument("--samples", type=int, nargs="+", default=(50, 250))
    parser.add_argument("--name", default="panel_growth", help="of the CSV file")
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    folder = arguments.folder.absolute()
    whole = tasks.make(folder, arguments.shared, ("array",))[0]
    print(options.machine(arguments))
    rows: list[Row] = []
    for count in sorted(arguments.haplotypes):
        task = subset(whole, folder / f"panel{count}", count, arguments.seed)
        rows += measure_panel(task, programs, arguments, is_first=not rows)
    if rows:
        draw(arguments.results / f"{arguments.name}.png", rows)
    if arguments.simulated:
        task = simulation.task(
            folder / f"simulated{arguments.simulated}", programs, arguments.simulated,
            length=arguments.length, num_targets=max(arguments.samples), seed=arguments.seed,
        )  # fmt: skip
        rows += measure_panel(task, programs, arguments, is_first=not rows)
    tables.write_csv(arguments.results / f"{arguments.name}.csv", rows)
    print(f"\nTable and figure are in {arguments.results}")


def subset(whole: Task, folder: Path, count: int, seed: int) -> Task:
    """A task with `count` haplotypes of the panel and the whole target."""
    chosen = tasks.draw(tasks.samples_of(whole.reference), count // 2, seed)
    tasks.cut(whole.reference, folder / "ref.vcf.gz", chosen, filters=simulation.VARYING)
    for name in ("target.vcf.gz", "target.vcf.gz.tbi", "beagle.map", "samples.tsv"):
        shutil.copy(whole.folder / name, folder / name)
    shutil.rmtree(folder / "work", ignore_errors=True)  # it held the panel of another run
    return tasks.task_in(folder)


def measure_panel(
    task: Task, programs: Programs, arguments: argparse.Namespace, *, is_first: bool
) -> list[Row]:
    """A row for each tool and number of samples; printed, too."""
    wanted = options.chosen(arguments, programs, task)
    prepared = tools.prepare(task, programs, wanted)
    if is_first:
        tools.first_run(task, wanted, arguments.threads)
    haplotypes = 2 * len(tasks.samples_of(task.reference))
    sites = tasks.num_records(task.reference)
    names = tasks.samples_of(task.target)
    rows = []
    for count in arguments.samples:
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
            row: Row = {"panel": task.name, "haplotypes": haplotypes, "sites": sites}
            rows.append(row | {"tool": name, "samples": count} | report.time_cells(measured))
    rows = growth.with_slopes(rows)
    print(f"\n{growth.text(f'{haplotypes:,} haplotypes, {sites:,} sites', rows)}")
    for name, measured in prepared.items():
        print(f"once: {name} {measured.seconds:.2f} s, {measured.megabytes:.0f} MB", flush=True)
    return rows


def draw(path: Path, rows: list[Row]) -> None:
    """Seconds and megabytes against the haplotypes of real panels, for most samples."""
    most = max(row["samples"] for row in rows)
    rows = [row for row in rows if row["samples"] == most]
    panels = {}
    for quantity in ("seconds", "peak MB", "seconds an added sample"):
        panels[quantity] = {
            name: _line([row for row in rows if row["tool"] == name], quantity)
            for name in dict.fromkeys(row["tool"] for row in rows)
        }
    ticks = sorted({row["haplotypes"] for row in rows})
    figures.draw_lines(path, panels, x="reference haplotypes", y=list(panels), ticks=ticks)


def _line(rows: list[Row], quantity: str) -> figures.Line:
    haplotypes = np.array([row["haplotypes"] for row in rows], dtype=np.float64)
    return haplotypes, np.array([row[quantity] for row in rows], dtype=np.float64)


if __name__ == "__main__":
    main()
