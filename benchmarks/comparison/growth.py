"""Cost of an added sample: how seconds grow with the number of samples."""

from __future__ import annotations

from collections.abc import Sequence

from . import tables
from .report import Row


def with_slopes(rows: Sequence[Row]) -> list[Row]:
    """The rows of one panel with the column "seconds an added sample".

    It is the slope between this row and the one of the same tool with the next fewer samples; None
    if there is none.
    """
    found = []
    for row in rows:
        fewer = [
            other
            for other in rows
            if other["tool"] == row["tool"] and other["samples"] < row["samples"]
        ]
        last = max(fewer, key=lambda other: int(other["samples"]), default=None)
        found.append(row | {"seconds an added sample": _slope(last, row)})
    return found


def _slope(fewer: Row | None, more: Row) -> float | None:
    if fewer is None:
        return None
    added = more["samples"] - fewer["samples"]
    return float((more["seconds"] - fewer["seconds"]) / added)


def text(title: str, rows: Sequence[Row]) -> str:
    """A line for each tool and number of samples."""
    lines = [
        (
            str(row["tool"]),
            str(row["samples"]),
            f"{row['seconds']:.2f}",
            f"{row['processor seconds']:.2f}",
            f"{row['peak MB']:.0f}",
            tables.number(row["seconds an added sample"]),
        )
        for row in rows
    ]
    header = (title, "samples", "seconds", "processor s", "peak MB", "s an added sample")
    return tables.text_table(header, lines)
