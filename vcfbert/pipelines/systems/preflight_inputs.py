"""What the pre-flight checks look at: the inputs of a training run, opened as training opens them.

W windows, L sites in a window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config
from vcfbert.domain import masks
from vcfbert.domain import sites as site_tables
from vcfbert.domain.mask_policies import Fixed
from vcfbert.pipelines.systems import fixed_masks
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.systems import features, schedule
from vcfbert.training.systems.alignment import Beside
from vcfbert.training.systems.batches import Batch, BatchMaker, References
from vcfbert.training.systems.encoding import EncodedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.masking import MaskPolicies, Masks
from vcfbert.training.systems.schedule import Work

WINDOWS = 4
"""Windows that are looked into, spread evenly; a check takes seconds whatever the panel."""

SAMPLES = 4
"""Samples whose haplotypes are looked up, where every number of them is computed twice."""

_STRANGERS_STREAM = 77


class Bench(ABC):
    """Open inputs. What cannot be opened raises a VcfbertError when it is asked for."""

    def __init__(self, settings: Config, workspace: Workspace, run: Path) -> None:
        """Open nothing yet.

        run  folder that training would write encodings to
        """
        self.settings = settings
        self.workspace = workspace
        self.run = run
        self.is_current = True
        """Whether the stored encoding is to be that of the weights, as after each refresh."""

    @property
    @abstractmethod
    def panel(self) -> PanelReader:
        """The panel."""

    @property
    @abstractmethod
    def index(self) -> References:
        """What neighbours are searched in; asked for by systems that retrieve alone."""

    @property
    @abstractmethod
    def embeddings(self) -> EmbeddingsReader | EncodedOnDemand:
        """The encoding of the references; asked for by systems that read one alone."""

    @property
    @abstractmethod
    def state(self) -> TrainState:
        """The network and the optimizer as training begins or goes on."""

    @property
    @abstractmethod
    def policies(self) -> MaskPolicies:
        """How masks are drawn."""

    @property
    @abstractmethod
    def fixed_masks(self) -> MaskVersion | None:
        """The one mask version of a dense index; None where masks are drawn."""

    def check_refresh(self) -> None:
        """Raise ConfigError where the index cannot follow a refresh that the settings ask for."""
        if isinstance(self.index, IndexReader) and self.index.kind == "dense":
            fixed_masks.check_refresh(self.settings, self.index)

    @property
    def device(self) -> devices.Device:
        """Where the network stands."""
        return self.state.device

    @cached_property
    def training_masks(self) -> Masks:
        """Masks of the first epoch."""
        if self.fixed_masks is not None:
            return Masks(Fixed(self.fixed_masks.is_masked))
        first = self.settings.masks
        rate = masks.curriculum_rate(0, first.levels, first.epochs_per_level, first.start_rate)
        return self.policies.of_training(0, rate)

    @cached_property
    def validation_masks(self) -> Masks:
        """Masks of the validation."""
        if self.fixed_masks is not None:
            return Masks(Fixed(self.fixed_masks.is_masked))
        return self.policies.of_validation()

    @property
    def retrieves(self) -> bool:
        """Whether neighbours are searched at all."""
        return self.settings.retrieval.space != "none"

    @cached_property
    def windows(self) -> list[int]:
        """A few windows, spread evenly, with the first and the last."""
        count = len(self.panel.windows)
        places = np.linspace(0, count - 1, min(WINDOWS, count)).astype(int)
        return sorted({int(place) for place in places})

    @cached_property
    def samples(self) -> NDArray[np.int64]:
        """A few train samples, spread evenly."""
        samples = self.panel.samples.in_splits(site_tables.TRAIN)
        places = np.linspace(0, len(samples) - 1, min(SAMPLES, len(samples))).astype(int)
        chosen: NDArray[np.int64] = samples[np.unique(places)]
        return chosen

    def maker(self, settings: Config | None = None) -> BatchMaker:
        """What makes batches; `settings` where they are not to be the run's own."""
        return BatchMaker(
            self.panel,
            self.index,
            self.embeddings if self.settings.reads_embeddings else None,
            (settings or self.settings).retrieval,
            self.settings.loss if self.settings.loss.contrastive_weight > 0 else None,
        )

    @cached_property
    def training_batches(self) -> list[Batch]:
        """The first batches of the first epoch, as the loop makes them."""
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
        """One sample in the first window: of a large network on a CPU even that takes seconds."""
        return self.training_masks.batch(self.maker(), Work(0, self.samples[:1]))

    def beside(self) -> list[Beside]:
        """Validation samples in a few windows, with what their neighbours are judged by."""
        maker = self.maker()
        samples = self.panel.samples.in_splits(site_tables.VALIDATION)[:SAMPLES]
        return [self._beside(maker, Work(window, samples)) for window in self.windows]

    def _beside(self, maker: BatchMaker, work: Work) -> Beside:
        rng = np.random.default_rng([self.settings.seed, _STRANGERS_STREAM, work.window])
        references = self.index.reference_haplotypes
        drawn = references[rng.integers(len(references), size=2 * len(work.samples))]
        reads = self.settings.retrieval.space == "embedding"
        return Beside(
            batch=self.validation_masks.batch(maker, work),
            features=features.of_window(self.panel, work.window),
            codebook=self.embeddings.codebook(work.window) if reads else None,
            strangers=self.panel.tokens(work.window, drawn),
        )


class RunBench(Bench):
    """The inputs that a run has opened for itself."""

    def __init__(
        self,
        settings: Config,
        workspace: Workspace,
        run: Path,
        *,
        panel: PanelReader,
        index: References,
        embeddings: EmbeddingsReader | EncodedOnDemand,
        state: TrainState,
        policies: MaskPolicies,
        fixed_masks: MaskVersion | None,
    ) -> None:
        """Take what is open; it stays the caller's to close."""
        super().__init__(settings, workspace, run)
        self.is_current = state.step == 0
        self._panel, self._index, self._embeddings = panel, index, embeddings
        self._state, self._policies, self._fixed_masks = state, policies, fixed_masks

    @property
    def panel(self) -> PanelReader:
        """As given."""
        return self._panel

    @property
    def index(self) -> References:
        """As given."""
        return self._index

    @property
    def embeddings(self) -> EmbeddingsReader | EncodedOnDemand:
        """As given."""
        return self._embeddings

    @property
    def state(self) -> TrainState:
        """As given."""
        return self._state

    @property
    def policies(self) -> MaskPolicies:
        """As given."""
        return self._policies

    @property
    def fixed_masks(self) -> MaskVersion | None:
        """As given."""
        return self._fixed_masks
