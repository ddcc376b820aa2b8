"""Where each store of a workspace lives, and which version is the newest.

WORKSPACE/panel.zarr                 one panel
WORKSPACE/masks/v0000.zarr           mask versions
WORKSPACE/embeddings/v0000.zarr      encodings of the references
WORKSPACE/indexes/v0000/             FAISS files and their manifest
WORKSPACE/runs/NAME/                 training runs
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import locks, publishing, replacing

Versioned = Literal["masks", "embeddings", "indexes"]

_MADE_BY: dict[Versioned, str] = {
    "masks": "prepare PANEL",
    "embeddings": "encode-refs",
    "indexes": "build-index",
}
_SUFFIX: dict[Versioned, str] = {"masks": ".zarr", "embeddings": ".zarr", "indexes": ""}


@dataclass(frozen=True)
class Workspace:
    """The layout of one folder. Makes nothing by itself."""

    root: Path

    @property
    def panel(self) -> Path:
        """The panel store."""
        publishing.finish(self.root)
        return _standing(self.root / "panel.zarr")

    @property
    def qc(self) -> Path:
        """The QC report of `prepare`."""
        return self.root / "panel.qc.json"

    @property
    def relatives(self) -> Path:
        """The pairs that `prepare` found to be one sample, or close relatives."""
        return self.root / "panel.relatives.tsv"

    def run(self, name: str) -> Path:
        """The folder of a training run; ConfigError where the name would lead elsewhere."""
        if name in ("", "..") or name != Path(name).name:
            raise ConfigError(
                f"A run's name is that of one folder below {self.root / 'runs'}, got {name!r}. "
                "Choose a name without slashes."
            )
        return _standing(self.root / "runs" / name)

    def versions(self, kind: Versioned) -> list[int]:
        """Finished versions, rising."""
        folder = self.root / kind
        if not folder.is_dir():
            return []
        pattern = re.compile(rf"v(\d+){re.escape(_SUFFIX[kind])}(\.\d+\.old)?")
        matches = (pattern.fullmatch(entry.name) for entry in folder.iterdir())
        return sorted({int(match.group(1)) for match in matches if match})

    def version(self, kind: Versioned, version: int) -> Path:
        """Where a version lives, whether it exists or not."""
        return _standing(self.root / kind / f"v{version:04d}{_SUFFIX[kind]}")

    def newest(self, kind: Versioned) -> Path:
        """The newest finished version; StoreError naming the command where there is none."""
        versions = self.versions(kind)
        if not versions:
            raise StoreError.missing(self.version(kind, 0), made_by=_MADE_BY[kind])
        return self.version(kind, versions[-1])

    @contextmanager
    def writing(self, *kinds: Versioned) -> Iterator[None]:
        """Be the one who adds, replaces or deletes versions of these kinds.

        Raises StoreError naming who else does; the number of the next version is settled only here.
        """
        with ExitStack() as stack:
            for kind in kinds:
                stack.enter_context(locks.hold(self.root / kind))
            yield

    def next_version(self, kind: Versioned) -> int:
        """The number a new version gets."""
        return max(self.versions(kind), default=-1) + 1


def _standing(path: Path) -> Path:
    """The path itself, after what a killed writer had moved aside there is put back."""
    if replacing.is_aside(path):
        with locks.hold(path):
            pass
    return path
