"""`vcfbert warm-up`: compile the kernels of `impute`, `phase` and `merge` before the first use."""

from __future__ import annotations

import gzip
import logging
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vcfbert import plurals
from vcfbert.copying import branches, compiled, engine, groups, parameter_sets
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.phasing import neighbours
from vcfbert.pipelines.imputing.impute import ImputeOptions, impute
from vcfbert.pipelines.merging.merge import MergeOptions, merge
from vcfbert.pipelines.phasing.phase import PhaseOptions, phase
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.prepare import prepare
from vcfbert.pipelines.preparing.simulate import SimulateOptions, simulate
from vcfbert.progress import Progress, Silent
from vcfbert.retrieval import distinct_codes
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
    progress.start("compiling", 2 * len(chromosomes))
    level = logger.level
    logger.setLevel(logging.ERROR)  # warnings about the simulated samples say nothing to a user
    try:
        with ExitStack() as stack:
            counted = stack.enter_context(compiled.counting_compilations())
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            longest = stack.enter_context(_running_longest())
            _run_others()
            folders = [root / chromosome for chromosome in chromosomes]
            for folder, chromosome in zip(folders, chromosomes, strict=True):
                _run(folder, chromosome)
                progress.advance(1)
            num_compiled = longest()
            for folder in folders:
                _impute(folder, "1", ImputeOptions(phase="redo", er2=True))
                progress.advance(1)
    finally:
        logger.setLevel(level)
    return WarmUpSummary(counted() + num_compiled, time.perf_counter() - begun)


@contextmanager
def _running_longest() -> Iterator[Callable[[], int]]:
    """Compile in another process what takes longest; yields what waits for the number of kernels.

    The process is killed if the block ends before it. What it has not compiled, this one will.
    """
    context = multiprocessing.get_context("spawn")
    number = context.Value("i", 0)
    process = context.Process(target=_run_longest, args=(number,), daemon=True)
    process.start()

    def wait() -> int:
        process.join()
        return int(number.value)

    try:
        yield wait
    finally:
        process.kill()
        process.join()


def _run_longest(number: Any) -> None:
    """Run the kernel that takes as long to compile as all others together.

    number  a shared integer, set to the number of kernels that it needs
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    num_sites, num_samples = 64, 8
    bits = np.random.default_rng(1).integers(0, 1 << 60, (2 * num_samples, 1), np.uint64)
    typed, group = np.arange(0, num_sites, 8), np.zeros(len(bits), np.int64)
    cm, rates = np.linspace(0, 1, num_sites), parameter_sets.initial(len(bits))
    draws = np.zeros((2, 2, len(typed)), np.uint8)
    draws[:, 0, 2], draws[0, 0, 5], draws[1, 1, 5] = 1, 1, 1
    with compiled.counting_compilations() as counted:
        prepared = engine.prepare(bits, typed, cm, group, rates, PanelStatistics.blank(num_sites))
        several = branches.of_phases(draws, draws[0], prepared.chunk.stops)
        engine.open_sites_of_pair(prepared, draws[0], np.arange(len(bits)), several)
        number.value = counted()


def _run(folder: Path, chromosome: Literal["1", "X"]) -> None:
    """Run the commands on a simulated panel, without uncertain phases."""
    folder.mkdir()
    data, workspace = folder / "data", Workspace(folder / "work")
    chosen = SimulateOptions(num_samples=NUM_SAMPLES, length=LENGTH, chromosome=chromosome)
    silent = Silent()
    simulate(data, chosen, progress=silent)
    table = PrepareOptions(samples=data / "samples.tsv", genetic_map=data / "genetic.map")
    prepare(data / "panel.vcf.gz", workspace, table, progress=silent)
    target, phased = data / "target.vcf.gz", folder / "phased.vcf.gz"
    phase(workspace, target, phased, PhaseOptions(phase="redo"), progress=silent)
    _merge(_impute(folder, "0", ImputeOptions()), folder)


def _impute(folder: Path, name: str, options: ImputeOptions) -> Path:
    out = folder / f"{name}.vcf.gz"
    impute(
        Workspace(folder / "work"), folder / "data/target.vcf.gz", out, options, progress=Silent()
    )
    return out


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
    distinct_codes.distinct(bits.view(np.uint8))
    query, places = np.zeros((1, 64), np.uint8), np.array([32])
    neighbours.find(bits, query, places, 2, [sample[:0]], threads=1)
