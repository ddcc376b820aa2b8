"""`audit-dims` for `mosaic`: parameter sets, inputs, parameters and memory.

S sites, N samples, R reference haplotypes, T typed sites, K candidates, A parameter sets, F inputs,
U units, as in docs/glossary.md.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from vcfbert.config import Config
from vcfbert.copying import inputs
from vcfbert.copying.network import Network
from vcfbert.copying.parameter_sets import SIZES_AND_ERRORS
from vcfbert.errors import StoreError
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import network_sizes, weight_files

BLOCK = 64
"""Typed sites whose copying weights are in memory at a time."""

CANDIDATES = 400
"""K for which memory is shown: usual for arrays."""


@dataclass(frozen=True)
class Part:
    """A tensor of the network, or an array of a query.

    shape  in letters and in numbers
    """

    name: str
    letters: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class MosaicReport:
    """The report of `audit-dims` for `mosaic`.

    units    U
    network  path of its weights; None if there are none
    """

    settings: Config
    units: int
    size: dict[str, int]
    source: str
    shapes: list[Part]
    parameters: dict[str, int]
    network: str | None

    def lines(self) -> list[str]:
        """The report as text."""
        size = self.size
        return [
            f"{self.settings.preset}: A = {inputs.NUM_SETS} parameter sets, F = "
            f"{inputs.NUM_INPUTS} inputs, U = {self.units} units; no parameter belongs to a site",
            f"panel: S = {size['S']:,}, N = {size['N']:,}, R = {size['R']:,} ({self.source})",
            "",
            "parameter sets",
            *(
                f"  {a}: Ne = {ne:,.0f}, {0.04 * ne / size['R']:.3g} switches per cM, "
                f"error {error:g}"
                for a, (ne, error) in enumerate(SIZES_AND_ERRORS)
            ),
            "",
            "inputs of an undecided site",
            *(f"  {name}" for name in inputs.NAMES),
            "",
            "shapes",
            *(
                f"  {part.name:26}{part.letters:12}"
                f"{' x '.join(f'{n:,}' for n in part.shape):34}{part.dtype}"
                for part in self.shapes
            ),
            "",
            "parameters",
            *(f"  {name:26}{count:>14,}" for name, count in self.parameters.items()),
            f"  {'all':26}{sum(self.parameters.values()):>14,}",
            "",
            "weights: "
            + (self.network or "none yet; train them with: vcfbert train --preset mosaic"),
        ]

    def to_json(self) -> str:
        """The report as JSON."""
        more = {"inputs": inputs.NAMES, "parameter_sets": SIZES_AND_ERRORS}
        return json.dumps(dataclasses.asdict(self) | more, indent=1)

    def raise_mismatch(self) -> None:
        """There is nothing to compare: a network that does not fit is refused when it is read."""


def report(
    settings: Config,
    workspace: Workspace | None,
    run: str | None,
    *,
    size: dict[str, int],
    source: str,
) -> MosaicReport:
    """Make a report.

    size  S, N and R of the panel; `source` says where they come from

    Raises StoreError if `run` is named and has no network of this kind.
    """
    found, path = _network(settings, workspace, run)
    units = settings.mosaic.units if found is None else network_sizes.num_units(found)
    return MosaicReport(
        settings=settings,
        units=units,
        size=size,
        source=source,
        shapes=_shapes(size),
        parameters=network_sizes.parameters(units),
        network=None if found is None else f"{path} ({found.fingerprint[:12]})",
    )


def _shapes(size: dict[str, int]) -> list[Part]:
    """Arrays of a query, for any number of samples."""
    words = -(-size["S"] // 64)
    sets = inputs.NUM_SETS
    return [
        Part("reference alleles", "R S/64", (size["R"], words), "uint64"),
        Part("candidates of a haplotype", "K", (CANDIDATES,), "int64"),
        Part("copying weights", "64 A K", (BLOCK, sets, CANDIDATES), "float32"),
        Part("copying probabilities", "S A", (size["S"], sets), "float32"),
        Part("inputs of the network", "S F at most", (size["S"], inputs.NUM_INPUTS), "float32"),
        Part("ALT probabilities", "S 2", (size["S"], 2), "float32"),
    ]


def _network(
    settings: Config, workspace: Workspace | None, run: str | None
) -> tuple[Network | None, Path]:
    """The network of the run, of the run named after the preset, or the shipped one."""
    if workspace is not None:
        path = workspace.run(run or settings.preset) / weight_files.FILE
        if run is not None or path.exists():
            return weight_files.load(path, name=path.parent.name), path
    elif run is not None:
        raise StoreError(f"The run {run!r} needs a workspace. Name one with --workspace.")
    path = weight_files.shipped_path()
    if settings.mosaic.start == "scratch" or not path.exists():
        return None, path
    return weight_files.shipped(), path
