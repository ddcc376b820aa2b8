"""Many inputs for one reader, in a process of its own with limits, and a count of what happened.

A native library that crashes takes the process with it, and one that hangs does not come back. So
the parent watches: the number of the input under way stands in shared memory, a process that dies
or stays at one input too long is recorded with that input, and the next process goes on behind it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcfbert import versions
from vcfbert.errors import VcfbertError

SECONDS = 20.0
"""An input that takes longer is a hang; the machine may be busy with other things."""

_STATM = Path("/proc/self/statm")  # Linux only

START_SECONDS = 180.0
"""For a process to import everything on a busy machine."""

MEMORY = 1 << 30
"""Bytes an input may take beyond what the process has before the first one."""

_NUMBER, _ACCEPTED, _REFUSED, _OTHER, _PEAK = range(5)


@dataclass
class Outcome:
    """What became of the inputs of one reader.

    findings  one line each: kind, input number, last line of the traceback
    peak      bytes by which the resident memory of a process grew, at most
    """

    reader: str
    accepted: int = 0
    refused: int = 0
    other: int = 0
    crashes: int = 0
    hangs: int = 0
    seconds: float = 0.0
    peak: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """All that were tried."""
        return self.accepted + self.refused + self.other + self.crashes + self.hangs


def run(
    name: str,
    seeds: Path,
    seed: int,
    inputs: int,
    *,
    seconds: float = 1e9,
    keep: Path | None = None,
) -> Outcome:
    """Try inputs 0 to `inputs` of a reader, or as many as the time allows.

    seeds  the folder of `seeds.build`
    keep   folder for the inputs that found something
    """
    context = multiprocessing.get_context("fork")  # of a process that has imported everything
    state = context.Array("q", 5, lock=False)
    outcome = Outcome(name)
    started = time.monotonic()
    first = 0
    while first < inputs and time.monotonic() - started < seconds:
        left = seconds - (time.monotonic() - started)
        state[_NUMBER] = -1  # until the process is there
        queue: Any = context.SimpleQueue()
        child = context.Process(target=_work, args=(name, seeds, seed, first, inputs, left, state,
                                                    queue, keep), daemon=True)  # fmt: skip
        child.start()
        died = _watch(child, state)
        while not queue.empty():
            outcome.findings.append(queue.get())
        if died is None:
            break
        outcome.crashes += died != "hang"
        outcome.hangs += died == "hang"
        outcome.findings.append(f"{died}: input {state[_NUMBER]} of {name}")
        if state[_NUMBER] < 0:
            raise RuntimeError(f"no process for {name} comes up ({died})")
        first = state[_NUMBER] + 1
    outcome.accepted, outcome.refused, outcome.other = (
        state[_ACCEPTED],
        state[_REFUSED],
        state[_OTHER],
    )
    outcome.peak = state[_PEAK]
    outcome.seconds = time.monotonic() - started
    return outcome


def _watch(child: Any, state: Any) -> str | None:
    """Wait for a process; how it came to its end, None where it did all it had to."""
    number, since = -1, time.monotonic()
    while child.is_alive():
        child.join(0.1)
        if state[_NUMBER] != number:
            number, since = state[_NUMBER], time.monotonic()
        elif time.monotonic() - since > (SECONDS if number >= 0 else START_SECONDS):
            child.kill()
            child.join()
            return "hang"
    return None if child.exitcode == 0 else f"exit {child.exitcode}"


def make(name: str, seeds: Path, seed: int, number: int, work: Path) -> Any:
    """Write one input into an empty folder; returns what reads it."""
    from benchmarks.fuzzing import readers
    from benchmarks.fuzzing.seeds import Seeds

    reader = next(one for one in readers.ALL if one.name == name)
    return reader.make(random.Random(f"{seed} {name} {number}"), Seeds(seeds), work)


def attempt(read: Any) -> tuple[str, str]:
    """What becomes of one input: accepted, refused, or else, with the message."""
    try:
        read()
    except VcfbertError as error:
        return "refused", str(error)
    except BaseException:
        return "other", traceback.format_exc()
    return "accepted", ""


def _work(
    name: str, seeds: Path, seed: int, first: int, last: int, seconds: float, state: Any,
    queue: Any, keep: Path | None,
) -> None:  # fmt: skip
    """The child: one input after another."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # htslib writes there
    warnings.simplefilter("error")
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vcfbert-fuzz-", dir=base) as folder:
        work = Path(folder) / "input"
        _warm_up(name, seeds, seed, work)
        before = _resident()
        _limit_memory()
        for number in range(first, last):
            state[_NUMBER] = number
            work.mkdir()
            try:
                read = make(name, seeds, seed, number, work)
            except Exception:  # of the benchmark, not of a reader
                queue.put(f"not made: input {number}: {traceback.format_exc()[-300:]}")
                raise
            kind, text = attempt(read)
            place = {"accepted": _ACCEPTED, "refused": _REFUSED, "other": _OTHER}[kind]
            state[place] += 1
            if kind == "other":
                if keep is not None:
                    target = keep / f"{name.replace(' ', '-')}-{number}"
                    shutil.copytree(work, target, dirs_exist_ok=True)
                    (target / "traceback.txt").write_text(text, errors="replace")
                queue.put(f"other: input {number} of {name}: {text.strip().splitlines()[-1][:300]}")
            state[_PEAK] = max(state[_PEAK], _peak() - before)
            shutil.rmtree(work)
            if time.monotonic() - started > seconds:
                break


def _warm_up(name: str, seeds: Path, seed: int, work: Path) -> None:
    """Load what the reader loads, so that it does not count as memory of an input."""
    for number in range(-3, 0):
        work.mkdir()
        attempt(make(name, seeds, seed, number, work))
        shutil.rmtree(work)


def _peak() -> int:
    return versions.bytes_of_peak(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _resident() -> int:
    return _peak()


def _limit_memory() -> None:
    """Allow MEMORY more than is in use; without /proc that is unknown and there is no limit."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
