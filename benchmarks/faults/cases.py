"""Commands to kill and the workspaces they start from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import children
from benchmarks.faults.children import Ended

SMALL = ["--preset", "tiny", "--set", "model.width=16", "--set", "model.num_layers=1"]
BRIEF = [
    *("--set", "training.batches_per_epoch=6", "--set", "training.max_epochs=2"),
    *("--set", "training.validation_batches=2", "--set", "training.checkpoint_every=2"),
    *("--device", "cpu", "--threads", "1"),
]

MADE_BY = {
    "prepared": "prepare",
    "encoded": "encode-refs",
    "indexed": "build-index",
    "trained": "train",
}
"""The command that makes each state, from the one before it."""


@dataclass(frozen=True)
class Case:
    """A command to stop.

    command  its arguments, without --force
    base     the state of the workspace it starts from
    older    the arguments that write an older output; None if the command adds versions and
             replaces nothing
    """

    name: str
    command: list[str]
    base: str
    older: list[str] | None


class Ground:
    """A folder with initial states, and one trial at a time.

    The trial always has the same path, because reports contain paths.
    """

    def __init__(self, root: Path) -> None:
        """Simulate the small panel."""
        self.root = root
        self.data = root / "data"
        self.trial = root / "trial"
        self.work = self.trial / "work"
        self.out = self.trial / "out.vcf.gz"
        self._states = root / "states"
        self._simulate()

    def cases(self) -> list[Case]:
        """Every command."""
        data = self.data
        prepare = ["prepare", str(data / "panel.vcf.gz"), "--window-size", "64", "--flank", "4"]
        prepare += ["--samples", str(data / "samples.tsv"), "--map", str(data / "genetic.map")]
        impute = ["impute", str(data / "target.vcf.gz"), "--out", str(self.out), "--threads", "1"]
        train = ["train", "--run", "r", *SMALL, *BRIEF]
        evaluate = ["eval", "--run", "r", "--typed", str(data / "typed.tsv"), "--device", "cpu"]
        return [
            Case("prepare", prepare, "empty", [*prepare, "--seed", "2"]),
            Case("encode-refs", ["encode-refs", *SMALL], "prepared",
                 ["encode-refs", *SMALL, "--seed", "2"]),
            Case("build-index", ["build-index"], "encoded",
                 ["build-index", "--max-references", "20"]),
            Case("train", train, "indexed", [*train, "--seed", "2"]),
            Case("refresh", ["refresh", "--masks", "--embeddings", "--run", "r", *SMALL],
                 "trained", None),
            Case("impute", impute, "prepared", [*impute, "--no-network"]),
            Case("eval", evaluate, "trained", [*evaluate, "--rare-maf", "0.2"]),
        ]  # fmt: skip

    def start(self, state: str) -> None:
        """Copy a state for the next trial; make it first if needed."""
        if not self.has(state):
            self._make(state)
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(self._states / state, self.trial)

    def keep(self, state: str) -> None:
        """Save the trial as a state."""
        shutil.copytree(self.trial, self._states / state)

    def has(self, state: str) -> bool:
        """True if there is such a state."""
        return (self._states / state).is_dir()

    def run(
        self,
        arguments: list[str],
        kill: children.Kill | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Run a command on the workspace of the trial."""
        return children.run(lambda: _command(self.work, arguments), self.trial, kill, prepare)

    def verify(self) -> list[str]:
        """Faults of the workspace of the trial."""
        ended = children.run(lambda: _faults(self.work), self.trial)
        if ended.code != 0:
            return [f"verify ended with {ended.code}: {ended.said}"]
        return [str(fault) for fault in ended.answer]

    def done(self, arguments: list[str]) -> Ended:
        """Run a command that must not fail."""
        ended = self.run(arguments)
        if ended.code != 0:
            raise RuntimeError(f"{' '.join(arguments)} ended with {ended.code}: {ended.said}")
        return ended

    def _simulate(self) -> None:
        self._states.mkdir(parents=True)
        (self._states / "empty").mkdir()
        self.start("empty")
        sizes = ["--num-samples", "36", "--length", "120000", "--seed", "4"]
        self.done(["simulate", str(self.data), *sizes])

    def _make(self, state: str) -> None:
        """Make a state from the previous one."""
        name = MADE_BY[state]
        case = next(case for case in self.cases() if case.name == name)
        self.start(case.base)
        self.done(case.command)
        self.keep(state)


def _command(work: Path, arguments: list[str]) -> None:
    """Run the command line as `vcfbert` does; ends in SystemExit."""
    import sys

    from vcfbert_cli.main import app

    if arguments[0] != "simulate":
        arguments = [*arguments, "--workspace", str(work)]
    sys.argv = ["vcfbert", *arguments, "--quiet"]
    app(sys.argv[1:])


def _faults(work: Path) -> list[str]:
    """Faults that `vcfbert verify` finds; none in a workspace without a panel."""
    from vcfbert.pipelines.verifying import verify
    from vcfbert.progress import Silent
    from vcfbert.storage.zarr.workspace import Workspace

    if not (work / "panel.zarr").exists():
        # Masks and reports are put in place before the panel.
        masks = Workspace(work).versions("masks")
        return [f"{work} has masks {masks} and no panel" for _ in masks[1:]]
    found = verify.verify(Workspace(work), verify.VerifyOptions(), progress=Silent())
    return found.faults
