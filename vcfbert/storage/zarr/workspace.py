"""Paths of the stores and runs of a workspace, and their versions.

WORKSPACE/panel.zarr/20.zarr         one panel, a store for each contig
WORKSPACE/masks/v0000.zarr           mask versions
WORKSPACE/embeddings/v0000.zarr      encodings of the references
WORKSPACE/indexes/v0000/             FAISS files and their manifest
WORKSPACE/runs/NAME/                 training runs
WORKSPACE/profiles/KIND-DIGEST.profile  array profiles
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import locks, replacing

Versioned = Literal["masks", "embeddings", "indexes"]

_MADE_BY: dict[Versioned, str] = {
    "masks": "prepare PANEL",
    "embeddings": "encode-refs",
    "indexes": "build-index",
}
_SUFFIX: dict[Versioned, str] = {"masks": ".zarr", "embeddings": ".zarr", "indexes": ""}


@dataclass(frozen=True)
class Workspace:
    """The layout of one folder.

    Paths are those to read from. If a killed writer left a finished store on the way to its place,
    its path is where it is now, until the next command that writes there has moved it.
    """

    root: Path
    contig_store: Path | None = None
    """The store of a contig to use as the panel; None uses all contigs."""

    @property
    def panel(self) -> Path:
        """The panel."""
        return self.contig_store or self._find("panel.zarr")

    def with_panel(self, contig_store: Path) -> Workspace:
        """The same workspace with one contig of its panel."""
        return Workspace(self.root, contig_store)

    @property
    def qc(self) -> Path:
        """The QC report of `prepare`."""
        return self._find("panel.qc.json")

    @property
    def relatives(self) -> Path:
        """The duplicates and close relatives that `prepare` found."""
        return self._find("panel.relatives.tsv")

    @property
    def profiles(self) -> Path:
        """The folder of array profiles, which can be deleted at any time."""
        return self.root / "profiles"

    def run(self, name: str) -> Path:
        """The folder of a training run to read; ConfigError as in `new_run`."""
        return self._find("runs", self.new_run(name).name)

    def new_run(self, name: str) -> Path:
        """The folder to write a training run to; ConfigError if the name leads elsewhere."""
        if name in ("", "..") or name != Path(name).name:
            raise ConfigError(
                f"A run is one folder in {self.root / 'runs'}, so its name has no slashes; "
                f"got {name!r}. Choose another name."
            )
        return self.root / "runs" / name

    def versions(self, kind: Versioned) -> list[int]:
        """Finished versions in increasing order."""
        folder = self.root / kind
        names = {path.name for path in replacing.detours(self.root, folder)}
        if folder.is_dir():
            names |= {entry.name for entry in folder.iterdir()}
        pattern = re.compile(rf"v(\d+){re.escape(_SUFFIX[kind])}")
        matches = (pattern.fullmatch(name) for name in names)
        return sorted(int(match.group(1)) for match in matches if match)

    def version(self, kind: Versioned, version: int) -> Path:
        """The path of a version, whether it exists or not."""
        return self._find(kind, f"v{version:04d}{_SUFFIX[kind]}")

    def newest(self, kind: Versioned) -> Path:
        """The newest finished version; StoreError naming the command to run if there is none."""
        versions = self.versions(kind)
        if not versions:
            raise StoreError.missing(self.version(kind, 0), made_by=_MADE_BY[kind])
        return self.version(kind, versions[-1])

    @contextmanager
    def writing(self, *kinds: Versioned | Literal["panel"]) -> Iterator[None]:
        """Be the only writer of the panel, or of versions of these kinds.

        First finishes what a killed writer left undone. The number of the next version is certain
        only in this block. Raises StoreError with the name of the other writer if there is one.
        """
        with ExitStack() as stack:
            for kind in kinds:
                place = "panel.zarr" if kind == "panel" else kind
                stack.enter_context(locks.hold(self.root / place))
            replacing.finish(self.root)
            yield

    def next_version(self, kind: Versioned) -> int:
        """The number of the next version."""
        return max(self.versions(kind), default=-1) + 1

    def _find(self, *parts: str) -> Path:
        path = self.root.joinpath(*parts)
        return replacing.detours(self.root, path.parent).get(path, path)
