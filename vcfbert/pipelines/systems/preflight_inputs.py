"""What the pre-flight checks read: the inputs of a training run, opened as training opens them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config, RetrievalConfig
from vcfbert.domain import sites as site_tables
from vcfbert.domain.mask_policies import Fixed
from vcfbert.pipelines.systems import fixed_masks
from vcfbert.pipelines.systems.first_masks import FirstMasks
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.systems import features, schedule
from vcfbert.training.systems.alignment import ProbedBatch
from vcfbert.training.systems.batches import Batch, BatchMaker, References
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import MaskPlan, Masks
from vcfbert.training.systems.schedule import Work

WINDOWS = 4
"""Windows that are checked, evenly spaced, so that checks take seconds on any panel."""

SAMPLES = 4
"""Samples that are checked where every number is computed twice."""

_STRANGERS_STREAM = 77


class PreflightInputs(ABC):
    """Open inputs; a property raises a VcfbertError if its input cannot be opened."""

    def __init__(
        self, settings: Config, workspace: Workspace, run: Path, num_ranks: int = 1
    ) -> None:
        """Open nothing yet.

        run        folder to which training would write encodings
        num_ranks  processes that share each batch
        """
        self.num_ranks = num_ranks
        self.settings = settings
        self.workspace = workspace
        self.run = run
        self.is_current = True
        """Whether the stored encoding must be that of the current weights, as after a refresh."""

    @property
    @abstractmethod
    def panel(self) -> PanelReader:
        """The panel."""

    @property
    @abstractmethod
    def index(self) -> References:
        """The references; read only if the system retrieves neighbours."""

    @property
    @abstractmethod
    def embeddings(self) -> EmbeddingsReader | EncodedOnDemand:
        """The encoding of the references; read only if the system reads embeddings."""

    @property
    @abstractmethod
    def state(self) -> TrainState:
        """The network and the optimizer with which training starts or resumes."""

    @property
    @abstractmethod
    def mask_plan(self) -> MaskPlan:
        """How masks are drawn."""

    @property
    @abstractmethod
    def fixed_masks(self) -> MaskVersion | None:
        """The only mask version of a dense index; None if masks are drawn."""

    @property
    @abstractmethod
    def first_masks(self) -> FirstMasks | None:
        """The masks to start with; None if each sample draws its own, or if masks are fixed."""

    def check_refresh(self) -> None:
        """Raise ConfigError if the settings ask for a refresh that the index cannot follow."""
        if isinstance(self.index, IndexReader) and self.index.kind == "dense":
            fixed_masks.check_refresh(self.settings.refresh, self.settings.retrieval, self.index)

    @property
    def device(self) -> devices.Device:
        """The device of the network."""
        return self.state.device

    @cached_property
    def training_masks(self) -> Masks:
        """Masks that training starts or resumes with."""
        if self.fixed_masks is not None:
            return Masks(Fixed(self.fixed_masks.is_masked))
        if self.first_masks is not None:
            return self.mask_plan.of_version(self.first_masks.mask)
        return self.mask_plan.of_training(0, self.mask_plan.first_rate)

    @cached_property
    def validation_masks(self) -> Masks:
        """Masks of validation."""
        if self.fixed_masks is not None:
            return Masks(Fixed(self.fixed_masks.is_masked))
        return self.mask_plan.of_validation()

    @property
    def retrieves(self) -> bool:
        """Whether the system retrieves neighbours."""
        return self.settings.retrieval.space != "none"

    @cached_property
    def windows(self) -> list[int]:
        """A few evenly spaced windows, including the first and the last."""
        count = len(self.panel.windows)
        places = np.linspace(0, count - 1, min(WINDOWS, count)).astype(int)
        return sorted({int(place) for place in places})

    @cached_property
    def samples(self) -> NDArray[np.int64]:
        """A few evenly spaced train samples."""
        samples = self.panel.samples.in_splits(site_tables.TRAIN)
        places = np.linspace(0, len(samples) - 1, min(SAMPLES, len(samples))).astype(int)
        chosen: NDArray[np.int64] = samples[np.unique(places)]
        return chosen

    def maker(self, retrieval: RetrievalConfig | None = None) -> BatchMaker:
        """A maker of batches, with the retrieval settings of the run or with others."""
        return BatchMaker(
            self.panel,
            self.index,
            self.embeddings if self.settings.reads_embeddings else None,
            retrieval or self.settings.retrieval,
            self.settings.loss if self.settings.loss.contrastive_weight > 0 else None,
        )

    @cached_property
    def training_batches(self) -> list[Batch]:
        """The first batches of the first epoch."""
        plan = schedule.plan_epoch(
            self.panel.samples.in_splits(site_tables.TRAIN),
            len(self.panel.windows),
            self.settings.training,
            seed=self.settings.seed,
            epoch=0,
        )
        maker = self.maker()
        return [self.training_masks.batch(maker, work) for work in plan[:2]]

    def small_batch(self) -> Batch:
        """One sample in the first window; a large network takes seconds for it on a CPU."""
        return self.training_masks.batch(self.maker(), Work(0, self.samples[:1]))

    def probed_batches(self) -> list[ProbedBatch]:
        """Validation samples in a few windows, with what their neighbours are compared with."""
        maker = self.maker()
        samples = self.panel.samples.in_splits(site_tables.VALIDATION)[:SAMPLES]
        return [self._probed(maker, Work(window, samples)) for window in self.windows]

    def _probed(self, maker: BatchMaker, work: Work) -> ProbedBatch:
        rng = np.random.default_rng([self.settings.seed, _STRANGERS_STREAM, work.window])
        references = self.index.reference_haplotypes
        drawn = references[rng.integers(len(references), size=2 * len(work.samples))]
        reads = self.settings.retrieval.space == "embedding"
        return ProbedBatch(
            batch=self.validation_masks.batch(maker, work),
            features=features.of_window(self.panel, work.window),
            codebook=self.embeddings.codebook(work.window) if reads else None,
            strangers=self.panel.tokens(work.window, drawn),
        )
