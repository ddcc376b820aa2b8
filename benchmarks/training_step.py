"""Time of a training step, and the share of it that is spent outside the network.

    python benchmarks/training_step.py WORKSPACE [--preset NAME | --config FILE] [--device auto]

Measures the whole step on real batches (search, loading, copies, forward, backward, optimizer), the
same step on one batch that is on the device already, and forward and backward of the transformer on
random tensors. Each figure is the median of the repeats.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.domain import masks
from vcfbert.domain.sites import TRAIN
from vcfbert.pipelines.systems import training_run
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine
from vcfbert.training.systems import encoding, loading, loop, schedule
from vcfbert.training.systems.batches import Batch, BatchMaker
from vcfbert.training.systems.loop import TrainState, WindowTables
from vcfbert.training.systems.objective import Counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--preset", default="v18-large")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, help="samples; default: of the preset")
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    found = measure(
        Workspace(arguments.workspace),
        chosen_settings(arguments),
        devices.choose_device(arguments.device),
        arguments.steps,
    )
    print(text(found))


def measure(
    workspace: Workspace, settings: Config, device: torch.device, steps: int
) -> dict[str, str | int | float]:
    """One row: sizes, the device, medians of milliseconds, TFLOP and memory."""
    with open_panel(workspace.panel) as panel:
        index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
        state = loop.new_state(
            settings.model,
            settings.training,
            settings.seed,
            device,
            focal_gamma=settings.loss.focal_gamma,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "embeddings.zarr"
            training_run.encode(
                path, encoding.new_encoder(settings.model, settings.seed), panel, index
            )
            with open_embeddings(path) as embeddings:
                maker = BatchMaker(panel, index, embeddings, settings.retrieval)
                return _row(settings, maker, state, steps)


def chosen_settings(arguments: argparse.Namespace) -> Config:
    """The preset or the file, with one batch in each step, so that steps can be compared."""
    if arguments.config is None:
        settings = presets.get(arguments.preset)
    else:
        settings = config.merge(Config(), config.load(arguments.config), source="--config")
    return single_batches(settings, arguments.batch_size)


def single_batches(settings: Config, batch_size: int | None) -> Config:
    """The settings with one batch in each step, of this many samples if it is not None."""
    changes = {"accumulation": 1, "max_minutes": 0.0, "batches_per_epoch": 0}
    if batch_size is not None:
        changes["batch_size"] = batch_size
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **changes))


def _row(
    settings: Config, maker: BatchMaker, state: TrainState, steps: int
) -> dict[str, str | int | float]:
    is_masked = masks.draw_masks(maker.panel.windows, seed=1, role="train", version=0, rate=0.5)
    samples = maker.panel.samples.in_splits(TRAIN)
    plan = schedule.plan_epoch(
        samples, len(maker.panel.windows), settings.training, seed=1, epoch=0
    )[: steps + 3]
    tables = WindowTables(maker, settings.training.rare_maf, state.device)
    whole, make_seconds = real_steps(state, settings, maker, is_masked, plan, tables)
    batch = maker.make(plan[0].window, plan[0].samples, is_masked[plan[0].window])
    ready = timed(lambda: step(state, settings, batch, tables), state, steps)
    flops = count_flops(state, settings, batch, tables)
    alone, alone_flops = transformer_alone(state, batch, tables, steps)
    is_cuda = state.device.type == "cuda"
    return {
        "preset": settings.preset,
        "device": machine.describe(state.device),
        "precision": str(state.precision.dtype).removeprefix("torch."),
        "batch_samples": len(batch.samples),
        "window_sites": batch.query_tokens.shape[1],
        "neighbours": batch.neighbours.shape[1],
        "step_ms": 1000 * whole,
        "make_batch_ms": 1000 * make_seconds,
        "ready_step_ms": 1000 * ready,
        "transformer_ms": 1000 * alone,
        "outside_network": 1 - min(ready / whole, 1),
        "transformer_share": alone / whole,
        "step_tflop": flops / 1e12,
        "tflop_per_s": flops / whole / 1e12,
        "transformer_tflop": alone_flops / 1e12,
        "transformer_tflop_per_s": alone_flops / alone / 1e12,
        "peak_gpu_gb": (
            torch.cuda.max_memory_allocated(state.device) / 1e9 if is_cuda else math.nan
        ),
    }


def text(row: Mapping[str, str | int | float]) -> str:
    """The row of `measure`, a line for each figure."""
    lines = [
        "{preset}: {batch_samples} samples of {window_sites} sites, K {neighbours},",
        "  on {device}, {precision}",
        "whole step, real batches          {step_ms:10.1f} ms",
        "  making a batch, in background   {make_batch_ms:10.1f} ms",
        "step on a ready batch             {ready_step_ms:10.1f} ms",
        "transformer alone, random tensors {transformer_ms:10.1f} ms",
        "outside the network               {outside_network:10.3f} of a step",
        "transformer alone / whole step    {transformer_share:10.3f}",
        "step {step_tflop:.3f} TFLOP: {tflop_per_s:.2f} TFLOP/s achieved",
        "transformer {transformer_tflop:.3f} TFLOP: {transformer_tflop_per_s:.2f} TFLOP/s",
    ]
    if not math.isnan(float(row["peak_gpu_gb"])):
        lines.append("peak GPU memory {peak_gpu_gb:.2f} GB")
    return "\n".join(lines).format(**row)


def real_steps(
    state: TrainState,
    settings: Config,
    maker: BatchMaker,
    is_masked: object,
    plan: list[schedule.Work],
    tables: WindowTables,
) -> tuple[float, float]:
    """Median seconds of a training step, and of making a batch."""
    state.model.train()
    seconds, made = [], []
    begun = time.perf_counter()
    for loaded in loading.prefetch(
        plan, lambda work: maker.make(work.window, work.samples, is_masked[work.window])
    ):
        step(state, settings, loaded.batch, tables)
        synchronise(state)
        now = time.perf_counter()
        seconds.append(now - begun)
        made.append(loaded.make_seconds)
        begun = now
    return statistics.median(seconds[3:]), statistics.median(made[3:])


def step(state: TrainState, settings: Config, batch: Batch, tables: WindowTables) -> None:
    """Forward, backward and the optimizer."""
    found, _ = loop.forward(state, batch, tables, settings.loss)
    loss = found.total(Counted.in_batch(batch))
    state.scaler.scale(loss).backward()
    state.scaler.unscale_(state.optimizer)
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.training.gradient_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)


def count_flops(state: TrainState, settings: Config, batch: Batch, tables: WindowTables) -> float:
    with FlopCounterMode(display=False) as counter:
        step(state, settings, batch, tables)
    return float(counter.get_total_flops())


def transformer_alone(
    state: TrainState, batch: Batch, tables: WindowTables, steps: int
) -> tuple[float, float]:
    """Seconds and FLOP of the blocks, forward and backward, on random states."""
    features, _ = tables.of(batch.window)
    shape = (*batch.query_tokens.shape, state.model.settings.width)
    states = torch.randn(shape, device=state.device, requires_grad=True)
    autocast = torch.autocast(
        state.device.type, dtype=state.precision.dtype, enabled=state.precision.is_mixed
    )

    def run() -> None:
        with autocast:
            out = state.model.transform(states, features)
        out.float().sum().backward()
        state.optimizer.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter:
        run()
    return timed(run, state, steps), float(counter.get_total_flops())


def timed(run: Callable[[], None], state: TrainState, repeats: int) -> float:
    """Median seconds, after two runs to warm up."""
    seconds = []
    for _ in range(repeats + 2):
        begun = time.perf_counter()
        run()
        synchronise(state)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[2:])


def synchronise(state: TrainState) -> None:
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)


if __name__ == "__main__":
    main()
