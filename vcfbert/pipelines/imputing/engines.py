"""The network and the device that `impute` uses. PyTorch is imported for a GPU only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcfbert.copying.network import Network, copying_only
from vcfbert.errors import StoreError
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import mosaic_runs, weight_files

if TYPE_CHECKING:
    from vcfbert.training.devices import Device


def network(workspace: Workspace, run: str | None, *, no_network: bool) -> Network:
    """The network of a run of mosaic, the shipped one, or none."""
    if no_network:
        return copying_only()
    if run is None:
        return weight_files.shipped()
    folder = workspace.run(run)
    if not folder.is_dir():
        raise StoreError(
            f"There is no run {folder}. Train one with: vcfbert train --preset mosaic --run "
            f"{run}; or leave out --run to use the network that comes with vcfbert."
        )
    if mosaic_runs.system_of(folder) != "mosaic":
        raise StoreError(
            f"The run {folder} is not of mosaic, so impute cannot use it. Train one with: vcfbert "
            "train --preset mosaic; or leave out --run."
        )
    return mosaic_runs.read(folder).network


def device(name: str) -> Device | None:
    """The GPU of that name; None for the compiled path, which needs no PyTorch."""
    if name == "cpu":
        return None
    from vcfbert.training.mosaic import torch_engine

    return torch_engine.choose(name)
