"""The sections of a run's settings, each with the checks of its own values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vcfbert import plurals
from vcfbert.config.ranges import at_least, within
from vcfbert.errors import ConfigError

ValidationMetric = Literal["loss", "log_loss", "r2", "f1", "rare_f1"]
"""The validation score that decides which epoch is best."""

RefreshOn = Literal["epochs", "batches", "plateau"]
"""What is counted from one refresh to the next."""

_UNKNOWN_POPULATION = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network."""

    width: int = 192
    """D, width of the embeddings and the transformer."""

    num_layers: int = 10
    """Transformer blocks."""

    num_heads: int = 6
    """Attention heads; each gets an equal, even part of the width."""

    feedforward_multiple: int = 4
    """Width of the hidden layer of a feed-forward block, in multiples of D."""

    dropout: float = 0.0
    """Share of attention and feed-forward outputs dropped during training."""

    retrieved: Literal["none", "before", "through"] = "before"
    """Where neighbours join the query. `before`: their stored embeddings are fused before the
    transformer. `through`: their tokens pass the encoder and the transformer in every batch, with
    gradients, and are fused after it. `none`: there are no neighbours."""

    fusion: Literal["local", "site", "mean"] = "local"
    """How neighbours are weighted at a site. `local`: by their agreement with the query around the
    site. `site`: by attention between the states at this site only. `mean`: all equally."""

    copy_skip: bool = True
    """Add the log odds of the weighted neighbours' alleles to the output, so that training starts
    from copying and learns corrections."""

    votes: bool = True
    """Add an embedding of the weighted share of neighbours that carry ALT to the fused states."""

    returned: Literal["complete", "masked"] = "complete"
    """Which tokens of the neighbours the network reads with `retrieved = "through"`: all, or only
    those that are visible in the query."""

    population: bool = False
    """Read the ALT frequency in the population of each sample, if it is known, and the spread of
    the frequencies of all populations. Frequencies are of the training samples."""

    unknown_population: float = _UNKNOWN_POPULATION
    """Share of training samples whose population is withheld in a batch, so that the network also
    learns to impute samples of unknown population."""

    def __post_init__(self) -> None:
        """Check the ranges, and that no setting contradicts another."""
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
        within("model.unknown_population", self.unknown_population, 0.0, 0.9)
        self._check_returned()
        self._check_unread()

    def _check_returned(self) -> None:
        """Masked neighbours have no alleles to copy, and exist only if their tokens are read."""
        if self.returned == "complete":
            return
        if self.retrieved != "through":
            raise ConfigError(
                "model.returned = 'masked' masks the tokens of neighbours that pass the network, "
                f"but with model.retrieved = {self.retrieved!r} none do. Set "
                "model.retrieved=through, or model.returned=complete."
            )
        for name, is_on in (("copy_skip", self.copy_skip), ("votes", self.votes)):
            if is_on:
                raise ConfigError(
                    f"model.{name} = true reads the neighbours' alleles at masked sites, but "
                    f"model.returned = 'masked' hides them. Set model.{name}=false, or "
                    "model.returned=complete."
                )

    def _check_unread(self) -> None:
        """Refuse changed settings that nothing reads."""
        if self.retrieved == "none" and not self.votes:
            raise ConfigError(
                "model.votes = false has no effect with model.retrieved = 'none', which has no "
                "neighbours to vote. Leave it out, or set model.votes=true."
            )
        if self.unknown_population != _UNKNOWN_POPULATION and not self.population:
            raise ConfigError(
                f"model.unknown_population = {self.unknown_population:g} has no effect with "
                "model.population = false. Set model.population=true, or leave it out."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalConfig:
    """Which reference haplotypes are retrieved for each query window."""

    space: Literal["none", "token", "embedding"] = "embedding"
    """What the search compares at the visible sites, by squared L2 distance. `token`: token ids,
    so that all sites count equally. `embedding`: raw embeddings, so that a site counts by the
    distance of REF and ALT in the encoder, and the search improves as the encoder learns. `none`:
    nothing is retrieved."""

    num_neighbours: int = 32
    """K, neighbours of each query haplotype in each window; 0 if `space` is `none`."""

    num_segments: int = 8
    """Overlapping segments of a window, each searched for its share of the K neighbours; 1
    searches the whole window."""

    exclude_same_sample: bool = True
    """Never retrieve a query's own two haplotypes. Turn off only if queries are not in the
    panel."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("retrieval.num_neighbours", self.num_neighbours, 0)
        at_least("retrieval.num_segments", self.num_segments, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskConfig:
    """Which sites are masked during training and validation."""

    policy: Literal["random", "smart_balanced", "array"] = "random"
    """How training masks are drawn. `random`: each site is masked with the current rate.
    `smart_balanced`: by the alleles of the sample, ALT with `alt_rate` and REF with the current
    rate; each haplotype draws its own mask, and the sample gets both. `array`: all sites except
    those of an array."""

    scope: Literal["auto", "window", "sample"] = "auto"
    """`window`: all samples share one training mask in each window until the next refresh.
    `sample`: each sample has its own. `auto`: `sample` for `smart_balanced`, else `window`."""

    alt_rate: float = 0.7
    """`smart_balanced`: masking rate of ALT alleles; the current rate if that is larger."""

    sites: str = ""
    """`array`: file of the typed sites, in the format of `eval --typed`; the masking rates are then
    ignored. Empty: a random subset of the common sites is typed, and the current rate is the share
    of them that is masked."""

    common_maf: float = 0.05
    """`array` without a file: smallest minor allele frequency of a common site."""

    validation_policy: Literal["random", "array"] = "random"
    """How validation masks are drawn, one for each window; `random` or `array` as above."""

    align: bool = True
    """Search references under the query's mask. Off, for experiments: references get other masks
    than queries, as if only one side had been refreshed."""

    levels: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    """Masking rates of the curriculum, in increasing order."""

    start_rate: float = 0.3
    """The curriculum starts at the first level that is not below this rate."""

    epochs_per_level: int | tuple[int, ...] = 2
    """Epochs at each level; or a list, with the epochs of each of `levels`. The last level is
    kept."""

    validation_rate: float = 0.5
    """Masking rate of validation, whose masks are the same in every epoch."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.levels or list(self.levels) != sorted(self.levels):
            raise ConfigError(
                f"masks.levels must be in increasing order and not empty, got {list(self.levels)}"
            )
        for name, rate in [
            *(("masks.levels", level) for level in self.levels),
            ("masks.start_rate", self.start_rate),
            ("masks.validation_rate", self.validation_rate),
        ]:
            within(name, rate, 0.01, 0.99)
        self._check_epochs()
        within("masks.alt_rate", self.alt_rate, 0.01, 0.99)
        within("masks.common_maf", self.common_maf, 0.0, 0.5)
        self._check_policies()

    @property
    def by_sample(self) -> bool:
        """Whether each sample has its own training masks."""
        if self.scope == "auto":
            return self.policy == "smart_balanced"
        return self.scope == "sample"

    def _check_epochs(self) -> None:
        """Check that each level has at least one epoch."""
        epochs = self.epochs_per_level
        if isinstance(epochs, int):
            at_least("masks.epochs_per_level", epochs, 1)
            return
        if len(epochs) != len(self.levels):
            raise ConfigError(
                f"masks.epochs_per_level lists the epochs of {plurals.of(len(epochs), 'level')}, "
                f"but masks.levels has {len(self.levels)}: {list(self.levels)}. Give as many "
                "numbers, or one number for all levels."
            )
        for each in epochs:
            at_least("each of masks.epochs_per_level", each, 1)

    def _check_policies(self) -> None:
        """Refuse settings that contradict one another or have no effect."""
        if self.policy == "smart_balanced" and self.scope == "window":
            raise ConfigError(
                "masks.policy = 'smart_balanced' masks by the alleles of a sample, but with "
                "masks.scope = 'window' all samples share one mask. Leave masks.scope out, or set "
                "masks.scope=sample."
            )
        if not self.sites:
            return
        if "array" not in (self.policy, self.validation_policy):
            raise ConfigError(
                f"masks.sites = {self.sites!r} lists the sites of an array, but neither "
                f"masks.policy = {self.policy!r} nor masks.validation_policy = "
                f"{self.validation_policy!r} reads it. Set one of them to array, or leave "
                "masks.sites out."
            )
        if self.policy == "array" and self.scope == "sample":
            raise ConfigError(
                f"The list masks.sites = {self.sites!r} is the same for all samples, so "
                "masks.scope = 'sample' has no effect. Set masks.scope=window, or leave "
                "masks.sites out to draw common sites for each sample."
            )
        if not self.align:
            raise ConfigError(
                "masks.align = false gives references other masks than queries, but all masks of "
                f"the list masks.sites = {self.sites!r} are the same. Leave one of them out."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """The training loss, over masked sites."""

    focal_gamma: float = 0.0
    """Exponent of the focal loss; 0, the default, is cross-entropy."""

    genotype_weight: float = 0.5
    """Weight of the genotype loss; the haplotype loss has weight 1."""

    reconstruction_weight: float = 0.0
    """Weight of the loss at visible sites."""

    contrastive_weight: float = 0.0
    """Weight of the contrastive loss, which trains the search: references that agree with a query
    at its masked sites should be nearer at the visible sites than others. 0 turns it off. It is
    part of the training loss only."""

    contrastive_temperature: float = 1.0
    """Temperature of the contrastive loss, in mismatches of mean weight."""

    hard_negatives: bool = True
    """Contrast with the references nearest at visible sites that are wrong at masked ones; off:
    with random references."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("loss.focal_gamma", self.focal_gamma, 0.0, 10.0)
        within("loss.genotype_weight", self.genotype_weight, 0.0, 100.0)
        within("loss.reconstruction_weight", self.reconstruction_weight, 0.0, 100.0)
        within("loss.contrastive_weight", self.contrastive_weight, 0.0, 100.0)
        within("loss.contrastive_temperature", self.contrastive_temperature, 1e-3, 1e3)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Optimizer, schedule, validation and checkpoints."""

    batch_size: int = 32
    """Samples in a batch, each with both haplotypes; a batch is of one window."""

    accumulation: int = 2
    """Batches in an optimizer step."""

    learning_rate: float = 7.5e-5
    """Peak learning rate of AdamW."""

    weight_decay: float = 0.01
    """Decoupled weight decay, of matrices only."""

    warmup_steps: int = 100
    """Optimizer steps in which the learning rate rises linearly from 0."""

    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warmup: constant, or falling to a tenth at the end of the run."""

    gradient_clip: float = 1.0
    """Gradients with a larger norm are scaled down to it."""

    max_epochs: int = 30
    """Largest number of epochs."""

    folds: int = 10
    """Groups of training samples. Batches are of one group, and all its samples are left out of
    retrieval and frequencies, as test samples are; so training and test agree at rare sites. 0
    leaves out each sample alone, of retrieval only. There are fewer groups if they would be smaller
    than a batch."""

    batches_per_epoch: int = 0
    """Batches in an epoch; 0 takes every sample in every window once."""

    max_minutes: float = 0.0
    """Stop after this many minutes of training; 0 is no limit. The current epoch then ends with the
    current batch. With `schedule = "cosine"` the learning rate falls over these minutes instead of
    the epochs. Runs with a time limit are not reproducible; without it, a repeated or resumed run
    gives the same numbers."""

    val_metric: ValidationMetric = "loss"
    """Validation score that decides the best checkpoint, early stopping and plateaus: the loss that
    is trained; `log_loss`, the mean of -log p of the true alleles, with p corrected for the focal
    loss; pooled dosage r2; F1 of ALT, or F1 of ALT at rare sites (`rare_f1`)."""

    patience: int = 5
    """Epochs without improvement before training stops."""

    min_delta: float = 0.002
    """Smallest gain that counts as improvement, as a share of the remaining error: of the loss, or
    of 1 - r2 or 1 - F1. So it means the same for every `val_metric`. Any gain makes a best
    checkpoint."""

    rare_maf: float = 0.05
    """Sites below this minor allele frequency count as rare."""

    validation_batches: int = 0
    """Validation batches scored after each epoch; 0 scores all."""

    checkpoint_every: int = 500
    """Optimizer steps between checkpoints; there is always one at the end of an epoch."""

    log_every: int = 10
    """Optimizer steps between log lines."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU that supports it, fp16 on other GPUs, fp32 on a CPU."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("batch_size", "accumulation", "max_epochs", "patience", "log_every"):
            at_least(f"training.{name}", getattr(self, name), 1)
        if self.folds == 1:
            raise ConfigError(
                "training.folds = 1 would leave out all training samples. Set at least 2, or 0 to "
                "leave out each sample alone."
            )
        for name in ("folds", "warmup_steps", "batches_per_epoch", "validation_batches"):
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
    """What `masks_every` counts: epochs, batches (over all epochs), or, for `plateau`, epochs since
    `training.val_metric` last improved by `training.min_delta`."""

    masks_every: int = 1
    """Draw new training masks after this many; 0 keeps the first. The masking rate changes only
    when masks are drawn."""

    embeddings_on: RefreshOn = "epochs"
    """What `embeddings_every` counts, as above."""

    embeddings_every: int = 1
    """Encode the references again after this many; 0 keeps the first encoding."""

    keep: int = 3
    """Versions of masks and encodings that stay in the folder of the run, the last ones. Those of
    the last checkpoint always stay."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("refresh.keep", self.keep, 1)
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
