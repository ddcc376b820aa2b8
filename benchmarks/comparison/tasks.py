"""Imputation tasks: folders that hold ref.vcf.gz, target.vcf.gz, truth.vcf.gz and beagle.map."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
RESULTS = ROOT / "benchmarks" / "results"
NAMES = ("array", "random30", "random50", "random80")
FILES = (
    *("ref.vcf.gz", "ref.vcf.gz.tbi", "target.vcf.gz", "target.vcf.gz.tbi"),
    *("truth.vcf.gz", "beagle.map"),
)


@dataclass(frozen=True)
class Task:
    """A reference panel, samples typed at some sites, and their true genotypes.

    samples    populations of the panel's samples; None where they are not known
    workspace  where vcfbert keeps the prepared panel
    """

    folder: Path
    name: str
    reference: Path
    target: Path
    truth: Path
    map: Path
    samples: Path | None
    workspace: Path


def task_in(folder: Path) -> Task:
    samples = folder / "samples.tsv"
    return Task(
        folder,
        folder.name,
        reference=folder / "ref.vcf.gz",
        target=folder / "target.vcf.gz",
        truth=folder / "truth.vcf.gz",
        map=folder / "beagle.map",
        samples=samples if samples.exists() else None,
        workspace=folder / "work",
    )


def make(folder: Path, shared: Path, names: Sequence[str]) -> list[Task]:
    """The named tasks in `folder`; missing ones are made by make_tasks.sh."""
    absent = [name for name in names if not all((folder / name / file).exists() for file in FILES)]
    if absent:
        _cut(folder, shared, absent)
    return [task_in(folder / name) for name in names]


def _cut(folder: Path, shared: Path, absent: Sequence[str]) -> None:
    """All tasks of make_tasks.sh, each with the populations of its samples."""
    script, data = shared / "peers" / "make_tasks.sh", shared / "data" / "chr20"
    if not set(absent) <= set(NAMES):
        raise SystemExit(
            f"error: {', '.join(absent)} in {folder}: some of {', '.join(FILES)} are absent, "
            f"and only {', '.join(NAMES)} can be made here."
        )
    if not script.exists():
        raise SystemExit(f"error: the tasks are cut by {script}, which is absent.")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Cutting the tasks into {folder} ...", flush=True)
    subprocess.run(["bash", str(script), str(folder.resolve())], check=True)
    for name in NAMES:
        shutil.copy(data / "samples.tsv", folder / name / "samples.tsv")


def samples_of(path: Path) -> list[str]:
    done = subprocess.run(
        ["bcftools", "query", "-l", str(path)], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def draw(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Some names, drawn with a seed and in the order of the file; more are drawn than with fewer.

    >>> few, more = (draw(list("abcdefgh"), count, seed=1) for count in (2, 5))
    >>> set(few) < set(more)
    True
    """
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    return [names[place] for place in np.sort(chosen)]


def cut(source: Path, out: Path, samples: Sequence[str], *, filters: Sequence[str] = ()) -> Path:
    """Write and index the records of some samples."""
    out.parent.mkdir(parents=True, exist_ok=True)
    listed = out.with_name(f"{out.name}.samples")
    listed.write_text("".join(f"{name}\n" for name in samples), encoding="utf-8")
    view = ["bcftools", "view", "-S", str(listed), "-Ou", str(source)]
    keep = ["bcftools", "view", *filters, "-Oz", "-o", str(out)]
    with subprocess.Popen(view, stdout=subprocess.PIPE) as first:
        subprocess.run(keep, stdin=first.stdout, check=True)
    if first.returncode:
        raise SystemExit(f"error: {' '.join(view)} failed")
    subprocess.run(["bcftools", "index", "-f", "-t", str(out)], check=True)
    return out


def num_records(path: Path) -> int:
    """Of an indexed VCF."""
    done = subprocess.run(
        ["bcftools", "index", "-n", str(path)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)
