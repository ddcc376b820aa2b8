"""Seconds of `vcfbert merge` and `bcftools merge`, and the differences from one run.

    python benchmarks/merging.py FOLDER [--batch 25] [--repeats 3]

FOLDER has the task `array` of benchmarks/peers.py, which is made if it is absent. Its target is
imputed as a whole and in batches of 25 samples; the batches are merged by both programs in turn,
with the same threads. Prints medians, and the largest differences between the merged file and that
of one run; writes merging.csv.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from comparison import options, processes, tables, tasks
from comparison.processes import Measured

Line = tuple[list[str], dict[str, str]]
"""The columns of a record except INFO, and the keys of INFO."""


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--batch", type=int, default=25, help="samples of a batch")
    arguments = parser.parse_args()
    (task,) = tasks.make(arguments.folder.absolute(), arguments.shared, ["array"])
    home = arguments.folder.absolute() / "merging"
    home.mkdir(exist_ok=True)
    vcfbert, workspace, threads = arguments.vcfbert.absolute(), home / "work", arguments.threads

    def run(*words: object) -> Measured:
        return processes.measure(processes.command(*words), home / "log")

    def impute(target: Path, out: Path) -> Path:
        run(vcfbert, "impute", target, "-o", out, "-w", workspace, "--threads", threads, "--force")
        return out

    run(vcfbert, "prepare", task.reference, "--map", task.map, "-w", workspace, "--force")
    whole = impute(task.target, home / "whole.vcf.gz")
    names = tasks.samples_of(task.target)
    files = []
    for first in range(0, len(names), arguments.batch):
        some = names[first : first + arguments.batch]
        batch = tasks.cut(task.target, home / f"target{first}.vcf.gz", some)
        files.append(impute(batch, home / f"batch{first}.vcf.gz"))
    ours, theirs = home / "merged.vcf.gz", home / "bcftools.vcf.gz"
    commands = {
        "vcfbert merge": [vcfbert, "merge", *files, "-o", ours, "--threads", threads, "--force"],
        "bcftools merge": ["bcftools", "merge", *files, "-Oz", "-o", theirs, "--threads", threads],
    }
    found: dict[str, list[Measured]] = defaultdict(list)
    run(*commands["vcfbert merge"])  # compiles
    for _ in range(arguments.repeats):
        for name, words in commands.items():
            found[name].append(run(*words))
    rows = [(name, processes.median(times)) for name, times in found.items()]
    print(f"{len(files)} files of {arguments.batch} samples; {options.machine(arguments)}\n")
    header = ("program", "seconds", "CPU seconds", "MB")
    cells = [
        (name, f"{one.seconds:.2f}", f"{one.processor:.2f}", f"{one.megabytes:.0f}")
        for name, one in rows
    ]
    print(tables.text_table(header, cells))
    print(f"\n{differences(whole, ours)}")
    with (arguments.results / "merging.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *cells])


def differences(whole: Path, merged: Path) -> str:
    """How the merged file differs from that of one run."""
    same = equal = 0
    largest: dict[str, float] = defaultdict(float)
    for one, two in zip(records(whole), records(merged), strict=True):
        same += one[0] == two[0]
        equal += one == two
        for key in one[1].keys() | two[1].keys():
            here, there = one[1].get(key), two[1].get(key)
            if here != there:
                apart = abs(float(here) - float(there)) if here and there else float("inf")
                largest[key] = max(largest[key], apart)
    parts = [f"{key} by up to {value:.2g}" for key, value in sorted(largest.items())]
    return (
        f"Genotypes and sites of {same:,} records are the same bytes, and all of {equal:,}; "
        f"different: {', '.join(parts) or 'nothing'}"
    )


def records(path: Path) -> Iterator[Line]:
    with gzip.open(path, "rt") as stream:
        for line in stream:
            if line.startswith("#"):
                continue
            columns = line.rstrip("\n").split("\t")
            fields = (field.partition("=") for field in columns.pop(7).split(";"))
            yield columns, {key: value for key, _, value in fields}


if __name__ == "__main__":
    main()
