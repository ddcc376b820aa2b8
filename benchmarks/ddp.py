"""Wall time of an optimizer step with 1, 2 and 4 processes, and how far their losses differ.

    python benchmarks/ddp.py WORKSPACE [--ranks 1 2 4] [--csv FILE]

Trains `tiny` for 50 steps and `v18-large`, with fewer samples in a batch, for a few, on the CPU
(gloo). The processes of a row share the threads of the machine, as with `train --devices`. The
global batch is the same in all rows, so the losses should be, too; `difference` is the largest
difference of a step from the first row of the preset. `load` is the load average of the machine
before the row: the times are valid only if it is near 0.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.domain.sites import TRAIN
from vcfbert.progress import Progress, Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training import devices
from vcfbert.training.systems import encoding, loop, masking, rank_processes, schedule, scores
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.indexing import IndexedOnDemand
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.rank_processes import Shared
from vcfbert.training.systems.ranks import Ranks

COLUMNS = (
    "preset", "parameters", "batch_samples", "ranks", "threads_each", "cores", "load", "steps",
    "step_ms", "speedup", "last_loss", "difference",
)  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """Optimizer steps of one system; can be pickled."""

    panel: Path
    settings: Config
    steps: int

    def __call__(
        self, together: Ranks, device: str, progress: Progress
    ) -> tuple[list[float], list[float], int]:
        """The loss and the seconds of each step, and the number of parameters."""
        settings, training = self.settings, self.settings.training
        with open_panel(self.panel) as panel:
            encoder = encoding.new_encoder(settings.model, settings.seed)
            maker = BatchMaker(
                panel,
                IndexedOnDemand(panel),
                encoding.EncodedOnDemand(encoder, panel),
                settings.retrieval,
            )
            state = loop.new_state(
                settings.model,
                training,
                settings.seed,
                devices.choose_device(device),
                focal_gamma=settings.loss.focal_gamma,
            )
            masks = masking.plan(settings.masks, settings.seed, panel).of_training(0, 0.5)
            samples = panel.samples.in_splits(TRAIN)
            watch = Watch(self.steps)
            while watch.left:
                plan = schedule.plan_epoch(
                    samples, len(panel.windows), training, seed=1, epoch=state.epoch
                )
                loop.train_epoch(
                    state, training, settings.loss, maker, masks, plan, watch, seed=1,
                    together=together,
                )  # fmt: skip
                state.epoch, state.batch = state.epoch + 1, 0
            return watch.losses, watch.seconds, sum(p.numel() for p in state.model.parameters())


class Watch:
    """Notes the loss and the seconds of each step until there are enough."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._counts = None
        self._begun = time.perf_counter()

    def __call__(self, state: TrainState, rate: float) -> bool:
        """Note a step; False after the last."""
        now = time.perf_counter()
        self.seconds.append(now - self._begun)
        counts = state.counts.clone()
        step = counts if self._counts is None else counts - self._counts
        self.losses.append(scores.summarise(step).loss)
        self._counts, self._begun = counts, now
        self.left -= 1
        return self.left > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=50, help="of tiny")
    parser.add_argument("--large-steps", type=int, default=8, help="of v18-large; 0 leaves it out")
    parser.add_argument("--large-batch", type=int, default=4, help="samples in its batches")
    parser.add_argument("--csv", type=Path)
    chosen = parser.parse_args()
    plain = {"accumulation": 1, "batches_per_epoch": 0, "max_minutes": 0.0, "folds": 0}
    runs = [("tiny", chosen.steps, plain)]
    if chosen.large_steps:
        large = plain | {"batch_size": chosen.large_batch}
        runs.append(("v18-large", chosen.large_steps, large))
    rows = []
    for name, steps, training in runs:
        settings = config.merge(presets.get(name), {"training": training}, source="benchmark")
        rows += measured(Timed(chosen.workspace / "panel.zarr", settings, steps), chosen.ranks)
    if chosen.csv is not None:
        with chosen.csv.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def measured(work: Timed, ranks: list[int]) -> list[dict[str, object]]:
    """A row for each number of processes, printed as it is made."""
    rows: list[dict[str, object]] = []
    first: tuple[list[float], float] | None = None
    cores = os.cpu_count() or 1
    for count in ranks:
        load, threads = os.getloadavg()[0], max(1, cores // count)
        shared = Shared(work, ["cpu"] * count, threads)
        losses, seconds, parameters = rank_processes.run(shared, Silent())
        step = 1000 * statistics.median(seconds[1:])  # the first starts everything
        first = first or (losses, step)
        values = (
            work.settings.preset, parameters, work.settings.training.batch_size, count, threads,
            cores, f"{load:.1f}", len(losses), f"{step:.1f}", f"{first[1] / step:.2f}",
            f"{losses[-1]:.6f}",
            f"{max(abs(a - b) for a, b in zip(losses, first[0], strict=True)):.1e}",
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        if len(rows) == 1:
            print(*COLUMNS, sep="\t")
        print(*values, sep="\t")
        sys.stdout.flush()
    return rows


if __name__ == "__main__":
    main()
