"""The measurements on a GPU, at tiny sizes on a CPU."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*words, folder):
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_every_part_runs_at_tiny_sizes_and_writes_its_table(tmp_path):
    given = ["--device", "cpu", "--tiny", "--results", str(tmp_path / "results")]
    tests = ROOT / "tests" / "copying" / "test_torch_mosaic.py"
    done = run("my work", *given, "--tests", str(tests), folder=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    found = {path.stem: rows(path) for path in (tmp_path / "results").iterdir()}
    assert set(found) == {"gpu-tests", "gpu-training-step", "gpu-systems", "gpu-imputation"}
    assert len(found["gpu-tests"]) > 10
    step = found["gpu-training-step"][0]
    assert (step["preset"], step["batch_samples"]) == ("v18-large", "2")
    assert float(step["step_ms"]) > 0
    assert float(step["tflop_per_s"]) > 0
    assert [row["preset"] for row in found["gpu-systems"]] == ["v17", "v18-current"]
    assert all(float(row["peak_mb"]) > 0 for row in found["gpu-systems"])
    assert [float(row["largest_dosage_difference"]) for row in found["gpu-imputation"]] == [0, 0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_with_one_sentence(tmp_path):
    done = run(folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: PyTorch finds no GPU on this machine.")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_full_sizes_are_not_run_on_a_cpu(tmp_path):
    done = run("--device", "cpu", folder=tmp_path)
    assert done.returncode == 1
    assert "add --tiny" in done.stderr
