"""Check for settings that the chosen system does not read."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from vcfbert.errors import ConfigError

if TYPE_CHECKING:
    from vcfbert.config.sections import Config

_SHARED = {"masks.validation_rate", "training.rare_maf"}  # `eval` reads them for every system


def check(settings: Config) -> None:
    """Raise ConfigError for the first changed setting that the system does not read."""
    is_mosaic = settings.system == "mosaic"
    for part in fields(settings):
        section = getattr(settings, part.name)
        if not is_dataclass(section) or isinstance(section, type):
            continue
        default = type(section)()
        for setting in fields(section):
            name, value = f"{part.name}.{setting.name}", getattr(section, setting.name)
            is_read = is_mosaic == (part.name == "mosaic") or name in _SHARED
            if value != getattr(default, setting.name) and not is_read:
                others = "systems other than mosaic" if is_mosaic else "mosaic"
                raise ConfigError(
                    f"{name} = {value!r} has no effect here: it is a setting of {others}. Leave it "
                    "out."
                )
