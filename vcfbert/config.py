"""Every setting of a run, as frozen dataclasses that TOML files and `--set` can change.

A bad value fails where it was written. Machine matters (paths, device, threads) are flags of the
command line and not here; what changes the science is here and saved with every output.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from vcfbert.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network."""

    width: int = 192
    """D, the width of embeddings and transformer."""

    num_layers: int = 10
    """Transformer blocks."""

    num_heads: int = 6
    """Attention heads; must divide the width into even parts."""

    feedforward_multiple: int = 4
    """Hidden width of a feed-forward block, in multiples of D."""

    dropout: float = 0.0
    """Dropped share of attention and feed-forward outputs while training."""

    fusion: Literal["local", "site", "mean"] = "local"
    """How neighbours enter a site: `local` weighs each by its agreement with the query around the
    site, `site` by attention between the embeddings at the site alone, `mean` all alike."""

    copy_skip: bool = True
    """Add the log odds of the weighted neighbours' alleles to the output, so that training starts
    from copying and learns a correction."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("model.width", self.width, 2)
        _at_least("model.num_layers", self.num_layers, 0)
        _at_least("model.num_heads", self.num_heads, 1)
        _at_least("model.feedforward_multiple", self.feedforward_multiple, 1)
        _within("model.dropout", self.dropout, 0.0, 0.9)
        step = math.lcm(2 * self.num_heads, 4)  # rotary pairs in a head; groups of channels
        if self.width % step:
            raise ConfigError(
                f"model.width must be a multiple of {step} with model.num_heads = "
                f"{self.num_heads}, got {self.width}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalConfig:
    """Which reference haplotypes the model sees beside each query window."""

    num_neighbours: int = 32
    """K, neighbours of each query haplotype in each window."""

    num_segments: int = 8
    """Overlapping stretches of the window that share the K neighbours; 1 searches the window as a
    whole."""

    exclude_same_sample: bool = True
    """Hide a query's own two haplotypes. Turn off only where queries are not in the panel."""

    learned_similarity: bool = True
    """Weigh sites by the encoder, as distances between raw embeddings do. Off: Hamming distance."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("retrieval.num_neighbours", self.num_neighbours, 1)
        _at_least("retrieval.num_segments", self.num_segments, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskConfig:
    """Which sites are hidden while training and validating."""

    policy: Literal["random"] = "random"
    """`random`: each site is hidden with the current rate."""

    levels: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    """Rates of the curriculum, rising."""

    start_rate: float = 0.3
    """The curriculum begins at the first level not below this rate."""

    epochs_per_level: int = 2
    """Epochs spent at a level before the next."""

    validation_rate: float = 0.5
    """Rate of the validation masks, which are the same in every epoch."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.levels or list(self.levels) != sorted(self.levels):
            raise ConfigError(f"masks.levels must rise and not be empty, got {list(self.levels)}")
        for name, rate in [
            *(("masks.levels", level) for level in self.levels),
            ("masks.start_rate", self.start_rate),
            ("masks.validation_rate", self.validation_rate),
        ]:
            _within(name, rate, 0.01, 0.99)
        _at_least("masks.epochs_per_level", self.epochs_per_level, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What the network is paid for, on hidden sites."""

    focal_gamma: float = 2.0
    """Focal exponent; 0 is cross-entropy."""

    genotype_weight: float = 0.5
    """Weight of the genotype head beside the two haplotype heads."""

    reconstruction_weight: float = 0.0
    """Weight of predicting visible sites too."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("loss.focal_gamma", self.focal_gamma, 0.0, 10.0)
        _within("loss.genotype_weight", self.genotype_weight, 0.0, 100.0)
        _within("loss.reconstruction_weight", self.reconstruction_weight, 0.0, 100.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """The schedule."""

    batch_size: int = 32
    """People in a batch; each brings two haplotypes of one window."""

    accumulation: int = 2
    """Batches whose gradients make one optimizer step."""

    learning_rate: float = 7.5e-5
    """Peak rate of AdamW."""

    weight_decay: float = 0.01
    """Decoupled weight decay, on matrices only."""

    warmup_steps: int = 100
    """Optimizer steps over which the rate rises linearly from 0."""

    schedule: Literal["constant", "cosine"] = "constant"
    """After the warmup: stay, or fall to a tenth over the planned run."""

    gradient_clip: float = 1.0
    """Largest norm of a gradient."""

    max_epochs: int = 30
    """Epochs at most."""

    batches_per_epoch: int = 0
    """Batches drawn in an epoch; 0 is every person in every window once."""

    max_minutes: float = 0.0
    """Stop after the batch that passes this many minutes of training; 0 is no limit. The epoch
    under way is then closed where it stands. With `schedule = "cosine"` the rate falls over the
    minutes instead of the epochs. A clock is not repeatable: only without it is a run the same,
    number by number, when it is repeated or resumed."""

    patience: int = 5
    """Epochs without improvement before an early stop."""

    min_delta: float = 0.001
    """Smallest gain of validation F1 that resets the patience; any gain makes a best checkpoint."""

    rare_maf: float = 0.05
    """Sites below this minor allele frequency count as rare."""

    validation_batches: int = 0
    """Batches of the validation split scored after an epoch; 0 is all of them."""

    checkpoint_every: int = 500
    """Optimizer steps between checkpoints inside an epoch; one is always written at its end."""

    log_every: int = 10
    """Optimizer steps between log lines."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU that has it, else fp16 on a GPU, fp32 on a CPU."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("batch_size", "accumulation", "max_epochs", "patience", "log_every"):
            _at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("warmup_steps", "batches_per_epoch", "validation_batches"):
            _at_least(f"training.{name}", getattr(self, name), 0)
        _at_least("training.checkpoint_every", self.checkpoint_every, 1)
        _within("training.learning_rate", self.learning_rate, 1e-9, 1.0)
        _within("training.weight_decay", self.weight_decay, 0.0, 1.0)
        _within("training.gradient_clip", self.gradient_clip, 1e-6, 1e6)
        _within("training.max_minutes", self.max_minutes, 0.0, 1e6)
        _within("training.min_delta", self.min_delta, 0.0, 1.0)
        _within("training.rare_maf", self.rare_maf, 0.0, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshConfig:
    """When training draws new masks and encodes the references again."""

    masks_every: int = 1
    """Epochs between new training masks; 0 keeps the first."""

    embeddings_every: int = 1
    """Epochs between new reference encodings; 0 keeps the first."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("refresh.masks_every", self.masks_every, 0)
        _at_least("refresh.embeddings_every", self.embeddings_every, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MosaicConfig:
    """The network on top of local copying; read by the presets `mosaic` and `mosaic-large` only."""

    units: int = 48
    """U, units of either hidden layer; a network that starts from another keeps its own."""

    start: Literal["shipped", "scratch"] = "shipped"
    """Begin with the weights that come with vcfbert, or with a network that answers as the heads
    do."""

    folds: int = 6
    """Times that other people are taken out of the panel and imputed from the rest; more where
    the command line names fewer lists of typed sites than would be drawn."""

    held_out: int = 200
    """People taken out in a fold; never more than a fifth of the panel."""

    designs: int = 2
    """Sets of typed sites in a fold, drawn anew where the command line names none."""

    chunks: int = 4
    """Chunks of the panel that a fold reads, drawn anew; a panel of fewer is read whole."""

    rows_per_design: int = 150_000
    """Undecided sites kept of each fold and design."""

    steps: int = 4000
    """Optimizer steps."""

    batch_rows: int = 4096
    """Undecided sites in a step."""

    learning_rate: float = 3e-3
    """Peak of the one cycle."""

    weight_decay: float = 1e-4
    """Decoupled weight decay."""

    check_every: int = 250
    """Steps between checks of the validation loss; the best is kept."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in (
            "units",
            "folds",
            "held_out",
            "designs",
            "chunks",
            "rows_per_design",
            "steps",
            "batch_rows",
            "check_every",
        ):
            _at_least(f"mosaic.{name}", getattr(self, name), 1)
        _within("mosaic.learning_rate", self.learning_rate, 1e-9, 1.0)
        _within("mosaic.weight_decay", self.weight_decay, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A complete run."""

    preset: str = "custom"
    """Name of the preset the run started from."""

    system: Literal["retrieval", "mosaic"] = "retrieval"
    """`retrieval`: neighbours of a window, fused into a transformer; `mosaic`: local copying over
    retrieved haplotypes, corrected by a network."""

    seed: int = 1
    """Seeds initial weights, masks, the order of batches and dropout."""

    model: ModelConfig = field(default_factory=ModelConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    refresh: RefreshConfig = field(default_factory=RefreshConfig)
    mosaic: MosaicConfig = field(default_factory=MosaicConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("seed", self.seed, 0)


def load(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings; what it does not name stays as it was.

    Raises ConfigError naming the file where it is missing or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the config file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Nested settings from `section.key=value` texts, the values in TOML or bare words.

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
    """`base` with the settings laid over it. `source` is named in errors."""
    merged: Config = _merge_section(base, settings, where="", source=source)
    return merged


def to_dict(config: Config) -> dict[str, Any]:
    """Plain nested dict of TOML and JSON types."""
    return dataclasses.asdict(config, dict_factory=_plain)


def from_dict(settings: Mapping[str, Any], *, source: str) -> Config:
    """The inverse of `to_dict`; `source` is named in errors."""
    return merge(Config(), settings, source=source)


def to_toml(config: Config) -> str:
    """The resolved config as TOML that `load` and `--config` read back."""
    return tomli_w.dumps(to_dict(config))


def fields_of(config: Config) -> dict[str, Any]:
    """Every setting by its dotted name, for tables and help."""
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
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word such as bf16


def _merge_section(base: Any, settings: Mapping[str, Any], *, where: str, source: str) -> Any:
    hints = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in settings.items():
        dotted = f"{where}{key}"
        if key not in hints:
            known = ", ".join(sorted(hints))
            section = f"section [{where[:-1]}]" if where else "the top level"
            raise ConfigError(f"{source}: unknown key {dotted!r}; {section} knows {known}.")
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
    """The value as the field's type; a wrong type is the user's error."""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value in choices:
            return value
        names = ", ".join(map(str, choices))
        raise ConfigError(f"{source}: {dotted} must be one of {names}; got {value!r}.")
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
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _at_least(name: str, value: int, smallest: int) -> None:
    if value < smallest:
        raise ConfigError(f"{name} must be at least {smallest}, got {value}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} must lie between {low:g} and {high:g}, got {value}")
