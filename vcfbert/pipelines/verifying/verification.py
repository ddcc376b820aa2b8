"""What `verify` finds about a workspace: faults, notes and what was looked at, store by store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vcfbert.errors import StoreError, VcfbertError
from vcfbert.files import seals

_PLACE = 28  # columns


@dataclass
class Findings:
    """About one store, while it is being looked at and afterwards.

    place    below the workspace
    content  what it is, in words
    faults   a sentence each: what is wrong where, and the remedy
    notes    worth knowing, and no fault
    """

    place: str
    content: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def explained(self, *, besides_seal: bool = True) -> Iterator[None]:
        """Take an error of ours that ends the block as a fault.

        besides_seal  False where broken seals explain it, and are faults already
        """
        try:
            yield
        except VcfbertError as error:
            if besides_seal:
                self.faults.append(str(error))

    def check_seal(self, path: Path, made_by: str, *, besides: Iterable[str] = ()) -> bool:
        """Compare every file with the seal; True where all are as sealed."""
        try:
            broken = seals.faults(path, made_by, besides=besides)
        except StoreError as error:
            broken = [str(error)]
        self.faults += broken
        return not broken

    def lines(self) -> list[str]:
        """Whether it passed, and below that what is wrong."""
        state = "FAILED" if self.faults else "passed"
        return [
            f"{state}  {self.place:{_PLACE}}{self.content}".rstrip(),
            *(f"        {fault}" for fault in self.faults),
            *(f"        note: {note}" for note in self.notes),
        ]


@dataclass(frozen=True)
class VerifySummary:
    """All of them."""

    workspace: Path
    stores: list[Findings]
    files: int
    bytes: int
    seconds: float

    @property
    def faults(self) -> list[str]:
        """Of every store."""
        return [fault for store in self.stores for fault in store.faults]

    @property
    def notes(self) -> list[str]:
        """Of every store."""
        return [note for store in self.stores for note in store.notes]

    @property
    def num_failed(self) -> int:
        """Stores with a fault."""
        return sum(bool(store.faults) for store in self.stores)

    def lines(self) -> list[str]:
        """One line a store, its faults below it, and the sum."""
        found = [line for store in self.stores for line in store.lines()]
        return [
            *found,
            f"{self.workspace}: {len(self.stores)} stores, {self.num_failed} failed, "
            f"{len(self.faults)} faults; {self.files:,} files, {self.bytes:,} bytes, "
            f"{self.seconds:.1f} s.",
        ]

    def to_json(self) -> str:
        """The same for machines."""
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
        """Raise StoreError where there is any fault."""
        if self.faults:
            raise StoreError(
                f"{self.num_failed} of {len(self.stores)} stores of {self.workspace} failed with "
                f"{len(self.faults)} faults. Each is told above with its remedy; then verify again."
            )
