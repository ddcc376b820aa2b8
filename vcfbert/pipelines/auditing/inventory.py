"""Stores and checkpoints of a workspace, with their mask versions, encoders and panels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from vcfbert import plurals
from vcfbert.config import Config
from vcfbert.errors import VcfbertError
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr import embeddings
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Versioned, Workspace
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.systems import checkpoints, encoding
from vcfbert.training.systems.checkpoints import Which

_SHORT = 12


@dataclass(frozen=True)
class Item:
    """A store, or a checkpoint of a run.

    place         path within the workspace
    content       short description
    mask_version  that it contains or was made under; None if it does not depend on masks
    encoder       fingerprint of the encoder that made it or is in it, if any
    is_of_panel   whether it was made from the current panel of the workspace
    """

    place: str
    content: str
    mask_version: int | None
    encoder: str | None
    is_of_panel: bool


@dataclass(frozen=True)
class Inventory:
    """Stores and checkpoints of a workspace.

    encoders  origin of each encoder, by its fingerprint
    damaged   stores that could not be read, with the reason
    """

    items: list[Item]
    encoders: dict[str, str]
    damaged: dict[str, str]

    def lines(self) -> list[str]:
        """One line per store or checkpoint."""
        out = ["", "versions"]
        for item in self.items:
            words = [item.content]
            if item.encoder is not None:
                origin = self.encoders.get(item.encoder, "weights not in this workspace")
                words.append(f"encoder {item.encoder[:_SHORT]} ({origin})")
            if item.mask_version is not None:
                words.append(f"mask version {item.mask_version}")
            words.append("this panel" if item.is_of_panel else "ANOTHER PANEL")
            out.append(f"  {item.place:26}{', '.join(words)}")
        return out + [f"  {place:26}CANNOT BE READ: {why}" for place, why in self.damaged.items()]


def take(settings: Config, workspace: Workspace) -> Inventory:
    """List every version of every store and every run, without comparing them."""
    encoders = {
        encoding.encoder_fingerprint(
            encoding.new_encoder(settings.model, settings.seed)
        ): f"seed {settings.seed}"
    }
    items: list[Item] = []
    damaged: dict[str, str] = {}
    with open_panel(workspace.panel) as panel:
        for place, read in _places(workspace, panel.fingerprint, encoders):
            try:
                items += read()
            except VcfbertError as error:
                damaged[place] = str(error)
    return Inventory(items, encoders, damaged)


def _places(
    workspace: Workspace, panel: str, encoders: dict[str, str]
) -> Iterator[tuple[str, Callable[[], list[Item]]]]:
    """Place of each store and run, and a function that reads it."""
    readers: dict[Versioned, Callable[[str, Path, str], list[Item]]] = {
        "masks": _of_masks,
        "embeddings": _of_embeddings,
        "indexes": _of_index,
    }
    for kind, read in readers.items():
        for version in workspace.versions(kind):
            path = workspace.version(kind, version)
            place = f"{kind}/{path.name}"
            yield place, partial(read, place, path, panel)
    folder = workspace.root / "runs"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in (name for name in names if not name.startswith(".")):
        place = f"runs/{name}"
        yield place, partial(_of_run, place, folder / name, panel, encoders)


def _of_masks(place: str, path: Path, panel: str) -> list[Item]:
    mask = read_masks(path)
    content = f"{mask.role} masks, {mask.policy}, rate {mask.rate:g}, seed {mask.seed}"
    return [Item(place, content, mask.version, None, mask.panel_fingerprint == panel)]


def _of_embeddings(place: str, path: Path, panel: str) -> list[Item]:
    with embeddings.open_embeddings(path) as reader:
        content = f"{reader.layout}, {plurals.of(len(reader.reference_haplotypes), 'reference')}"
        is_own = reader.panel_fingerprint == panel
        return [Item(place, content, reader.mask_version, reader.encoder_fingerprint, is_own)]


def _of_index(place: str, path: Path, panel: str) -> list[Item]:
    found = manifest.read(path)
    content = f"{found.kind}, {plurals.of(len(found.reference_haplotypes), 'reference')}"
    return [Item(place, content, found.mask_version, None, found.parents.get("panel") == panel)]


def _of_run(place: str, path: Path, panel: str, encoders: dict[str, str]) -> list[Item]:
    """The checkpoints of a run, and the masks and embeddings made during its training."""
    if mosaic_runs.system_of(path) == "mosaic":
        run = mosaic_runs.read(path)
        return [Item(place, run.settings.preset, None, None, run.parents["panel"] == panel)]
    items = []
    for which in get_args(Which):
        if not (path / "checkpoints" / f"{which}.json").exists():
            continue
        found = checkpoints.read(path, which)
        own = encoding.encoder_fingerprint(checkpoints.load_encoder(path, which))
        encoders.setdefault(own, f"{path.name}, {which} checkpoint")
        content = f"{which} of {found.settings.preset}, step {found.state['step']}"
        items.append(Item(place, content, None, own, found.parents["panel"] == panel))
    for store in sorted((path / "masks").glob("v*.zarr")):
        items += _of_masks(f"{place}/masks/{store.name}", store, panel)
    for store in sorted((path / "embeddings").glob("*.zarr")):
        items += _of_embeddings(f"{place}/embeddings/{store.name}", store, panel)
    return items
