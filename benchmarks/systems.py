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
from dataclasses import dataclass, field
from pathlib import Path

import torch
from training_step import step, synchronise

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.domain import masks
from vcfbert.domain.sites import TRAIN
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
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
    device = devices.choose_device(arguments.device)
    with open_panel(Workspace(arguments.workspace).panel) as panel:
        contestants = [
            enter(panel, settings_of(name, arguments), device, arguments.rounds)
            for name in arguments.systems
        ]
        for number in range(arguments.rounds + 1):
            for contestant in contestants:
                one_round(contestant, number)
    report(contestants, panel.length)


def settings_of(name: str, arguments: argparse.Namespace) -> Config:
    """A preset with the common sizes and batch."""
    changes = {
        "model": {
            "width": arguments.width,
            "num_layers": arguments.layers,
            "num_heads": arguments.heads,
        },
        "training": {"batch_size": arguments.batch_size, "accumulation": 1},
    }
    return config.merge(presets.get(name), changes, source=name)


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


def report(contestants: list[Contestant], length: int) -> None:
    first = contestants[0]
    model, training = first.settings.model, first.settings.training
    print(f"D {model.width}, {model.num_layers} layers, {model.num_heads} heads, L {length}, ")
    print(f"{training.batch_size} samples a batch, on {first.state.device}, ", end="")
    print(f"{first.state.precision.dtype}, {torch.get_num_threads()} CPU threads")
    print(f"{'':14}{'K':>4}{'batch ms':>10}{'forward ms':>12}{'making ms':>11}{'peak MB':>10}")
    figures = []
    for one in contestants:
        is_cuda = one.state.device.type == "cuda"
        half = one.state.precision.is_mixed
        counted = memory.measure_step(
            one.settings.model,
            one.settings.retrieval,
            one.settings.loss,
            length,
            training.batch_size,
            half=half,
        )
        peak = one.peak if is_cuda else counted.activations
        ms = statistics.median(one.step_ms)
        figures.append((ms, peak))
        print(
            f"{one.settings.preset:14}{one.settings.retrieval.num_neighbours:>4}{ms:>10.0f}"
            f"{statistics.median(one.forward_ms):>12.0f}{statistics.median(one.make_ms):>11.1f}"
            f"{peak / 1e6:>10.0f}"
        )
    (ms, peak), (other_ms, other_peak) = figures[0], figures[-1]
    names = f"{first.settings.preset} / {contestants[-1].settings.preset}"
    print(
        f"{names}: {ms / other_ms:.2f} times the ms, {peak / other_peak:.2f} times the memory",
        end="",
    )
    print(f" (published V17 / V18: {PUBLISHED['ms']:.2f}, {PUBLISHED['bytes']:.2f})")


if __name__ == "__main__":
    main()
