"""Refusal of changed settings that the chosen system does not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vcfbert.errors import ConfigError

_SHARED = {"masks.validation_rate", "training.rare_maf"}  # `eval` reads them for every system


def check(system: str, sections: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first changed setting that the system does not read.

    sections  dataclasses by their names in the settings
    """
    is_mosaic = system == "mosaic"
    for part, section in sections.items():
        default = type(section)()
        for setting in fields(section):
            name, value = f"{part}.{setting.name}", getattr(section, setting.name)
            is_read = is_mosaic == (part == "mosaic") or name in _SHARED
            if value != getattr(default, setting.name) and not is_read:
                others = "systems other than mosaic" if is_mosaic else "mosaic"
                raise ConfigError(
                    f"{name} = {value!r} has no effect here: it is a setting of {others}. Leave it "
                    "out."
                )
