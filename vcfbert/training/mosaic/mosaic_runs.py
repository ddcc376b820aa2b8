"""The folder of a run of `mosaic`, which appears whole or not at all.

RUN/config.toml          the resolved settings; feed them back with --config
RUN/run.json             versions, seed, fingerprint of the panel, what was trained on, the scores
RUN/metrics.csv          a row a check: network, step, training loss, validation loss
RUN/mosaic.safetensors   the network, see `mosaic_weights`

The folder is sealed (see `storage.seals`) but for RUN/eval, which comes later. PyTorch is imported
for runs of `mosaic-large` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert import config
from vcfbert.config import Config
from vcfbert.copying.network import Answer, Network
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import digests, seals
from vcfbert.storage.zarr import stores
from vcfbert.training.mosaic import weight_files

_MEASURED = ("seconds", "peak_memory_bytes")  # what the clock and the machine decide


@dataclass(frozen=True)
class MosaicRun:
    """A run that can be used.

    record  what `run.json` holds
    """

    path: Path
    settings: Config
    network: Answer
    record: dict[str, Any]

    @property
    def parents(self) -> dict[str, str]:
        """Fingerprints of what it was trained on."""
        return dict(self.record["parents"])


def system_of(run: Path) -> str:
    """Which system a run is of; `retrieval` where its folder does not say."""
    path = run / "config.toml"
    if not path.exists():
        return Config().system
    return config.from_dict(config.load(path), source=str(path)).system


def refuse_resume(run: str) -> ConfigError:
    """The error that a run of mosaic is not gone on with."""
    return ConfigError(
        f"The run {run} is of mosaic, which trains in minutes and is not gone on with: leave out "
        "--resume, and pass --force to replace the run."
    )


def write(
    run: Path,
    settings: Config,
    network: Answer,
    record: Mapping[str, Any],
    history: Mapping[str, Sequence[tuple[int, float, float]]],
    *,
    overwrite: bool,
) -> None:
    """Write the whole folder.

    record   of JSON types, with `parents`; what does not change from one making to the next goes
             into the network's file, too, so that the same training gives the same bytes
    history  checks by the kind of the network
    """
    rows = [
        f"{kind},{step},{'' if math.isnan(trained) else f'{trained:.6g}'},{validated:.6g}"
        for kind, checks in history.items()
        for step, trained, validated in checks
    ]
    table = "\n".join(["network,step,training_loss,validation_loss", *rows, ""])
    facts = {name: value for name, value in record.items() if name not in _MEASURED}
    with stores.create_folder(run, overwrite=overwrite) as folder:
        stores.write_file(folder / "config.toml", config.to_toml(settings).encode())
        stores.write_file(folder / "run.json", digests.sealed_json(record, allow_nan=False))
        stores.write_file(folder / "metrics.csv", table.encode())
        path = folder / weight_files.FILE
        if isinstance(network, Network):
            assert network.weights is not None
            weight_files.save(path, network.weights._asdict(), facts)
        else:
            from vcfbert.training.mosaic.mosaic_large import LargeNetwork

            assert isinstance(network, LargeNetwork)
            weight_files.save(path, network.arrays(), facts, network.sizes())


def read(run: Path) -> MosaicRun:
    """Read a run; StoreError where something of it is missing or damaged."""
    path = run / "run.json"
    try:
        record = digests.read_json(path)
        record["parents"]["panel"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is missing or damaged ({error!r}). Train the run again: vcfbert train "
            f"--preset mosaic --run {run.name} --force"
        ) from error
    made_by = f"train --preset mosaic --run {run.name} --force"
    seals.check(run, made_by, is_wanted=lambda name: True)
    return MosaicRun(
        path=run,
        settings=config.from_dict(config.load(run / "config.toml"), source=str(run)),
        network=weight_files.load(run / weight_files.FILE, name=run.name),
        record=record,
    )
