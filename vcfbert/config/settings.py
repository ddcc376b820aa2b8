"""Conversion of settings: from TOML files, `--set` texts and nested dicts, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from vcfbert.config.config import Config
from vcfbert.errors import ConfigError
from vcfbert.files import bounded


def load(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings.

    Raises ConfigError naming the file if it is missing or not valid TOML.
    """
    try:
        if path.stat().st_size > bounded.MAX_TOML:
            raise ValueError(f"it is larger than {bounded.MAX_TOML:,} bytes")
        with path.open(encoding="utf-8") as stream:
            return bounded.toml_of(stream.read(bounded.MAX_TOML))
    except OSError as error:
        raise ConfigError(f"Cannot read the config file {path}: {error.strerror}.") from error
    except ValueError as error:  # from TOML, from UTF-8, or from a number of thousands of digits
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Nested settings from `section.key=value` texts; values are TOML or bare words.

    >>> assignments(["model.width=64", "training.precision=bf16", "seed=3"])
    {'model': {'width': 64}, 'training': {'precision': 'bf16'}, 'seed': 3}
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        *sections, name = key.strip().split(".")
        if not equals or not name or len(sections) > 1:
            raise ConfigError(f"--set takes section.key=value, got {text!r}.")
        place = settings.setdefault(sections[0], {}) if sections else settings
        if not isinstance(place, dict):
            raise ConfigError(f"{sections[0]} is a single value, so {key!r} cannot be set.")
        place[name] = _parse_value(value.strip())
    return settings


def merge(base: Config, settings: Mapping[str, Any], *, source: str) -> Config:
    """A copy of `base` with these settings changed; errors name `source`."""
    merged: Config = _merge_section(base, settings, where="", source=source)
    return merged


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as nested dicts of TOML and JSON types."""
    return dataclasses.asdict(config, dict_factory=_plain)


def from_dict(settings: Mapping[str, Any], *, source: str) -> Config:
    """The inverse of `to_dict`; errors name `source`."""
    return merge(Config(), settings, source=source)


def to_toml(config: Config) -> str:
    """The settings as TOML that `load` and `--config` read back."""
    return tomli_w.dumps(to_dict(config))


def fields_of(config: Config) -> dict[str, Any]:
    """Every setting by its dotted name."""
    flat: dict[str, Any] = {}
    for name, value in to_dict(config).items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            flat[name] = value
    return flat


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def _parse_value(text: str) -> Any:
    try:
        return bounded.toml_of(f"value = {text}")["value"]
    except ValueError:
        return text  # a bare word such as bf16


def _merge_section(base: Any, settings: Mapping[str, Any], *, where: str, source: str) -> Any:
    hints = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in settings.items():
        dotted = f"{where}{key}"
        if key not in hints:
            known = ", ".join(sorted(hints))
            section = f"section [{where[:-1]}]" if where else "the top level"
            raise ConfigError(f"{source}: unknown key {dotted!r}; {section} has {known}.")
        current = getattr(base, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{source}: {dotted} is a section, so it takes keys, not a value."
                )
            changes[key] = _merge_section(current, value, where=f"{dotted}.", source=source)
        else:
            changes[key] = _coerce(value, hints[key], dotted, source)
    try:
        return dataclasses.replace(base, **changes)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _coerce(value: Any, hint: Any, dotted: str, source: str) -> Any:
    """The value as the type of its field; ConfigError if it has another type."""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value in choices:
            return value
        names = ", ".join(map(str, choices))
        raise ConfigError(f"{source}: {dotted} must be one of {names}; got {value!r}.")
    if get_origin(hint) is UnionType:  # one number, or a list of them
        is_list = isinstance(value, (list, tuple))
        one = next(part for part in get_args(hint) if (get_origin(part) is tuple) == is_list)
        return _coerce(value, one, dotted, source)
    if get_origin(hint) is tuple and get_args(hint)[0] is int:
        if isinstance(value, (list, tuple)) and all(type(item) is int for item in value):
            return tuple(value)
        raise ConfigError(f"{source}: {dotted} takes a list of whole numbers, got {value!r}.")
    if get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)) and all(_is_number(item) for item in value):
            return tuple(float(item) for item in value)
        raise ConfigError(f"{source}: {dotted} takes a list of numbers, got {value!r}.")
    if hint is float and _is_number(value):
        return float(value)
    if type(value) is hint:
        return value
    raise ConfigError(f"{source}: {dotted} takes {hint.__name__}, got {value!r}.")


def _is_number(value: Any) -> bool:
    """True for a number that fits a float."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (isinstance(value, float) or abs(value) < 1 << 1000)
