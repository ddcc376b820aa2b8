"""Whole processes: their wall seconds and peak memory, cold start and all files included."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfbert import versions

LAUNCH = """
import os, sys, time
report, *command = sys.argv[1:]
os.set_inheritable(int(report), False)
started = time.perf_counter()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
processor = usage.ru_utime + usage.ru_stime
found = [seconds, processor, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]
os.write(int(report), str(found).encode())
"""
"""Linux counts the parent's memory as the child's, so a parent of 8 MB does the measuring."""

UNSET = "PYTHONDONTWRITEBYTECODE"
"""With it, a source tree is compiled again in each run, which an installed package is not."""


@dataclass(frozen=True)
class Command:
    """What to run, and the file that its standard output goes to, where it is wanted."""

    words: tuple[str, ...]
    stdout: Path | None = None


@dataclass(frozen=True)
class Measured:
    """Wall seconds, processor seconds and peak resident megabytes.

    Of a tree of processes, the seconds of all and the megabytes of the largest.
    """

    seconds: float
    processor: float
    megabytes: float


def command(*words: object, stdout: Path | None = None) -> Command:
    return Command(tuple(map(str, words)), stdout)


def measure(wanted: Command, log: Path) -> Measured:
    """Run a command to its end. One that fails stops the benchmark with the end of its log."""
    reading, writing = os.pipe()
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, str(writing), *wanted.words]
    variables = {name: value for name, value in os.environ.items() if name != UNSET}
    with open(log, "wb") as errors, open(wanted.stdout or os.devnull, "wb") as out:
        process = subprocess.Popen(
            launcher, stdout=out, stderr=errors, pass_fds=(writing,), env=variables
        )
    os.close(writing)
    with os.fdopen(reading) as report:
        text = report.read()
    process.wait()
    seconds, processor, peak, status = json.loads(text or "[0, 0, 0, 127]")
    if status:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise SystemExit(f"error: status {status} of {' '.join(wanted.words)}\n{end}")
    return Measured(seconds, processor, versions.bytes_of_peak(peak) / 2**20)


def median(measured: Sequence[Measured]) -> Measured:
    """Of each figure by itself."""
    return Measured(
        statistics.median(one.seconds for one in measured),
        statistics.median(one.processor for one in measured),
        statistics.median(one.megabytes for one in measured),
    )
