"""The settings and parents of a run, for commands that take one by `--run`."""

from __future__ import annotations

from vcfbert import config
from vcfbert.config import Config
from vcfbert.errors import ConfigError
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.systems import checkpoints


def of_run(workspace: Workspace, name: str) -> Config:
    """Settings of a run of any system, of its best checkpoint if there is one.

    Raises StoreError if there is no such run or it is damaged.
    """
    folder = runs.folder_of(workspace, name)
    if mosaic_runs.system_of(folder) == "mosaic":
        return mosaic_runs.read(folder).settings
    has_best = (folder / "checkpoints" / "best.json").exists()
    return checkpoints.read(folder, "best" if has_best else "last").settings


def check_same(name: str, own: Config, asked: Config) -> None:
    """Raise ConfigError naming the first setting in which an option contradicts the run.

    asked  the settings of the run with those of --preset, --config, --set and --seed
    """
    before = config.fields_of(own)
    for field, value in config.fields_of(asked).items():
        if before[field] != value:
            raise ConfigError(
                f"The run {name} has {field} = {before[field]!r}, but the options ask for "
                f"{value!r}. With --run its own settings are used: leave that option out, or "
                "leave out --run."
            )


def check_parents(
    workspace: Workspace, name: str, saved: dict[str, str], found: dict[str, str]
) -> None:
    """Raise StoreError if a run was trained on another panel or list of typed sites.

    saved  parents of the run
    found  some of those that the workspace has now
    """
    runs.check_parents(
        name,
        saved,
        found,
        place=str(workspace.root),
        remedy="Train it again: "
        f"vcfbert train --run {name} --config {workspace.run(name) / 'config.toml'} --force; or "
        "leave out --run.",
    )
