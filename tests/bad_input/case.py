"""A case of bad input with its expected outcome, and the runner of cases.

A case writes files to its own folder and runs one command there, in this process. Exit code,
messages and files left behind are compared with the case; every difference is one complaint.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pysam
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from tests.bad_input.room import Room
from vcfbert.pipelines.auditing import estimates
from vcfbert_cli.main import app

COMMAND = get_command(app)
"""Built once: otherwise Typer reads the signatures of all commands for each case."""

LONGEST_MESSAGE = 700
"""Characters of an error message; users do not read longer ones."""


@dataclass(frozen=True)
class Case:
    """One bad or unusual input.

    make       writes the files
    command    arguments of `vcfbert`, which runs in the folder of the files
    exit_code  0 if the input is unusual but not an error
    message    texts that the error message must contain; for exit code 0, texts of the output and
               the QC reports
    reports    True if the command prints its report before it fails, as audit-dims does
    """

    family: str
    name: str
    make: Callable[[Room], None]
    command: str
    exit_code: int
    message: tuple[str, ...]
    reports: bool = False

    @property
    def label(self) -> str:
        """Name for lists: the family, the command and what is wrong."""
        return f"{self.family}: {self.command}: {self.name}"


def complaints(case: Case, folder: Path, home: Path) -> list[str]:
    """Differences between the expected outcome of a case and the actual one.

    folder  the case's own folder, empty
    home    a prepared workspace to copy
    """
    room = Room(folder, home)
    case.make(room)
    before = _contents(folder)
    with (
        chdir(folder),
        _descriptor_of_stderr() as noise,
        warnings.catch_warnings(),
        patch.object(testing, "_get_command", lambda _: COMMAND),
        patch.object(estimates, "_largest_width", lambda *_: 0),  # seconds of memory arithmetic
        patch.object(estimates, "_largest_preset", lambda *_: None),
    ):
        warnings.simplefilter("error")
        done = CliRunner().invoke(app, shlex.split(case.command), env={"VCFBERT_WORKSPACE": None})
    found = _of_exit(case, done)
    if noise:
        found.append(f"a library wrote {noise[0][:200]!r} to stderr")
    return found + _of_words(case, done, room) + _of_files(case, before, folder)


def _of_exit(case: Case, done: Result) -> list[str]:
    found = []
    if done.exit_code != case.exit_code:
        found.append(f"exit code {done.exit_code}, not {case.exit_code}: {done.output[-500:]}")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        found.append(f"unexpected exception {done.exception!r}")
    if "Traceback" in done.output:
        found.append("prints a traceback")
    return found


def _of_words(case: Case, done: Result, room: Room) -> list[str]:
    if case.exit_code == 1:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        if len(errors) != 1 or lines[-1] != errors[0]:
            return [f"stderr does not end with one error message: {done.stderr[-500:]!r}"]
        said = errors[0]
        found = (
            [f"an error message of {len(said)} characters"] if len(said) > LONGEST_MESSAGE else []
        )
        if done.stdout and not case.reports:
            found.append(f"prints results: {done.stdout[:200]!r}")
    else:
        said, found = " ".join([done.stdout, done.stderr, *room.reports()]), []
        said = " ".join(said.split())
    return found + [
        f"{text!r} is missing in: {said[:900]}" for text in case.message if text not in said
    ]


def _of_files(case: Case, before: dict[str, str], folder: Path) -> list[str]:
    after = _contents(folder)
    changed = [name for name, content in before.items() if after.get(name) != content]
    found = [f"{name} was changed" for name in changed]
    new = sorted(after.keys() - before.keys())
    if case.exit_code != 0 and new:
        found.append(f"{len(new)} files were left behind, such as {new[0]}")
    found += [f"{name} is unfinished" for name in new if "partial" in name or "scratch" in name]
    if case.exit_code == 0:
        for name in new:
            if name.endswith((".vcf.gz", ".bcf")):
                with pysam.VariantFile(str(folder / name)) as variants:
                    if not sum(1 for _ in variants):
                        found.append(f"{name} has no records")
    return found


def _contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder, by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def _descriptor_of_stderr() -> Iterator[list[str]]:
    """Collect what C libraries write to stderr; the list is filled at the end."""
    written: list[str] = []
    with tempfile.TemporaryFile() as stream:
        kept = os.dup(2)
        os.dup2(stream.fileno(), 2)
        try:
            yield written
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            stream.seek(0)
            text = stream.read().decode("utf-8", errors="replace")
            if text:
                written.append(text)
