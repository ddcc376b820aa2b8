"""Reader of pedigrees: .fam and .ped of PLINK, .psam, and tables with the same columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfbert import plurals
from vcfbert.domain.haploid_calls import Sex
from vcfbert.domain.pedigree import ABSENT_PARENT, Pedigree, Trio
from vcfbert.errors import InputError
from vcfbert.storage import sex_tables, tables

_FAMILY = ("fid", "familyid", "family", "pedigree", "pedigreeid")
_SAMPLE = ("iid", "sample", "sampleid", "individualid", "individual", "samplename", "id")
_FATHER = ("pat", "father", "fatherid", "paternalid", "paternal", "dad")
_MOTHER = ("mat", "mother", "motherid", "maternalid", "maternal", "mom")
"""Names of columns, without case and signs; earlier ones have priority."""

_UNKNOWN = frozenset(("0", "", ".", "-9", "na", "nan", "none"))
"""Texts of an unknown parent; those of a family without a name."""

_FEWEST = 4  # columns of a line: FID, IID, PAT, MAT
_FORM = (
    "Give the columns of a .fam file, separated by spaces or tabs: FID IID PAT MAT SEX PHENO, with "
    "0 for an unknown parent."
)


@dataclass(frozen=True)
class _Row:
    """One line: `father` and `mother` are None if unknown."""

    line: int
    family: str
    sample: str
    father: str | None
    mother: str | None
    sex: Sex | None


@dataclass(frozen=True)
class _Columns:
    """Indexes of the columns, and what separates them; None is spaces and tabs."""

    mark: str | None
    sample: int
    father: int
    mother: int
    family: int | None = None
    sex: int | None = None


def of_samples(path: Path, names: Sequence[str], source: str) -> Pedigree:
    """The trios of a file's samples.

    A sample is found by its FID_IID, the name that PLINK writes, or else by its IID.

    names   of the file's samples
    source  the file, for messages

    Raises InputError with the line of a child that is its own ancestor or has other parents than
    before, and of a parent of the wrong sex; or if no child and its parent are in the file.
    """
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path} has no lines. {_FORM}")
    _refuse_cycles(path, rows)
    index = {name: number for number, name in enumerate(names)}
    matched: Counter[str] = Counter()
    found: dict[int, tuple[Trio, int]] = {}
    sexes: dict[str, tuple[Sex, int]] = {}
    unknown = set()
    for row in rows:
        child = _find(index, row.family, row.sample)
        if child is None:
            unknown.add((row.family, row.sample))
            continue
        matched["IID" if names[child] == row.sample else "FID_IID"] += 1
        father, mother = (
            ABSENT_PARENT if (place := _find(index, row.family, name)) is None else place
            for name in (row.father, row.mother)
        )
        trio = Trio(child, father, mother)
        before = found.setdefault(child, (trio, row.line))
        if before[0] != trio:
            raise InputError(
                f"{path}, line {row.line}: sample {names[child]} has other parents than in line "
                f"{before[1]}. Remove one of the lines."
            )
        for number, sex in ((child, row.sex), (father, "male"), (mother, "female")):
            if number != ABSENT_PARENT and sex is not None:
                _take_sex(path, row, sexes, names[number], sex)
    trios = tuple(sorted(trio for trio, _ in found.values() if trio.parents))
    if not trios:
        shown = f"{names[0]}, ..." if len(names) > 1 else names[0]
        raise InputError(
            f"{path}: no sample of {source} ({shown}) has a parent that is also in {source}. "
            "Names must be the IID of the pedigree or FID_IID. Give the pedigree of this file, or "
            "leave out --trios."
        )
    return Pedigree(trios, {name: sex for name, (sex, _) in sexes.items()}, len(unknown), matched)


def joined_sexes(
    of_pedigree: Mapping[str, Sex], of_table: Mapping[str, Sex], path: Path
) -> dict[str, Sex]:
    """The sexes of the pedigree and those of --sex. Raises InputError if they contradict."""
    for name, sex in of_table.items():
        if of_pedigree.get(name, sex) != sex:
            raise InputError(
                f"{path}: sample {name} is {of_pedigree[name]}, but {sex} in the table of --sex. "
                "Correct one of the files."
            )
    return {**of_pedigree, **of_table}


def _find(index: Mapping[str, int], family: str, name: str | None) -> int | None:
    """The sample of a file with the name FID_IID or IID."""
    if name is None:
        return None
    return index.get(f"{family}_{name}", index.get(name))


def _take_sex(
    path: Path, row: _Row, sexes: dict[str, tuple[Sex, int]], name: str, sex: Sex
) -> None:
    known, line = sexes.setdefault(name, (sex, row.line))
    if known != sex:
        role = {"male": "a father or of sex 1", "female": "a mother or of sex 2"}
        raise InputError(
            f"{path}, line {row.line}: sample {name} is {role[sex]} here, but {role[known]} in "
            f"line {line}. Correct PAT, MAT or SEX."
        )


def _rows(path: Path) -> Iterator[_Row]:
    columns: _Columns | None = None
    for number, line in tables.lines(path):
        if line.startswith("##"):
            continue
        if columns is None:
            columns = _of_header(path, number, line)
            if columns is not None:
                continue
            if line.startswith("#"):
                continue
            columns = _of_line(path, number, line)
        elif line.startswith("#"):
            continue
        yield _row(path, number, line, columns)


def _split(line: str, mark: str | None) -> list[str]:
    text = line.strip("\r\n") if mark == "\t" else line.strip()
    return [field.strip() for field in text.split(mark)]


def _of_header(path: Path, number: int, line: str) -> _Columns | None:
    """The columns that a header names; None if the line is none."""
    mark = "\t" if "\t" in line.strip() else "," if "," in line else None
    names = [re.sub(r"[^a-z]", "", field.lower()) for field in _split(line, mark)]

    def place(known: Sequence[str]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    sample, father, mother = place(_SAMPLE), place(_FATHER), place(_MOTHER)
    if sample is not None and father is not None and mother is not None:
        return _Columns(mark, sample, father, mother, place(_FAMILY), place(sex_tables.SEX))
    if sample is not None and (line.startswith("#") or place(sex_tables.SEX) is not None):
        raise InputError(
            f"{path}, line {number}: the header has no columns of the parents, PAT and MAT. {_FORM}"
        )
    return None


def _of_line(path: Path, number: int, line: str) -> _Columns:
    """The columns of a file without a header."""
    count = len(line.split())
    if count < _FEWEST:
        raise InputError(
            f"{path}, line {number}: {line.strip()[:60]!r} has {plurals.of(count, 'column')} and "
            f"is not a line of a pedigree. {_FORM}"
        )
    return _Columns(None, 1, 2, 3, 0, 4 if count > _FEWEST else None)


def _row(path: Path, number: int, line: str, columns: _Columns) -> _Row:
    fields = _split(line, columns.mark)
    needed = max(columns.sample, columns.father, columns.mother, columns.sex or 0)
    if len(fields) <= needed:
        raise InputError(
            f"{path}, line {number}: the line has {plurals.of(len(fields), 'column')}, but "
            f"{needed + 1} are needed. {_FORM}"
        )
    family = "" if columns.family is None else fields[columns.family]
    sample = fields[columns.sample]
    father, mother = (
        None if fields[place].lower() in _UNKNOWN else fields[place]
        for place in (columns.father, columns.mother)
    )
    if sample.lower() in _UNKNOWN:
        raise InputError(f"{path}, line {number}: the line has no sample name. Add it.")
    if father is not None and father == mother:
        raise InputError(
            f"{path}, line {number}: {father} is both father and mother of {sample}. Correct PAT "
            "or MAT; 0 is an unknown parent."
        )
    sex = None if columns.sex is None else sex_tables.code(path, number, fields[columns.sex])
    return _Row(number, family, sample, father, mother, sex)


def _refuse_cycles(path: Path, rows: Sequence[_Row]) -> None:
    """Raise InputError if a sample is its own ancestor."""
    waiting = {
        (row.family, row.sample): {
            (row.family, name) for name in (row.father, row.mother) if name is not None
        }
        for row in rows
    }
    lines = {(row.family, row.sample): row.line for row in rows}
    while True:
        free = {key for key, parents in waiting.items() if not parents & waiting.keys()}
        if not free:
            break
        waiting = {key: parents for key, parents in waiting.items() if key not in free}
    if waiting:
        # Those that remain have an ancestor in a cycle: going up from one ends in the cycle.
        key, passed = next(iter(waiting)), set()
        while key not in passed:
            passed.add(key)
            key = min(waiting[key] & waiting.keys())
        raise InputError(
            f"{path}, line {lines[key]}: {key[1]} is its own parent or ancestor. Correct PAT or "
            "MAT of its family."
        )
