"""Sizes of the network of a run of `mosaic`."""

from __future__ import annotations

from dataclasses import replace

from vcfbert.config import Config, ModelConfig, MosaicConfig, TrainingConfig
from vcfbert.copying import inputs
from vcfbert.copying.network import Answer, Network
from vcfbert.training.mosaic import mosaic_large
from vcfbert.training.mosaic.mosaic_large import LargeNetwork


def parameters(settings: Config) -> dict[str, int]:
    """Numbers of the network by part; of the small one `Weights` says what each is."""
    wide, heads, units = inputs.NUM_INPUTS, inputs.HEADS, settings.mosaic.units
    counts = {
        "first": units * wide + units,
        "second": units * units + units,
        "last": (heads + 1) * units + heads + 1,
    }
    if settings.mosaic.network == "large":
        counts |= mosaic_large.parameters(settings.model)
    return counts


def settings_of(settings: Config, network: Answer) -> Config:
    """The settings with the sizes of a network."""
    if isinstance(network, LargeNetwork):
        chosen = replace(
            settings.mosaic,
            network="large",
            units=len(network.module.small.first_bias),
            stretch=network.length,
            overlap=network.overlap,
        )
        return replace(settings, mosaic=chosen, model=network.settings)
    assert isinstance(network, Network)
    assert network.weights is not None
    units = len(network.weights.first_bias)
    usual = MosaicConfig()
    chosen = replace(
        settings.mosaic,
        network="small",
        units=units,
        transformer_steps=usual.transformer_steps,
        stretch=usual.stretch,
        overlap=usual.overlap,
    )
    return replace(settings, mosaic=chosen, model=ModelConfig(), training=TrainingConfig())
