"""Settings of a command: preset, then TOML file, then `--set`, then short flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.errors import ConfigError
from vcfbert.storage.zarr.workspace import Workspace

from .options import DEFAULT_PRESET


def resolve(
    preset: str | None,
    config_path: Path | None,
    texts: Sequence[str] | None,
    *,
    seed: int | None = None,
    retrieve_k: int | None = None,
    base: Config | None = None,
) -> Config:
    """The complete settings.

    base  settings to start from if neither a preset nor a file is given

    Raises ConfigError that names the source of the first bad setting.
    """
    in_file = config.load(config_path) if config_path is not None else {}
    if base is None or preset is not None or in_file:
        base = _base(preset, in_file, config_path)
    settings = config.merge(base, in_file, source=str(config_path or "preset"))
    settings = _typed(settings, texts, seed)
    if retrieve_k is not None:
        chosen = {"retrieval": {"num_neighbours": retrieve_k}}
        settings = config.merge(settings, chosen, source="--retrieve-k")
    return settings


def of_run(
    workspace: Workspace,
    run: str | None,
    preset: str | None,
    config_path: Path | None,
    texts: Sequence[str] | None,
    *,
    seed: int | None = None,
) -> Config:
    """The settings of a run; without one, those of `resolve`.

    Raises ConfigError if an option contradicts the run, StoreError if there is no such run.
    """
    if run is None:
        return resolve(preset, config_path, texts, seed=seed)
    from vcfbert.pipelines.systems import run_settings  # imports PyTorch

    own = run_settings.of_run(workspace, run)
    in_file = config.load(config_path) if config_path is not None else {}
    asked = config.merge(own, in_file, source=str(config_path))
    if preset is not None:
        asked = config.merge(asked, {"preset": presets.get(preset).preset}, source="--preset")
    run_settings.check_same(run, own, _typed(asked, texts, seed))
    return own


def _typed(settings: Config, texts: Sequence[str] | None, seed: int | None) -> Config:
    """A copy of the settings changed by --set and --seed."""
    typed = config.assignments(texts or [])
    if "preset" in typed:
        raise ConfigError("Choose a preset with --preset NAME, not with --set preset=NAME.")
    settings = config.merge(settings, typed, source="--set")
    if seed is None:
        return settings
    return config.merge(settings, {"seed": seed}, source="--seed")


def _base(preset: str | None, in_file: Mapping[str, Any], config_path: Path | None) -> Config:
    """The preset that the settings of a file override."""
    named = in_file.get("preset")
    if named is None:
        return presets.get(preset or DEFAULT_PRESET)
    if preset is not None and preset != named:
        raise ConfigError(
            f"--preset {preset} and {config_path} (preset = {named!r}) disagree. Give only one."
        )
    if not isinstance(named, str):
        raise ConfigError(f"{config_path}: preset takes a name in quotes, got {named!r}.")
    # A file may also describe a system of its own, under a name that is not a preset.
    return presets.get(named) if named in presets.PRESETS else Config()


def numbers(flag: str, text: str) -> tuple[float, ...]:
    """Numbers from a comma-separated list; ConfigError naming the flag.

    >>> numbers("--edges", "0,0.01,0.5")
    (0.0, 0.01, 0.5)
    """
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{flag} takes comma-separated numbers, got {text!r}.") from error


def words(text: str) -> tuple[str, ...]:
    """Words of a comma-separated list.

    >>> words("GT, DS")
    ('GT', 'DS')
    """
    return tuple(word.strip() for word in text.split(","))
