"""Scores of the runs of ablation.py on test samples, with several shares of the sites masked.

    python benchmarks/systems_tasks.py WORKSPACE --typed typed.random{30,50,80}.tsv

For each seed and list of typed sites, `vcfbert compare` compares the runs of that seed; existing
results are read and not computed again. Differences are to the first variant, with the intervals
over samples of `compare`; the spread is over seeds. "copying only" is the network of the first
variant that copies, before training.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
from ablation import VARIANTS, call, run_of
from comparison import tables, tasks

SHOWN = (
    ("log loss", "all"),
    ("r2", "all"),
    ("F1", "all"),
    ("F1", "rare <0.05"),
    ("F1", "common"),
    ("IQS", "all"),
)
COPYING = "copying only"
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--typed", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS),
                        default=["v13", "v17", "v18 K=1", "v18 K=16"])  # fmt: skip
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--vcfbert", type=Path, default=Path(sys.executable).with_name("vcfbert"))
    parser.add_argument("--results", type=Path, default=tasks.RESULTS)
    parser.add_argument("--name", default="systems", help="of the CSV file")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for seed in arguments.seeds:
        for typed in arguments.typed:
            rows += compared(arguments, seed, typed)
            tables.write_csv(arguments.results / f"{arguments.name}.csv", rows)
    print(text(rows, arguments.variants))


def compared(arguments: argparse.Namespace, seed: int, typed: Path) -> list[Row]:
    """One comparison as rows."""
    names = {run_of(variant, seed): variant for variant in arguments.variants}
    known = names | {COPYING: COPYING}
    folder = arguments.workspace / "compare" / place_of(arguments, seed, typed)
    if not (folder / "comparison.csv").exists():
        words = ["compare", *names, "--typed", str(typed), "--split", arguments.split]
        call(arguments, [*words, "--out", str(folder), "--device", "cpu", "--force"])
    with open(folder / "comparison.csv", newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    return [
        {
            "task": typed.stem.removeprefix("typed."),
            "samples": arguments.split,
            "seed": seed,
            "variant": known[row["run"]],
            "quantity": f"{row['quantity']} {row['group']}".strip(),
            **{name: row[name] for name in ("value", "difference", "low", "high")},
        }
        for row in found
        if row["run"] in known and row["value"]
    ]


def place_of(arguments: argparse.Namespace, seed: int, typed: Path) -> str:
    """Name of the folder of a comparison: other variants are another one."""
    digest = hashlib.sha256("|".join(arguments.variants).encode()).hexdigest()[:8]
    return f"{arguments.split}-{typed.stem}-{seed}-{digest}"


def text(rows: list[Row], variants: list[str]) -> str:
    """Mean over seeds; with several seeds, also the lowest and the highest."""
    groups = {str(row["quantity"]) for row in rows}
    shown = [
        name
        for quantity, group in SHOWN
        for name in sorted(groups)
        if name.startswith(f"{quantity} {group}")
    ]
    table = []
    for task in dict.fromkeys(str(row["task"]) for row in rows):
        for variant in (COPYING, *variants):
            cells = []
            for name in shown:
                values = np.array(
                    [
                        float(str(row["value"]))
                        for row in rows
                        if (row["task"], row["variant"], row["quantity"]) == (task, variant, name)
                    ]
                )
                if not len(values):
                    cells.append("-")
                    continue
                spread = f" ({values.min():.4f} to {values.max():.4f})" if len(values) > 1 else ""
                cells.append(f"{values.mean():.4f}{spread}")
            table.append([task, variant, *cells])
    return tables.text_table(["task", "run", *shown], table)


if __name__ == "__main__":
    main()
