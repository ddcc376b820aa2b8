"""What checksums, seals and fsync cost `prepare` and `train`, as ratios in one run.

    python benchmarks/integrity.py [FOLDER] [--samples 500] [--repeats 5]

Both commands run in turn with everything on and everything off, on one simulated panel in FOLDER (a
temporary folder if omitted). Off means: no fsync, no CRC in the chunks, no seal written or read, no
SHA-256 computed. The ratios compare the fastest runs, in wall time and in processor time.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import zarr
from zarr.codecs import Crc32cCodec

from vcfbert import config
from vcfbert.config import presets
from vcfbert.files import digests, seals, temporary
from vcfbert.pipelines.preparing import prepare, simulate
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.preparing.simulate import SimulateOptions
from vcfbert.pipelines.systems import build_index, encode, train_systems
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import declared_sizes
from vcfbert.storage.zarr.workspace import Workspace

QUIET = Silent()
TRAINING = {
    "training": {"max_epochs": 2, "validation_batches": 10},
    "refresh": {"embeddings_on": "epochs", "embeddings_every": 1},
}
Seconds = tuple[float, float]
"""Wall time and processor time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--length", type=int, default=2_000_000, help="bases of the panel")
    parser.add_argument("--batches", type=int, default=60, help="batches in an epoch of training")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        size = SimulateOptions(num_samples=arguments.samples, length=arguments.length)
        simulate.simulate(folder / "panel", size, progress=QUIET)
        times: dict[tuple[str, str], list[Seconds]] = {}
        for number in range(arguments.repeats + 1):
            for mode, switched in (("on", nullcontext), ("off", everything_off)):
                with switched():
                    for command, seconds in run(
                        folder, f"{mode}{number}", arguments.batches
                    ).items():
                        if number:  # the first of each warms up
                            times.setdefault((command, mode), []).append(seconds)
    rows = [row_of(command, times) for command in ("prepare", "train")]
    with (arguments.results / "integrity.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))


def run(folder: Path, name: str, batches: int) -> dict[str, Seconds]:
    """Seconds of both commands in a new workspace, which is deleted afterwards."""
    panel, workspace = folder / "panel", Workspace(folder / name)
    options = PrepareOptions(samples=panel / "samples.tsv", genetic_map=panel / "genetic.map")
    settings = config.merge(presets.tiny(), TRAINING, source="benchmark")
    length = {"training": {"batches_per_epoch": batches}}
    settings = config.merge(settings, length, source="benchmark")
    out = {
        "prepare": timed(
            lambda: prepare.prepare(panel / "panel.vcf.gz", workspace, options, progress=QUIET)
        )
    }
    encode.encode_refs(workspace, settings, EncodeOptions(), progress=QUIET)
    build_index.build_index(workspace, IndexOptions(), progress=QUIET)
    chosen = SystemOptions("tiny", device="cpu")
    out["train"] = timed(lambda: train_systems.train(workspace, settings, chosen, progress=QUIET))
    shutil.rmtree(workspace.root)
    return out


def timed(work: Callable[[], object]) -> Seconds:
    os.sync()  # so that no output of the previous run is written meanwhile
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


@contextmanager
def everything_off() -> Iterator[None]:
    """Switch off everything that detects or prevents damage."""
    create = zarr.Group.create_array

    def without_crc(self: zarr.Group, *args: Any, compressors: Any, **options: Any) -> Any:
        kept = [codec for codec in compressors if not isinstance(codec, Crc32cCodec)]
        return create(self, *args, compressors=kept or None, **options)

    nothing = "0" * 64
    with ExitStack() as stack:
        for owner, name, replacement in (
            (zarr.Group, "create_array", without_crc),
            (temporary, "flush", lambda descriptor: None),
            (declared_sizes, "check_store", lambda path, kind: None),  # which asks for the CRC, too
            (seals, "write", lambda folder: None),
            (seals, "check", lambda folder, made_by, is_wanted: None),
            (digests, "of_file", lambda path: nothing),
            (digests, "of_bytes", lambda content: nothing),
        ):
            stack.enter_context(mock.patch.object(owner, name, replacement))
        yield


def row_of(command: str, times: dict[tuple[str, str], list[Seconds]]) -> dict[str, object]:
    """The fastest of each, and their ratios."""
    on, off = times[command, "on"], times[command, "off"]
    wall_on, wall_off = min(wall for wall, _ in on), min(wall for wall, _ in off)
    cpu_on, cpu_off = min(cpu for _, cpu in on), min(cpu for _, cpu in off)
    return {
        "command": command,
        "repeats": len(on),
        "seconds_on": round(wall_on, 3),
        "seconds_off": round(wall_off, 3),
        "ratio": round(wall_on / wall_off, 3),
        "processor_seconds_on": round(cpu_on, 3),
        "processor_seconds_off": round(cpu_off, 3),
        "processor_ratio": round(cpu_on / cpu_off, 3),
    }


if __name__ == "__main__":
    main()
