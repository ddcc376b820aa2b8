"""Memory of a training step, computed without using it: shapes, parameters, bytes.

The network runs forward and backward on fake tensors, which have shapes and lifetimes but no
content, so a laptop can tell what fits on an 80 GB GPU. The scratch space of kernels and the gaps
of the allocator are not counted.

B query haplotypes (two a sample), K neighbours, L sites in a window, D embedding width,
V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# PyTorch has no public module for it, but documents this import under "Fake tensor".
from torch._subclasses.fake_tensor import FakeTensorMode

from vcfbert.config import LossConfig, ModelConfig, RetrievalConfig, reads_embeddings
from vcfbert.domain import tokens
from vcfbert.model.contrast import ContrastTensors
from vcfbert.model.embedding import SiteFeatures
from vcfbert.model.imputer import Imputer, Logits
from vcfbert.training.systems import contrasts, objective
from vcfbert.training.systems.live_bytes import LiveBytes, Storage
from vcfbert.training.systems.objective import Counted
from vcfbert.training.systems.tensors import BatchTensors

BYTES_OF_FLOAT32 = 4
ADAMW_STATES = 2
_COUNTED = Counted(alleles=1, genotypes=1, visible=1, contrasts=1)
_POPULATIONS = 5  # assumed; more take hardly any memory


@dataclass(frozen=True)
class TensorBytes:
    """Equal tensors of one part of the network; all blocks are one part.

    shape    of one of them
    forward  how many are alive after the forward pass, for backward to read
    fullest  how many are alive at the peak of the step
    """

    part: str
    shape: tuple[int, ...]
    dtype: str
    bytes_each: int
    forward: int
    fullest: int


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one training step at its peak.

    activations  everything except weights, gradients and optimizer state: what backward needs,
                 half-precision copies of the weights, the batch and temporaries
    forward      the activations that are alive after the forward pass
    tensors      the activations, largest at the peak first
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    forward: int
    tensors: tuple[TensorBytes, ...]

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.gradients + self.optimizer + self.activations


def count_parameters(settings: ModelConfig) -> dict[str, int]:
    """Number of parameters of each part of the network, without allocating any."""
    with torch.device("meta"):
        model = Imputer(settings)
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts


def measure_step(
    settings: ModelConfig,
    retrieval: RetrievalConfig,
    loss_settings: LossConfig,
    length: int,
    batch_size: int,
    *,
    half: bool,
) -> StepMemory:
    """Run one step of `batch_size` samples on fake tensors and take the peak of live bytes.

    length  L
    half    matrix products in bf16, as autocast does on a GPU
    """
    has_contrast = loss_settings.contrastive_weight > 0
    with FakeTensorMode():
        model = Imputer(settings, loss_settings.focal_gamma)
        weights = BYTES_OF_FLOAT32 * sum(p.numel() for p in model.parameters())
        for parameter in model.parameters():  # as from the second batch of an accumulation on
            parameter.grad = torch.zeros_like(parameter)
        with LiveBytes() as live:
            batch, features = _inputs(
                settings, retrieval, length, batch_size, has_contrast=has_contrast
            )
            with _autocast(half), live.naming_parts(_parts(model)):
                logits = _forward(model, batch, features)
            live.part = "loss"
            whole = objective.terms(model, logits, batch, features, loss_settings).total(_COUNTED)
            after_forward, live.part = live.time, "backward"
            whole.backward()
    return StepMemory(
        weights=weights,
        gradients=weights,
        optimizer=ADAMW_STATES * weights,
        activations=live.peak,
        forward=sum(storage.size for storage in live.alive_at(after_forward)),
        tensors=_alike(live.alive_at(after_forward), live.alive_at(live.peak_time)),
    )


def observe_shapes(
    settings: ModelConfig, retrieval: RetrievalConfig, length: int, batch_size: int
) -> list[tuple[str, tuple[int, ...]]]:
    """Shape of what each part of the network returns in a forward pass, by name."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    with FakeTensorMode(), torch.no_grad():
        model = Imputer(settings)
        parts: list[tuple[str, nn.Module]] = [
            ("encoder", model.encoder),
            ("emb_fusion", model.emb_fusion),
            *([("population", model.population)] if model.population is not None else []),
            *([("rag_fusion", model.rag_fusion)] if model.rag_fusion is not None else []),
            *((f"block {number}", block) for number, block in enumerate(model.blocks, 1)),
            ("norm", model.norm),
        ]
        for name, part in parts:
            part.register_forward_hook(_recorder(name, seen))
        logits = _forward(model, *_inputs(settings, retrieval, length, batch_size))
    seen.append(("haplotype logits", tuple(logits.haplotype.shape)))
    seen.append(("genotype logits", tuple(logits.genotype.shape)))
    return seen


def _parts(model: Imputer) -> list[tuple[str, nn.Module]]:
    """Names that tensors are recorded under; the innermost module counts."""
    named = {name: part for name, part in model.named_children() if name != "blocks"}
    return [("heads", model), *named.items(), *(("blocks", block) for block in model.blocks)]


def _alike(forward: list[Storage], fullest: list[Storage]) -> tuple[TensorBytes, ...]:
    """Storages alive at two times, grouped by part, shape and type."""
    kept, full = (
        Counter((one.part, one.shape, one.dtype, one.size) for one in alive)
        for alive in (forward, fullest)
    )
    found = [TensorBytes(*key, forward=kept[key], fullest=full[key]) for key in kept | full]
    return tuple(sorted(found, key=lambda one: -one.bytes_each * max(one.fullest, one.forward)))


def _inputs(
    settings: ModelConfig,
    retrieval: RetrievalConfig,
    length: int,
    batch_size: int,
    *,
    has_contrast: bool = False,
) -> tuple[BatchTensors, SiteFeatures]:
    """Make a batch of the right shapes with the codebook layout; called inside FakeTensorMode."""
    rows, neighbours = 2 * batch_size, retrieval.num_neighbours
    codebook = torch.zeros(tokens.VOCABULARY_SIZE, length, settings.width)
    batch = BatchTensors(
        query=torch.zeros(rows, length, dtype=torch.uint8),
        labels=torch.zeros(rows, length, dtype=torch.uint8),
        is_hidden=torch.ones(rows, length, dtype=torch.bool),
        neighbours=torch.zeros(rows, neighbours, length, dtype=torch.uint8),
        distances=torch.zeros(rows, neighbours),
        retrieved=codebook if reads_embeddings(settings, retrieval) else None,
        population=torch.zeros(rows, dtype=torch.int64),
        contrast=_contrast(rows, length) if has_contrast else None,
    )
    features = SiteFeatures(
        frequency=torch.zeros(length),
        spread=torch.zeros(length),
        cm=torch.zeros(length),
        site_type=torch.zeros(length, dtype=torch.long),
        is_site=torch.ones(length, dtype=torch.bool),
        is_full=True,
        by_population=torch.zeros(length, _POPULATIONS),
    )
    return batch, features


def _contrast(rows: int, length: int) -> ContrastTensors:
    return ContrastTensors(
        positives=torch.zeros(rows, contrasts.POSITIVES, length, dtype=torch.uint8),
        negatives=torch.zeros(rows, contrasts.NEGATIVES, length, dtype=torch.uint8),
        is_wrong=torch.ones(rows, contrasts.NEGATIVES, dtype=torch.bool),
    )


def _forward(model: Imputer, batch: BatchTensors, features: SiteFeatures) -> Logits:
    logits: Logits = model(
        batch.query, features, batch.neighbours, batch.retrieved, batch.population
    )
    return logits


@contextlib.contextmanager
def _autocast(half: bool) -> Iterator[None]:
    # Fake CPU tensors use the same fused attention as a GPU: it keeps queries, keys, values, output
    # and one number for each row, never the L x L weights.
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        yield


def _recorder(name: str, seen: list[tuple[str, tuple[int, ...]]]) -> Callable[..., None]:
    def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
        states = output if isinstance(output, Tensor) else output.states
        seen.append((name, tuple(states.shape)))

    return record
