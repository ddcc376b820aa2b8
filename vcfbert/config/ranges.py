"""Checks that settings share."""

from __future__ import annotations

from vcfbert.errors import ConfigError


def at_least(name: str, value: int, smallest: int) -> None:
    """Raise ConfigError where `value` is smaller than `smallest`."""
    if value < smallest:
        raise ConfigError(f"{name} must be at least {smallest}, got {value}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError where `value` lies outside the closed range."""
    if not low <= value <= high:
        raise ConfigError(f"{name} must lie between {low:g} and {high:g}, got {value}")
