"""Settings that a system does not read, and that must therefore be left as they are."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from vcfbert.errors import ConfigError

if TYPE_CHECKING:
    from vcfbert.config.sections import Config

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


def check(settings: Config) -> None:
    """Raise ConfigError for the first setting that is not as usual and that nothing would read."""
    network = settings.mosaic.network if settings.system == "mosaic" else None
    for part in fields(settings):
        section = getattr(settings, part.name)
        if not is_dataclass(section) or isinstance(section, type):
            continue
        usual = type(section)()
        for setting in fields(section):
            name, value = f"{part.name}.{setting.name}", getattr(section, setting.name)
            if value != getattr(usual, setting.name) and not _is_read(name, network):
                raise ConfigError(
                    f"{name} = {value!r} would change nothing here: it is a setting of "
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
