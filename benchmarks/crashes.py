"""Kills of every writing command at random times and places, and checks of what is left.

    python benchmarks/crashes.py [--rounds 5] [--commands prepare,train] [--csv FILE]

For each command: KILL, TERM and INT, before the n-th operation on the file system and after a
random time, with and without an older output to replace. After each kill `verify` must find no
fault, every file under a final name must be as before or as an undisturbed command writes it, and
the command, run again, must write exactly that. Kills are seeded, but times depend on the machine.
Training is killed without the checks that precede it, which only read.
"""

from __future__ import annotations

import argparse
import csv
import gc
import itertools
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.faults import children, snapshots
from benchmarks.faults.cases import Case, Ground
from benchmarks.faults.children import Ended

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RESULTS = Path(__file__).resolve().parent / "results" / "crashes.csv"
EXITS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass
class Row:
    """Kills of one kind.

    stopped    ended by the signal, not before it
    verified   the workspace had no fault
    whole      every file under a final name was as before or as an undisturbed command writes it
    cleaned    the command, run again, left no temporary files
    identical  and wrote what an undisturbed command writes
    """

    command: str
    older: str
    signal: str
    place: str
    kills: int = 0
    stopped: int = 0
    verified: int = 0
    whole: int = 0
    cleaned: int = 0
    identical: int = 0


@dataclass(frozen=True)
class Wanted:
    """Digests by path before and after an undisturbed command.

    second  after it is run twice, for a command that adds versions
    """

    before: dict[str, str]
    after: dict[str, str]
    second: dict[str, str]
    undisturbed: Ended


def measure(ground: Ground, case: Case, state: str, arguments: list[str]) -> Wanted:
    """Run a command undisturbed."""
    ground.start(state)
    before = snapshots.of(ground.trial)
    undisturbed = ground.done(arguments)
    after = snapshots.of(ground.trial)
    if case.older is None:
        ground.start(state)
        ground.done(case.command)  # twice and without pruning, for every version there can be
        ground.done(case.command)
    return Wanted(before, after, snapshots.of(ground.trial), undisturbed)


def strays(ground: Ground, wanted: Wanted, case: Case) -> list[str]:
    """Files under a final name that are neither as before nor finished, and files that are lost."""
    found = snapshots.of(ground.trial)
    run = "work/runs/r/"  # of train, which grows; only `verify` checks the new one
    settings = f"{run}config.toml"
    is_new = case.name == "train" and found.get(settings) != wanted.before.get(settings)
    odd = [
        path
        for path, digest in found.items()
        if digest not in (wanted.before.get(path), wanted.second.get(path))
        and not (is_new and path.startswith(run))
    ]
    lost = [
        path
        for path in wanted.before
        if path in wanted.after  # what was to be pruned may be gone
        and path not in found
        and not path.endswith((".tbi", ".csi"))
        and not (is_new and path.startswith(run))
    ]
    return odd + [f"{path} is gone" for path in lost]


def again(ground: Ground, case: Case, arguments: list[str], is_even: bool) -> Ended:
    """Run the command again as a user would: an interrupted training is resumed or restarted."""
    if case.name == "train" and (ground.work / "runs" / "r").exists():
        settings = (ground.work / "runs" / "r" / "config.toml").read_text()
        if is_even and "\nseed = 1\n" in f"\n{settings}":
            return ground.run([*case.command, "--resume"])
    forced = [] if "--force" in arguments or case.older is None else ["--force"]
    ended = ground.run(arguments)
    if ended.code == 1 and "already exists" in ended.said:  # it had finished
        ended = ground.run([*arguments, *forced])
    return ended


def attempt(
    ground: Ground, case: Case, state: str, arguments: list[str], wanted: Wanted,
    kill: children.Kill, row: Row,
) -> list[str]:  # fmt: skip
    """Stop a command once and count the checks that pass; returns one sentence per failure."""
    ground.start(state)
    ended = ground.run(arguments, kill)
    row.kills += 1
    row.stopped += ended.was_stopped
    problems = []
    if ended.code not in (0, EXITS[kill.signal], -kill.signal):
        problems.append(f"ended with {ended.code}: {ended.said.strip()}")
    if "Traceback" in ended.said:
        problems.append(ended.said)
    faults = ground.verify()
    row.verified += not faults
    odd = strays(ground, wanted, case)
    row.whole += not odd
    ended = again(ground, case, arguments, row.kills % 2 == 0)
    left = snapshots.leftovers(ground.trial)
    row.cleaned += not left
    found = snapshots.of(ground.trial)
    is_same = ended.code == 0 and agrees(found, wanted, case)
    row.identical += is_same
    problems += [*faults, *odd, *(f"left {name}" for name in left)]
    if not is_same:
        differing = [p for p in found.keys() | wanted.after.keys()
                     if found.get(p) != wanted.after.get(p)]  # fmt: skip
        problems.append(f"again: {ended.code} {ended.said.strip()[:300]} {differing[:8]}")
    return [f"{case.name} {state} {kill}: {problem}" for problem in problems]


def agrees(found: dict[str, str], wanted: Wanted, case: Case) -> bool:
    if case.older is not None:
        return found == wanted.after
    # Versions: a new one of each kind, and none that two consecutive runs would not write.
    has_new = all(
        any(path.startswith(f"work/{kind}/v000{n}.zarr") for n in (1, 2) for path in found)
        for kind in ("masks", "embeddings")
    )
    return has_new and all(digest == wanted.second.get(path) for path, digest in found.items())


def variants(ground: Ground, case: Case) -> Iterator[tuple[str, str, list[str]]]:
    """For each variant: is there an older output, the initial state and the arguments."""
    yield "no", case.base, case.command
    if case.older is None:
        yield "pruned", case.base, [*case.command, "--prune", "1"]
        return
    state = f"{case.base}, older {case.name}"
    if not ground.has(state):
        ground.start(case.base)
        ground.done(case.older)
        ground.keep(state)
    yield "yes", state, [*case.command, "--force"]


class Series:
    """Kills of one command, one of each kind in a round."""

    def __init__(self, ground: Ground, case: Case, step: int) -> None:
        """Measure the undisturbed command, with and without an older output.

        step  takes every step-th kind of kill
        """
        self._step = step
        self.rows: list[Row] = []
        self._ground, self._case = ground, case
        self._variants = list(variants(ground, case))
        self._wanted = [measure(ground, case, *variant[1:]) for variant in self._variants]

    def round(self, rng: random.Random) -> Iterator[str]:
        """Kill it once in every way; yields a sentence for each check that fails."""
        kinds = itertools.product(enumerate(self._variants), SIGNALS, (True, False))
        chosen = itertools.islice(kinds, 0, None, self._step)
        for place, ((which, variant), stop, by_place) in enumerate(chosen):
            older, state, arguments = variant
            wanted = self._wanted[which]
            if place == len(self.rows):
                kind = "operation" if by_place else "time"
                self.rows.append(Row(self._case.name, older, stop.name, kind))
            kill = children.draw(rng, stop, wanted.undisturbed, by_place=by_place)
            row = self.rows[place]
            yield from attempt(self._ground, self._case, state, arguments, wanted, kill, row)


def warm_up() -> None:
    """Import everything that commands import, without computing anything."""
    import torch._dynamo  # which the first optimizer imports, for many seconds
    import torch.utils.tensorboard  # noqa: F401

    from vcfbert.pipelines.systems import train_systems
    from vcfbert.storage.vcf import rendering  # noqa: F401
    from vcfbert_cli.main import app  # noqa: F401

    # The checks before training write nothing and take most of the time of such short trainings.
    train_systems.preflight.before_training = lambda bench, progress: None
    gc.collect()
    gc.freeze()  # or the garbage collector of each child would copy the memory it visits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of 12 kills of each command")
    parser.add_argument("--step", type=int, default=1, help="take every STEP-th kind of kill")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--commands", default="", help="comma-separated names; all if omitted")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, help="where to work; a disk in memory is faster")
    chosen = parser.parse_args()
    warm_up()
    rng = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        ground = Ground(Path(name).resolve())
        wanted = chosen.commands.split(",") if chosen.commands else None
        series = [
            Series(ground, case, chosen.step)
            for case in ground.cases()
            if wanted is None or case.name in wanted
        ]
        for _ in range(chosen.rounds):
            for one in series:
                for problem in one.round(rng):
                    print(problem, file=sys.stderr, flush=True)
                _write(chosen.csv, [row for each in series for row in each.rows])
    rows = [row for one in series for row in one.rows]
    bad = sum(row.kills - min(row.verified, row.whole, row.cleaned, row.identical) for row in rows)
    print(f"{sum(row.kills for row in rows)} kills, {bad} with a fault")
    sys.exit(1 if bad else 0)


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = [field.name for field in fields(Row)]
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)


if __name__ == "__main__":
    main()
