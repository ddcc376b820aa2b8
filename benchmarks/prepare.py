"""Time, memory and disk of `vcfbert prepare` beside a bare read of the same file.

    python benchmarks/prepare.py PANEL.vcf.gz [--samples TSV] [--map FILE] [--repeats 3]

Times are of whole processes, start-up included, the best of the repeats; sizes are of all the
bytes of each format's files, all sites kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfbert import versions

BARE = "import sys, cyvcf2\nfor v in cyvcf2.VCF(sys.argv[1]): v.genotype.array()"
HALF = """
import sys, cyvcf2
places = [(v.CHROM, v.POS) for v in cyvcf2.VCF(sys.argv[1])]
print(f"{places[0][0]}:{places[0][1]}-{places[len(places) // 2][1]}")
"""


@dataclass(frozen=True)
class Measured:
    """One process: wall seconds, processor seconds, peak resident megabytes."""

    seconds: float
    processor: float
    megabytes: float


def measure(command: Sequence[str | Path]) -> Measured:
    """Run a command to its end; its output goes nowhere, its errors to the terminal."""
    started = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    peak = versions.bytes_of_peak(usage.ru_maxrss) / 2**20
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak)


def best(command: Sequence[str | Path], repeats: int) -> Measured:
    return min((measure(command) for _ in range(repeats)), key=lambda one: one.seconds)


def size(path: Path) -> int:
    """Bytes of a file or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def other_formats(panel: Path, folder: Path) -> dict[str, int | None]:
    """Sizes of the same panel in other formats; None where the program is not installed."""
    sizes: dict[str, int | None] = {"VCF.gz": size(panel)}
    tools: dict[str, tuple[str, list[str | Path]]] = {
        "BCF": ("bcftools", ["view", "-Ob", "-o", folder / "panel.bcf", panel]),
        "msav": ("minimac4", ["--compress-reference", panel, "-o", folder / "panel.msav"]),
        "bio2zarr": ("vcf2zarr", ["convert", "-Q", panel, folder / "panel.vcz"]),
    }
    outputs = {"BCF": "panel.bcf", "msav": "panel.msav", "bio2zarr": "panel.vcz"}
    for name, (program, arguments) in tools.items():
        path = shutil.which(program)
        if path is None:
            sizes[name] = None
            continue
        subprocess.run([path, *map(str, arguments)], check=True, capture_output=True)
        sizes[name] = size(folder / outputs[name])
    sizes["bref3"] = bref3(panel)
    return sizes


def bref3(panel: Path) -> int | None:
    program = shutil.which("bref3")
    if program is None:
        return None
    return len(subprocess.run([program, str(panel)], check=True, capture_output=True).stdout)


def halfway(panel: Path) -> str:
    """The region of the first half of the records of a one-contig panel."""
    command = [sys.executable, "-c", HALF, str(panel)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("panel", type=Path)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--map", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    command: list[str | Path] = [Path(sys.executable).with_name("vcfbert"), "prepare", chosen.panel]
    command += ["--quiet", "--force", "--min-mac", "0"]
    command += ["--samples", chosen.samples] if chosen.samples else []
    command += ["--map", chosen.map] if chosen.map else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = best([sys.executable, "-c", BARE, chosen.panel], chosen.repeats)
        ours = best([*command, "--workspace", folder / "work"], chosen.repeats)
        print(f"bare cyvcf2 loop      {bare.seconds:6.2f} s  {bare.processor:6.2f} s processor")
        print(f"vcfbert prepare       {ours.seconds:6.2f} s  {ours.processor:6.2f} s processor")
        print(f"ratio                 {ours.seconds / bare.seconds:6.2f}")
        half = measure(
            [*command, "--workspace", folder / "half", "--region", halfway(chosen.panel)]
        )
        print(
            f"peak memory           {ours.megabytes:6.0f} MB, half the records {half.megabytes:.0f}"
        )
        store = size(folder / "work" / "panel.zarr")
        sizes = other_formats(chosen.panel, folder) | {"vcfbert": store}
        for label, number in sizes.items():
            shown = "not installed" if number is None else f"{number:>12,} bytes"
            print(f"{label:<21} {shown}")
        print(f"store / VCF.gz        {store / size(chosen.panel):6.3f}")


if __name__ == "__main__":
    main()
