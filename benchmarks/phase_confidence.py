"""Calibration of PQ: claimed and observed share of wrong orders, by decile of PQ.

    python benchmarks/phase_confidence.py FOLDER [--tasks array random50]

FOLDER holds the tasks of benchmarks/peers.py; missing ones are made. `vcfbert phase` phases each
target without its order. An order is that of a heterozygote relative to the one before.
"""

from __future__ import annotations

import numpy as np
from comparison import genotype_files, options, reliability, tables, tasks, tools
from comparison.processes import command, measure
from comparison.report import Row
from comparison.tasks import Task
from cyvcf2 import VCF
from numpy.typing import NDArray


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=["array", "random50"], choices=tasks.NAMES)
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        tools.prepare(task, programs, tools.tools(["vcfbert"], programs))
        folder = task.folder / "confidence"
        folder.mkdir(exist_ok=True)
        target, phased = folder / "target.vcf.gz", folder / "phased.vcf.gz"
        genotype_files.without_phase(task.target, target)
        words = ("phase", target, "--out", phased, "-w", task.workspace, "--force")
        measure(command(programs.vcfbert, *words), folder / "stderr")
        rows += by_decile(task, *orders(task, str(phased)))
    print(tables.rows_text(rows))
    tables.write_csv(arguments.results / "phase_confidence.csv", rows)


def orders(task: Task, phased: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """PQ of all orders, and whether each is wrong."""
    true = {record.POS: record.genotype.array()[:, 0] for record in VCF(str(task.target))}
    quality, first, truth = [], [], []
    for record in VCF(phased):
        if record.POS not in true:
            continue
        alleles = record.genotype.array()
        is_het = alleles[:, 0] != alleles[:, 1]
        pq = record.format("PQ")
        pq = np.full(len(alleles), np.nan) if pq is None else pq[:, 0].astype(np.float64)
        quality.append(np.where(pq < 0, np.nan, pq))
        first.append(np.where(is_het, alleles[:, 0], -1))
        truth.append(true[record.POS])
    claimed, wrong = [], []
    for pq, one, known in zip(*(np.array(side).T for side in (quality, first, truth)), strict=True):
        hets = np.flatnonzero(one >= 0)
        is_turned = one[hets] != known[hets]
        is_wrong = np.diff(is_turned.astype(int)) != 0
        is_known = ~np.isnan(pq[hets][1:])
        claimed.append(pq[hets][1:][is_known])
        wrong.append(is_wrong[is_known])
    return np.concatenate(claimed), np.concatenate(wrong)


def by_decile(task: Task, pq: NDArray[np.float64], is_wrong: NDArray[np.bool_]) -> list[Row]:
    """A row for each decile; fewer where many values are equal."""
    bounds = reliability.deciles(pq)
    place = np.clip(np.searchsorted(bounds, pq, side="right") - 1, 0, len(bounds) - 2)
    rows = []
    for number in range(len(bounds) - 1):
        inside = place == number
        rows.append({
            "task": task.name, "PQ from": bounds[number], "to": bounds[number + 1],
            "orders": int(inside.sum()),
            "claimed wrong %": round(100 * float((10 ** (-pq[inside] / 10)).mean()), 4),
            "wrong %": round(100 * float(is_wrong[inside].mean()), 4),
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
