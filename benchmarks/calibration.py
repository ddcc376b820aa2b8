"""Calibration of imputed VCFs: DR2 against the true r2, and reliability of the probabilities.

    python benchmarks/calibration.py FOLDER [--tasks array random50] [--tools beagle vcfbert]

FOLDER is that of benchmarks/peers.py; its imputed files are read, nothing is imputed.
Prints correlations of DR2 with the true r2 of all, rare and common sites, the curve by decile of
DR2, and the reliability of P(ALT) and of the likeliest genotype; CSV and PNG go to
benchmarks/results/.
"""

from __future__ import annotations

import numpy as np
from comparison import accuracy, figures, options, reliability, report, tables, tasks, tools
from comparison.accuracy import Imputed, Truth
from comparison.reliability import Curve
from comparison.report import Row
from comparison.tasks import Task

WANTED = ("rare <0.05", "common >=0.05", "all")
CURVES = ("DR2", "P(ALT)", "likeliest genotype")


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=("array", "random50"))
    arguments = parser.parse_args()
    rows: list[Row] = []
    summaries: list[Row] = []
    panels: dict[str, dict[str, figures.Line]] = {}
    for name in arguments.tasks:
        task = tasks.task_in(arguments.folder.absolute() / name)
        found = measure_task(task, arguments.tools or tools.KINDS)
        print(f"\n{text(task, *found)}", flush=True)
        summaries += found[0]
        rows += found[1]
        for which in CURVES:
            panels[f"{name}: {which}"] = lines(found[1], which)
    tables.write_csv(arguments.results / "calibration.csv", rows)
    tables.write_csv(arguments.results / "calibration-summary.csv", summaries)
    figures.draw_lines(
        arguments.results / "calibration.png",
        panels,
        x="predicted",
        y="observed",
        diagonal=True,
    )
    print(f"\nTables and figure are in {arguments.results}")


def measure_task(task: Task, kinds: tuple[str, ...]) -> tuple[list[Row], list[Row]]:
    """A row for each tool and group of sites, and one for each point of each tool's curves."""
    present = [tool for tool in tools.tools(kinds) if (task.folder / tool.file).exists()]
    if not present:
        raise SystemExit(f"error: no imputed file in {task.folder}. Run benchmarks/peers.py first.")
    truth = accuracy.read_truth(task)
    summaries, points = [], []
    for tool in present:
        imputed = accuracy.read_imputed(task.folder / tool.file, truth)
        label: Row = {"task": task.name, "tool": tool.name}
        summaries += [label | row for row in summary(truth, imputed)]
        for which, curve in curves(truth, imputed).items():
            for predicted, observed, count in zip(
                curve.predicted, curve.observed, curve.count, strict=True
            ):
                row: Row = {"curve": which, "predicted": float(predicted)}
                points.append(label | row | {"observed": float(observed), "count": int(count)})
    return summaries, points


def summary(truth: Truth, imputed: Imputed) -> list[Row]:
    """How DR2 goes with the true r2, and the errors of the probabilities, by group of sites."""
    true_r2 = reliability.site_r2(truth, imputed.dosage)
    members = report.GROUPS.members(truth.maf)
    rows = []
    for name, is_member in zip(report.GROUPS.names, members, strict=True):
        if name not in WANTED or not is_member.any():
            continue
        known = is_member & ~np.isnan(true_r2) & ~np.isnan(imputed.dr2)
        estimate, fact = imputed.dr2[known], true_r2[known]
        some_truth, some_imputed = truth.at(is_member), imputed.at(is_member)
        rows.append(
            {
                "sites by MAF": name,
                "sites that vary": int(known.sum()),
                "Pearson": reliability.pearson(estimate, fact),
                "Spearman": reliability.spearman(estimate, fact),
                "mean DR2": float(estimate.mean()) if known.any() else None,
                "mean true r2": float(fact.mean()) if known.any() else None,
                "P(ALT) error": reliability.alt_curve(some_truth, some_imputed).error,
                "genotype error": reliability.confidence_curve(some_truth, some_imputed).error,
                "Brier": reliability.brier(some_truth, some_imputed),
            }
        )
    return rows


def curves(truth: Truth, imputed: Imputed) -> dict[str, Curve]:
    """The three curves of all hidden sites; that of DR2 by its deciles."""
    true_r2 = reliability.site_r2(truth, imputed.dosage)
    known = ~np.isnan(true_r2) & ~np.isnan(imputed.dr2)
    found = [
        reliability.curve(
            imputed.dr2[known], true_r2[known], reliability.deciles(imputed.dr2[known])
        ),
        reliability.alt_curve(truth, imputed),
        reliability.confidence_curve(truth, imputed),
    ]
    return dict(zip(CURVES, found, strict=True))


def lines(points: list[Row], which: str) -> dict[str, figures.Line]:
    """A curve of each tool."""
    found = {}
    for tool in dict.fromkeys(row["tool"] for row in points):
        mine = [row for row in points if row["tool"] == tool and row["curve"] == which]
        predicted = np.array([row["predicted"] for row in mine])
        found[tool] = predicted, np.array([row["observed"] for row in mine])
    return found


def text(task: Task, summaries: list[Row], points: list[Row]) -> str:
    """All tables of a task."""
    label = f"{task.name}: DR2 and GP"
    keys = [key for key in summaries[0] if key not in ("task", "tool", "sites by MAF")]
    cells = [
        (
            row["sites by MAF"],
            row["tool"],
            f"{row[keys[0]]:,}",
            *(tables.number(row[key]) for key in keys[1:]),
        )
        for row in sorted(summaries, key=lambda row: report.GROUPS.names.index(row["sites by MAF"]))
    ]
    parts = [tables.text_table((label, "tool", *keys), cells)]
    for which in CURVES:
        lines_of = [
            (
                row["tool"],
                f"{row['count']:,}",
                tables.number(row["predicted"]),
                tables.number(row["observed"]),
            )
            for row in points
            if row["curve"] == which
        ]
        header = (f"{task.name}: {which}", "count", "predicted", "observed")
        parts.append(tables.text_table(header, lines_of))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
