"""The complete settings of a run: all sections, checked one by one and against one another."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

from vcfbert.config import agreement, unread
from vcfbert.config.ranges import at_least
from vcfbert.config.sections import (
    LossConfig,
    MaskConfig,
    ModelConfig,
    MosaicConfig,
    RefreshConfig,
    RetrievalConfig,
    TrainingConfig,
)
from vcfbert.errors import ConfigError

LARGEST_SEED = 2**63 - 1
"""The largest seed that PyTorch accepts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings of a run."""

    preset: str = "custom"
    """Name of the preset the run started from."""

    system: Literal["retrieval", "mosaic"] = "retrieval"
    """`retrieval`: a transformer over the sites of a window, with retrieved neighbours fused in;
    `mosaic`: the copying model over retrieved haplotypes, corrected by a network."""

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
        """Check the seed, that every changed setting is read, and that the sections agree."""
        at_least("seed", self.seed, 0)
        if self.seed > LARGEST_SEED:
            raise ConfigError("seed must be below 2^63")
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        sections = {name: value for name, value in values.items() if is_dataclass(value)}
        unread.check(self.system, sections)
        agreement.check(self.model, self.retrieval, self.masks, self.loss, self.refresh)

    @property
    def reads_embeddings(self) -> bool:
        """Whether the system searches or fuses stored embeddings of the references."""
        return agreement.reads_embeddings(self.model, self.retrieval)
