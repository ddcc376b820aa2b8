"""The README's commands and its Python do what they say, on a panel small enough for a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in found if containing in text)


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_shell_lines_lead_from_a_vcf_to_an_evaluated_model(tmp_path):
    lines = block("sh", "vcfbert simulate").replace(
        "vcfbert simulate demo/panel",
        "vcfbert simulate demo/panel --num-samples 60 --length 100000",
    )
    lines = lines.replace(
        "vcfbert train ",
        "vcfbert train --set training.max_epochs=1 --set training.batches_per_epoch=3 ",
    )
    assert lines.count("\n") <= 8
    out = run(["bash", "-euo", "pipefail", "-c", lines], tmp_path)
    assert "nearest haplotype" in out
    assert (tmp_path / "demo" / "work" / "runs" / "tiny" / "metrics.csv").exists()


@pytest.mark.slow
def test_the_python_imputes_trains_and_evaluates(tmp_path):
    code = block("python", "vcfbert.simulate").replace(
        'vcfbert.simulate("demo/panel")',
        'vcfbert.simulate("demo/panel", num_samples=60, length=100_000)',
    )
    code = code.replace(
        'vcfbert.train("tiny", workspace="demo/work")',
        'vcfbert.train("tiny", workspace="demo/work", '
        'settings={"training": {"max_epochs": 1, "batches_per_epoch": 3}})',
    )
    assert "nearest haplotype" in run([sys.executable, "-c", code], tmp_path)
    assert (tmp_path / "demo" / "imputed.vcf.gz.tbi").exists()
