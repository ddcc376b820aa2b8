"""Compare `impute --workers 2` with one process, and kill workers and the command.

    python benchmarks/cluster.py FOLDER [--tasks array] [--kills 20] [--chunk-cm 1]

First the seconds of one process with one thread, of one with two threads and of two workers. Then
workers, or the command itself, are killed at random moments, and the command is run again until it
succeeds. All outputs must have the same records. Kills are seeded, but times depend on the machine.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from comparison import options, tables, tasks, tools
from comparison.processes import command, measure
from comparison.report import Row, time_cells
from comparison.tasks import Task


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=["array"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--chunk-cm", type=float, default=1.0)
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    rows: list[Row] = []
    print(options.machine(arguments))
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        tools.prepare(task, programs, [tools.tools(["vcfbert"], programs)[0]])
        rows += timed(task, arguments)
        found = killed(task, arguments)
        print(f"{task.name}: {found}")
        tables.write_csv(arguments.results / "cluster.csv", rows)


def words(task: Task, arguments: argparse.Namespace, out: Path, *more: object) -> list[str]:
    """The command line."""
    given = (arguments.vcfbert.absolute(), "impute", task.target, "--out", out, "-w")
    given = (*given, task.workspace, "--chunk-cm", arguments.chunk_cm, "--force", "-q", *more)
    return [str(word) for word in given]


def timed(task: Task, arguments: argparse.Namespace) -> list[Row]:
    """Median seconds of each form, and whether the records are the same."""
    forms: dict[str, tuple[object, ...]] = {
        "one process, one thread": ("--threads", 1),
        "one process, two threads": ("--threads", 2),
        "two workers": ("--workers", 2),
    }
    rows, first = [], ""
    for name, more in forms.items():
        out = task.folder / "cluster.vcf.gz"
        found = [
            measure(command(*words(task, arguments, out, *more)), task.folder / "cluster.stderr")
            for _ in range(arguments.repeats)
        ]
        digest = records(out)
        first = first or digest
        middle = sorted(found, key=lambda one: one.seconds)[len(found) // 2]
        rows.append(
            {"task": task.name, "form": name} | time_cells(middle) | {"same": digest == first}
        )
        print(f"{name}: {middle.seconds:.2f} s, same records: {digest == first}", flush=True)
    return rows


def killed(task: Task, arguments: argparse.Namespace) -> str:
    """Kill the wanted number; returns the counts, and whether the records are the same."""
    out = task.folder / "cluster.vcf.gz"
    expected = records(out)
    rng = random.Random(arguments.seed)
    of_workers = of_commands = 0
    while of_workers + of_commands < arguments.kills:
        out.unlink(missing_ok=True)
        with subprocess.Popen(
            words(task, arguments, out, "--workers", 2),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as running:  # fmt: skip
            while running.poll() is None and of_workers + of_commands < arguments.kills:
                time.sleep(rng.uniform(0.5, 5))
                workers = below(running.pid)
                if running.poll() is None and rng.random() < 0.3:
                    running.kill()
                    of_commands += 1
                    for worker in workers:  # they would end by themselves, but later
                        stop(worker)
                elif workers:
                    of_workers += stop(rng.choice(workers))
            running.wait()
    subprocess.run(words(task, arguments, out, "--workers", 2), check=True, capture_output=True)
    same = records(out) == expected
    return f"{of_workers} workers and {of_commands} commands killed, same records: {same}"


def stop(number: int) -> bool:
    """Kill a process; False if it had ended."""
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def below(number: int) -> list[int]:
    """Processes that a process started with spawn, directly or indirectly."""
    done = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in lines}
    found = []
    for pid, _, text in (line for line in lines if len(line) == 3):
        ancestor = int(pid)
        while ancestor in parents and ancestor != number:
            ancestor = parents[ancestor]
        if ancestor == number and int(pid) != number and "spawn_main" in text:
            found.append(int(pid))
    return found


def records(path: Path) -> str:
    """Digest of the records of a VCF."""
    with gzip.open(path, "rb") as lines:
        return hashlib.sha256(b"".join(line for line in lines if line[:1] != b"#")).hexdigest()


if __name__ == "__main__":
    main()
