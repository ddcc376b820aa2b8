"""Report of `verify`: faults and notes, store by store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vcfbert import plurals
from vcfbert.errors import StoreError, VcfbertError
from vcfbert.files import seals

_PLACE = 28  # columns


@dataclass
class StoreReport:
    """Result of checking one store; the checks add to it.

    place    path within the workspace
    content  short description
    faults   a sentence each: what is wrong, where, and the remedy
    notes    a sentence each that is worth knowing but not a fault
    """

    place: str
    content: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def catching(self, *, is_sealed: bool = True) -> Iterator[None]:
        """Record a VcfbertError that ends the block as a fault.

        is_sealed  False if damaged files are faults already and explain the error
        """
        try:
            yield
        except VcfbertError as error:
            if is_sealed:
                self.faults.append(str(error))

    def check_seal(self, path: Path, made_by: str, *, besides: Iterable[str] = ()) -> bool:
        """Compare every file with the seal; True if all match."""
        try:
            broken = seals.faults(path, made_by, besides=besides)
        except StoreError as error:
            broken = [str(error)]
        self.faults += broken
        return not broken

    def lines(self) -> list[str]:
        """Whether it passed; below that, its faults and notes."""
        state = "FAILED" if self.faults else "passed"
        return [
            f"{state}  {self.place:{_PLACE}}{self.content}".rstrip(),
            *(f"        {fault}" for fault in self.faults),
            *(f"        note: {note}" for note in self.notes),
        ]


@dataclass(frozen=True)
class VerifySummary:
    """Results of all stores, and the amount of data read."""

    workspace: Path
    stores: list[StoreReport]
    files: int
    bytes: int
    seconds: float

    @property
    def faults(self) -> list[str]:
        """Faults of all stores."""
        return [fault for store in self.stores for fault in store.faults]

    @property
    def notes(self) -> list[str]:
        """Notes of all stores."""
        return [note for store in self.stores for note in store.notes]

    @property
    def num_failed(self) -> int:
        """Number of stores with a fault."""
        return sum(bool(store.faults) for store in self.stores)

    def lines(self) -> list[str]:
        """One line per store, its faults below it, and a summary."""
        found = [line for store in self.stores for line in store.lines()]
        return [
            *found,
            f"{self.workspace}: {plurals.of(len(self.stores), 'store')}, {self.num_failed} failed, "
            f"{plurals.of(len(self.faults), 'fault')}; {plurals.of(self.files, 'file')}, "
            f"{self.bytes:,} bytes, {self.seconds:.1f} s.",
        ]

    def to_json(self) -> str:
        """The report as JSON."""
        stores = [{"passed": not store.faults, **asdict(store)} for store in self.stores]
        record = {
            "workspace": str(self.workspace),
            "passed": not self.faults,
            "stores": stores,
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
        }
        return json.dumps(record, indent=1)

    def raise_faults(self) -> None:
        """Raise StoreError if there is any fault."""
        if self.faults:
            raise StoreError(
                f"{self.num_failed} of {plurals.of(len(self.stores), 'store')} of {self.workspace} "
                f"failed with {plurals.of(len(self.faults), 'fault')}. Fix each as listed above, "
                "then verify again."
            )
