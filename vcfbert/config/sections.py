"""The sections of a run's settings, as frozen dataclasses: each field with its meaning below it.

A bad value fails where it was written, in `__post_init__`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vcfbert.config import agreement
from vcfbert.config.ranges import at_least, within
from vcfbert.errors import ConfigError

ValidationMetric = Literal["f1", "rare_f1", "loss", "r2"]
"""What of the validation decides which epoch is best."""

LARGEST_SEED = 2**63 - 1
"""That PyTorch takes."""

RefreshOn = Literal["epochs", "batches", "plateau"]
"""What is counted until masks or encodings are renewed."""


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

    retrieved: Literal["none", "before", "through"] = "before"
    """Where neighbours join the query: `before` fuses their stored embeddings before the
    transformer, `through` sends their tokens through the whole network in every batch and fuses
    behind it, with gradients on both ways; `none` takes no neighbours."""

    fusion: Literal["local", "site", "mean"] = "local"
    """How neighbours enter a site: `local` weighs each by its agreement with the query around the
    site, `site` by attention between the states at the site alone, `mean` all alike."""

    copy_skip: bool = True
    """Add the log odds of the weighted neighbours' alleles to the output, so that training starts
    from copying and learns a correction."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("model.width", self.width, 2)
        at_least("model.num_layers", self.num_layers, 0)
        at_least("model.num_heads", self.num_heads, 1)
        at_least("model.feedforward_multiple", self.feedforward_multiple, 1)
        within("model.dropout", self.dropout, 0.0, 0.9)
        step = math.lcm(2 * self.num_heads, 4)  # rotary pairs in a head; groups of channels
        if self.width % step:
            raise ConfigError(
                f"model.width must be a multiple of {step} with model.num_heads = "
                f"{self.num_heads}, got {self.width}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalConfig:
    """Which reference haplotypes the model sees beside each query window."""

    space: Literal["none", "token", "embedding"] = "embedding"
    """Whose squared L2 distance under the mask makes neighbours: `token` compares token ids, so all
    visible sites count alike; `embedding` compares raw embeddings, so a site counts by how far the
    encoder holds REF and ALT apart, and the search follows what it learns; `none` retrieves
    nothing."""

    num_neighbours: int = 32
    """K, neighbours of each query haplotype in each window; 0 with the space `none`."""

    num_segments: int = 8
    """Overlapping stretches of the window that share the K neighbours; 1 searches the window as a
    whole."""

    exclude_same_sample: bool = True
    """Hide a query's own two haplotypes. Turn off only where queries are not in the panel."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("retrieval.num_neighbours", self.num_neighbours, 0)
        at_least("retrieval.num_segments", self.num_segments, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskConfig:
    """Which sites are hidden while training and validating."""

    policy: Literal["random", "smart_balanced", "array"] = "random"
    """Training masks. `random`: each site is hidden with the current rate. `smart_balanced`: by
    what a sample carries, ALT with `alt_rate`, REF with the current rate, both haplotypes drawn
    for themselves and united. `array`: all sites but those of an array."""

    scope: Literal["window", "sample"] = "window"
    """Training masks are a window's, the same for everybody until the next version, or a sample's,
    fresh in each item."""

    alt_rate: float = 0.7
    """`smart_balanced`: rate where a haplotype carries ALT; the current one where larger."""

    sites: str = ""
    """`array`: file of its typed sites, as of `eval --typed`; the rates of the curriculum say
    nothing then. Empty: a random thinning of common sites, which hides the current rate of them."""

    common_maf: float = 0.05
    """`array` without a file: sites from this minor allele frequency on are common."""

    validation_policy: Literal["random", "array"] = "random"
    """Validation masks, a window's; `random` or `array` as above."""

    align: bool = True
    """Search references under the query's mask. Off, for experiments: references are put under
    other masks than the query's, as an index is whose masks were renewed on one side only."""

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
            within(name, rate, 0.01, 0.99)
        at_least("masks.epochs_per_level", self.epochs_per_level, 1)
        within("masks.alt_rate", self.alt_rate, 0.01, 0.99)
        within("masks.common_maf", self.common_maf, 0.0, 0.5)
        self._check_policies()

    def _check_policies(self) -> None:
        """Refuse settings that contradict one another or would do nothing."""
        if self.policy == "smart_balanced" and self.scope == "window":
            raise ConfigError(
                "masks.policy = 'smart_balanced' hides by what a sample carries, but with "
                "masks.scope = 'window' one mask serves everybody. Set masks.scope=sample."
            )
        if not self.sites:
            return
        if "array" not in (self.policy, self.validation_policy):
            raise ConfigError(
                f"masks.sites = {self.sites!r} is the list of an array, but masks.policy = "
                f"{self.policy!r} and masks.validation_policy = {self.validation_policy!r} read "
                "none. Set one of them to array, or leave masks.sites out."
            )
        if self.policy == "array" and self.scope == "sample":
            raise ConfigError(
                f"The list masks.sites = {self.sites!r} is the same for everybody, so "
                "masks.scope = 'sample' would do nothing. Set masks.scope=window, or leave "
                "masks.sites out to thin common sites for each sample."
            )
        if not self.align:
            raise ConfigError(
                "masks.align = false puts references under other masks than queries, but all masks "
                f"of the list masks.sites = {self.sites!r} are the same. Leave one of them out."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What the network is paid for, on hidden sites."""

    focal_gamma: float = 2.0
    """Focal exponent; 0 is cross-entropy."""

    genotype_weight: float = 0.5
    """Weight of the genotype head beside the two haplotype heads."""

    reconstruction_weight: float = 0.0
    """Weight of predicting visible sites too."""

    contrastive_weight: float = 0.0
    """Weight of teaching the search: references that agree with a query at its hidden sites shall
    be nearer, by the visible ones, than others. 0 is off. Part of the training loss alone."""

    contrastive_temperature: float = 1.0
    """Difference of two distances that counts as large, in mismatches of mean weight."""

    hard_negatives: bool = True
    """The others are the nearest at visible sites that are wrong at hidden ones; off: anybody."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("loss.focal_gamma", self.focal_gamma, 0.0, 10.0)
        within("loss.genotype_weight", self.genotype_weight, 0.0, 100.0)
        within("loss.reconstruction_weight", self.reconstruction_weight, 0.0, 100.0)
        within("loss.contrastive_weight", self.contrastive_weight, 0.0, 100.0)
        within("loss.contrastive_temperature", self.contrastive_temperature, 1e-3, 1e3)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """The schedule."""

    batch_size: int = 32
    """Samples in a batch; each brings two haplotypes of one window."""

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
    """Batches drawn in an epoch; 0 is every sample in every window once."""

    max_minutes: float = 0.0
    """Stop after the batch that passes this many minutes of training; 0 is no limit. The epoch
    under way is then closed where it stands. With `schedule = "cosine"` the rate falls over the
    minutes instead of the epochs. A clock is not repeatable: only without it is a run the same,
    number by number, when it is repeated or resumed."""

    val_metric: ValidationMetric = "f1"
    """Chooses the best checkpoint, the early stop and the plateau of `refresh`, all on validation:
    F1 of ALT, the same at rare sites, the loss (less is better), or the pooled dosage r2."""

    patience: int = 5
    """Epochs without improvement before an early stop."""

    min_delta: float = 0.001
    """Smallest gain of `val_metric` that resets the patience; any gain makes a best checkpoint."""

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
            at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("warmup_steps", "batches_per_epoch", "validation_batches"):
            at_least(f"training.{name}", getattr(self, name), 0)
        at_least("training.checkpoint_every", self.checkpoint_every, 1)
        within("training.learning_rate", self.learning_rate, 1e-9, 1.0)
        within("training.weight_decay", self.weight_decay, 0.0, 1.0)
        within("training.gradient_clip", self.gradient_clip, 1e-6, 1e6)
        within("training.max_minutes", self.max_minutes, 0.0, 1e6)
        within("training.min_delta", self.min_delta, 0.0, 1.0)
        within("training.rare_maf", self.rare_maf, 0.0, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshConfig:
    """When training draws new masks and encodes the references again."""

    masks_on: RefreshOn = "epochs"
    """What `masks_every` counts: epochs, batches (over all epochs), or on a plateau the epochs
    since `training.val_metric` gained `training.min_delta`."""

    masks_every: int = 1
    """So many of them, then new training masks; 0 keeps the first. The rate of the curriculum moves
    with new masks only."""

    embeddings_on: RefreshOn = "epochs"
    """What `embeddings_every` counts, likewise."""

    embeddings_every: int = 1
    """So many of them, then the references are encoded again; 0 keeps the first encoding."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("refresh.masks_every", self.masks_every, 0)
        at_least("refresh.embeddings_every", self.embeddings_every, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MosaicConfig:
    """The network that corrects the copying model; for the preset `mosaic` only."""

    units: int = 48
    """U, units of each of the two hidden layers; with `start = "shipped"`, those of the shipped
    network."""

    start: Literal["shipped", "scratch"] = "shipped"
    """Start from the network that comes with vcfbert, or from the copying model alone."""

    folds: int = 6
    """Number of times that samples are left out of the panel and imputed from the rest; more if
    fewer lists of typed sites are given with --typed than designs would be drawn."""

    held_out: int = 200
    """Samples left out in a fold; at most a fifth of the train samples."""

    designs: int = 2
    """Designs of typed sites drawn for each chunk of a fold, if there is no --typed."""

    chunks: int = 4
    """Chunks of the panel drawn for each fold; all, if the panel has fewer."""

    rows_per_design: int = 150_000
    """Most undecided sites of each fold and design."""

    steps: int = 4000
    """Optimizer steps."""

    batch_rows: int = 4096
    """Undecided sites in a step."""

    learning_rate: float = 3e-3
    """Peak of the one-cycle schedule."""

    weight_decay: float = 1e-4
    """Decoupled weight decay."""

    check_every: int = 250
    """Steps between checks of the validation loss; the best network is kept."""

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
            at_least(f"mosaic.{name}", getattr(self, name), 1)
        within("mosaic.learning_rate", self.learning_rate, 1e-9, 1.0)
        within("mosaic.weight_decay", self.weight_decay, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A complete run."""

    preset: str = "custom"
    """Name of the preset the run started from."""

    system: Literal["retrieval", "mosaic"] = "retrieval"
    """`retrieval`: a transformer over a window, and neighbours of the window fused into it;
    `mosaic`: local copying over retrieved haplotypes, corrected by a network."""

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
        """Check the ranges, and that sections fit one another."""
        at_least("seed", self.seed, 0)
        if self.seed > LARGEST_SEED:
            raise ConfigError("seed must be below 2^63")
        agreement.check(self)

    @property
    def reads_embeddings(self) -> bool:
        """Whether stored embeddings of references are searched by or fused."""
        return self.retrieval.space == "embedding" or self.model.retrieved == "before"
