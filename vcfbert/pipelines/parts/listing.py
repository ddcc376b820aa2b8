"""`vcfbert parts`: what is in a folder of finished parts, and its removal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert import plurals
from vcfbert.errors import StoreError
from vcfbert.pipelines.parts import part_file, parts_folder
from vcfbert.pipelines.parts.parts_folder import Entry


@dataclass(frozen=True)
class PartsSummary:
    """The parts of a folder.

    removed  how many parts were deleted; None if they are kept
    """

    folder: Path
    rows: list[tuple[str, ...]]
    made: dict[str, dict[str, Any]]
    removed: int | None = None

    def lines(self) -> list[str]:
        """A table of the parts, and what they were made from."""
        if self.removed is not None:
            return [f"{plurals.of(self.removed, 'part')} removed from {self.folder}"]
        if len(self.rows) == 1:
            return [f"{self.folder} has no parts"]
        widths = [max(len(row[n]) for row in self.rows) for n in range(len(self.rows[0]))]
        table = [
            "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
            for row in self.rows
        ]
        return table + [_explained(key, made) for key, made in self.made.items()]


def _explained(key: str, made: dict[str, Any]) -> str:
    if not made:
        return f"key {key}: made from something unknown"
    contigs = ", ".join(made.get("contigs", [])[:5]) or "unknown"
    return (
        f"key {key}: contigs {contigs}, vcfbert {made.get('version')}, "
        f"{plurals.of(made.get('samples', 0), 'sample')}, panel {str(made.get('panel'))[:12]}, "
        f"target {str(made.get('target'))[:12]}"
    )


def list_parts(folder: Path) -> PartsSummary:
    """List the parts in a folder; only their ends are checked.

    Raises StoreError if there is no such folder.
    """
    _require_folder(folder)
    rows: list[tuple[str, ...]] = [("chunk", "samples", "state", "bytes", "key")]
    found = parts_folder.entries(folder)
    rows += [_row(entry) for entry in found]
    for path in parts_folder.unfinished(folder):
        rows.append(("", "", "unfinished", f"{path.stat().st_size}", path.name))
    keys = sorted({entry.key for entry in found})
    return PartsSummary(folder, rows, {key: parts_folder.made_of(folder, key) for key in keys})


def clean_parts(folder: Path) -> PartsSummary:
    """Delete all parts in a folder, and the folder if nothing else is in it."""
    _require_folder(folder)
    return PartsSummary(folder, [], {}, parts_folder.clean(folder))


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise StoreError(
            f"There is no folder {folder}. impute writes its parts to OUT.parts, next to its "
            "output, and deletes them after success unless --keep-parts is given."
        )


def _row(entry: Entry) -> tuple[str, ...]:
    try:
        part_file.described(entry.path)
        state = "finished"
    except (OSError, ValueError):
        state = "damaged"
    samples = f"{entry.samples.start + 1}-{entry.samples.stop}"
    return str(entry.chunk + 1), samples, state, str(entry.path.stat().st_size), entry.key
