"""Everything that needs a GPU: its tests, full-size training steps, and imputation against the CPU.

    python benchmarks/gpu.py [FOLDER]    (or: just gpu)

Simulates a panel in FOLDER and writes four files to benchmarks/results: `gpu-tests.csv` has the
outcome of each test that is marked gpu; `gpu-training-step.csv` a step of v18-large at batch 32
(ms, TFLOP/s, memory); `gpu-systems.csv` steps of v17 and v18-current at full size;
`gpu-imputation.csv` the time of `vcfbert impute` on the GPU and on the CPU, and how far the answers
differ.

`--device cpu --tiny` runs the same code at sizes for a test.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam
import systems
import torch
import training_step
from comparison import tables, tasks
from numpy.typing import NDArray

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine

ROOT = Path(__file__).parents[1]
OUTCOMES = ("passed", "failed", "skipped")
VCFBERT = (str(Path(sys.executable).with_name("vcfbert")),)
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    simulate, prepare  options of these commands
    shape              width, layers and heads of v17 and v18-current
    large              changes of v18-large
    batch, pair_batch  samples in a batch of v18-large, and of each of the pair
    repeats            measured steps, and runs of `impute`
    """

    simulate: tuple[str, ...]
    prepare: tuple[str, ...]
    shape: tuple[int, int, int]
    large: dict[str, dict[str, int]]
    batch: int
    pair_batch: int
    repeats: int


FULL = Sizes(("--num-samples", "1000"), (), (192, 10, 6), {}, 32, 16, 8)
TINY = Sizes(
    ("--num-samples", "60", "--length", "100000"),
    ("--window-size", "64", "--flank", "4"),
    (16, 1, 2),
    {
        "model": {"width": 16, "num_layers": 1, "num_heads": 2},
        "retrieval": {"num_neighbours": 4, "num_segments": 2},
    },
    2,
    2,
    1,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("gpu-work"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes for a test of this file")
    parser.add_argument("--tests", type=Path, nargs="*", default=[ROOT / "tests"])
    parser.add_argument("--results", type=Path, default=tasks.RESULTS)
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(
            "error: PyTorch finds no GPU on this machine. Run this on a machine with a CUDA GPU; "
            "--device cpu --tiny only tries the code."
        )
    if arguments.device == "cpu" and not arguments.tiny:
        raise SystemExit("error: full sizes need a GPU. With --device cpu, add --tiny.")
    device = devices.choose_device(arguments.device)
    measure(arguments, TINY if arguments.tiny else FULL, device)


def measure(arguments: argparse.Namespace, sizes: Sizes, device: torch.device) -> None:
    """Run all parts, each written when it is done, so that a later failure loses nothing."""
    print(f"On {machine.describe(device)}", flush=True)
    folder: Path = arguments.folder
    parts = {
        "gpu-tests": lambda: tests(arguments.tests, folder),
        "gpu-training-step": lambda: large_step(workspace, sizes, device),
        "gpu-systems": lambda: pair(workspace, sizes, device),
        "gpu-imputation": lambda: imputation(folder, sizes, arguments.device),
    }
    folder.mkdir(parents=True, exist_ok=True)
    workspace = prepared(folder, sizes)
    failed: list[str] = []
    for name, part in parts.items():
        rows = part()
        path = arguments.results / f"{name}.csv"
        tables.write_csv(path, rows)
        print(f"{path}\n", flush=True)
        failed += [str(row["test"]) for row in rows if row.get("outcome") == "failed"]
    if failed:
        raise SystemExit(f"error: {len(failed)} tests failed: {', '.join(failed)}")


def prepared(folder: Path, sizes: Sizes) -> Workspace:
    """Simulate and index a panel, unless that is done."""
    workspace = Workspace(folder / "work")
    panel = folder / "panel"
    if not (panel / "panel.vcf.gz").exists():
        call("simulate", str(panel), *sizes.simulate)
    if not workspace.panel.exists():
        given = ["--samples", str(panel / "samples.tsv"), "--map", str(panel / "genetic.map")]
        call("prepare", str(panel / "panel.vcf.gz"), *given, *sizes.prepare, *at(workspace))
    if not workspace.versions("indexes"):
        call("build-index", *at(workspace))
    return workspace


def at(workspace: Workspace) -> list[str]:
    return ["--workspace", str(workspace.root)]


def call(*words: str) -> None:
    """Run vcfbert; SystemExit with its message if it fails."""
    done = subprocess.run([*VCFBERT, *words, "-q"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"vcfbert {' '.join(words)}\n{done.stderr}")


def tests(paths: Sequence[Path], folder: Path) -> list[Row]:
    """Outcome and seconds of each test that is marked gpu."""
    report = folder / "tests.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report.absolute()}"]
    done = subprocess.run(
        [*command, *(str(path.absolute()) for path in paths)], cwd=ROOT, check=False
    )
    if not report.exists():
        raise SystemExit(f"error: pytest ended with {done.returncode} and no report.")
    rows: list[Row] = []
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "passed"
        rows.append(
            {
                "test": f"{case.get('classname')}::{case.get('name')}",
                "outcome": "skipped" if "skipped" in kinds else outcome,
                "seconds": float(case.get("time", 0)),
            }
        )
    if not rows:
        raise SystemExit(f"error: no test in {', '.join(map(str, paths))} is marked gpu.")
    counts = {name: sum(row["outcome"] == name for row in rows) for name in OUTCOMES}
    print("GPU tests: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return rows


def large_step(workspace: Workspace, sizes: Sizes, device: torch.device) -> list[Row]:
    """A training step of v18-large."""
    large = config.merge(presets.get("v18-large"), sizes.large, source="benchmarks/gpu.py")
    settings = training_step.single_batches(large, sizes.batch)
    row = training_step.measure(workspace, settings, device, sizes.repeats)
    print(training_step.text(row))
    return [row]


def pair(workspace: Workspace, sizes: Sizes, device: torch.device) -> list[Row]:
    """Steps of v17 and v18-current, alternately."""
    changes = systems.changes_of(*sizes.shape, sizes.pair_batch)
    both: list[Config] = [
        config.merge(presets.get(name), changes, source="benchmarks/gpu.py")
        for name in ("v17", "v18-current")
    ]
    if sizes is TINY:
        few = {"retrieval": TINY.large["retrieval"]}
        both[1] = config.merge(both[1], few, source="benchmarks/gpu.py")
    rows = systems.measure(workspace, both, device, sizes.repeats)
    print(systems.text(rows))
    return rows


def imputation(folder: Path, sizes: Sizes, device: str) -> list[Row]:
    """Seconds of `vcfbert impute` on the CPU and on the device, and the difference in answers."""
    workspace, target = Workspace(folder / "work"), folder / "panel" / "target.vcf.gz"
    rows: list[Row] = []
    answers: list[tuple[NDArray[np.float32], NDArray[np.int8]]] = []
    for name in ("cpu", device):
        out = folder / f"imputed-{len(rows)}.vcf.gz"
        words = ["impute", str(target), "--out", str(out), "--device", name, "--force"]
        seconds = []
        for _ in range(min(sizes.repeats, 3)):
            begun = time.perf_counter()
            call(*words, *at(workspace))
            seconds.append(time.perf_counter() - begun)
        dosage, copies = read_answers(out)
        answers.append((dosage, copies))
        apart = np.abs(dosage - answers[0][0])
        rows.append(
            {
                "device": machine.describe(devices.choose_device(name)),
                "samples": dosage.shape[1],
                "sites": dosage.shape[0],
                "seconds": min(seconds),
                "largest_dosage_difference": float(apart.max()),
                "mean_dosage_difference": float(apart.mean()),
                "differing_genotypes": int((copies != answers[0][1]).sum()),
            }
        )
    for row in rows:
        print(
            "imputing {samples} samples at {sites} sites on {device}: {seconds:.1f} s; dosages "
            "differ from the CPU's by at most {largest_dosage_difference:.4f}, "
            "{differing_genotypes} genotypes differ".format(**row)
        )
    return rows


def read_answers(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Dosages and ALT copies, both (sites, samples)."""
    dosages, copies = [], []
    with pysam.VariantFile(str(path)) as stream:
        for record in stream:
            calls = record.samples.values()
            dosages.append([one["DS"] for one in calls])
            copies.append([sum(one["GT"]) for one in calls])
    return (
        np.array(dosages, dtype=np.float32).reshape(len(dosages), -1),
        np.array(copies, dtype=np.int8),
    )


if __name__ == "__main__":
    main()
