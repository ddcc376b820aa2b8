"""`audit-dims`: shapes, parameters, memory and disk of a system, and the stores against them.

Letters as in docs/glossary.md: S sites, N samples, W windows, L sites in a window, R reference
haplotypes, B query haplotypes, K neighbours, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vcfbert.config import Config, presets
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.auditing import audit_mosaic, inventory, stored_preflight
from vcfbert.pipelines.auditing.audit_mosaic import MosaicReport
from vcfbert.pipelines.auditing.audit_report import (
    DEEP,
    USABLE_SHARE,
    AuditReport,
    DiskReport,
    MemoryReport,
    PanelSize,
    Shape,
)
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.systems.preflight import Preflight
from vcfbert.pipelines.systems.store_checks import Check
from vcfbert.storage.zarr import embeddings, schema
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import memory
from vcfbert.training.systems.memory import StepMemory

GB = 1e9
BIT_PATTERN_BYTES = 256 * 8 * 4  # eight floats for each pattern, for each byte of a window
CHANNELS_PER_HEAD = 32  # as in every v18 preset


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """What is assumed where there is no panel, and what is looked at where there is one.

    run          run of the workspace to check; the preset's name where None
    haplotypes   R; the panel's, else that of the real chr20 example
    windows      W; the same
    window_size  L; the same
    strict       run the pre-flight checks of `train` on the workspace, and nothing else
    """

    run: str | None = None
    gpu_memory_gb: float = 80.0
    haplotypes: int | None = None
    windows: int | None = None
    window_size: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("haplotypes", "windows", "window_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        sizes = (self.haplotypes, self.windows, self.window_size)
        if self.strict and (any(sizes) or self.gpu_memory_gb != 80.0):
            raise ConfigError(
                "--strict looks at the stores and the machine that are there, so sizes and memory "
                "cannot be given with it."
            )
        if not self.gpu_memory_gb > 0:
            raise ConfigError(f"gpu_memory_gb must be above 0, got {self.gpu_memory_gb}")


def audit(
    settings: Config, workspace: Workspace | None, options: AuditOptions
) -> AuditReport | MosaicReport | Preflight:
    """Work out the report of a system; reads the stores of the workspace, writes nothing.

    Raises what `of_retrieval`, `audit_mosaic.report` and `stored_preflight.check` do.
    """
    if options.strict:
        return stored_preflight.check(settings, workspace or Workspace(Path()), options.run)
    if settings.system == "retrieval":
        return of_retrieval(settings, workspace, options)
    size = panel_size(workspace, options)
    counts = {"S": size.sites, "N": size.samples, "R": size.references}
    return audit_mosaic.report(settings, workspace, options.run, size=counts, source=size.source)


def of_retrieval(
    settings: Config, workspace: Workspace | None, options: AuditOptions
) -> AuditReport:
    """The report of a system of retrieval.

    workspace  None, or a folder without a panel, where there is nothing to check

    Raises StoreError where `options.run` is named and there is no panel or no such run.
    """
    size = panel_size(workspace, options)
    parameters = memory.count_parameters(settings.model)
    found: list[Check] = []
    versions, space, unmeasured = None, None, "there is no panel"
    if workspace is not None and workspace.panel.exists():
        found = store_checks.of_workspace(settings, workspace, options.run)
        versions = inventory.take(settings, workspace)
        space, unmeasured = stored_preflight.feature_space(settings, workspace, options.run)
    elif workspace is not None and options.run is not None:
        raise StoreError.missing(workspace.panel, made_by=schema.MADE_BY["panel"])
    return AuditReport(
        settings=settings,
        size=size,
        shapes=shapes(settings, size),
        parameters=parameters,
        block_parameters=12 * settings.model.width**2 * settings.model.num_layers,
        memory=memory_report(settings, size.length, options.gpu_memory_gb),
        disk=disk_report(settings, size),
        checks=found,
        inventory=versions,
        feature_space=space,
        unmeasured=unmeasured,
    )


def panel_size(workspace: Workspace | None, options: AuditOptions) -> PanelSize:
    """The panel's counts, the flags over them, and the chr20 example where neither says."""
    if workspace is not None and workspace.panel.exists():
        with open_panel(workspace.panel) as panel:
            known = PanelSize(
                sites=len(panel.sites),
                samples=len(panel.samples),
                references=len(panel.samples.haplotypes(site_tables.TRAIN)),
                windows=len(panel.windows),
                length=panel.length,
                source=str(workspace.panel),
            )
    else:
        known = PanelSize(
            sites=25_000, samples=2_504, references=4_508, windows=26, length=1030,
            source="the size of the chr20 example",
        )  # fmt: skip
    flags = {
        "references": options.haplotypes,
        "windows": options.windows,
        "length": options.window_size,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    if not given:
        return known
    return dataclasses.replace(known, **given, source=f"{known.source}, with flags over it")


def shapes(settings: Config, size: PanelSize) -> list[Shape]:
    """Every value from VCF to logits; those of the network as it returned them."""
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
    """What the network returned on fake tensors; blocks alike in shape are one line."""
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
    """What a step takes, and what else would fit."""
    usable = int(USABLE_SHARE * gpu_memory_gb * GB)
    batch_size = settings.training.batch_size
    step = _step(settings, length, batch_size)
    return MemoryReport(
        gpu_memory_gb=gpu_memory_gb,
        usable_bytes=usable,
        precision=_precision(settings),
        batch_size=batch_size,
        step=step,
        fits=step.total <= usable,
        largest_batch=_largest_batch(settings, length, usable),
        largest_preset=_largest_preset(length, usable),
        largest_width=_largest_width(settings, length, usable),
    )


def disk_report(settings: Config, size: PanelSize) -> DiskReport:
    """Bytes of both embedding layouts and both kinds of index; 0 for those it has no use for."""
    width, packed = settings.model.width, -(-size.length // 8)
    row = size.length * width * memory.BYTES_OF_FLOAT32
    needs = {
        "codebook_embeddings": embeddings.codebook_bytes(size.windows, size.length, width),
        "dense_embeddings": embeddings.dense_bytes(
            size.windows, size.references, size.length, width
        ),
        "exact_index": size.windows * packed * (size.references + BIT_PATTERN_BYTES),
        "dense_index": size.windows * size.references * row,
    }
    if settings.retrieval.space == "none":
        needs["exact_index"] = 0
    if settings.retrieval.space != "embedding":
        needs["dense_index"] = 0
    if not settings.reads_embeddings:
        needs["codebook_embeddings"] = needs["dense_embeddings"] = 0
    return DiskReport(**needs)


def _precision(settings: Config) -> str:
    """Number format on the GPU that is asked about, which is taken to have bf16."""
    chosen = settings.training.precision
    return "bf16" if chosen == "auto" else chosen


@lru_cache(maxsize=64)
def _step(settings: Config, length: int, batch_size: int) -> StepMemory:
    return memory.measure_step(
        settings.model,
        settings.retrieval,
        settings.loss,
        length,
        batch_size,
        half=_precision(settings) != "fp32",
    )


def _largest_batch(settings: Config, length: int, usable: int) -> int:
    """Activations grow linearly with the batch, from a constant part."""
    batch = settings.training.batch_size
    once, twice = (_step(settings, length, samples) for samples in (batch, 2 * batch))
    each = (twice.activations - once.activations) / batch
    return max(0, batch + math.floor((usable - once.total) / each))


def _largest_preset(length: int, usable: int) -> str | None:
    """The preset with most parameters that fits at its own batch."""
    known = [presets.get(name) for name in presets.of_system("retrieval")]
    known.sort(key=lambda c: sum(memory.count_parameters(c.model).values()), reverse=True)
    fitting = (c for c in known if _step(c, length, c.training.batch_size).total <= usable)
    return next((c.preset for c in fitting), None)


def _largest_width(settings: Config, length: int, usable: int) -> int:
    """Widest network of DEEP layers, in steps of a head of 32 channels, at this batch.

    Bytes are nearly a quadratic of the width; it leads close to the edge, which is then walked to.
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
    """Bytes of a step of DEEP layers, from those of 1 and 2: a layer adds the same each time."""
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
