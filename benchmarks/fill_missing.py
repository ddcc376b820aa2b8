"""Genotypes that `phase --fill-missing` fills, compared with the truth and with Beagle.

    python benchmarks/fill_missing.py FOLDER [--tasks array] [--share .05]

The alleles of each target genotype are sorted, and 5 % of the genotypes are removed; one in 100
loses one allele. Beagle phases without imputation and fills them as well. Concordance is the share
of filled genotypes with the true number of ALT copies; "not REF" is that of genotypes that truly
have an ALT. Switches of switch.py count filled heterozygotes, too. Also prints the share of wrong
genotypes by FQ. Writes results/fill_missing.csv.
"""

from __future__ import annotations

import argparse
import itertools
import random
from pathlib import Path

import numpy as np
from comparison import accuracy, genotype_files, options, tables, tasks, tools
from comparison.genotype_files import Key, key_of
from comparison.processes import command, measure
from comparison.report import Row
from comparison.tasks import Task
from cyvcf2 import VCF
from numpy.typing import NDArray

QUALITIES = (0, 5, 10, 20, 30, 100)


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=["array"], choices=tasks.NAMES)
    parser.add_argument("--share", type=float, default=0.05)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        rows += measure_task(task, arguments)
    print(tables.rows_text(rows))
    tables.write_csv(arguments.results / "fill_missing.csv", rows)


def measure_task(task: Task, arguments: argparse.Namespace) -> list[Row]:
    """The rows of one task."""
    folder = task.folder / "fill"
    folder.mkdir(exist_ok=True)
    target = folder / "target.vcf.gz"
    thin_out(task.target, target, arguments.share, arguments.seed)
    programs = options.programs(arguments)
    if not task.workspace.exists():
        measure(tools.prepare_panel(task, programs, task.workspace), folder / "prepare.stderr")
    paths = {"vcfbert": folder / "vcfbert.vcf.gz", "Beagle": folder / "beagle.vcf.gz"}
    ours = command(
        *(programs.vcfbert, "phase", target, "--out", paths["vcfbert"], "-w", task.workspace),
        *("--fill-missing", "--threads", arguments.threads, "--force"),
    )
    beagle = tools.beagle_phase(task, programs.jar, target, paths["Beagle"], arguments.threads)
    truth, given = alleles_of(task.target), alleles_of(target)
    known = np.array([given[key] for key in truth])
    true = np.array(list(truth.values())).sum(axis=2)
    rows = []
    for name, wanted in (("vcfbert", ours), ("Beagle", beagle)):
        seconds = measure(wanted, folder / f"{name}.stderr").processor
        found = alleles_of(paths[name])
        filled = np.array([found[key] for key in truth])
        is_filled = (filled >= 0).all(axis=2)
        row: Row = {"task": task.name, "tool": name, "CPU s": round(seconds, 1)}
        for kind, is_kind in (("missing", (known < 0).all(axis=2)),
                              ("half-missing", (known < 0).sum(axis=2) == 1)):  # fmt: skip
            is_right = filled.sum(axis=2) == true
            row |= {
                kind: int(is_kind.sum()),
                f"{kind} filled": int((is_kind & is_filled).sum()),
                f"{kind} concordant %": percent(is_right[is_kind & is_filled]),
                f"{kind} not REF %": percent(is_right[is_kind & is_filled & (true > 0)]),
            }
        switches = accuracy.switches(task, paths[name], arguments.shared / "peers")
        rows.append(row | {"switch error %": round(switches["SER_percent"], 3)})
    print_calibration(paths["vcfbert"], true, list(truth))
    return rows


def thin_out(source: Path, target: Path, share: float, seed: int) -> None:
    """Write the genotypes without order, and some without one or both alleles."""
    rng = random.Random(seed)

    def change(alleles: list[str]) -> list[str]:
        drawn = rng.random()
        if drawn < share:
            return [".", "."]
        return [".", rng.choice(alleles)] if drawn < share + 0.01 else alleles

    genotype_files.write_changed(source, target, change)


def alleles_of(path: Path) -> dict[Key, NDArray[np.int16]]:
    """(N, 2) alleles of each record; -1 is missing."""
    return {
        key_of(record): record.genotype.array()[:, :2].astype(np.int16) for record in VCF(str(path))
    }


def percent(is_right: NDArray[np.bool_]) -> float:
    return round(100 * float(is_right.mean()), 2)


def print_calibration(path: Path, true: NDArray[np.int16], keys: list[Key]) -> None:
    """Print the share of wrong genotypes by FQ: predicted and true."""
    found, wrong = [], []
    row_of = {key: row for row, key in enumerate(keys)}
    for one in VCF(str(path)):
        if "FQ" not in one.FORMAT:
            continue
        quality = one.format("FQ")[:, 0]
        is_filled = quality >= 0
        counts = one.genotype.array()[:, :2].sum(axis=1)
        found.append(quality[is_filled])
        wrong.append(counts[is_filled] != true[row_of[key_of(one)]][is_filled])
    quality, is_wrong = np.concatenate(found), np.concatenate(wrong)
    lines = []
    for low, high in itertools.pairwise(QUALITIES):
        here = (quality >= low) & (quality < high)
        said = 10 ** (-quality[here] / 10)
        lines.append([f"{low} to {high - 1}", str(here.sum()), f"{100 * said.mean():.2f}",
                      f"{100 * is_wrong[here].mean():.2f}"])  # fmt: skip
    print(tables.text_table(["FQ", "genotypes", "predicted wrong %", "wrong %"], lines))


if __name__ == "__main__":
    main()
