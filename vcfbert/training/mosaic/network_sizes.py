"""Sizes of the network of `mosaic`."""

from __future__ import annotations

from vcfbert.copying import inputs
from vcfbert.copying.network import Network


def parameters(units: int) -> dict[str, int]:
    """Number of parameters of each layer; see `copying.network.Weights`."""
    return {
        "first": units * inputs.NUM_INPUTS + units,
        "second": units * units + units,
        "last": (inputs.NUM_SETS + 1) * units + inputs.NUM_SETS + 1,
    }


def num_units(network: Network) -> int:
    """U of a network."""
    assert network.weights is not None
    return len(network.weights.first_bias)
