"""Reader of lists of samples: a file, or names on the command line."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from vcfbert.errors import InputError
from vcfbert.files import bounded


def read(text: str, known: Collection[str]) -> list[str]:
    """Names of samples, each once, in the order of the list.

    text   path of a file with a name a line, or names separated by commas. Of lines with columns,
           as PLINK writes them (FID, IID), the first column that is a known name counts. Empty
           lines, and a first line that begins with #, are left out.
    known  names that the list may contain

    Raises InputError if a file cannot be read, or there are no names.
    """
    path = Path(text)
    if not path.is_file():
        names = [name.strip() for name in text.split(",") if name.strip()]
    else:
        try:
            lines = list(bounded.lines(path))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a list of samples ({error}). Write one name a line."
            ) from error
        names = [
            _name(line.strip(), known)
            for number, line in lines
            if line.strip() and not (number == 1 and line.startswith("#"))
        ]
    if not names:
        raise InputError(f"{text!r} names no samples. Give a file with one name a line, or names.")
    return list(dict.fromkeys(names))


def absolute(text: str) -> str:
    """The same list for a command that runs in another folder."""
    path = Path(text)
    return str(path.absolute()) if path.is_file() else text


def _name(line: str, known: Collection[str]) -> str:
    """The name in a line.

    >>> _name("F1 HG2", {"HG2"}), _name("HG3", {"HG2"})
    ('HG2', 'HG3')
    """
    columns = line.split("\t") if "\t" in line else line.split()
    found = [name for name in (line, *columns[:2]) if name in known]
    return found[0] if found else columns[0]
