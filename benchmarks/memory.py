"""Peak resident memory of `vcfbert train` with few and with many reference haplotypes.

    python benchmarks/memory.py WORKSPACE [--config FILE] [--references 1000 4000] [--batches 30]

For each number of references, the panel is linked into a new workspace, an index is built there,
and a run is trained in a separate process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from vcfbert import versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--config", type=Path, default=Path("configs/chr20-cpu.toml"))
    parser.add_argument("--references", type=int, nargs=2, default=(1000, 4000))
    parser.add_argument("--batches", type=int, default=30)
    arguments = parser.parse_args()
    few, many = (peak_of_training(arguments, count) for count in arguments.references)
    for count, peak in zip(arguments.references, (few, many), strict=True):
        print(f"{count:6d} reference haplotypes: peak resident memory {peak / 1e6:8.1f} MB")
    print(f"ratio {many / few:.3f}")


def peak_of_training(arguments: argparse.Namespace, references: int) -> float:
    """Bytes."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        (workspace / "panel.zarr").symlink_to((arguments.workspace / "panel.zarr").resolve())
        vcfbert(workspace, "build-index", "--max-references", str(references))
        changes = {
            "training.batches_per_epoch": arguments.batches,
            "training.max_epochs": 2,
            "training.validation_batches": 8,
        }
        sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
        return vcfbert(workspace, "train", "--config", str(arguments.config), *sets)


def vcfbert(workspace: Path, *words: str) -> float:
    """Run a command; returns the peak resident bytes of its process."""
    entry = "import sys; from vcfbert_cli.main import app; sys.argv[0] = 'vcfbert'; app()"
    command = [sys.executable, "-c", entry, *words, "--workspace", str(workspace), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed with status {status}")
    return float(versions.bytes_of_peak(usage.ru_maxrss))


if __name__ == "__main__":
    main()
