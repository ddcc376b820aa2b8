"""The folder of a case, and writers of its files.

Cases are variations of a small panel (20 samples, 41 sites of contig 20) and a valid target (2
samples). S sites.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pysam

from tests import panels
from tests.panels import Record
from vcfbert.storage.zarr.workspace import Workspace

NUM_SITES, PANEL_SAMPLES = 40, 20
NAMES = ["t0", "t1"]
PANEL_NAMES = [f"s{n}" for n in range(PANEL_SAMPLES)]

AMBIGUOUS, AMBIGUOUS_TOO, DELETION, TWO_ALTS = 5_000, 6_000, 9_000, 12_000
"""Positions of the panel where the alleles are A/T, C/G, AT/A and A/C beside A/G."""

_ODD = {AMBIGUOUS: ("A", "T"), AMBIGUOUS_TOO: ("C", "G"), DELETION: ("AT", "A")}

Change = Callable[[list[Record]], list[Record]]


@cache
def panel_records() -> list[Record]:
    """Sites 1000, 2000, ... of contig 20, A>G with few exceptions; 41 sites in 40 records."""
    records = []
    alleles = panels.mosaic_alleles(NUM_SITES, 2 * PANEL_SAMPLES)
    for contig, place, ref, alt, calls in panels.records_of(alleles, step=1000):
        ref, alt = _ODD.get(place, (ref, alt))
        if place == AMBIGUOUS:
            calls = [*["0|1"] * 4, *["0|0"] * 16]
        if place == TWO_ALTS:
            alt, calls = "C,G", ["2|1", "1|0", *calls[2:]]
        records.append((contig, place, ref, alt, calls))
    return records


def target_records() -> list[Record]:
    """A valid target: 27 records at A>G sites of the panel, two samples."""
    return [
        (contig, place, ref, alt, list(calls[5:7]))
        for contig, place, ref, alt, calls in panel_records()
        if (ref, alt) == ("A", "G") and place % 4000
    ]


def with_record(number: int, **changes: object) -> Change:
    """One record with other fields: contig, place, ref, alt or calls."""

    def change(records: list[Record]) -> list[Record]:
        fields = dict(zip(("contig", "place", "ref", "alt", "calls"), records[number], strict=True))
        changed = tuple((fields | changes).values())
        return [*records[:number], changed, *records[number + 1 :]]  # type: ignore[list-item]

    return change


def added(*extra: Record) -> Change:
    """More records, sorted in by position."""

    def change(records: list[Record]) -> list[Record]:
        return sorted([*records, *extra], key=lambda record: record[1])

    return change


def every(**changes: object) -> Change:
    """All records with other fields."""

    def change(records: list[Record]) -> list[Record]:
        for number in range(len(records)):
            records = with_record(number, **changes)(records)
        return records

    return change


@dataclass(frozen=True)
class Room:
    """The folder of one case."""

    folder: Path
    home: Path

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def vcf(
        self, records: Sequence[Record], names: Sequence[str], name: str, *, index: bool = False
    ) -> Path:
        """Write a VCF."""
        return panels.write_vcf(self.folder / name, records, names, index=index)

    def work(self) -> Workspace:
        """Copy the prepared workspace to `work`, the default of the commands."""
        shutil.copytree(self.home, self.folder / "work")
        return Workspace(self.folder / "work")

    def panel(self) -> Workspace:
        """Copy only the prepared panel; `impute` needs no more."""
        shutil.copytree(self.home / "panel.zarr", self.folder / "work" / "panel.zarr")
        return Workspace(self.folder / "work")

    def reports(self) -> list[str]:
        """Text of the QC reports in the folder."""
        names = ("work/panel.qc.json", "out.qc/summary.json")
        return [path.read_text() for name in names if (path := self.folder / name).exists()]


Make = Callable[[Room], None]


def panel(change: Change = list, names: Sequence[str] = PANEL_NAMES, name: str = "p.vcf") -> Make:
    """A panel to prepare."""

    def make(room: Room) -> None:
        room.vcf(change(panel_records()), names, name, index=True)

    return make


def target(change: Change = list, names: Sequence[str] = NAMES, name: str = "t.vcf") -> Make:
    """A target to impute, and the prepared panel."""

    def make(room: Room) -> None:
        room.panel()
        room.vcf(change(target_records()), names, name, index=True)

    return make


def panel_text(edit: Callable[[str], str | bytes], name: str = "p.vcf") -> Make:
    """A panel whose text is edited."""

    def make(room: Room) -> None:
        room.write(name, edit(panels.vcf_text(panel_records(), PANEL_NAMES)))

    return make


def target_text(edit: Callable[[str], str | bytes], name: str = "t.vcf") -> Make:
    """A target whose text is edited."""

    def make(room: Room) -> None:
        room.panel()
        room.write(name, edit(panels.vcf_text(target_records(), NAMES)))

    return make


def bgzipped(text: str | bytes, path: Path, *, index: bool = False) -> Path:
    """Write text as BGZF, with a tabix index if `index`."""
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text.encode() if isinstance(text, str) else text)
    if index:
        pysam.tabix_index(str(path), preset="vcf", force=True)
    return path


def flipped(content: bytes, place: int) -> bytes:
    """The content with all bits of one byte flipped."""
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def noise(num_records: int, num_samples: int) -> list[Record]:
    """Random genotypes at 100, 200, ... of contig 20, which fill several BGZF blocks."""
    rng = np.random.default_rng(1)
    return panels.records_of(rng.integers(0, 2, (num_records, 2 * num_samples), dtype=np.uint8))
