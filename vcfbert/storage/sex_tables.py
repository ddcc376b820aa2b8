"""Reader of tables of samples and their sex, as users and PLINK write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vcfbert import plurals
from vcfbert.domain.haploid_calls import Sex
from vcfbert.errors import InputError
from vcfbert.storage import tables

_CODES: dict[str, Sex | None] = {
    **dict.fromkeys(("1", "m", "male", "xy"), "male"),
    **dict.fromkeys(("2", "f", "female", "xx"), "female"),
    **dict.fromkeys(("0", "-9", "u", "unknown", "other", "na", "nan", "none", "."), None),
}
_SAMPLE = ("sample", "sampleid", "samplename", "iid", "individualid", "individual", "id")
_FAMILY = ("fid", "familyid", "family")
SEX = ("sex", "gender", "pedsex", "snpsex")
"""Names of columns, without case and signs; earlier ones have priority."""

_HEADERLESS = {2: (None, 0, 1), 3: (0, 1, 2), 5: (0, 1, 4), 6: (0, 1, 4)}
"""Columns of family, sample and sex by their number: plain, --update-sex, and .fam."""


def read(path: Path) -> dict[str, Sex]:
    """The sex of each sample, also by the names FID_IID that PLINK writes; unknown ones are absent.

    A header names the columns (`sample` and `sex`, or those of .psam and .sexcheck); without one,
    the file has two columns, or is a .fam file or a table of --update-sex. Columns are separated by
    tabs, commas or spaces.

    Raises InputError with the line of an unknown code, or of a sample with two sexes.
    """
    found: dict[str, Sex] = {}
    columns: tuple[int | None, int, tuple[int, ...]] | None = None
    for number, line in tables.lines(path):
        if line.startswith("##"):
            continue
        fields = _fields(line)
        if columns is None:
            columns, is_header = _columns(path, number, fields)
            if is_header:
                continue
        family, sample, sexes = columns
        if len(fields) <= max(sample, *sexes):
            raise InputError(
                f"{path}, line {number}: the line has {plurals.of(len(fields), 'column')}, but the "
                f"sex is in column {max(sexes) + 1}. Correct the line."
            )
        codes = [code(path, number, fields[column]) for column in sexes]
        sex = next((code for code in codes if code is not None), None)
        names = {fields[sample]}
        if family is not None and fields[family] != "0":
            names.add(f"{fields[family]}_{fields[sample]}")
        if sex is None:
            continue
        for name in names:
            if found.setdefault(name, sex) != sex:
                raise InputError(
                    f"{path}, line {number}: sample {name} has another sex than before. Remove one "
                    "of its lines."
                )
    if columns is None:
        raise InputError(f"{path} has no lines. Give a table with the columns sample and sex.")
    return found


def of_samples(path: Path, names: Sequence[str], source: str) -> dict[str, Sex]:
    """The sex of these samples; InputError if the table names none of them.

    source  their file, for the message
    """
    table = read(path)
    found = {name: table[name] for name in names if name in table}
    if table and not found:
        raise InputError(
            f"{path} names none of the {plurals.of(len(names), 'sample')} of {source} ({names[0]}, "
            "...). Give the table of this file."
        )
    return found


def _fields(line: str) -> list[str]:
    mark = "\t" if "\t" in line else "," if "," in line else None
    return [field.strip() for field in line.strip("\n\r").split(mark)]


def _columns(
    path: Path, number: int, fields: list[str]
) -> tuple[tuple[int | None, int, tuple[int, ...]], bool]:
    """Columns of family, sample and sex, and whether the line is a header."""
    names = [re.sub(r"[^a-z]", "", field.lower()) for field in fields]
    sample = next((names.index(name) for name in _SAMPLE if name in names), None)
    sexes = tuple(names.index(name) for name in SEX if name in names)
    if sample is not None and sexes:
        return (next((names.index(n) for n in _FAMILY if n in names), None), sample, sexes), True
    known = _HEADERLESS.get(len(fields))
    if known is None or fields[known[2]].lower() not in _CODES:
        raise InputError(
            f"{path}, line {number}: the header must name the columns sample and sex, or the file "
            "must be PLINK's .fam, .psam or .sexcheck."
        )
    return (known[0], known[1], (known[2],)), False


def code(path: Path, number: int, text: str) -> Sex | None:
    """The sex that a code means. Raises InputError with its line if it means none."""
    if text.lower() not in _CODES:
        raise InputError(
            f"{path}, line {number}: the sex {text!r} must be 1 or M for male, 2 or F for female, "
            "or 0 for unknown."
        )
    return _CODES[text.lower()]
