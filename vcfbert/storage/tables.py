"""Readers of text tables: samples, close relatives, segments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vcfbert import plurals
from vcfbert.domain import splits
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.domain.windows import Segment
from vcfbert.errors import InputError
from vcfbert.files import bounded

_SPLITS = {
    "train": TRAIN,
    "validation": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
    ".": splits.UNKNOWN,
}


_NAMES = {
    "sample": ("sample", "sampleid", "samplename", "iid", "individualid", "individual", "id"),
    "population": ("population", "pop", "populationcode", "popcode"),
    "superpopulation": (
        "superpopulation", "superpop", "superpopulationcode", "superpopcode", "group",
    ),
    "split": ("split",),
}  # fmt: skip
"""Names of the columns that are used, without case and signs; earlier ones have priority."""

_LAST_POSITION = 2**31 - 2


@dataclass(frozen=True)
class SampleRow:
    """One line of the sample table; `.` and UNKNOWN for what the table does not say."""

    population: str
    superpopulation: str
    split: int


def read_samples(path: Path) -> dict[str, SampleRow]:
    """Read a sample table with a header line, separated by tabs, or by spaces if it has no tab.

    A column `sample` is required; `population`, `superpopulation` and `split` are optional; other
    columns are ignored. The names of 1000 Genomes (`pop`, `super_pop`, `Individual ID`), PLINK 2
    (`#IID`, `SuperPop`) and IMPUTE2 (`ID POP GROUP`) mean the same.

    Raises InputError with the line number of a repeated sample, an unknown split, another number of
    columns, or a split that only some samples have.
    """
    rows: dict[str, SampleRow] = {}
    rest = (line for line in lines(path) if not line[1].startswith("##"))
    first = next(rest, (0, ""))[1]
    mark = "\t" if "\t" in first.strip() else None
    header = first.lstrip("#").rstrip().split(mark)
    column = _columns(header, path)
    for number, line in rest:
        fields = line.split(mark)
        while len(fields) > len(header) and not fields[-1].strip():
            fields.pop()  # a tab at the end
        if len(fields) != len(header):
            raise InputError(
                f"{path}, line {number}: {plurals.of(len(fields), 'column')}, but the header has "
                f"{len(header)}. Separate columns by one tab; write . for unknown values."
            )
        row = {name: fields[place].strip() or "." for name, place in column.items()}
        name = row["sample"]
        if name == ".":
            raise InputError(f"{path}, line {number}: the line has no sample name. Add it.")
        if name in rows:
            raise InputError(f"{path}, line {number}: the sample {name} is repeated. Remove one.")
        split = _SPLITS.get(row.get("split", ".").lower())
        if split is None:
            raise InputError(
                f"{path}, line {number}: the split {row['split']!r} must be train, validation or "
                "test."
            )
        if rows and (split == splits.UNKNOWN) != (
            next(iter(rows.values())).split == splits.UNKNOWN
        ):
            raise InputError(
                f"{path}, line {number}: some samples have a split and some do not. Fill in all, "
                "or leave the column out."
            )
        rows[name] = SampleRow(row.get("population", "."), row.get("superpopulation", "."), split)
    if not rows:
        raise InputError(f"{path} has no samples below its header line. Add a line for each.")
    return rows


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Index of each column that is used. Raises InputError if there is no column of samples."""
    names = [re.sub(r"[^a-z]", "", name.lower()) for name in header]
    found = {
        kind: next((name for name in known if name in names), None)
        for kind, known in _NAMES.items()
    }
    if found["sample"] is None:
        raise InputError(
            f"{path}, line 1: the header has no column 'sample'. It must be tab-separated, for "
            "example: sample, population, superpopulation, split."
        )
    repeated = next((name for name in found.values() if name and names.count(name) > 1), None)
    if repeated is not None:
        raise InputError(
            f"{path}, line 1: the column {repeated} is repeated. Remove or rename one."
        )
    return {kind: names.index(name) for kind, name in found.items() if name is not None}


def read_relatives(path: Path) -> list[tuple[str, str]]:
    """Read pairs of close relatives from the first two tab-separated columns.

    Lines that begin with # are ignored. Raises InputError with the number of a line without two
    different names.
    """
    pairs = []
    for number, line in lines(path):
        if line.startswith("#"):
            continue
        names = [field.strip() for field in line.split("\t")[:2]]
        if len(names) < 2 or not all(names) or names[0] == names[1]:
            raise InputError(
                f"{path}, line {number}: {line[:60]!r} does not name two samples. Give one pair "
                "per line, separated by a tab."
            )
        pairs.append((names[0], names[1]))
    return pairs


def read_segments(path: Path) -> list[Segment]:
    """Read window cores from a CSV with the columns contig, start, end: 1-based and inclusive.

    Raises InputError with the number of a line that is malformed, overlaps the previous one or is
    not sorted.
    """
    segments: list[Segment] = []
    past: set[str] = set()
    for number, line in lines(path):
        fields = [field.strip() for field in line.split(",")]
        if not segments and fields[:3] == ["contig", "start", "end"]:
            continue
        try:
            contig, start, end = fields[0], int(fields[1]), int(fields[2])
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{path}, line {number}: {line[:60]!r} is not contig,start,end with 1-based "
                "positions."
            ) from error
        before = segments[-1] if segments else None
        if max(start, end) > _LAST_POSITION:
            raise InputError(f"{path}, line {number}: a position is larger than {_LAST_POSITION}.")
        if not 1 <= start <= end:
            raise InputError(f"{path}, line {number}: the segment {line} ends before it starts.")
        if before is not None and before.contig == contig and start <= before.end:
            raise InputError(
                f"{path}, line {number}: the segment {contig}:{start}-{end} overlaps or precedes "
                f"the one before it, {before}. Sort them and cut the overlap."
            )
        if contig in past and before is not None and before.contig != contig:
            raise InputError(f"{path}, line {number}: contig {contig} returns. Sort by contig.")
        past.add(contig)
        segments.append(Segment(contig, start, end))
    if not segments:
        raise InputError(f"{path} has no segments. Give lines of contig,start,end.")
    return segments


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and lines of a text file, without empty lines and a byte order mark."""
    try:
        yield from ((number, line) for number, line in bounded.lines(path) if line.strip())
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text file. Give it in UTF-8, as it is or compressed with gzip."
        ) from error
    except bounded.UnreadableTextError as error:
        raise InputError(f"{path} is not a table of this kind: {error}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
