"""A few kills and disk faults; `benchmarks/crashes.py` and `disk_faults.py` try many."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str, out: Path) -> list[dict[str, str]]:
    """Run in a new process, because FAISS hangs in a fork of one that has used it."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments, "--csv", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    with out.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_killed_commands_leave_a_workspace_that_verifies_and_end_the_same_again(tmp_path):
    """Signals before an operation on the file system or after some time."""
    commands = "prepare,build-index,impute"
    arguments = ("--rounds", "1", "--step", "5", "--commands", commands, "--folder", str(tmp_path))
    rows = run("crashes.py", *arguments, out=tmp_path / "kills.csv")
    assert {row["command"] for row in rows} == set(commands.split(","))
    assert {row["older"] for row in rows} == {"no", "yes"}
    for row in rows:
        counts = {row[name] for name in ("kills", "verified", "whole", "cleaned", "identical")}
        assert counts == {"1"}, row
    assert any(row["stopped"] == "1" for row in rows)


@pytest.mark.slow
def test_a_disk_that_refuses_is_told_in_a_sentence_and_leaves_the_workspace_whole(tmp_path):
    arguments = ("--commands", "build-index", "--folder", str(tmp_path))
    rows = run("disk_faults.py", *arguments, out=tmp_path / "faults.csv")
    failed = [row for row in rows if row["code"] == "1"]
    assert failed
    assert all(row["explained"].startswith("error: ") for row in failed)
