"""`audit-dims` for `mosaic` and `mosaic-large`: inputs, heads, parameters, memory of copying.

Letters as in docs/glossary.md: S sites, N samples, R reference haplotypes, T typed sites, K
candidates, A heads, F inputs, U units; of the transformer L open sites of a stretch, D its width.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from vcfbert.config import Config
from vcfbert.copying import inputs
from vcfbert.copying.heads import SIZES_AND_ERRORS
from vcfbert.copying.network import Answer
from vcfbert.errors import StoreError
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import network_sizes, weight_files

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

    kind     of the network: small or large
    units    U
    network  where its weights are, None where there are none
    """

    settings: Config
    kind: str
    units: int
    size: dict[str, int]
    source: str
    shapes: list[Part]
    parameters: dict[str, int]
    network: str | None

    def lines(self) -> list[str]:
        """The report as text."""
        size = self.size
        flag = "--preset mosaic" if self.kind == "small" else "--preset mosaic-large"
        return [
            f"{self.settings.preset}: A = {inputs.HEADS} heads, F = {inputs.NUM_INPUTS} inputs, "
            f"U = {self.units} units; no parameter belongs to a site",
            *self._transformer(),
            f"panel: S = {size['S']:,}, N = {size['N']:,}, R = {size['R']:,} ({self.source})",
            "",
            "heads",
            *(
                f"  head {head}: Ne = {samples:,.0f}, {0.04 * samples / size['R']:.3g} switches a "
                f"cM, error {error:g}"
                for head, (samples, error) in enumerate(SIZES_AND_ERRORS)
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
            f"weights: {self.network or f'none yet; make them with: vcfbert train {flag}'}",
        ]

    def _transformer(self) -> list[str]:
        if self.kind == "small":
            return []
        model, chosen = self.settings.model, self.settings.mosaic
        return [
            f"transformer over L = {chosen.stretch:,} undecided sites of a haplotype, of which "
            f"{chosen.overlap:,} at either end are the next one's: D = {model.width}, "
            f"{model.num_layers} layers, {model.num_heads} attention heads"
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
    settings = settings if network is None else network_sizes.settings_of(settings, network)
    is_large = settings.mosaic.network == "large"
    return MosaicReport(
        settings=settings,
        kind=settings.mosaic.network,
        units=settings.mosaic.units,
        size=size,
        source=source,
        shapes=_shapes(size) + (_of_stretch(settings) if is_large else []),
        parameters=network_sizes.parameters(settings),
        network=None if network is None else f"{path} ({network.fingerprint[:12]})",
    )


def _shapes(size: dict[str, int]) -> list[Part]:
    """What a query needs, whatever the number of samples."""
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


def _of_stretch(settings: Config) -> list[Part]:
    """What the transformer makes of a stretch."""
    length, model = settings.mosaic.stretch, settings.model
    return [
        Part("inputs of a stretch", "L F", (length, inputs.NUM_INPUTS), "float32"),
        Part("states of a stretch", "L D", (length, model.width), "float32"),
        Part("attention of a layer", "heads L L", (model.num_heads, length, length), "float32"),
    ]


def _network(
    settings: Config, workspace: Workspace | None, run: str | None
) -> tuple[Answer | None, Path]:
    """The network of the run, of the run named after the preset, or the shipped one."""
    if workspace is not None:
        path = workspace.run(run or settings.preset) / weight_files.FILE
        if run is not None or path.exists():
            return weight_files.load(path, name=path.parent.name), path
    elif run is not None:
        raise StoreError(f"A run is looked up in a workspace, and none is given for {run!r}.")
    path = weight_files.shipped_path()
    is_large = settings.mosaic.network == "large"  # and no such network is shipped
    if is_large or settings.mosaic.start == "scratch" or not path.exists():
        return None, path
    return weight_files.shipped(), path
