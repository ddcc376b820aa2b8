"""Range checks of single settings."""

from __future__ import annotations

from vcfbert.errors import ConfigError


def at_least(name: str, value: int, smallest: int) -> None:
    """Raise ConfigError if `value` is smaller than `smallest`."""
    if value < smallest:
        raise ConfigError(f"{name} must be at least {smallest}, got {value}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError if `value` is not from `low` to `high`, both included."""
    if not low <= value <= high:
        raise ConfigError(f"{name} must be from {low:g} to {high:g}, got {value}")
