"""Time and peak memory of a training step of V17 and V18, with equal sizes and batches.

    python benchmarks/systems.py WORKSPACE [--batch-size 16] [--width 192 --layers 10 --heads 6]

The published figures are 18 GB and 215 ms for a batch of V17, 10.6 GB and 125 ms for V18: ratios
of 1.70 and 1.72. Batches are real. Rounds of the systems alternate, and each figure is a median, so
that other work of the machine affects all systems equally. Peak memory is that of tensors: on a GPU
as counted by the allocator, on a CPU the live bytes at the peak of the same step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from training_step import step, synchronise

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.domain import masks
from vcfbert.domain.sites import TRAIN
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine
from vcfbert.training.systems import encoding, loop, memory, schedule
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.loop import TrainState, WindowTables

PUBLISHED = {"ms": 215 / 125, "bytes": 18 / 10.6}


@dataclass
class Contestant:
    """A system ready for training steps, and the measurements of its steps."""

    settings: Config
    state: TrainState
    batches: list[Batch]
    tables: WindowTables
    make_ms: list[float]
    step_ms: list[float] = field(default_factory=list)
    forward_ms: list[float] = field(default_factory=list)
    peak: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--systems", nargs="+", default=["v17", "v18-current"])
    parser.add_argument("--batch-size", type=int, default=16, help="samples, the same for all")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    changes = changes_of(arguments.width, arguments.layers, arguments.heads, arguments.batch_size)
    rows = measure(
        Workspace(arguments.workspace),
        [config.merge(presets.get(name), changes, source=name) for name in arguments.systems],
        devices.choose_device(arguments.device),
        arguments.rounds,
    )
    print(text(rows))


def measure(
    workspace: Workspace, systems: Sequence[Config], device: torch.device, rounds: int
) -> list[dict[str, str | int | float]]:
    """A row for each system, with medians of milliseconds and the peak memory of a step."""
    with open_panel(workspace.panel) as panel:
        contestants = [enter(panel, settings, device, rounds) for settings in systems]
        for number in range(rounds + 1):
            for contestant in contestants:
                one_round(contestant, number)
    return [_row(contestant, panel.length) for contestant in contestants]


def changes_of(width: int, layers: int, heads: int, batch_size: int) -> dict[str, Any]:
    """The common sizes and batch, to be merged with a preset."""
    return {
        "model": {"width": width, "num_layers": layers, "num_heads": heads},
        "training": {"batch_size": batch_size, "accumulation": 1},
    }


def enter(panel: PanelReader, settings: Config, device: torch.device, rounds: int) -> Contestant:
    """Make the batches of all rounds and one for the warm-up, with the same samples for each."""
    embeddings = None
    if settings.reads_embeddings:
        embeddings = encoding.EncodedOnDemand(
            encoding.new_encoder(settings.model, settings.seed), panel
        )
    maker = BatchMaker(panel, IndexedOnDemand(panel), embeddings, settings.retrieval)
    is_masked = masks.draw_masks(panel.windows, seed=1, role="train", version=0, rate=0.5)
    samples = panel.samples.in_splits(TRAIN)
    plan = schedule.plan_epoch(samples, 1, settings.training, seed=1, epoch=0)[: rounds + 1]
    batches, make_ms = [], []
    for work in plan:
        begun = time.perf_counter()
        batches.append(maker.make(work.window, work.samples, is_masked[work.window]))
        make_ms.append(1000 * (time.perf_counter() - begun))
    tables = WindowTables(maker, settings.training.rare_maf, device)
    return Contestant(
        settings,
        loop.new_state(
            settings.model,
            settings.training,
            settings.seed,
            device,
            focal_gamma=settings.loss.focal_gamma,
        ),
        batches,
        tables,
        make_ms,
    )


def one_round(contestant: Contestant, number: int) -> None:
    """A whole step, and a forward pass; round 0 is the warm-up and, on a GPU, gives the peak."""
    state, settings = contestant.state, contestant.settings
    batch = contestant.batches[number]
    is_cuda = state.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(state.device)
        before = torch.cuda.memory_allocated(state.device)
    begun = time.perf_counter()
    step(state, settings, batch, contestant.tables)
    synchronise(state)
    stepped = time.perf_counter()
    with torch.no_grad():
        loop.forward(state, batch, contestant.tables, settings.loss)
    synchronise(state)
    ended = time.perf_counter()
    if number == 0:
        return
    contestant.step_ms.append(1000 * (stepped - begun))
    contestant.forward_ms.append(1000 * (ended - stepped))
    if is_cuda:
        peak = torch.cuda.max_memory_allocated(state.device) - before
        contestant.peak = max(contestant.peak, peak)


def _row(contestant: Contestant, length: int) -> dict[str, str | int | float]:
    """Sizes and figures of a system."""
    settings, state = contestant.settings, contestant.state
    counted = memory.measure_step(
        settings.model,
        settings.retrieval,
        settings.loss,
        length,
        settings.training.batch_size,
        half=state.precision.is_mixed,
    )
    is_cuda = state.device.type == "cuda"
    return {
        "preset": settings.preset,
        "device": machine.describe(state.device),
        "precision": str(state.precision.dtype).removeprefix("torch."),
        "width": settings.model.width,
        "layers": settings.model.num_layers,
        "heads": settings.model.num_heads,
        "window_sites": length,
        "batch_samples": settings.training.batch_size,
        "neighbours": settings.retrieval.num_neighbours,
        "batch_ms": statistics.median(contestant.step_ms),
        "forward_ms": statistics.median(contestant.forward_ms),
        "make_batch_ms": statistics.median(contestant.make_ms),
        "peak_mb": (contestant.peak if is_cuda else counted.activations) / 1e6,
    }


def text(rows: Sequence[Mapping[str, str | int | float]]) -> str:
    """The rows of `measure` as a table, with the ratios of the first to the last."""
    lines = [
        "D {width}, {layers} layers, {heads} heads, L {window_sites}, {batch_samples} samples a "
        "batch, on {device}, {precision}".format(**rows[0]),
        f"{'':14}{'K':>4}{'batch ms':>10}{'forward ms':>12}{'making ms':>11}{'peak MB':>10}",
    ]
    shown = "{preset:14}{neighbours:>4}{batch_ms:>10.0f}{forward_ms:>12.0f}{make_batch_ms:>11.1f}"
    lines += [(shown + "{peak_mb:>10.0f}").format(**row) for row in rows]
    ms, peak = (float(rows[0][key]) / float(rows[-1][key]) for key in ("batch_ms", "peak_mb"))
    lines.append(
        f"{rows[0]['preset']} / {rows[-1]['preset']}: {ms:.2f} times the ms, {peak:.2f} times the "
        f"memory (published V17 / V18: {PUBLISHED['ms']:.2f}, {PUBLISHED['bytes']:.2f})"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
