"""Cost of each additional unphased sample with panels of two sizes, compared with Beagle.

    python benchmarks/unphased_growth.py FOLDER [--simulated 50000] [--samples 50 250]

The panels are that of the task `array` of benchmarks/peers.py and a simulated one over 1 Mb with
the same number of typed sites per Mb. Writes results/unphased_growth.csv.
"""

from __future__ import annotations

import argparse

import unphased
from comparison import growth, options, report, simulation, tables, tasks, tools
from comparison.report import Row
from comparison.tasks import Task
from comparison.tools import Programs, Tool


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--simulated", type=int, default=50_000, help="haplotypes; 0 to skip")
    parser.add_argument("--length", type=int, default=1_000_000, help="bases to simulate")
    parser.add_argument("--samples", type=int, nargs=2, default=(50, 250))
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    folder = arguments.folder.absolute()
    wanted = tasks.make(folder, arguments.shared, ("array",))
    if arguments.simulated:
        wanted.append(
            simulation.task(
                folder / f"simulated{arguments.simulated}", programs, arguments.simulated,
                length=arguments.length, num_targets=max(arguments.samples), seed=arguments.seed,
            )
        )  # fmt: skip
    print(options.machine(arguments))
    rows: list[Row] = []
    for task in wanted:
        rows += measure(task, programs, arguments)
        tables.write_csv(arguments.results / "unphased_growth.csv", rows)


def measure(task: Task, programs: Programs, arguments: argparse.Namespace) -> list[Row]:
    """A row for each tool and number of samples."""
    wanted = [
        Tool("Beagle", "beagle.vcf.gz", True, tools.beagle(programs)),
        Tool("vcfbert", "vcfbert.vcf.gz", False, tools.ours(programs)),
    ]
    tools.prepare(task, programs, wanted[1:])
    haplotypes = 2 * len(tasks.samples_of(task.reference))
    names = tasks.samples_of(task.target)
    rows: list[Row] = []
    for count in sorted(arguments.samples):
        folder = task.folder / f"unphased{count}"
        phased = tasks.cut(task.target, folder / "phased.vcf.gz", names[:count])
        target = folder / "target.vcf.gz"
        unphased.without_phase(phased, target)
        times = tools.time_all(
            task, wanted, target=target, folder=folder, threads=arguments.threads,
            repeats=arguments.repeats,
        )  # fmt: skip
        for name, measured in times.items():
            row: Row = {"panel": task.name, "haplotypes": haplotypes, "tool": name}
            rows.append(row | {"samples": count} | report.time_cells(measured))
    rows = growth.with_slopes(rows)
    print(f"\n{growth.text(f'{haplotypes:,} haplotypes', rows)}", flush=True)
    return rows


if __name__ == "__main__":
    main()
