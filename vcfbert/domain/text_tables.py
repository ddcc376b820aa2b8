"""Tables of text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: columns as wide as their longest cell, numbers aligned to the right.

    >>> aligned(["bin", "r2"], [["all", ".98"], ["rare", "1"]])
    ['bin    r2', 'all   .98', 'rare    1']
    """
    table = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headers))]
    is_number = [all(_is_number(row[column]) for row in rows) for column in range(len(headers))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in table
    ]


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "").replace("-", "").isdigit()
