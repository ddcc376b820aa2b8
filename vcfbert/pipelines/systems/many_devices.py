"""Training with several processes: those that `--devices N` starts, or those of torchrun.

torchrun gives each process its place in the environment variables RANK, WORLD_SIZE, LOCAL_RANK,
LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vcfbert import plurals
from vcfbert.config import Config
from vcfbert.errors import ConfigError, VcfbertError
from vcfbert.pipelines.systems import train_systems
from vcfbert.pipelines.systems.train_systems import SystemOptions, TrainSummary
from vcfbert.progress import Progress, Silent
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.systems import encoding_workers, rank_processes, ranks
from vcfbert.training.systems.rank_processes import Shared
from vcfbert.training.systems.ranks import LostRankError, Ranks

_PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class _Place:
    """The place of this process among those that torchrun started."""

    rank: int
    count: int
    rank_here: int
    count_here: int


@dataclass(frozen=True)
class _Training:
    """What each process calls."""

    workspace: Workspace
    settings: Config
    options: SystemOptions
    overwrite: bool

    def __call__(self, together: Ranks, device: str, progress: Progress) -> TrainSummary:
        """Train on a device; the progress of rank 0 is shown."""
        return train_systems.train(
            self.workspace,
            self.settings,
            replace(self.options, device=device, threads=None),
            progress=progress,
            overwrite=self.overwrite,
            ranks=together,
        )


def train(
    workspace: Workspace,
    settings: Config,
    options: SystemOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> TrainSummary:
    """Train with the processes that the options or torchrun ask for, by default this one alone.

    Raises what `train_systems.train` raises; DeviceError if there are fewer GPUs than processes, or
    if one of them ends.
    """
    place = _place(os.environ)
    count = options.num_devices
    if place is not None and count is not None:
        if place.rank > 0:
            raise SystemExit(1)  # rank 0 says why
        raise ConfigError(
            f"torchrun started {plurals.of(place.count, 'process', 'processes')}, and --devices "
            f"{count} would start more. Leave --devices out, or run vcfbert without torchrun."
        )
    if count is not None and count < 1:
        raise ConfigError(f"--devices must be at least 1, got {count}.")
    work = _Training(workspace, settings, options, overwrite)
    if place is not None:
        return _as_one_of(place, work, progress)
    if count is None or count == 1:
        return train_systems.train(
            workspace, settings, options, progress=progress, overwrite=overwrite
        )
    names = encoding_workers.devices_for(options.device, count)
    return rank_processes.run(Shared(work, names, _threads(options.threads, count)), progress)


def is_shared(options: SystemOptions) -> bool:
    """Whether several processes were asked for."""
    return (options.num_devices or 1) > 1 or _place(os.environ) is not None


def _place(environment: Mapping[str, str]) -> _Place | None:
    """What torchrun says; None if it did not start this process, or started it alone."""
    if any(name not in environment for name in _PLACE):
        return None
    try:
        rank, count, rank_here, count_here = (int(environment[name]) for name in _PLACE[:4])
    except ValueError as error:
        said = ", ".join(f"{name}={environment[name]}" for name in _PLACE[:4])
        raise ConfigError(
            f"The environment has {said}, which are not all whole numbers. Start vcfbert with "
            "torchrun, or unset them."
        ) from error
    return _Place(rank, count, rank_here, count_here) if count > 1 else None


def _as_one_of(place: _Place, work: _Training, progress: Progress) -> TrainSummary:
    """Train as one of the processes of torchrun; only rank 0 shows and reports something."""
    is_first = place.rank == 0
    try:
        name = encoding_workers.devices_for(work.options.device, place.count_here)[place.rank_here]
        if work.options.threads is not None:  # else those that torchrun set
            devices.set_threads(_threads(work.options.threads, place.count_here))
        with ranks.joined(place.rank, place.count, devices.choose_device(name), "env://") as all_:
            summary = work(all_, name, progress if is_first else Silent())
    except VcfbertError as error:
        if is_first or not isinstance(error, LostRankError):
            raise
        raise SystemExit(1) from error  # the process that ended first has said why
    return summary if is_first else replace(summary, is_reported=False)


def _threads(wanted: int | None, count: int) -> int:
    """CPU threads of each of the processes on this machine, which share those wanted, or all."""
    return max(1, (wanted or os.cpu_count() or 1) // count)
