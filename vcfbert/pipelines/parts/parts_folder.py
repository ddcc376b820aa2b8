"""The folder with the finished parts of an output.

Its files are parts, and one record of what each key was made from. A part belongs to one key; parts
of other keys are not used. Writers need no lock: each has its own temporary name, and renames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.errors import StoreError
from vcfbert.files import digests, temporary
from vcfbert.pipelines.parts import part_file, part_key
from vcfbert.pipelines.parts.part import ChunkPart
from vcfbert.pipelines.parts.part_file import DamagedPartError

_RECORD = ".made-from.json"
_PART = re.compile(r"(?P<key>[0-9a-f]{12})-(?P<chunk>\d{6})-(?P<first>\d{7})-(?P<stop>\d{7})\.part")


@dataclass(frozen=True)
class Entry:
    """A file of a part, by its name."""

    path: Path
    key: str
    chunk: int
    samples: slice


@dataclass(frozen=True)
class PartsFolder:
    """The parts of one key in a folder.

    made         see `part_key.made_from`
    num_samples  of the target
    """

    path: Path
    made: Mapping[str, Any]
    num_samples: int

    @property
    def key(self) -> str:
        """The key of the parts."""
        return part_key.key_of(self.made)

    def open(self) -> list[str]:
        """Make the folder; returns a warning if it has parts that are not used, or nothing."""
        record = self.path / f"{self.key[:12]}{_RECORD}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            content = digests.sealed_json(self.made)
            if not record.exists() or record.read_bytes() != content:
                partial = temporary.name_of(record, self.key[:32], "partial")
                partial.write_bytes(content)
                partial.replace(record)
        except OSError as error:
            raise StoreError.unwritable(self.path, error) from error
        there = entries(self.path)
        of_other_runs = set(filter(self._is_of_other_run, {one.key for one in there}))
        others = [one for one in there if one.key in of_other_runs]
        if not others:
            return []
        found = made_of(self.path, others[0].key)
        differ = part_key.differences(self.made, found) if found else []
        because = f" ({', '.join(differ[:4])} differ)" if differ else ""
        return [
            f"{plurals.of(len(others), 'part')} in {self.path} "
            f"{plurals.word(len(others), 'was', 'were')} made from something else{because} and "
            f"{plurals.word(len(others), 'is', 'are')} not used. Remove them with: vcfbert parts "
            f"{self.path} --clean"
        ]

    def _is_of_other_run(self, key: str) -> bool:
        """True for parts that are not these, and not of another contig of the same genome."""
        if key == self.key[:12]:
            return False
        return made_of(self.path, key).get("contigs") in (None, self.made.get("contigs"))

    def read(self, chunk: int, is_typed: NDArray[np.bool_]) -> list[ChunkPart]:
        """The parts of a chunk that are whole, in order, without those that overlap others.

        is_typed  (n,) of the chunk's written sites

        A damaged file is deleted.
        """
        found: list[ChunkPart] = []
        mine = [one for one in entries(self.path) if (one.key, one.chunk) == (self.key[:12], chunk)]
        for entry in mine:
            if found and entry.samples.start < found[-1].samples.stop:
                continue
            try:
                part = part_file.read(entry.path, self.key, is_typed, self.num_samples)
            except DamagedPartError:
                entry.path.unlink(missing_ok=True)
                continue
            except OSError as error:
                raise StoreError(f"Cannot read {entry.path}: {error.strerror}.") from error
            if (part.chunk, part.samples) == (chunk, entry.samples):
                found.append(part)
        return found

    def has(self, chunk: int, samples: slice) -> bool:
        """True if a part is there and whole."""
        path = self.path / part_file.name_of(self.key, chunk, samples)
        try:
            return bool(part_file.checked(path)["key"] == self.key)
        except (OSError, ValueError):
            return False

    def write(self, part: ChunkPart, is_typed: NDArray[np.bool_]) -> Path:
        """Write a part; returns its file."""
        return part_file.write(self.path, self.key, part, is_typed, self.num_samples)

    def stored(self, part: ChunkPart, is_typed: NDArray[np.bool_]) -> ChunkPart:
        """Write a part; returns it with its probabilities on the disk."""
        path = self.write(part, is_typed)
        return part_file.read(path, self.key, is_typed, self.num_samples)

    def discard_empty(self) -> None:
        """Delete the folder if it has no part."""
        if not entries(self.path):
            clean(self.path)

    def remove(self) -> None:
        """Delete the parts of this key, and the folder if it is empty."""
        clean(self.path, self.key[:12])


def entries(folder: Path) -> list[Entry]:
    """The parts in a folder by key, chunk and first sample."""
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        match = _PART.fullmatch(path.name)
        if match:
            samples = slice(int(match["first"]), int(match["stop"]))
            found.append(Entry(path, match["key"], int(match["chunk"]), samples))
    return sorted(found, key=lambda one: (one.key, one.chunk, one.samples.start, one.samples.stop))


def made_of(folder: Path, key: str) -> dict[str, Any]:
    """What the parts of a key were made from; empty if that is not known."""
    try:
        return digests.read_json(folder / f"{key}{_RECORD}")
    except (OSError, ValueError):
        return {}


def unfinished(folder: Path) -> list[Path]:
    """Files that a killed writer left, or that a running one is writing."""
    found = [path for path in folder.iterdir() if temporary.is_temporary(path.name)]
    return sorted(path for path in found if part_file.SUFFIX in path.name or _RECORD in path.name)


def clean(folder: Path, key: str | None = None) -> int:
    """Delete parts of a key, or all, and what killed writers left; returns how many parts.

    Other files stay. The folder is removed if it is empty.
    """
    if not folder.is_dir():
        return 0
    chosen = [one for one in entries(folder) if key is None or one.key == key]
    records = folder.glob(f"{key or '*'}{_RECORD}")
    try:
        for path in [*(one.path for one in chosen), *records, *unfinished(folder)]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot delete {error.filename}: {error.strerror}.") from error
    with suppress(OSError):  # it has other files
        folder.rmdir()
    return len(chosen)


def gaps(parts: list[ChunkPart], num_samples: int) -> Iterator[slice]:
    """The ranges of samples that no part has.

    parts  of one chunk, in order
    """
    first = 0
    for part in parts:
        if part.samples.start > first:
            yield slice(first, part.samples.start)
        first = part.samples.stop
    if first < num_samples:
        yield slice(first, num_samples)
