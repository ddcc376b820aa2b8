"""`audit-dims` for `mosaic`: inputs, heads, parameters and memory of local copying.

Letters as in docs/glossary.md: S sites, N people, R reference haplotypes, T typed sites, K
candidates, A heads, F inputs, U units.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from vcfbert.config import Config
from vcfbert.copying import inputs
from vcfbert.copying.heads import SIZES_AND_ERRORS
from vcfbert.copying.network import Network, Weights
from vcfbert.errors import StoreError
from vcfbert.storage.workspace import Workspace
from vcfbert.training import mosaic_weights

BLOCK = 64
"""Typed sites whose copying weights are kept at a time."""

CANDIDATES = 400
"""K that memory is shown for: what the search finds on arrays of usual density."""


@dataclass(frozen=True)
class Part:
    """A tensor of the network, or an array that a query needs.

    shape  in letters and in numbers
    """

    name: str
    letters: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class MosaicReport:
    """All that `audit-dims` says of `mosaic`.

    network  where its weights are, None where there are none
    """

    settings: Config
    size: dict[str, int]
    source: str
    shapes: list[Part]
    parameters: dict[str, int]
    network: str | None

    def lines(self) -> list[str]:
        """The report as text."""
        size, units = self.size, self.settings.mosaic.units
        return [
            f"{self.settings.preset}: A = {inputs.HEADS} heads, F = {inputs.NUM_INPUTS} inputs, "
            f"U = {units} units; no parameter belongs to a site",
            f"panel: S = {size['S']:,}, N = {size['N']:,}, R = {size['R']:,} ({self.source})",
            "",
            "heads",
            *(
                f"  head {head}: Ne = {people:,.0f}, {0.04 * people / size['R']:.3g} switches a "
                f"cM, error {error:g}"
                for head, (people, error) in enumerate(SIZES_AND_ERRORS)
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
            f"weights: {self.network or 'none yet; make them with: vcfbert train --preset mosaic'}",
        ]

    def to_json(self) -> str:
        """The report for programs."""
        record = dataclasses.asdict(self) | {"inputs": inputs.NAMES, "heads": SIZES_AND_ERRORS}
        return json.dumps(record, indent=1)

    def raise_mismatch(self) -> None:
        """Nothing is compared: a network that does not fit is refused when it is read."""


def report(
    settings: Config,
    workspace: Workspace | None,
    run: str | None,
    *,
    size: dict[str, int],
    source: str,
) -> MosaicReport:
    """Work out a report.

    size  S, N and R of the panel, which `source` tells the origin of

    Raises StoreError where `run` is named and has no network of this kind.
    """
    network, path = _network(settings, workspace, run)
    units = settings.mosaic.units if network is None else _units(network)
    chosen = dataclasses.replace(settings.mosaic, units=units)
    return MosaicReport(
        settings=dataclasses.replace(settings, mosaic=chosen),
        size=size,
        source=source,
        shapes=_shapes(size),
        parameters=parameters(units),
        network=None if network is None else f"{path} ({network.fingerprint[:12]})",
    )


def parameters(units: int) -> dict[str, int]:
    """Numbers that training changes, by tensor; `Weights` says what each is."""
    wide, heads = inputs.NUM_INPUTS, inputs.HEADS
    return {
        "first": units * wide + units,
        "second": units * units + units,
        "last": (heads + 1) * units + heads + 1,
    }


def _shapes(size: dict[str, int]) -> list[Part]:
    """What a query needs, whatever the number of people."""
    words = -(-size["S"] // 64)
    heads = inputs.HEADS
    return [
        Part("reference alleles", "R S/64", (size["R"], words), "uint64"),
        Part("candidates of a haplotype", "K", (CANDIDATES,), "int64"),
        Part("copying weights", "64 A K", (BLOCK, heads, CANDIDATES), "float32"),
        Part("probabilities of heads", "S A", (size["S"], heads), "float32"),
        Part("inputs of open sites", "S F at most", (size["S"], inputs.NUM_INPUTS), "float32"),
        Part("ALT probabilities", "S 2", (size["S"], 2), "float32"),
    ]


def _network(
    settings: Config, workspace: Workspace | None, run: str | None
) -> tuple[Network | None, Path]:
    """The network of the run, of the run named after the preset, or the shipped one."""
    if workspace is not None:
        path = workspace.run(run or settings.preset) / mosaic_weights.FILE
        if run is not None or path.exists():
            return mosaic_weights.load(path, name=path.parent.name), path
    elif run is not None:
        raise StoreError(f"A run is looked up in a workspace, and none is given for {run!r}.")
    path = mosaic_weights.shipped_path()
    if settings.mosaic.start == "scratch" or not path.exists():
        return None, path
    return mosaic_weights.shipped(), path


def _units(network: Network) -> int:
    weights = network.weights
    assert isinstance(weights, Weights)
    return len(weights.first_bias)
