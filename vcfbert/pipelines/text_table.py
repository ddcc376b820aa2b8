"""Tables as lines of text, in columns as wide as their longest cell."""

from __future__ import annotations

from collections.abc import Sequence


def lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, num_left: int | None = None
) -> list[str]:
    """Aligned lines.

    num_left  align this many columns to the left and the rest to the right; None aligns columns
              of numbers to the right

    >>> lines(["bin", "r2"], [["all", ".98"], ["rare", "1"]])
    ['bin    r2', 'all   .98', 'rare    1']
    """
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_left = [
        not all(map(_is_number, column[1:])) if num_left is None else number < num_left
        for number, column in enumerate(columns)
    ]
    return [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, is_left, strict=True)
        ).rstrip()
        for row in (headers, *rows)
    ]


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "").replace("-", "").isdigit()
