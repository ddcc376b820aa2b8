"""Reader of genetic maps in the forms of other tools, by their header or their columns.

Forms: PLINK .map and .bim (contig, ID, cM, position), SHAPEIT4, GLIMPSE and IMPUTE5 (pos chr cM),
IMPUTE2 and SHAPEIT2 (position, rate, cM of one contig), Eagle and HapMap (contig, position, rate,
cM), Minimac and RFMix (contig, position, cM), deCODE (Chr Begin End cMperMb cM).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfbert.domain import genetic_map
from vcfbert.domain.genetic_map import ANY_CONTIG, ContigMap
from vcfbert.errors import InputError
from vcfbert.storage import tables

_LAST_POSITION = 2**31 - 2
_FORMS = (
    "PLINK columns (contig, ID, cM, position), SHAPEIT columns (position, contig, cM), or Eagle "
    "and HapMap columns (contig, position, rate, cM)"
)

_NAMES = {
    "contig": ("chr", "chrom", "chromosome", "contig", "chromosomeid", "chrid"),
    "position": (
        "end", "position", "pos", "bp", "positionbp", "posbp", "basepair", "basepairs", "physpos",
        "pposition", "physicalposition", "physicalpos", "ppos", "coordinate", "begin", "start",
    ),
    "cm": (
        "cm", "geneticmapcm", "geneticmap", "mapcm", "map", "genpos", "gpos", "gposition",
        "geneticposition", "geneticpositioncm", "geneticpos", "poscm", "positioncm", "cmpos",
        "centimorgan", "centimorgans", "gendist", "geneticdistance", "geneticdistancecm",
        "distance", "dist", "morgan", "morgans",
    ),
}  # fmt: skip
"""Names of columns in headers, without case, spaces and signs; earlier ones have priority."""


@dataclass(frozen=True)
class _Layout:
    """Indexes of the columns; contig is None in a map of one contig."""

    contig: int | None
    position: int
    cm: int


_LAYOUTS = {
    2: (_Layout(None, 0, 1),),
    3: (_Layout(0, 1, 2), _Layout(1, 0, 2), _Layout(None, 0, 2)),
    4: (_Layout(0, 3, 2), _Layout(0, 1, 3)),
    5: (_Layout(0, 2, 4),),
    6: (_Layout(0, 3, 2),),
}
"""Layouts without a header, by the number of columns, the more common first."""


PLACEHOLDER = "{contig}"
"""What the name of a file of each contig has for the contig."""


def read_for(path: Path, contigs: Sequence[str]) -> dict[str, ContigMap]:
    """The maps of some contigs, of one file or of a file for each contig.

    path  of the file, or with PLACEHOLDER for the contig: `plink.chr{contig}.GRCh38.map`

    Raises InputError as `read` does, and if the file of a contig is missing.
    """
    if PLACEHOLDER not in str(path):
        return read(path)
    maps: dict[str, ContigMap] = {}
    for contig in contigs:
        found = read(of_contig(path, contig))
        maps |= {contig if name == ANY_CONTIG else name: one for name, one in found.items()}
    return maps


def of_contig(path: Path, contig: str) -> Path:
    """The file of a contig, whose name there may have `chr` or not. Raises InputError if missing.

    path  with PLACEHOLDER; other paths are returned as they are
    """
    if PLACEHOLDER not in str(path):
        return path
    bare = contig.removeprefix("chr")
    names = dict.fromkeys([contig, bare, f"chr{bare}"])
    places = [Path(str(path).replace(PLACEHOLDER, name)) for name in names]
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        f"{path}: no genetic map for contig {contig}: {places[0]} does not exist. Give a map for "
        "each contig, or none to use 1 cM per Mb."
    )


def read(path: Path) -> dict[str, ContigMap]:
    """The maps by contig; ANY_CONTIG is the key if the file does not name the contig.

    The file may be compressed with gzip or bgzip. A contig with one point has no map.

    Raises InputError with the number of a line that has other columns or is not sorted, and if no
    contig has two points.
    """
    readings: list[_Reading] = []
    header = ""
    for number, line in tables.lines(path):
        if not readings:
            named = _of_header(line)
            if named is not None:
                readings, header = [_Reading(path, named)], line
                continue
            if line.startswith("#"):
                continue
            readings = _without_header(path, number, line)
        elif line == header or line.startswith("#"):
            continue  # files of several contigs that were joined with cat
        fields = line.split()
        for reading in readings:
            reading.add(number, line, fields)
    if not readings:
        raise InputError(f"{path} has fewer than two points. A map has a line for each point.")
    best = max(readings, key=_Reading.rank)
    return best.maps()


class _Reading:
    """A file read with one layout, up to the first line that does not fit."""

    def __init__(self, path: Path, layout: _Layout) -> None:
        self._path = path
        self._layout = layout
        self._last_column = max(layout.position, layout.cm, layout.contig or 0)
        self._points: dict[str, tuple[array[int], array[float]]] = {}
        self._contig = ""
        self._fault = ""
        self._fault_line = 0

    def add(self, number: int, line: str, fields: Sequence[str]) -> None:
        """Take the next line."""
        if self._fault:
            return
        fault = self._add(line, fields)
        if fault:
            self._fault, self._fault_line = f"{self._path}, line {number}: {fault}", number

    def rank(self) -> tuple[float, int]:
        """What to compare layouts by: how far the file fits, then how plausible the rates are."""
        if self._fault:
            return float(self._fault_line), 0
        return np.inf, sum(genetic_map.is_plausible(one) for one in self._maps().values())

    def maps(self) -> dict[str, ContigMap]:
        """The maps. Raises InputError if a line does not fit, or no contig has two points."""
        if self._fault:
            raise InputError(self._fault)
        maps = self._maps()
        if not maps:
            short = next(iter(self._points), "")
            where = f" on contig {short}" if short not in ("", ANY_CONTIG) else ""
            raise InputError(
                f"{self._path} has fewer than two points{where}. A map needs at least two; without "
                "a map, 1 cM per Mb is used."
            )
        return maps

    def _maps(self) -> dict[str, ContigMap]:
        return {
            contig: ContigMap(np.array(position, np.int64), np.array(cm, np.float64))
            for contig, (position, cm) in self._points.items()
            if len(position) > 1
        }

    def _add(self, line: str, fields: Sequence[str]) -> str:
        """Take a line; returns what is wrong with it."""
        layout = self._layout
        try:
            if len(fields) <= self._last_column:
                raise ValueError
            position, cm = _position(fields[layout.position]), float(fields[layout.cm])
            contig = ANY_CONTIG if layout.contig is None else fields[layout.contig]
            if layout.contig == 1 and re.fullmatch(r"\d*\.\d*", contig):
                raise ValueError  # a rate
        except ValueError:
            return f"{line[:60]!r} is not a line of a genetic map. Give {_FORMS}."
        if contig != self._contig and contig in self._points:
            return f"contig {contig} returns. Sort the map by contig and position."
        self._contig = contig
        positions, cms = self._points.setdefault(contig, (array("q"), array("d")))
        last = (positions[-1], cms[-1]) if positions else (-1, -np.inf)
        if (position, cm) == last:
            return ""
        if position <= last[0] or not cm >= last[1] or not np.isfinite(cm):
            return (
                f"position {position} at {cm} cM does not come after position {max(last[0], 0)} at "
                f"{last[1]} cM. Sort the map and remove repeats."
            )
        positions.append(position)
        cms.append(cm)
        return ""


def _without_header(path: Path, number: int, line: str) -> list[_Reading]:
    """A reading for each layout that the first line may have."""
    layouts = _LAYOUTS.get(len(line.split()))
    if layouts is None or not any(_is_number(field) for field in line.split()):
        raise InputError(
            f"{path}, line {number}: {line[:60]!r} is not a line of a genetic map. Give {_FORMS}."
        )
    return [_Reading(path, layout) for layout in layouts]


def _of_header(line: str) -> _Layout | None:
    """The layout that a header names; None if the line names no position and no cM.

    >>> _of_header("chr position COMBINED_rate(cM/Mb) Genetic_Map(cM)")
    _Layout(contig=0, position=1, cm=3)
    """
    text = line.lstrip("#")
    fields = text.split("\t") if "\t" in text else text.split()
    if any(_is_number(field) for field in fields):
        return None
    names = [re.sub(r"[^a-z]", "", field.lower()) for field in fields]
    place = {
        kind: next((names.index(name) for name in known if name in names), None)
        for kind, known in _NAMES.items()
    }
    if place["position"] is None or place["cm"] is None:
        return None
    return _Layout(place["contig"], place["position"], place["cm"])


def _position(text: str) -> int:
    """A whole number, also as R writes it: 1e+06. Raises ValueError for anything else."""
    try:
        position = int(text)
    except ValueError:
        position = round(float(text)) if float(text).is_integer() else -2
    if not -1 < position <= _LAST_POSITION:
        raise ValueError
    return position


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
