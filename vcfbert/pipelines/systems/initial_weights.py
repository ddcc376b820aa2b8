"""`train --init-from`: the weights of another run, as far as they fit the new network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vcfbert import plurals
from vcfbert.config import ModelConfig
from vcfbert.domain import sites as site_tables
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import digests
from vcfbert.model.imputer import Imputer
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.systems import checkpoints
from vcfbert.training.systems.checkpoints import Checkpoint, Which

Part = Literal["network", "encoder", "token embedding"]
PREFIX_OF: dict[Part, str] = {
    "network": "",
    "encoder": "encoder.",
    "token embedding": "encoder.token.weight",
}
"""First letters of the names of the weights of each part; a part is taken over whole or not."""


@dataclass(frozen=True)
class TakenOver:
    """What a new network took over from a run.

    run     its folder
    which   the checkpoint
    step    of the checkpoint
    sha256  of its file of weights
    part    the largest part that fits
    taken   names of the weights that were taken over
    left    names of those that keep their initial values
    notes   for the user
    """

    run: Path
    which: Which
    step: int
    sha256: str
    part: Part
    taken: list[str]
    left: list[str]
    notes: list[str]

    def lines(self) -> list[str]:
        """What was taken over and what was not, as text."""
        source = f"the {self.which} checkpoint of {self.run} (step {self.step})"
        if self.part == "network":
            first = f"init: the whole network starts with the weights of {source}."
        else:
            modules = sorted({name.split(".")[0] for name in self.left})
            first = (
                f"init: the {self.part} starts with the weights of {source}; initial weights in: "
                f"{', '.join(modules)}."
            )
        return [first, *(f"init: {note}" for note in self.notes)]

    def record(self) -> dict[str, Any]:
        """The same for run.json."""
        return {
            "run": str(self.run),
            "checkpoint": self.which,
            "step": self.step,
            "weights_sha256": self.sha256,
            "part": self.part,
            "taken_over": self.taken,
            "initial": self.left,
            "notes": self.notes,
        }


def take_over(workspace: Workspace, name: str, model: Imputer, panel: PanelReader) -> TakenOver:
    """Load the largest part of the best checkpoint of a run that fits: all, encoder or tokens.

    name  of a run of the workspace, or the path of a run folder

    Raises StoreError if there is no such run, if it is damaged, or if it was trained on samples
    that are held out here; ConfigError if no part fits.
    """
    folder = Path(name) if "/" in name else runs.folder_of(workspace, name)
    if not folder.is_dir():
        raise StoreError(f"--init-from {name}: there is no run folder {folder}.")
    if mosaic_runs.system_of(folder) != "retrieval":
        raise ConfigError(
            f"--init-from {name}: the run is of mosaic, whose network has no part in common with "
            "this one. Name a run of another system."
        )
    which: Which = "best" if (folder / "checkpoints" / "best.json").exists() else "last"
    checkpoint = checkpoints.read(folder, which)
    notes = _check_samples(folder, checkpoint, panel)
    weights = checkpoints.load_tensors(checkpoint.weights_file)
    found = {key: tuple(value.shape) for key, value in weights.items()}
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    part = _largest_part(found, own)
    if part is None:
        raise ConfigError(_nothing_fits(name, checkpoint.settings.model, model.settings))
    taken = [key for key in own if key.startswith(PREFIX_OF[part])]
    checkpoints.check_finite({key: weights[key] for key in taken}, checkpoint.weights_file)
    model.load_state_dict({key: weights[key] for key in taken}, strict=part == "network")
    if part == "network":
        notes += _differences(checkpoint.settings.model, model.settings)
    return TakenOver(
        run=folder,
        which=which,
        step=int(checkpoint.state["step"]),
        sha256=digests.of_file(checkpoint.weights_file),
        part=part,
        taken=taken,
        left=[key for key in own if key not in set(taken)],
        notes=notes,
    )


def _largest_part(
    found: Mapping[str, tuple[int, ...]], own: Mapping[str, tuple[int, ...]]
) -> Part | None:
    """The largest part that has the same names and shapes on both sides.

    >>> _largest_part({"encoder.token.weight": (5, 8)}, {"encoder.token.weight": (5, 8), "x": (1,)})
    'encoder'
    >>> _largest_part({"encoder.token.weight": (5, 8)}, {"encoder.token.weight": (5, 16)})
    """
    for part, prefix in PREFIX_OF.items():
        sides = [
            {key: shape for key, shape in side.items() if key.startswith(prefix)}
            for side in (found, own)
        ]
        if sides[0] == sides[1] and sides[0]:
            return part
    return None


def _nothing_fits(name: str, theirs: ModelConfig, own: ModelConfig) -> str:
    return (
        f"--init-from {name}: nothing of that run fits. Its network has the width {theirs.width} "
        f"and this one {own.width}; encoders fit only at the same width. Choose a preset of the "
        f"width {theirs.width}, or leave out --init-from."
    )


def _differences(theirs: ModelConfig, own: ModelConfig) -> list[str]:
    """Settings of the two networks that differ although all shapes agree."""
    names = [name for name in own.__slots__ if getattr(theirs, name) != getattr(own, name)]
    if not names:
        return []
    pairs = (f"model.{n} = {getattr(theirs, n)!r}, here {getattr(own, n)!r}" for n in names)
    return [f"the weights were trained with {'; '.join(pairs)}."]


def _check_samples(folder: Path, checkpoint: Checkpoint, panel: PanelReader) -> list[str]:
    """Refuse weights that have seen held-out samples of this panel; returns notes.

    On the same panel the split is the same. Another panel is looked for in the run's workspace.
    """
    trained_on = checkpoint.parents["panel"]
    if trained_on == panel.fingerprint:
        return []
    unknown = (
        "the run was trained on another panel, which is not in its workspace any more, so it is "
        "not known whether it was trained on samples that are held out here."
    )
    try:
        with open_panel(Workspace(folder.resolve().parent.parent).panel) as source:
            if source.fingerprint != trained_on:
                return [unknown]
            trained = {source.samples.names[n] for n in source.samples.in_splits(site_tables.TRAIN)}
    except StoreError:
        return [unknown]
    held_out = panel.samples.in_splits(site_tables.VALIDATION, site_tables.TEST)
    seen = [panel.samples.names[n] for n in held_out if panel.samples.names[n] in trained]
    if seen:
        raise StoreError(
            f"The run {folder} was trained on {plurals.of(len(seen), 'sample')} that {panel.path} "
            f"holds out for validation and test, such as {seen[0]}, so scores would be of samples "
            "seen in training. Prepare the panel with the same split, or leave out --init-from."
        )
    return ["the run was trained on another panel, on none of the samples held out here."]
