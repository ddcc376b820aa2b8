"""Report of `audit-dims` on a system of retrieval, as text and JSON.

Letters as in docs/glossary.md: S sites, N samples, W windows, L sites in a window, R reference
haplotypes, B query haplotypes, K neighbours, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from vcfbert import plurals
from vcfbert.config import Config
from vcfbert.errors import StoreError
from vcfbert.pipelines.auditing.inventory import Inventory
from vcfbert.pipelines.systems.store_checks import Check
from vcfbert.training.systems.alignment import FeatureSpace
from vcfbert.training.systems.memory import StepMemory

PUBLISHED_PARAMETERS = {
    "v18-published": "8M",
    "v18-current": "8M",
    "v18-medium": "15M",
    "v18-large": "18M",
    "v18-xl": "43M",
    "v18-deep": "58M",
    "v18-max": "76M",
}
USABLE_SHARE = 0.9  # the rest is for the CUDA context, scratch space of kernels and fragmentation
DEEP = 12
"""Layers of the network whose largest width is searched for."""
TENSORS = 12
"""Kinds of tensors that are listed; the others are summed up in one line."""


@dataclass(frozen=True)
class PanelSize:
    """Sizes of a panel.

    source  where the numbers come from
    """

    sites: int
    samples: int
    references: int
    windows: int
    length: int
    source: str


@dataclass(frozen=True)
class Shape:
    """Shape of one array on the way from VCF to logits."""

    stage: str
    letters: str
    numbers: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class MemoryReport:
    """Memory of a training step on a GPU.

    largest_batch   samples per batch of this system that fit; 0 if not even one does
    largest_preset  preset with the most parameters that fits at its own batch size, if any
    largest_width   widest network of `DEEP` layers that fits at this batch size; 0 if none does
    """

    gpu_memory_gb: float
    usable_bytes: int
    precision: str
    batch_size: int
    step: StepMemory
    fits: bool
    largest_batch: int
    largest_preset: str | None
    largest_width: int


@dataclass(frozen=True)
class DiskReport:
    """Bytes of the stores of all windows.

    dense_embeddings  complete and masked ones, with the codebook that queries need
    exact_index       one bit per allele, and per window FAISS's table of the 256 bit patterns
    fast_index        the same with one more byte per haplotype, and a table of 16 patterns
    """

    codebook_embeddings: int
    dense_embeddings: int
    exact_index: int
    fast_index: int
    dense_index: int


@dataclass(frozen=True)
class AuditReport:
    """Report of `audit-dims` on a system of retrieval.

    inventory      stores of the workspace and their versions; None without a panel
    feature_space  queries compared with their neighbours; if None, `unmeasured` says why
    """

    settings: Config
    size: PanelSize
    shapes: list[Shape]
    parameters: dict[str, int]
    block_parameters: int
    memory: MemoryReport
    disk: DiskReport
    checks: list[Check]
    inventory: Inventory | None
    feature_space: FeatureSpace | None
    unmeasured: str

    def lines(self) -> list[str]:
        """The report as text."""
        return [
            *_title_lines(self),
            *_shape_lines(self.shapes),
            *_parameter_lines(self),
            *_memory_lines(self.memory),
            *_tensor_lines(self.memory.step),
            *_disk_lines(self.disk, self.size),
            *_check_lines(self.checks),
            *(self.inventory.lines() if self.inventory is not None else []),
            *_feature_lines(self.feature_space, self.unmeasured),
        ]

    def to_json(self) -> str:
        """The report for programs."""
        record = dataclasses.asdict(self)
        record["memory"]["step"]["total"] = self.memory.step.total
        record["published_parameters"] = PUBLISHED_PARAMETERS.get(self.settings.preset)
        return json.dumps(record, indent=1)

    def raise_mismatch(self) -> None:
        """Raise StoreError naming the checks that failed, the first with its remedy."""
        failed = [check for check in self.checks if not check.holds]
        if failed:
            others = ", ".join(check.what for check in failed[1:])
            raise StoreError(failed[0].sentence() + (f"; also failed: {others}" if others else ""))


def _title_lines(report: AuditReport) -> list[str]:
    model, size = report.settings.model, report.size
    return [
        f"{report.settings.preset}: D = {model.width}, {plurals.of(model.num_layers, 'layer')}, "
        f"{plurals.of(model.num_heads, 'head')}, K = {report.settings.retrieval.num_neighbours}, "
        f"{plurals.of(report.settings.training.batch_size, 'sample')} x "
        f"{plurals.of(report.settings.training.accumulation, 'batch', 'batches')} per step",
        f"panel: S = {size.sites:,}, N = {size.samples:,}, R = {size.references:,}, "
        f"W = {size.windows:,}, L = {size.length:,} ({size.source})",
    ]


def _shape_lines(rows: Sequence[Shape]) -> list[str]:
    lines = ["", "shapes"]
    for row in rows:
        numbers = " x ".join(f"{number:,}" for number in row.numbers)
        lines.append(f"  {row.stage:26}{row.letters:12}{numbers:34}{row.dtype}")
    return lines


def _parameter_lines(report: AuditReport) -> list[str]:
    lines = ["", "parameters"]
    lines += [f"  {part:26}{count:>14,}" for part, count in report.parameters.items()]
    lines += [
        f"  {'all':26}{sum(report.parameters.values()):>14,}",
        f"  {'12 D^2 layers':26}{report.block_parameters:>14,}",
    ]
    published = PUBLISHED_PARAMETERS.get(report.settings.preset)
    if published is not None:
        lines.append(
            f"  {'published':26}{published:>14}  about twice 12 D^2 layers "
            f"({2 * report.block_parameters / 1e6:.1f}M)"
        )
    return lines


def _memory_lines(report: MemoryReport) -> list[str]:
    step = report.step
    verdict = "fits" if report.fits else "does not fit"
    rows = {
        "weights": step.weights,
        "gradients": step.gradients,
        "AdamW states": step.optimizer,
        "activations": step.activations,
        "all": step.total,
    }
    return [
        "",
        f"memory of a training step, {plurals.of(report.batch_size, 'sample')}, {report.precision}",
        *(f"  {name:26}{_size(count):>14}" for name, count in rows.items()),
        f"  on a GPU of {report.gpu_memory_gb:g} GB, {USABLE_SHARE:.0%} of it usable: {verdict}",
        f"  {'largest batch':26}{report.largest_batch:>14,}  samples",
        f"  {'largest preset':26}{report.largest_preset or 'none':>14}  at its own batch size",
        f"  {'largest width':26}{report.largest_width:>14,}  with {DEEP} layers at this batch size",
    ]


def _tensor_lines(step: StepMemory) -> list[str]:
    """The largest kinds of tensors after the forward pass and at the peak of backward."""
    lines = [
        "",
        "activations by tensor, after the forward pass and at the peak",
        f"  {'all':14}{'':34}{_size(step.forward):>12}{_size(step.activations):>12}",
    ]
    shown, others = step.tensors[:TENSORS], step.tensors[TENSORS:]
    for one in shown:
        shape = " x ".join(f"{number:,}" for number in one.shape)
        forward, fullest = (
            _size(count * one.bytes_each) if count else "-" for count in (one.forward, one.fullest)
        )
        lines.append(
            f"  {one.part:14}{f'{shape} {one.dtype}':34}{forward:>12}{fullest:>12}  "
            f"{max(one.forward, one.fullest)} of them"
        )
    if others:
        forward_bytes = sum(one.bytes_each * one.forward for one in others)
        fullest_bytes = sum(one.bytes_each * one.fullest for one in others)
        lines.append(
            f"  {'others':14}{f'{len(others)} kinds':34}{_size(forward_bytes):>12}"
            f"{_size(fullest_bytes):>12}"
        )
    return lines


def _feature_lines(found: FeatureSpace | None, unmeasured: str) -> list[str]:
    if found is None:
        return ["", f"feature space: not measured, {unmeasured}"]
    rows = {
        "norm, raw": (found.query_norm, found.retrieved_norm),
        "norm, after emb_fusion": (found.fused_query_norm, found.fused_retrieved_norm),
    }
    apart = {
        "distance, raw": (found.visible_distance, found.hidden_distance),
        "distance, after emb_fusion": (found.fused_visible_distance, found.fused_hidden_distance),
    }
    return [
        "",
        f"feature space, {found.queries:,.0f} queries of validation samples",
        f"  {'mean per site':30}{'query':>12}{'retrieved':>12}",
        *(f"  {name:30}{one:>12.4f}{two:>12.4f}" for name, (one, two) in rows.items()),
        f"  {'query to nearest':30}{'visible':>12}{'hidden':>12}",
        *(f"  {name:30}{one:>12.4f}{two:>12.4f}" for name, (one, two) in apart.items()),
        f"  squared distance under the mask: {found.found_distance:.5g} from the search, "
        f"{found.true_distance:.5g} from the embeddings, largest relative difference "
        f"{found.largest_error:.1e}",
        f"  nearest neighbour correct at {found.nearest_right:.2%} of hidden alleles, a random "
        f"reference at {found.random_right:.2%}",
        f"  nearest neighbour correct at 99 % of hidden sites for {found.queries_right:.1%} of "
        "queries",
    ]


def _disk_lines(report: DiskReport, size: PanelSize) -> list[str]:
    rows = {
        "embeddings, codebook": report.codebook_embeddings,
        "embeddings, dense": report.dense_embeddings,
        "index, exact": report.exact_index,
        "index, fast": report.fast_index,
        "index, dense": report.dense_index,
    }
    if not any(rows.values()):
        return ["", "disk: only the panel"]
    return [
        "",
        f"disk for R = {size.references:,} and W = {size.windows:,}, before compression",
        *(
            f"  {name:26}{_size(count):>14}  {_size(count / size.windows)} per window"
            for name, count in rows.items()
            if count
        ),
    ]


def _check_lines(found: Sequence[Check]) -> list[str]:
    if not found:
        return ["", "no panel in this workspace, so no stores to check"]
    return ["", "stores", *(f"  {check.line()}" for check in found)]


def _size(count: float) -> str:
    """Bytes in decimal units.

    >>> _size(2_500_000)
    '2.50 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"
