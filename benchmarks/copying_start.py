"""Published and present systems on test samples, from the start that copies to the end of training.

    python benchmarks/copying_start.py WORKSPACE --typed typed.random{30,50,80}.tsv --steps 2000

trains each variant with each seed and prints log loss, r2, F1, rare F1 and IQS of the test samples:
of copying only, of V17 and V18 as published, and of V18 here with one part after the other: the
focal loss from a start that fits it, cross-entropy, folds, populations. The sizes are those of
ablation.py. A table takes hours, so parts can be made one at a time:

    ... --variants "here, folds" --seeds 2 --train-only

Finished runs are not trained again and stopped ones are resumed; finished comparisons are read.
"""

from __future__ import annotations

import argparse
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ablation
import systems_tasks
from comparison import tables, tasks

VARIANTS = (
    "v17 published",
    "v18 published",
    "here, focal loss",
    "here, cross-entropy",
    "here, folds",
    "here, folds and population",
)
EPOCHS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--typed", type=Path, nargs="+", default=[])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=4, help="samples in a batch")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument(
        "--variants", nargs="+", default=list(VARIANTS), choices=list(ablation.VARIANTS)
    )
    parser.add_argument("--train-only", action="store_true", help="compare nothing yet")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of a thread each")
    parser.add_argument("--vcfbert", type=Path, default=Path(sys.executable).with_name("vcfbert"))
    parser.add_argument("--results", type=Path, default=tasks.RESULTS)
    parser.add_argument("--name", default="copying-start", help="of the CSV files")
    arguments = parser.parse_args()
    arguments.epochs = min(EPOCHS, arguments.steps)
    ablation.SCHEDULE["training.batch_size"] = arguments.batch_size
    arguments.batches = math.ceil(arguments.steps / arguments.epochs)
    wanted = [(name, seed) for seed in arguments.seeds for name in arguments.variants]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        made = pool.map(lambda one: ablation.train(arguments, *one), wanted)
        for (name, seed), how in zip(wanted, made, strict=True):
            print(f"{name}, seed {seed}: {how}", flush=True)
    rows = [row for name in arguments.variants for row in ablation.spread(arguments, name)]
    tables.write_csv(arguments.results / f"{arguments.name}-validation.csv", rows)
    print(f"\nValidation\n{ablation.text(rows)}")
    if arguments.train_only:
        return
    found: list[systems_tasks.Row] = []
    for seed in arguments.seeds:
        for typed in arguments.typed:
            found += systems_tasks.compared(arguments, seed, typed)
            tables.write_csv(arguments.results / f"{arguments.name}.csv", found)
    print(f"\n{arguments.split} samples\n{systems_tasks.text(found, arguments.variants)}")


if __name__ == "__main__":
    main()
