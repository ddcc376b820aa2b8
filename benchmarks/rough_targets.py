"""Unphased targets with missing and wrong genotypes, and targets phased in short blocks.

    python benchmarks/rough_targets.py FOLDER [--tasks array random50]

FOLDER holds the tasks of benchmarks/peers.py; missing ones are made. r2 by frequency and switch
error of `vcfbert impute`, and of Beagle where no phase is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from comparison import accuracy, genotype_files, options, tables, tasks, tools
from comparison.report import Row, time_cells
from comparison.tasks import Task
from comparison.tools import Tool

MISSING, WRONG = 0.05, 0.005
BLOCKS = (20_000, 200_000)
PHASE_SET = '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">\n'


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=["array", "random50"], choices=tasks.NAMES)
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    print(options.machine(arguments))
    beagle, ours = tools.tools(["beagle", "vcfbert"], programs)
    kinds: dict[str, Callable[[Path, Path], None]] = {
        "unphased": genotype_files.without_phase,
        "5 % missing, .5 % wrong": partial(with_errors, seed=arguments.seed),
        **{
            f"blocks of {size // 1000} kb": partial(in_blocks, size=size, seed=arguments.seed)
            for size in BLOCKS
        },
    }
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        tools.prepare(task, programs, [ours])
        mine = []
        for kind, write in kinds.items():
            wanted = [ours] if kind.startswith("blocks") else [beagle, ours]
            mine += measure_kind(task, kind, write, wanted, arguments)
        rows += mine
        tables.write_csv(arguments.results / "rough_targets.csv", rows)
        print(f"\n{tables.rows_text(mine)}", flush=True)


def measure_kind(
    task: Task,
    kind: str,
    write: Callable[[Path, Path], None],
    wanted: list[Tool],
    arguments: argparse.Namespace,
) -> list[Row]:
    """The rows of one kind of target, one for each tool."""
    folder = task.folder / "rough" / "".join(filter(str.isalnum, kind))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "target.vcf.gz"
    write(task.target, target)
    times = tools.time_all(
        task, wanted, target=target, folder=folder, threads=arguments.threads, repeats=1
    )
    rows: list[Row] = []
    for tool in wanted:
        scores = accuracy.score(task, folder / tool.file, arguments.shared / "peers" / "score.py")
        r2 = {
            f"r2 {group}": values["r2"]
            for group, values in scores.items()
            if group.startswith("(") and not group.startswith("(0,")
        }
        found = accuracy.switches(task, folder / tool.file, arguments.shared / "peers")
        error = {"switch error %": round(found["SER_percent"], 3)}
        row: Row = {"task": task.name, "target": kind, "tool": tool.name}
        rows.append(row | r2 | error | time_cells(times[tool.name]))
    return rows


def with_errors(source: Path, target: Path, seed: int) -> None:
    """Some genotypes missing; in some others one allele exchanged."""
    rng = np.random.default_rng(seed)

    def changed(alleles: list[str]) -> list[str]:
        draw = rng.random()
        if draw < MISSING:
            return [".", "."]
        if draw < MISSING + WRONG:
            place = int(rng.integers(2))
            alleles[place] = "1" if alleles[place] == "0" else "0"
        return sorted(alleles)

    genotype_files.write_changed(source, target, changed)


def in_blocks(source: Path, target: Path, size: int, seed: int) -> None:
    """The true phase in blocks of `size` bases, either way round, as phase sets."""
    rng = np.random.default_rng(seed)
    sides: dict[int, list[bool]] = {}

    def changed(columns: list[str]) -> list[str]:
        first = (int(columns[1]) - 1) // size * size + 1
        if first not in sides:
            sides[first] = (rng.random(len(columns) - 9) < 0.5).tolist()
        turned = zip(genotype_files.phased_alleles(columns), sides[first], strict=True)
        cells = [f"{'|'.join(pair[::-1] if other else pair)}:{first}" for pair, other in turned]
        return [*columns[:8], "GT:PS", *cells]

    genotype_files.rewrite(source, target, changed, PHASE_SET)


if __name__ == "__main__":
    main()
