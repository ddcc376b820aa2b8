"""`vcfbert warm-up`: compile the kernels of `impute`, `phase` and `merge` before the first use."""

from __future__ import annotations

import gzip
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vcfbert import plurals
from vcfbert.copying import compiled, groups
from vcfbert.phasing import neighbours
from vcfbert.pipelines.imputing.impute import ImputeOptions, impute
from vcfbert.pipelines.merging.merge import MergeOptions, merge
from vcfbert.pipelines.phasing.phase import PhaseOptions, phase
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.prepare import prepare
from vcfbert.pipelines.preparing.simulate import SimulateOptions, simulate
from vcfbert.progress import Progress, Silent
from vcfbert.storage.zarr.workspace import Workspace

logger = logging.getLogger("vcfbert")

NUM_SAMPLES, LENGTH = 30, 300_000
"""Of the simulated panels on which every kernel runs once."""


@dataclass(frozen=True)
class WarmUpSummary:
    """How many functions were compiled; 0 if all had been."""

    num_compiled: int
    seconds: float

    def lines(self) -> list[str]:
        """For the terminal."""
        done = (
            plurals.of(self.num_compiled, "function")
            if self.num_compiled
            else "nothing, all were compiled"
        )
        return [f"compiled  {done}", f"seconds   {self.seconds:.1f}"]


def warm_up(*, progress: Progress) -> WarmUpSummary:
    """Impute, phase and merge small simulated targets, so that later commands compile nothing.

    Raises StoreError if the folder for temporary files cannot be written.
    """
    begun = time.perf_counter()
    chromosomes: tuple[Literal["1", "X"], ...] = "1", "X"
    progress.start("compiling", len(chromosomes))
    level = logger.level
    logger.setLevel(logging.ERROR)  # warnings about the simulated samples say nothing to a user
    try:
        with tempfile.TemporaryDirectory() as folder, compiled.counting_compilations() as counted:
            _run_others()
            for chromosome in chromosomes:
                _run(Path(folder) / chromosome, chromosome)
                progress.advance(1)
    finally:
        logger.setLevel(level)
    return WarmUpSummary(counted(), time.perf_counter() - begun)


def _run(folder: Path, chromosome: Literal["1", "X"]) -> None:
    """Run the commands on a simulated panel."""
    folder.mkdir()
    data, workspace = folder / "data", Workspace(folder / "work")
    chosen = SimulateOptions(num_samples=NUM_SAMPLES, length=LENGTH, chromosome=chromosome)
    silent = Silent()
    simulate(data, chosen, progress=silent)
    table = PrepareOptions(samples=data / "samples.tsv", genetic_map=data / "genetic.map")
    prepare(data / "panel.vcf.gz", workspace, table, progress=silent)
    target, phased = data / "target.vcf.gz", folder / "phased.vcf.gz"
    phase(workspace, target, phased, PhaseOptions(phase="redo"), progress=silent)
    for number, options in enumerate((ImputeOptions(), ImputeOptions(phase="redo", er2=True))):
        impute(workspace, target, folder / f"{number}.vcf.gz", options, progress=silent)
    _merge(folder / "0.vcf.gz", folder)


def _merge(imputed: Path, folder: Path) -> None:
    """Merge a file with one of the same genotypes, whose samples have other names."""
    head, columns, rest = gzip.decompress(imputed.read_bytes()).partition(b"\tFORMAT\t")
    names, end, records = rest.partition(b"\n")
    names = b"\t".join(b"other-" + name for name in names.split(b"\t"))
    other = folder / "other.vcf"
    other.write_bytes(head + columns + names + end + records)
    merge([imputed, other], folder / "merged.vcf.gz", MergeOptions(), progress=Silent())


def _run_others() -> None:
    """What is compiled for panels of thousands of samples, and for a few samples, only."""
    bits = np.random.default_rng(1).integers(0, 1 << 60, (2 * NUM_SAMPLES, 1), np.uint64)
    sample = np.arange(len(bits)) >> 1
    groups.of_references(bits, 64, sample, most_samples=NUM_SAMPLES // 2)
    query, places = np.zeros((1, 64), np.uint8), np.array([32])
    neighbours.find(bits, query, places, 2, [sample[:0]], threads=1)
