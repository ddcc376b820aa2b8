"""Folder of a run of `mosaic`, which is written as a whole or not at all.

RUN/config.toml          the resolved settings, to reuse with --config
RUN/run.json             versions, seed, fingerprint of the panel, training data, scores
RUN/metrics.csv          one row for each check: step, training loss, validation loss
RUN/mosaic.safetensors   the network, see `weight_files`

The folder is sealed (see `files.seals`), except for RUN/eval, which is written later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.copying.network import Network
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import digests, seals
from vcfbert.storage.zarr import stores
from vcfbert.training.mosaic import weight_files

_MEASURED = ("seconds", "peak_memory_bytes")  # these differ between runs of the same training


@dataclass(frozen=True)
class MosaicRun:
    """A finished run.

    record  content of `run.json`
    """

    settings: Config
    network: Network
    record: dict[str, Any]

    @property
    def parents(self) -> dict[str, str]:
        """Fingerprints of the stores it was trained on."""
        return dict(self.record["parents"])


def system_of(run: Path) -> str:
    """System of a run; `retrieval` if its folder does not name one.

    Only this setting is read, so that `read` refuses runs of older formats in its own words.
    """
    path = run / "config.toml"
    settings = config.load(path) if path.exists() else {}
    return str(settings.get("system", Config().system))


def refuse_resume(run: str) -> ConfigError:
    """Error for --resume with a run of mosaic."""
    return ConfigError(
        f"The run {run} is of mosaic, which trains in minutes and cannot be resumed. Leave out "
        "--resume, or pass --force to replace the run."
    )


def write(
    run: Path,
    settings: Config,
    network: Network,
    record: Mapping[str, Any],
    history: Sequence[tuple[int, float, float]],
    *,
    overwrite: bool,
) -> None:
    """Write the whole folder.

    record   of JSON types, with `parents`; except for what the machine decides, it is also stored
             with the network, so that the same training gives the same bytes
    history  step, training loss and validation loss of each check
    """
    rows = [
        f"{step},{'' if math.isnan(trained) else f'{trained:.6g}'},{validated:.6g}"
        for step, trained, validated in history
    ]
    table = "\n".join(["step,training_loss,validation_loss", *rows, ""])
    facts = {name: value for name, value in record.items() if name not in _MEASURED}
    with stores.create_folder(run, overwrite=overwrite) as folder:
        stores.write_file(folder / "config.toml", config.to_toml(settings).encode())
        stores.write_file(folder / "run.json", digests.sealed_json(record, allow_nan=False))
        stores.write_file(folder / "metrics.csv", table.encode())
        assert network.weights is not None
        weight_files.save(folder / weight_files.FILE, network.weights._asdict(), facts)


def read(run: Path) -> MosaicRun:
    """Read a run; StoreError if a file is missing or damaged."""
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
    network = weight_files.load(run / weight_files.FILE, name=run.name)
    settings = config.from_dict(config.load(run / "config.toml"), source=str(run))
    return MosaicRun(settings=settings, network=network, record=record)


def shipped() -> MosaicRun:
    """The network shipped with vcfbert, as a run without parents: its panels were simulated."""
    return MosaicRun(presets.mosaic(), weight_files.shipped(), {"parents": {}})
