"""Shapes, memory and disk that a system of retrieval needs.

Letters as in docs/glossary.md: S sites, N samples, W windows, L sites in a window, R reference
haplotypes, B query haplotypes, K neighbours, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache

import numpy as np

from vcfbert.config import Config, TrainingConfig, presets
from vcfbert.domain import tokens
from vcfbert.pipelines.auditing.audit_report import (
    DEEP,
    USABLE_SHARE,
    DiskReport,
    MemoryReport,
    PanelSize,
    Shape,
)
from vcfbert.storage.zarr import embeddings
from vcfbert.training.systems import memory
from vcfbert.training.systems.memory import StepMemory

GB = 1e9
BIT_PATTERN_BYTES = 256 * 8 * 4  # eight floats per bit pattern, for each byte of a window
FOUR_BIT_PATTERN_BYTES = 2 * 16 * 4 * 4  # four floats per pattern of four bits, twice for each byte
CHANNELS_PER_HEAD = 32  # as in every v18 preset


def shapes(settings: Config, size: PanelSize) -> list[Shape]:
    """Shape of every array from VCF to logits; those of the network are observed."""
    references, length, width = size.references, size.length, settings.model.width
    rows, neighbours = 2 * settings.training.batch_size, settings.retrieval.num_neighbours
    packed = -(-length // 8)
    out = [
        Shape("genotypes in the VCF", "S N 2", (size.sites, size.samples, 2), "GT"),
        Shape("panel alleles", "W H L/8", (size.windows, 2 * size.samples, packed), "uint8"),
        Shape("masks", "W L", (size.windows, length), "bool"),
    ]
    if settings.reads_embeddings:
        codebook = (size.windows, tokens.VOCABULARY_SIZE, length, width)
        dense = (size.windows, references, length, width)
        out += [
            Shape("codebook", "W V L D", codebook, "float32"),
            Shape("dense embeddings", "W R L D", dense, "float32"),
        ]
    if settings.retrieval.space != "none":
        out.append(Shape("index of a window", "R L/8", (references, packed), "uint8"))
    out.append(Shape("query tokens", "B L", (rows, length), "uint8"))
    if settings.retrieval.space != "none":
        out += [
            Shape("neighbours found", "B K", (rows, neighbours), "int64"),
            Shape("neighbour tokens", "B K L", (rows, neighbours, length), "uint8"),
        ]
    return out + _network_shapes(settings, length)


def _network_shapes(settings: Config, length: int) -> list[Shape]:
    """Shapes that the network returns on fake tensors; blocks of one shape share a line."""
    letters = {"haplotype logits": "B L 2", "genotype logits": "B/2 L 3"}
    out: list[Shape] = []
    for name, numbers in memory.observe_shapes(
        settings.model, settings.retrieval, length, settings.training.batch_size
    ):
        stage = "blocks" if name.startswith("block ") else name
        shape = Shape(stage, letters.get(name, "B L D"), numbers, "float")
        if stage == "blocks" and settings.model.retrieved == "through":
            shape = Shape("blocks, both ways", "B(1+K) L D", numbers, "float")
        if name == "emb_fusion" and numbers[0] == tokens.VOCABULARY_SIZE:
            shape = Shape("emb_fusion of references", "V L D", numbers, "float")
        if shape not in out:
            out.append(shape)
    return out


def memory_report(settings: Config, length: int, gpu_memory_gb: float) -> MemoryReport:
    """Memory of a training step, and the largest batch, preset and width that would fit."""
    usable = int(USABLE_SHARE * gpu_memory_gb * GB)
    batch_size = settings.training.batch_size
    step = _step(settings, length, batch_size)
    return MemoryReport(
        gpu_memory_gb=gpu_memory_gb,
        usable_bytes=usable,
        precision=_precision(settings.training),
        batch_size=batch_size,
        step=step,
        fits=step.total <= usable,
        largest_batch=_largest_batch(settings, length, usable),
        largest_preset=_largest_preset(length, usable),
        largest_width=_largest_width(settings, length, usable),
    )


def disk_report(settings: Config, size: PanelSize) -> DiskReport:
    """Bytes of both embedding layouts and the kinds of index; 0 if the system does not use it."""
    width, packed = settings.model.width, -(-size.length // 8)
    row = size.length * width * memory.BYTES_OF_FLOAT32
    needs = {
        "codebook_embeddings": embeddings.codebook_bytes(size.windows, size.length, width),
        "dense_embeddings": embeddings.dense_bytes(
            size.windows, size.references, size.length, width
        ),
        "exact_index": size.windows * packed * (size.references + BIT_PATTERN_BYTES),
        "fast_index": size.windows * (packed + 1) * (size.references + FOUR_BIT_PATTERN_BYTES),
        "dense_index": size.windows * size.references * row,
    }
    if settings.retrieval.space == "none":
        needs["exact_index"] = needs["fast_index"] = 0
    if settings.retrieval.space != "embedding":
        needs["dense_index"] = 0
    if not settings.reads_embeddings:
        needs["codebook_embeddings"] = needs["dense_embeddings"] = 0
    return DiskReport(**needs)


def _precision(training: TrainingConfig) -> str:
    """Number format on the GPU, which is assumed to support bf16."""
    return "bf16" if training.precision == "auto" else training.precision


@lru_cache(maxsize=64)
def _step(settings: Config, length: int, batch_size: int) -> StepMemory:
    half = _precision(settings.training) != "fp32"
    return memory.measure_step(
        settings.model, settings.retrieval, settings.loss, length, batch_size, half=half
    )


def _largest_batch(settings: Config, length: int, usable: int) -> int:
    """Largest batch that fits; activations are a constant plus a linear function of the batch."""
    batch = settings.training.batch_size
    once, twice = (_step(settings, length, samples) for samples in (batch, 2 * batch))
    each = (twice.activations - once.activations) / batch
    return max(0, batch + math.floor((usable - once.total) / each))


def _largest_preset(length: int, usable: int) -> str | None:
    """The preset with the most parameters that fits at its own batch size."""
    known = [presets.get(name) for name in presets.of_system("retrieval")]
    known.sort(key=lambda c: sum(memory.count_parameters(c.model).values()), reverse=True)
    fitting = (c for c in known if _step(c, length, c.training.batch_size).total <= usable)
    return next((c.preset for c in fitting), None)


def _largest_width(settings: Config, length: int, usable: int) -> int:
    """Widest network of DEEP layers that fits at this batch, in steps of one head of 32 channels.

    Bytes are nearly quadratic in the width. A quadratic fit gives a first guess, which is then
    moved head by head to the exact limit.
    """

    def fits(heads: int) -> bool:
        return _deep_bytes(settings, length, heads * CHANNELS_PER_HEAD) <= usable

    probes = (4, 16, 64)
    over = [_deep_bytes(settings, length, n * CHANNELS_PER_HEAD) - usable for n in probes]
    curve = np.polynomial.Polynomial.fit(np.array(probes), np.array(over), 2)
    heads = max(1, math.floor(float(curve.roots().real.max())))
    while fits(heads + 1):
        heads += 1
    while heads > 0 and not fits(heads):
        heads -= 1
    return CHANNELS_PER_HEAD * heads


def _deep_bytes(settings: Config, length: int, width: int) -> int:
    """Bytes of a step with DEEP layers, from those with 1 and 2: every layer adds the same."""
    one, two = (
        _step(
            dataclasses.replace(
                settings,
                model=dataclasses.replace(
                    settings.model,
                    width=width,
                    num_heads=width // CHANNELS_PER_HEAD,
                    num_layers=num_layers,
                ),
            ),
            length,
            settings.training.batch_size,
        ).total
        for num_layers in (1, 2)
    )
    return one + (DEEP - 1) * (two - one)
