"""Mutated inputs for every reader: none may crash, hang, end in a traceback or be read wrongly.

    python benchmarks/fuzz.py [--inputs 120000] [--seconds S] [--readers "BCF,FAISS file"]
        [--seed 1] [--keep FOLDER] [--out benchmarks/results/fuzz.csv]
    python benchmarks/fuzz.py --show "BCF" 1234

Inputs are shared out over the readers, slow ones get fewer; --seconds bounds each reader. Every
input comes from the seed, the reader's name and its number, so --show makes it again and reads it.
Accepted files are compared with what another parser finds in them. Columns of the CSV: reader,
inputs, accepted, refused (a VcfbertError), other (any other exception, or a wrong answer), crashes,
hangs (over 20 s), seconds, inputs a second, peak MB (growth of the process over all its inputs).
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.fuzzing import campaign, readers, seeds  # noqa: E402
from benchmarks.fuzzing.campaign import Outcome  # noqa: E402

COLUMNS = ("reader", "inputs", "accepted", "refused", "other", "crashes", "hangs", "seconds",
           "inputs_per_second", "peak_mb", "seed")  # fmt: skip


def row(outcome: Outcome, seed: int) -> dict[str, object]:
    return {
        "reader": outcome.reader,
        "inputs": outcome.inputs,
        "accepted": outcome.accepted,
        "refused": outcome.refused,
        "other": outcome.other,
        "crashes": outcome.crashes,
        "hangs": outcome.hangs,
        "seconds": f"{outcome.seconds:.1f}",
        "inputs_per_second": f"{outcome.inputs / max(outcome.seconds, 1e-9):.0f}",
        "peak_mb": f"{outcome.peak / 1e6:.0f}",
        "seed": seed,
    }


def write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def show(folder: Path, name: str, seed: int, number: int) -> None:
    work = folder / "input"
    work.mkdir()
    kind, text = campaign.attempt(campaign.make(name, folder / "seeds", seed, number, work))
    print(f"{kind}\n{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--inputs", type=int, default=120_000)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--readers", help="names with commas between them; all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", nargs=2, metavar=("READER", "NUMBER"))
    chosen = parser.parse_args()
    wanted = None if chosen.readers is None else set(chosen.readers.split(","))
    picked = [one for one in readers.ALL if wanted is None or one.name in wanted]
    total = sum(one.share for one in picked)
    rows = []
    with tempfile.TemporaryDirectory(prefix="vcfbert-seeds-") as name:
        # In a process of its own: this one is forked later, and must have no threads then.
        builder = multiprocessing.get_context("fork").Process(
            target=seeds.build, args=(Path(name) / "seeds",)
        )
        builder.start()
        builder.join()
        if builder.exitcode:
            raise SystemExit("The seeds could not be made.")
        if chosen.show:
            show(Path(name), chosen.show[0], chosen.seed, int(chosen.show[1]))
            return
        for one in picked:
            inputs = round(chosen.inputs * one.share / total)
            outcome = campaign.run(one.name, Path(name) / "seeds", chosen.seed, inputs,
                                   seconds=chosen.seconds, keep=chosen.keep)  # fmt: skip
            rows.append(row(outcome, chosen.seed))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            for line in outcome.findings[:20]:
                print(f"    {line}", flush=True)
            if chosen.out is not None:  # after each, so that a run that is cut off has them
                write(chosen.out, rows)
    print(f"{sum(int(str(one['inputs'])) for one in rows):,} inputs in all")


if __name__ == "__main__":
    main()
