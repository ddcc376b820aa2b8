"""The figure of the README: accuracy by allele frequency, from benchmarks/results/peers.csv.

    python benchmarks/readme_figure.py [OUT]

Draws 1 - r2 of vcfbert, Beagle and Minimac4 in each bin of minor allele frequency of the task
`array`. Bins of fewer than 100 sites are left out.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
TOOLS = {"Minimac4": "tab:green", "Beagle": "tab:orange", "vcfbert": "tab:blue"}
FEWEST_SITES = 100


def read_rows() -> list[dict[str, str]]:
    """Rows of the task `array` that are bins of frequency."""
    with (HERE / "results" / "peers.csv").open(encoding="utf-8") as stream:
        return [
            row
            for row in csv.DictReader(stream)
            if row["task"] == "array"
            and row["tool"] in TOOLS
            and row["sites by MAF"].startswith("(")
            and int(row["sites"]) >= FEWEST_SITES
        ]


def label_of(interval: str) -> str:
    """An interval of frequencies in per cent.

    >>> label_of("(0.0006,0.002]")
    '0.06-0.2 %'
    """
    low, high = (float(bound) * 100 for bound in interval.strip("(]").split(","))
    return f"{low:g}-{high:g} %"


def main() -> None:
    """Draw the figure."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "accuracy.png"
    rows = read_rows()
    labels = list(dict.fromkeys(label_of(row["sites by MAF"]) for row in rows))
    figure, axis = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    width = 0.8 / len(TOOLS)
    for number, (tool, colour) in enumerate(TOOLS.items()):
        error = [1 - float(row["r2"]) for row in rows if row["tool"] == tool]
        places = [place + (number - 1) * width for place in range(len(error))]
        bars = axis.bar(places, error, width * 0.92, color=colour, label=tool)
        axis.bar_label(bars, fmt="%.3f", fontsize=6.5, padding=1)
    axis.set_xticks(range(len(labels)), labels)
    axis.set(xlabel="minor allele frequency", ylabel="1 - r2 (lower is better)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main()
