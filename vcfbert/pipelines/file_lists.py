"""Lists of files that commands take besides paths on the command line."""

from __future__ import annotations

from pathlib import Path

from vcfbert.errors import InputError
from vcfbert.storage import tables


def files_of(path: Path | None) -> list[Path]:
    """The paths in a list, one a line; relative ones begin at the folder of the list.

    None has no paths. Raises InputError if the list or a file of it does not exist, or it is empty.
    """
    if path is None:
        return []
    found = []
    for number, line in tables.lines(path):
        place = path.parent / line.strip()
        if not place.is_file():
            raise InputError(f"{path}, line {number}: {place} does not exist. Give a path a line.")
        found.append(place)
    if not found:
        raise InputError(f"{path} has no paths. Give a path a line.")
    return found
