"""Plain text tables, files of rows, and a tool's error over the better peer's."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need be, the first to the left and the others to the right.

    >>> print(text_table(("tool", "s"), [("Beagle", "4.8"), ("x", "10.25")]))
    tool        s
    Beagle    4.8
    x       10.25
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (header, *rows)
    ]
    return "\n".join(lines)


def rows_text(rows: Sequence[Mapping[str, object]]) -> str:
    """A table of rows with the same keys; numbers have four digits.

    >>> print(rows_text([{"tool": "x", "r2": 0.123456, "sites": 12345}]))
    tool      r2  sites
    x     0.1235  12345
    """
    return text_table(list(rows[0]), [[_shown(cell) for cell in row.values()] for row in rows])


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def number(value: float | None, digits: int = 4) -> str:
    """A dash for what is not defined.

    >>> number(0.95), number(float("nan"))
    ('0.9500', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def better_peer(values: Mapping[str, float], peers: Sequence[str]) -> str | None:
    """The peer with the largest value; None where there is no peer with one."""
    known = [name for name in peers if name in values and not math.isnan(values[name])]
    return max(known, key=lambda name: values[name], default=None)


def error_ratio(value: float, peer: float) -> float:
    """(1 - value) / (1 - peer): below 1 where the tool is better; NaN where the peer errs never.

    >>> error_ratio(0.97, 0.96)
    0.75...
    """
    return (1 - value) / (1 - peer) if peer < 1 else math.nan


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """One line a row; the first row's keys are the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value: object) -> object:
    """Six digits; empty where not defined."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else value
