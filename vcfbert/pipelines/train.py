"""`vcfbert train`: a panel in, a run of the system that the settings name out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vcfbert import config
from vcfbert.config import Config
from vcfbert.errors import ConfigError
from vcfbert.pipelines.mosaic import train_mosaic
from vcfbert.pipelines.mosaic.train_mosaic import MosaicOptions, MosaicSummary
from vcfbert.pipelines.systems import many_devices
from vcfbert.pipelines.systems.start import StartOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions, TrainSummary
from vcfbert.progress import Progress
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import mosaic_runs
from vcfbert.training.systems import checkpoints

__all__ = ["StartOptions", "TrainOptions", "replaced_settings", "saved_settings", "train"]


@dataclass(frozen=True)
class TrainOptions(SystemOptions):
    """Options of `train`."""

    typed: tuple[Path, ...] = ()
    """Lists of typed sites to train for, mosaic only; empty draws them."""


def train(
    workspace: Workspace,
    settings: Config,
    options: TrainOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> TrainSummary | MosaicSummary:
    """Train a new run of any system, or resume one.

    Raises StoreError if the panel is missing or an input is stale, ConfigError if settings do not
    fit the data or the options, DeviceError if the machine lacks what they ask for.
    """
    if settings.system == "mosaic":
        if options.resume:
            raise mosaic_runs.refuse_resume(options.name)
        if options.start.given:
            raise ConfigError(
                f"{' and '.join(options.start.given)} choose what a BERT system starts with, but "
                "mosaic reads neither masks nor embeddings and has its own --set mosaic.start. "
                "Leave them out, or train with another preset."
            )
        if many_devices.is_shared(options):
            raise ConfigError(
                "mosaic is a small network that trains in minutes in one process, so --devices and "
                "torchrun are for the BERT systems. Leave them out, or train with another preset."
            )
        mosaic = MosaicOptions(options.name, options.typed, options.threads, options.device)
        return train_mosaic.train(
            workspace, settings, mosaic, progress=progress, overwrite=overwrite
        )
    if options.typed:
        raise ConfigError(
            f"--typed is an option of mosaic, but {settings.preset} draws masks. Leave it out, or "
            "train with --preset mosaic."
        )
    return many_devices.train(workspace, settings, options, progress=progress, overwrite=overwrite)


def replaced_settings(workspace: Workspace, name: str) -> Config | None:
    """Return the settings of a run that is to be trained again; None if there is no such run.

    Raises ConfigError if they cannot be read.
    """
    path = workspace.run(name) / "config.toml"
    if not path.exists():
        return None
    try:
        return config.from_dict(config.load(path), source=str(path))
    except ConfigError as error:
        raise ConfigError(
            f"{error} The run {name} is to be replaced with its own settings, which cannot be "
            "read: give others with --preset or --config."
        ) from error


def saved_settings(workspace: Workspace, name: str | None) -> Config:
    """Return the settings of a run that is to be resumed.

    Raises ConfigError if no run is named or it cannot be resumed, StoreError if it does not exist.
    """
    if name is None:
        raise ConfigError("--resume needs the name of a run: --run NAME.")
    if mosaic_runs.system_of(workspace.run(name)) != "retrieval":
        raise mosaic_runs.refuse_resume(name)
    return checkpoints.read(workspace.run(name), "last").settings
