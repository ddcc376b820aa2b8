"""The training step, the epoch and the validation pass, over a TrainState.

B query haplotypes, L sites in a window.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from vcfbert.config import LossConfig, ModelConfig, TrainingConfig
from vcfbert.errors import StoreError, VcfbertError
from vcfbert.model import imputer, population
from vcfbert.model.embedding import SiteFeatures
from vcfbert.model.imputer import Imputer
from vcfbert.training import devices
from vcfbert.training.devices import Precision
from vcfbert.training.systems import (
    features,
    loading,
    objective,
    ranks,
    schedule,
    scores,
    tensors,
)
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.objective import Counted, Terms
from vcfbert.training.systems.ranks import ALONE, Ranks
from vcfbert.training.systems.refresh_rules import InUse
from vcfbert.training.systems.schedule import Work
from vcfbert.training.systems.tensors import BatchTensors

_COUNTERS = (
    "step",
    "epoch",
    "batch",
    "seconds",
    "wait_seconds",
    "make_seconds",
    "total_batches",
    "refresh_seconds",
    "history",
    "refreshes",
)
_IN_USE = ("masks", "embeddings")
_MIN_SCALE = 2.0**-14  # of fp16 losses; it falls this low only if every step overflows
_Made = TypeVar("_Made")
_DROPOUT_STREAM = 73  # separates the random stream of dropout from those of order and masks


class DivergedError(VcfbertError):
    """The loss or its gradient is not finite."""


@dataclass
class TrainState:
    """Everything that changes during training.

    step              optimizer steps done
    epoch             0-based number of the current epoch
    batch             batches of the current epoch that are done
    counts            running sums of the epoch, for `scores.summarise`
    seconds           training and validation so far, over all starts of the run
    wait_seconds      of these, the time in which the network waited for batches
    make_seconds      time spent making batches in the background
    total_batches     batches done in all epochs
    refresh_seconds   time spent on masks and encodings in the current epoch
    masks             version of the training masks in use; None before the first
    embeddings        version of the encoded references in use
    saved_embeddings  version of the encoded references that the last checkpoint needs
    saved_masks       version of the training masks that it needs; None before the first
    history           rows of the metrics CSV
    refreshes         rows of the refresh CSV
    step_loss         the network with its losses, which shares gradients with other processes; None
                      before the first batch
    """

    model: Imputer
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    precision: Precision
    counts: Tensor
    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    make_seconds: float = 0.0
    total_batches: int = 0
    refresh_seconds: float = 0.0
    masks: InUse | None = None
    embeddings: InUse = field(default_factory=lambda: InUse(0, 0, 0))
    saved_embeddings: int = 0
    saved_masks: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    refreshes: list[dict[str, Any]] = field(default_factory=list)
    step_loss: nn.Module | None = None

    def counters(self) -> dict[str, Any]:
        """Everything except weights and moments, as JSON types."""
        saved = {name: getattr(self, name) for name in _COUNTERS}
        for name in _IN_USE:
            used = getattr(self, name)
            saved[name] = None if used is None else asdict(used)
        return saved | {"counts": self.counts.tolist(), "scaler": self.scaler.state_dict()}

    def restore_counters(self, saved: dict[str, Any]) -> None:
        """The inverse of `counters`; StoreError if something is missing or malformed."""
        try:
            for name in _COUNTERS:
                setattr(self, name, saved[name])
            for name in _IN_USE:
                setattr(self, name, None if saved[name] is None else InUse(**saved[name]))
            self.saved_embeddings = self.embeddings.version
            self.saved_masks = None if self.masks is None else self.masks.version
            self.counts = torch.tensor(saved["counts"], dtype=torch.float64, device=self.device)
            self.scaler.load_state_dict(saved["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"The state in the last checkpoint is damaged ({error!r}). Train the run again: "
                "vcfbert train --force"
            ) from error


def new_state(
    model_settings: ModelConfig,
    training: TrainingConfig,
    seed: int,
    device: torch.device,
    *,
    focal_gamma: float,
) -> TrainState:
    """Return a network with initial weights, for the loss of this gamma, and a new optimizer."""
    precision = devices.choose_precision(training.precision, device)
    model = imputer.build(model_settings, seed, focal_gamma).to(device)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
        betas=(0.9, 0.98),
        fused=device.type == "cuda",
    )
    return TrainState(
        model=model,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=precision.needs_scaler),
        device=device,
        precision=precision,
        counts=empty_counts(device),
    )


def empty_counts(device: torch.device) -> Tensor:
    """Zeros, to which the results of `scores.count` are added."""
    return torch.zeros(scores.SIZE, dtype=torch.float64, device=device)


class WindowTables:
    """Features and rare sites of each window, computed once and kept on the device."""

    def __init__(self, maker: BatchMaker, rare_maf: float, device: torch.device) -> None:
        """Compute nothing yet."""
        self._maker = maker
        self._rare_maf = rare_maf
        self._device = device
        self._made: dict[int, tuple[SiteFeatures, Tensor]] = {}

    def of_batch(self, batch: Batch) -> tuple[SiteFeatures, Bool[Tensor, "L"]]:
        """Return the features that a batch reads, and which sites are rare in the whole panel."""
        site_features, is_rare = self.of(batch.window)
        if batch.features is not None:
            site_features = batch.features.to(self._device)
        return site_features, is_rare

    def of(self, window: int) -> tuple[SiteFeatures, Bool[Tensor, "L"]]:
        """Return the features of a window and which of its sites are rare."""
        if window not in self._made:
            made = features.of_window(self._maker.panel, window).to(self._device)
            minor = torch.minimum(made.frequency, 1 - made.frequency)
            self._made[window] = (made, minor < self._rare_maf)
        return self._made[window]


def forward(
    state: TrainState, batch: Batch, tables: WindowTables, settings: LossConfig
) -> tuple[Terms, Tensor]:
    """Return the losses of a batch and its counts."""
    inputs = tensors.to_device(batch, state.device)
    return _losses(state, inputs, batch, tables, settings, Counted.in_batch(batch))


def _losses(
    state: TrainState,
    inputs: BatchTensors,
    batch: Batch,
    tables: WindowTables,
    settings: LossConfig,
    of_batch: Counted,
) -> tuple[Terms, Tensor]:
    """Losses and counts of a batch, or of the part of it that this process computes.

    of_batch  what the whole batch counts
    """
    site_features, is_rare = tables.of_batch(batch)
    autocast = torch.autocast(
        state.device.type, dtype=state.precision.dtype, enabled=state.precision.is_mixed
    )
    with autocast:
        logits = state.model(
            inputs.query,
            site_features,
            inputs.neighbours,
            inputs.retrieved,
            inputs.population,
        )
    found = objective.terms(state.model, logits, inputs, site_features, settings)
    with torch.no_grad():
        counts = scores.count(
            logits,
            inputs.labels,
            inputs.is_hidden,
            is_rare,
            found.total(of_batch) * of_batch.alleles,
            inputs.distances,
            inputs.neighbours,
            settings.focal_gamma,
        )
    return found, counts


@dataclass(frozen=True)
class _Pass:
    """A batch of an optimizer step, or the part of it that this process computes.

    of_batch  what the whole batch counts
    of_step   what all batches of the step count
    seed      of dropout
    """

    batch: Batch
    tables: WindowTables
    settings: LossConfig
    of_batch: Counted
    of_step: Counted
    seed: int


class _StepLoss(nn.Module):
    """The network with its losses, as one module that DistributedDataParallel can wrap."""

    def __init__(self, state: TrainState, together: Ranks) -> None:
        super().__init__()
        self.model = state.model
        self._state = state
        self._together = together

    def forward(self, given: _Pass) -> tuple[Tensor, Tensor]:
        """What a batch adds to the loss of its step, and its counts."""
        state, batch = self._state, given.batch
        inputs = tensors.to_device(batch, state.device)
        inputs = _with_noise(state, inputs, batch, given.seed, self._together)
        found, counts = _losses(state, inputs, batch, given.tables, given.settings, given.of_batch)
        return found.total(given.of_step), counts


def _backward(state: TrainState, given: _Pass, together: Ranks, *, is_last: bool) -> Tensor:
    """Add the gradients of a batch; returns its counts.

    is_last  whether it is the last batch of a step, after which processes share their gradients
    """
    if state.step_loss is None:
        state.step_loss = _sharing(state, given, together)
    with nullcontext() if is_last else ranks.accumulating(state.step_loss):
        loss, counts = state.step_loss(given)
        weight = _weight(given.batch, together)
        state.scaler.scale(loss * weight).backward()
    return counts if weight > 0 else torch.zeros_like(counts)


def _sharing(state: TrainState, given: _Pass, together: Ranks) -> nn.Module:
    """The network with its losses, which shares the gradients of all weights that a loss reads."""
    step_loss = _StepLoss(state, together)
    if together.count > 1:
        weights = list(state.model.parameters())
        found = torch.autograd.grad(step_loss(given)[0], weights, allow_unused=True)
        for weight, gradient in zip(weights, found, strict=True):
            weight.requires_grad_(gradient is not None)  # DDP would wait for those without one
    return together.sharing_gradients(step_loss)


def _with_noise(
    state: TrainState, inputs: BatchTensors, batch: Batch, seed: int, together: Ranks
) -> BatchTensors:
    """Seed dropout, and withhold the populations of some samples.

    Populations are withheld as if one process computed the whole batch. Dropout is drawn by each
    process for its own samples.
    """
    numbers = [seed, _DROPOUT_STREAM, state.epoch, state.batch]
    torch.manual_seed(_as_seed(numbers))
    share = state.model.settings.unknown_population
    if state.model.population is not None and inputs.population is not None and share > 0:
        whole = batch.samples if batch.part is None else batch.part.whole
        first = 0 if batch.part is None else batch.part.first
        draws = torch.rand(len(whole), device=state.device)[first : first + len(batch.samples)]
        kept = population.some_withheld(inputs.population, draws, share)
        inputs = replace(inputs, population=kept)
    if not together.is_first:
        torch.manual_seed(_as_seed([*numbers, together.rank]))
    return inputs


def train_epoch(
    state: TrainState,
    training: TrainingConfig,
    loss_settings: LossConfig,
    maker: BatchMaker,
    masks: Masks,
    plan: Sequence[Work],
    on_step: Callable[[TrainState, float], bool],
    *,
    seed: int,
    stop: int | None = None,
    together: Ranks = ALONE,
) -> bool:
    """Train from batch `state.batch` of an epoch on, step by step.

    masks     used up to `stop`
    plan      batches of the whole epoch
    on_step   called after each optimizer step with its learning rate; False ends the epoch
    seed      of dropout
    stop      batch of the epoch to stop before, which begins a step; None trains to the end
    together  processes that share each batch; they make the same calls
    returns   False if `on_step` ended the epoch
    """
    state.model.train()
    tables = WindowTables(maker, training.rare_maf, state.device)
    remaining = [together.part(work) for work in plan[state.batch : stop]]
    begun = time.perf_counter()
    made = loading.prefetch(remaining, lambda work: masks.batch(maker, work))
    for group in _in_steps(made, training.accumulation):
        counted = together.total([Counted.in_batch(loaded.batch) for loaded in group])
        of_step, counts = Counted.sum_of(counted), []
        for loaded, of_batch in zip(group, counted, strict=True):
            pass_ = _Pass(loaded.batch, tables, loss_settings, of_batch, of_step, seed)
            with devices.explaining_memory(len(loaded.batch.samples)):
                counts.append(_backward(state, pass_, together, is_last=loaded is group[-1]))
            state.batch += 1
            state.total_batches += 1
            state.wait_seconds += loaded.wait_seconds
            state.make_seconds += loaded.make_seconds
            now = time.perf_counter()
            state.seconds, begun = state.seconds + now - begun, now
        for found in together.sum(torch.stack(counts)):
            state.counts += found
        state.seconds = together.number_of_first(state.seconds)
        rate = _optimizer_step(state, training, len(plan))
        if not on_step(state, rate):
            return False
    return True


def _weight(batch: Batch, together: Ranks) -> int:
    """What the loss of a part is multiplied by, because gradients are averaged over processes."""
    is_counted = batch.part is None or batch.part.is_counted
    return together.count if is_counted else 0


def _in_steps(made: Iterable[_Made], size: int) -> Iterator[list[_Made]]:
    """Group batches into optimizer steps; the last one may be smaller."""
    source = iter(made)
    while group := list(itertools.islice(source, size)):
        yield group


def validate(
    state: TrainState,
    loss_settings: LossConfig,
    maker: BatchMaker,
    masks: Masks,
    plan: Sequence[Work],
    on_batch: Callable[[], None],
    *,
    rare_maf: float,
    together: Ranks = ALONE,
) -> scores.PassScores:
    """Score the network on validation samples; `masks` are the same in every epoch."""
    state.model.eval()
    tables = WindowTables(maker, rare_maf, state.device)
    total = empty_counts(state.device)
    own = [together.part(work) for work in plan]
    with torch.no_grad():
        for loaded in loading.prefetch(own, lambda work: masks.batch(maker, work)):
            batch = loaded.batch
            of_batch = together.total([Counted.in_batch(batch)])[0]
            if _weight(batch, together) > 0:
                with devices.explaining_memory(len(batch.samples)):
                    inputs = tensors.to_device(batch, state.device)
                    total += _losses(state, inputs, batch, tables, loss_settings, of_batch)[1]
            on_batch()
    return scores.summarise(together.sum(total))


def _optimizer_step(state: TrainState, training: TrainingConfig, batches: int) -> float:
    """Clip the gradient, take a step and clear the gradient; returns the learning rate."""
    if training.max_minutes > 0:
        progress = state.seconds / (60 * training.max_minutes)
    else:
        progress = (state.epoch + state.batch / batches) / training.max_epochs
    rate = schedule.learning_rate(training, state.step, progress)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), training.gradient_clip)
    # Single fp16 steps may overflow and are skipped; only a scale that keeps falling is an error.
    if state.scaler.is_enabled():
        is_lost = state.step % training.log_every == 0 and state.scaler.get_scale() < _MIN_SCALE
    else:
        is_lost = not bool(torch.isfinite(norm))
    if is_lost:
        raise DivergedError(
            f"The gradient is not finite at epoch {state.epoch + 1}, step {state.step + 1}. The "
            "checkpoints are intact. Train again with a smaller training.learning_rate."
        )
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    return rate


def _as_seed(numbers: list[int]) -> int:
    """The seed of a batch for PyTorch, so that no generator state need be saved."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
