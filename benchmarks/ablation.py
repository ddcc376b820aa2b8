"""Small runs of the systems that differ in one part at a time.

    python benchmarks/ablation.py WORKSPACE [--seeds 1 2 3] [--jobs 2]

The workspace has a prepared panel, its embeddings and indexes. All runs have the same width,
layers, batch size and steps; finished runs are not trained again, and stopped ones are resumed. The
table shows the last validation of each run: the mean over seeds, the lowest and the highest. The
column of the start has the log loss of the network before training. Compare differences with
that spread. Runs with the same seed are validated on the same samples with the same half of the
sites masked. `systems_tasks.py` compares some of them on test samples.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from comparison import tables, tasks

SHAPE = {"model.width": 64, "model.num_layers": 2, "model.num_heads": 4}
SCHEDULE = {
    "training.batch_size": 4,
    "training.accumulation": 1,
    "training.learning_rate": 2e-3,
    "training.warmup_steps": 20,
    "training.schedule": "cosine",
    "training.patience": 99,
    "training.validation_batches": 13,
    "training.checkpoint_every": 100_000,
}
EVEN = {"masks.levels": "[0.5]", "masks.start_rate": 0.5}
RISING = {
    "masks.levels": "[0.3,0.4,0.5,0.6,0.7,0.8]",
    "masks.start_rate": 0.3,
    "masks.epochs_per_level": 1,
}


def k(number: int) -> dict[str, object]:
    segments = {"retrieval.num_segments": 1} if number == 1 else {}
    return {"retrieval.num_neighbours": number} | segments


NEVER = {"refresh.masks_every": 0, "refresh.embeddings_every": 0}
TAUGHT = {"loss.contrastive_weight": 1.0}
KNOWN = {"model.population": "true"}
VOTES = {"model.votes": "true"}
SKIP = {"model.copy_skip": "true"}
BALANCED = {"masks.policy": "smart_balanced"}
ALONE = {"training.folds": 0}  # each sample is left out alone
FOCAL = {"loss.focal_gamma": 2.0}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "v13": ("v13", EVEN),
    "v17": ("v17", EVEN),
    "v18 K=1": ("v18-current", k(1) | EVEN),
    "v18 K=1, taught": ("v18-current", k(1) | EVEN | TAUGHT),
    "v18 K=4": ("v18-current", k(4) | EVEN),
    "v18 K=16": ("v18-current", k(16) | EVEN),
    "K=16, never refreshed": ("v18-current", k(16) | EVEN | NEVER),
    "K=16, smart_balanced": ("v18-current", k(16) | EVEN | BALANCED),
    "K=16, curriculum": ("v18-current", k(16) | RISING),
    "v13, population": ("v13", EVEN | KNOWN),
    "K=16, population": ("v18-current", k(16) | EVEN | KNOWN),
    "v17 published": ("v17-published", EVEN),
    "v17 published, masked": ("v17-published", EVEN | {"model.returned": "masked"}),
    "v18 published": ("v18-published", EVEN),
    "v18 published, votes": ("v18-published", EVEN | VOTES),
    "v18 published, votes and copying": ("v18-published", EVEN | VOTES | SKIP),
    "here, focal loss": ("v18-current", k(16) | EVEN | ALONE | FOCAL),
    "here, cross-entropy": ("v18-current", k(16) | EVEN | ALONE),
    "here, folds": ("v18-current", k(16) | EVEN),
    "here, folds and population": ("v18-current", k(16) | EVEN | KNOWN),
    "K=1, aligned false": ("v18-current", k(1) | EVEN | {"masks.align": "false"}),
}
SHOWN = {
    "start_log_loss": "log loss at the start",
    "val_log_loss": "log loss",
    "val_f1": "F1",
    "val_rare_f1": "rare F1",
    "val_common_f1": "common F1",
    "val_r2": "r2",
    "val_retrieval_agreement": "nearest right",
    "batch_ms": "ms a batch",
    "peak_mb": "peak MB",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, default=40, help="in an epoch")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of a thread each")
    parser.add_argument("--vcfbert", type=Path, default=Path(sys.executable).with_name("vcfbert"))
    parser.add_argument("--results", type=Path, default=tasks.RESULTS)
    parser.add_argument("--name", default="ablation", help="of the CSV file")
    arguments = parser.parse_args()
    wanted = [(name, seed) for seed in arguments.seeds for name in arguments.variants]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for (name, seed), told in zip(
            wanted, pool.map(lambda one: train(arguments, *one), wanted), strict=True
        ):
            print(f"{name}, seed {seed}: {told}", flush=True)
    rows = [row for name in arguments.variants for row in spread(arguments, name)]
    tables.write_csv(arguments.results / f"{arguments.name}.csv", rows)
    print(f"\n{text(rows)}")


def run_of(variant: str, seed: int) -> str:
    """Name of the folder of a run."""
    letters = "".join(letter if letter.isalnum() else "-" for letter in variant)
    return f"ablation-{letters}-{seed}"


def train(arguments: argparse.Namespace, variant: str, seed: int) -> str:
    """Train a run, or the rest of it if it was stopped; returns the result."""
    name = run_of(variant, seed)
    folder = arguments.workspace / "runs" / name
    if folder.is_dir():
        if epochs_of(folder) >= arguments.epochs:
            return "was there"
        call(arguments, ["train", "--run", name, "--resume", "--threads", "1", "--device", "cpu"])
        return "resumed"
    preset, settings = VARIANTS[variant]
    epochs = {
        "training.max_epochs": arguments.epochs,
        "training.batches_per_epoch": arguments.batches,
    }
    words = ["train", "--preset", preset, "--run", name, "--threads", "1", "--device", "cpu"]
    words += ["--mask-version", "new"]  # by the rate and the seed of the variant
    if preset == "v18-current":
        words += ["--embeddings", "new"]
    for key, value in (SHAPE | SCHEDULE | epochs | settings | {"seed": seed}).items():
        words += ["--set", f"{key}={value}"]
    call(arguments, words)
    return "trained"


def metrics_of(run: Path) -> list[dict[str, str]]:
    """Rows of the metrics of a run, from epoch 0 on; none before its validation is over."""
    path = run / "metrics.csv"
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def epochs_of(run: Path) -> int:
    """Epochs that a run has finished."""
    return max((int(row["epoch"]) for row in metrics_of(run)), default=0)


def figures_of(run: Path) -> dict[str, float]:
    """The last row of the metrics of a run, with its start and the training cost of a batch."""
    rows = metrics_of(run)
    found = {name: float(rows[-1][name]) for name in SHOWN if name in rows[-1]}
    found["start_log_loss"] = float(rows[0]["val_log_loss"])
    seconds, batches = (
        sum(float(row[name]) for row in rows) for name in ("train_seconds", "batches")
    )
    found["batch_ms"] = 1e3 * seconds / batches
    found["peak_mb"] = float(rows[-1]["peak_memory_bytes"]) / 1e6
    return found


def call(arguments: argparse.Namespace, words: Iterable[str]) -> None:
    """Run vcfbert; SystemExit with its output if it fails."""
    command = [str(arguments.vcfbert), *words, "--workspace", str(arguments.workspace), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def spread(arguments: argparse.Namespace, variant: str) -> list[dict[str, object]]:
    """Mean, lowest and highest over seeds of each quantity of a variant."""
    runs = [arguments.workspace / "runs" / run_of(variant, seed) for seed in arguments.seeds]
    found = [figures_of(run) for run in runs]
    rows: list[dict[str, object]] = []
    for name, title in SHOWN.items():
        values = np.array([one[name] for one in found])
        if np.isfinite(values).all():
            summary = {"mean": values.mean(), "lowest": values.min(), "highest": values.max()}
            rows.append({"variant": variant, "quantity": title} | summary)
    return rows


def text(rows: list[dict[str, object]]) -> str:
    """A line for each variant."""
    titles = list(SHOWN.values())
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        digits = 0 if row["quantity"] in ("ms a batch", "peak MB") else 4
        numbers = [f"{row[part]:.{digits}f}" for part in ("mean", "lowest", "highest")]
        shown = "{} ({} to {})".format(*numbers)
        cells.setdefault(str(row["variant"]), {})[str(row["quantity"])] = shown
    table = [[name, *(found.get(title, "-") for title in titles)] for name, found in cells.items()]
    return tables.text_table(["", *titles], table)


if __name__ == "__main__":
    main()
