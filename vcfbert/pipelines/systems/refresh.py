"""`vcfbert refresh`: new versions of masks and embeddings next to the old ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from vcfbert import plurals
from vcfbert.config import Config
from vcfbert.errors import ConfigError
from vcfbert.pipelines.systems import encode, run_settings
from vcfbert.pipelines.systems.encode import EncodeSummary
from vcfbert.pipelines.systems.pruning import prune
from vcfbert.progress import Progress
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr import embeddings, masks
from vcfbert.storage.zarr.embeddings import Dtype
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Versioned, Workspace
from vcfbert.training import runs
from vcfbert.training.systems import checkpoints, masking


@dataclass(frozen=True)
class RefreshOptions:
    """Options of `refresh`."""

    masks: bool = False
    """Draw a new mask version."""

    embeddings: bool = False
    """Encode the references again, in the layout of the newest embeddings."""

    run: str | None = None
    """Run whose settings and best checkpoint are used; None takes initial weights from the seed."""

    rate: float | None = None
    """Rate of the new masks; None is the first rate of the curriculum, `masks.start_rate`."""

    prune: int | None = None
    """Afterwards keep only this many versions of each kind, the newest; None keeps all."""


@dataclass(frozen=True)
class RefreshSummary:
    """What `refresh` wrote and deleted."""

    mask: MaskVersion | None
    mask_path: Path | None
    encoded: EncodeSummary | None
    indexes: str
    pruned: list[Path]
    seconds: float

    def lines(self) -> list[str]:
        """The summary as text."""
        out = []
        if self.mask is not None:
            hidden = int(self.mask.is_masked.sum())
            out += [
                f"Drew mask version {self.mask.version} at rate {self.mask.rate:g}: "
                f"{plurals.of(hidden, 'masked site')} in "
                f"{plurals.of(len(self.mask.is_masked), 'window')}.",
                f"Masks: {self.mask_path}",
            ]
        if self.encoded is not None:
            out += self.encoded.lines()
        out += [self.indexes, *(f"Deleted {path}" for path in self.pruned)]
        return [*out, f"Refreshed in {self.seconds:.2f} s."]


def refresh(
    workspace: Workspace,
    settings: Config,
    options: RefreshOptions,
    *,
    progress: Progress,
) -> RefreshSummary:
    """Write the next version of masks, embeddings or both; then prune, if asked to.

    settings  of `options.run`, if there is one

    Raises ConfigError if the options ask for nothing or contradict each other, and the errors of
    `encode_refs`.
    """
    _check(settings, options)
    begun = time.perf_counter()
    mask = mask_path = encoded = None
    written: list[Versioned] = ["masks"] if options.masks else []
    written += ["embeddings"] if options.embeddings else []
    with workspace.writing(*written), open_panel(workspace.panel) as panel:
        if options.masks:
            version = workspace.next_version("masks")
            mask_path = workspace.version("masks", version)
            mask = _draw(version, panel, settings, workspace, options)
            masks.write_masks(mask_path, mask)
        if options.embeddings:
            path = workspace.version("embeddings", workspace.next_version("embeddings"))
            encoder, name = encode.choose_encoder(workspace, settings, options.run, panel)
            dtype = _dense_dtype(workspace)
            newest = None if dtype is None else encode.masks_of(workspace, panel, None)
            encoded = encode.write(
                path,
                panel,
                encoder,
                name,
                newest,
                dtype=dtype or "float32",
                progress=progress,
                overwrite=False,
            )
    # Read before pruning, which may delete indexes, though never the newest.
    indexes = _state_of_index(workspace, mask is not None, encoded is not None)
    return RefreshSummary(
        mask=mask,
        mask_path=mask_path,
        encoded=encoded,
        indexes=indexes,
        pruned=[] if options.prune is None else prune(workspace, options.prune),
        seconds=time.perf_counter() - begun,
    )


def _check(settings: Config, options: RefreshOptions) -> None:
    if not options.masks and not options.embeddings and options.prune is None:
        raise ConfigError("Nothing to refresh: pass --masks, --embeddings, --prune N or several.")
    if not options.masks and options.rate is not None:
        raise ConfigError("--rate is the rate of new masks: pass --masks with it.")
    if options.run is not None:
        _check_run(settings, options)
    if options.embeddings:
        encode.require_embeddings(settings)


def _check_run(settings: Config, options: RefreshOptions) -> None:
    if not options.masks and not options.embeddings:
        raise ConfigError(
            "--run gives settings and weights to what is refreshed: pass --masks, --embeddings or "
            "both with it."
        )
    if settings.system != "retrieval":
        raise ConfigError(
            f"The run {options.run} is of {settings.system}, which has neither masks nor "
            "embeddings. Leave out --run, or name a run of another system."
        )


def _draw(
    version: int,
    panel: PanelReader,
    chosen: Config,
    workspace: Workspace,
    options: RefreshOptions,
) -> MaskVersion:
    settings, seed = chosen.masks, chosen.seed
    plan = masking.plan(settings, seed, panel)
    if options.run is not None:
        saved = checkpoints.read(runs.folder_of(workspace, options.run), "best").parents
        found = {"panel": panel.fingerprint} | plan.fingerprints
        run_settings.check_parents(workspace, options.run, saved, found)
    if settings.by_sample:
        raise ConfigError(
            f"masks.policy = {settings.policy!r} with masks.scope = {settings.scope!r} draws a "
            "mask for each sample during training, so there is no version to store. Set "
            "masks.scope=window and another policy, or leave --masks out."
        )
    return plan.draw(version, plan.first_rate if options.rate is None else options.rate)


def _dense_dtype(workspace: Workspace) -> Dtype | None:
    """The data type of the newest embeddings if they have the dense layout."""
    if not workspace.versions("embeddings"):
        return None
    with embeddings.open_embeddings(workspace.newest("embeddings")) as reader:
        return reader.dtype if reader.layout == "dense" else None


def _state_of_index(workspace: Workspace, new_masks: bool, new_embeddings: bool) -> str:
    """One line on whether the newest index fits the new versions."""
    if not workspace.versions("indexes"):
        return "No index yet. Make one with: vcfbert build-index"
    path = workspace.newest("indexes")
    kind = manifest.read(path).kind
    if kind != "dense":
        return f"The index {path} is {kind}: it fits all masks and embeddings and is kept."
    if not new_masks and not new_embeddings:
        return f"The index {path} is dense and was not changed."
    first = "" if new_embeddings else "refresh --embeddings && vcfbert "
    return (
        f"The index {path} is dense and still has the masks and embeddings it was made from. For "
        f"the new ones: vcfbert {first}build-index --kind dense --force"
    )
