"""Refusal of changed settings that the chosen system does not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vcfbert.errors import ConfigError

_BY_EVERY_MOSAIC = {"masks.validation_rate", "training.rare_maf"}  # eval reads them
_BY_LARGE = {
    *(f"model.{name}" for name in ("width", "num_layers", "num_heads", "feedforward_multiple")),
    "model.dropout",
    *(f"training.{name}" for name in ("batch_size", "accumulation", "learning_rate")),
    *(f"training.{name}" for name in ("weight_decay", "warmup_steps", "schedule")),
    *(f"training.{name}" for name in ("gradient_clip", "precision")),
    *(f"mosaic.{name}" for name in ("transformer_steps", "stretch", "overlap")),
}
"""What `mosaic.network = "large"` reads and "small" does not."""


def check(system: str, sections: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first setting that differs from its default but is not read.

    sections  dataclasses by their names in the settings
    """
    network = sections["mosaic"].network if system == "mosaic" else None
    for part, section in sections.items():
        default = type(section)()
        for setting in fields(section):
            name, value = f"{part}.{setting.name}", getattr(section, setting.name)
            if value != getattr(default, setting.name) and not _is_read(name, network):
                raise ConfigError(
                    f"{name} = {value!r} has no effect here: it is a setting of "
                    f"{_reader(name, network)}. Leave it out."
                )


def _reader(name: str, network: str | None) -> str:
    if network is None:
        return "mosaic"
    return "mosaic-large" if name in _BY_LARGE else "other systems"


def _is_read(name: str, network: str | None) -> bool:
    if network is None:
        return not name.startswith("mosaic.")
    if name in _BY_LARGE:
        return network == "large"
    return name.startswith("mosaic.") or name in _BY_EVERY_MOSAIC
