"""Switch error of phasing, with and without Beagle, on the tasks of benchmarks/peers.py.

    python benchmarks/phasing.py FOLDER [--tasks array random50] [--left-out 200] [--no-beagle]

The alleles of each target genotype are sorted, so that its order says nothing. Both programs phase
the same typed sites against the same panel; Beagle runs without imputation. `switch.py` among the
shared scripts counts the switches. With `--left-out`, samples of the panel are phased instead,
which must not copy themselves: for choosing settings. Seconds are those of the processor: of Beagle
the whole process, of vcfbert the phasing alone, after compilation. Prints a table and writes
results/phasing.csv.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from comparison import accuracy, genotype_files, options, tables, tasks, tools
from comparison.genotype_files import Key, key_of
from comparison.processes import measure
from comparison.report import Row
from comparison.tasks import Task
from cyvcf2 import VCF, Variant
from numpy.typing import NDArray

from vcfbert.copying import groups
from vcfbert.phasing.genotype_search import words
from vcfbert.phasing.phase_chunk import PhasedChunk, PhasingOptions, UnphasedChunk, phase


@dataclass(frozen=True)
class Typed:
    """Typed sites of a task: keys, (T,) cM, (R, T) panel, (R,) groups, (N, 2, T) truth."""

    keys: list[Key]
    cm: NDArray[np.float64]
    references: NDArray[np.uint8]
    group: NDArray[np.int64]
    truth: NDArray[np.uint8]
    samples: list[str]


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=["array", "random50"], choices=tasks.NAMES)
    parser.add_argument("--left-out", type=int, default=0, help="samples of the panel to phase")
    parser.add_argument("--no-beagle", action="store_true", help="run vcfbert only")
    parser.add_argument("--passes", type=int, default=PhasingOptions.passes)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        rows += measure_task(task, arguments)
    print(tables.rows_text(rows))
    tables.write_csv(arguments.results / "phasing.csv", rows)


def measure_task(task: Task, arguments: argparse.Namespace) -> list[Row]:
    """The rows of one task."""
    typed = read_typed(task)
    chosen = PhasingOptions(passes=arguments.passes)
    if arguments.left_out:
        chunk, truth = left_out(typed, arguments.left_out)
        phased, seconds = phase_timed(chunk, chosen, arguments.threads)
        return [{"task": task.name, "tool": "vcfbert", "seconds": round(seconds, 1),
                 **counts(phased, truth)}]  # fmt: skip
    folder = task.folder / "phasing"
    folder.mkdir(exist_ok=True)
    unphased = np.sort(typed.truth, axis=1)
    write(folder / "target.vcf.gz", typed, unphased, "/")
    phased, seconds = phase_timed(as_chunk(typed, unphased), chosen, arguments.threads)
    write(folder / "vcfbert.vcf.gz", typed, phased.alleles, "|")
    found = {"vcfbert": seconds}
    if not arguments.no_beagle:
        found["Beagle"] = run_beagle(task, folder, arguments)
    return [
        {"task": task.name, "tool": tool, "seconds": round(seconds, 1),
         **switches(folder / f"{tool.lower()}.vcf.gz", task, arguments.shared)}
        for tool, seconds in found.items()
    ]  # fmt: skip


def read_typed(task: Task) -> Typed:
    """The typed sites, and groups from all sites of the panel."""
    target = VCF(str(task.target))
    truth = {key_of(one): alleles_of(one) for one in target}
    keys, panel = [], []
    for one in VCF(str(task.reference)):
        keys.append(key_of(one))
        panel.append(alleles_of(one).ravel())
    alleles = np.array(panel).T
    sample = np.arange(len(alleles)) >> 1
    telling = groups.sites_for(alleles.mean(axis=0))
    group = groups.of_references(words(alleles[:, telling]), len(telling), sample)
    typed = [place for place, key in enumerate(keys) if key in truth]
    kept = [keys[place] for place in typed]
    known = np.loadtxt(task.map, usecols=(2, 3))
    cm = np.interp([key[1] for key in kept], known[:, 1], known[:, 0])
    stacked = np.array([truth[key] for key in kept]).transpose(1, 2, 0)
    return Typed(kept, cm, np.ascontiguousarray(alleles[:, typed]), group, stacked, target.samples)


def alleles_of(record: Variant) -> NDArray[np.uint8]:
    """Its alleles, (N, 2)."""
    found: NDArray[np.uint8] = record.genotype.array()[:, :2].astype(np.uint8)
    return found


def as_chunk(
    typed: Typed, alleles: NDArray[np.uint8], own: Sequence[NDArray[np.int64]] | None = None
) -> UnphasedChunk:
    none = np.empty(0, np.int64)
    return UnphasedChunk(
        bits=words(typed.references),
        cm=typed.cm,
        group=typed.group,
        alleles=alleles,
        turn_log_odds=np.zeros(alleles[:, 0].shape, np.float32),
        own=own or [none] * len(alleles),
    )


def left_out(typed: Typed, count: int) -> tuple[UnphasedChunk, NDArray[np.uint8]]:
    """Evenly spaced samples of the panel, which must not copy themselves, and their truth."""
    sample = np.linspace(3, len(typed.references) // 2 - 4, count).astype(np.int64)
    rows = np.stack([2 * sample, 2 * sample + 1], axis=1)
    truth = typed.references[rows]
    return as_chunk(typed, np.sort(truth, axis=1), list(rows)), truth


def phase_timed(
    chunk: UnphasedChunk, chosen: PhasingOptions, threads: int
) -> tuple[PhasedChunk, float]:
    """The phase and its processor seconds, without those of compilation."""
    one = replace(
        chunk, alleles=chunk.alleles[:1], turn_log_odds=chunk.turn_log_odds[:1], own=chunk.own[:1]
    )
    phase(one, chosen, threads=1)
    start = time.process_time()
    phased = phase(chunk, chosen, threads=threads)
    return phased, time.process_time() - start


def run_beagle(task: Task, folder: Path, arguments: argparse.Namespace) -> float:
    """Phase with Beagle; processor seconds."""
    target, out = folder / "target.vcf.gz", folder / "beagle.vcf.gz"
    wanted = tools.beagle_phase(task, arguments.beagle, target, out, arguments.threads)
    return measure(wanted, folder / "beagle.stderr").processor


def switches(path: Path, task: Task, shared: Path) -> Row:
    """The counts of switch.py."""
    found = accuracy.switches(task, path, shared / "peers")
    return {
        "switch error %": round(found["SER_percent"], 3),
        "switches": found["switches"],
        "flips of one site": found["flip_pairs"],
        "other switches": found["switches_not_flips"],
    }


def counts(phased: PhasedChunk, truth: NDArray[np.uint8]) -> Row:
    """The same counts of an array, and the switches that its probabilities expect."""
    total = pairs = flips = 0
    for alleles, true in zip(phased.alleles, truth, strict=True):
        hets = np.flatnonzero(true[0] != true[1])
        wrong = np.diff((alleles[0, hets] != true[0, hets]).astype(int)) != 0
        total, pairs = total + int(wrong.sum()), pairs + len(wrong)
        place = 0
        while place < len(wrong) - 1:
            is_flip = bool(wrong[place] and wrong[place + 1])
            flips, place = flips + is_flip, place + 1 + is_flip
    return {
        "switch error %": round(100 * total / max(pairs, 1), 3),
        "switches": total,
        "flips of one site": flips,
        "other switches": total - 2 * flips,
        "expected": round(float(phased.turn.sum())),
    }


def write(path: Path, typed: Typed, alleles: NDArray[np.uint8], separator: str) -> None:
    """A VCF of the samples.

    alleles    (N, 2, T)
    separator  `|` or `/`
    """
    sites = alleles.transpose(2, 0, 1)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as out:
        out.write(genotype_files.text(typed.keys, typed.samples, sites, separator))


if __name__ == "__main__":
    main()
