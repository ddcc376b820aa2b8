"""Seconds, memory and disk of `vcfbert impute` as the target grows.

    python benchmarks/many_targets.py FOLDER [--samples 250 2000 10000 50000] [--memory 1G]

The panel (--haplotypes over --length bases) and the targets are simulated. The parts are kept
until they are measured. An added sample costs the difference to the row before.
"""

from __future__ import annotations

import shutil

from comparison import growth, options, report, simulation, tables, tasks, tools
from comparison.processes import command, measure
from comparison.report import Row


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=(250, 2_000, 10_000, 50_000))
    parser.add_argument("--haplotypes", type=int, default=5_000)
    parser.add_argument("--length", type=int, default=1_000_000)
    parser.add_argument("--memory", default="1G")
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    print(options.machine(arguments))
    task = simulation.task(
        arguments.folder.absolute() / "many_targets", programs, arguments.haplotypes,
        length=arguments.length, num_targets=max(arguments.samples), seed=arguments.seed,
    )  # fmt: skip
    wanted = tools.tools(["vcfbert"], programs)
    tools.prepare(task, programs, wanted)
    measure(command(programs.vcfbert, "warm-up"), task.folder / "stderr")
    names, rows = tasks.samples_of(task.target), []
    for count in arguments.samples:
        folder = task.folder / f"samples{count}"
        target = tasks.cut(task.target, folder / "target.vcf.gz", names[:count])
        out, parts = folder / "imputed.vcf.gz", folder / "parts"
        shutil.rmtree(parts, ignore_errors=True)
        words = ("--out", out, "-w", task.workspace, "--threads", arguments.threads, "--force")
        kept = ("--memory", arguments.memory, "--parts", parts, "--keep-parts")
        run = command(programs.vcfbert, "impute", target, *words, *kept)
        measured = measure(run, folder / "stderr")
        used = sum(path.stat().st_size for path in parts.glob("*")) / 2**20
        row: Row = {"tool": "vcfbert", "samples": count, **report.time_cells(measured)}
        row["processor ms an added sample"] = None
        if rows:
            added = measured.processor - rows[-1]["processor seconds"]
            row["processor ms an added sample"] = 1000 * added / (count - rows[-1]["samples"])
        row["parts MB"], row["output MB"] = used, out.stat().st_size / 2**20
        rows.append(row)
        print({key: tables.number(value) for key, value in row.items() if key != "tool"})
        shutil.rmtree(parts)
        out.unlink()
    tables.write_csv(arguments.results / "many_targets.csv", growth.with_slopes(rows))
    print(f"\nThe table is in {arguments.results}")


if __name__ == "__main__":
    main()
