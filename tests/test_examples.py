"""The examples for workflow managers write what one `impute` writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines import imputations

EXAMPLES = Path(__file__).parent.parent / "examples"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
LENGTHS = {"chunk_cm": 0.1, "overlap_cm": 0.05}
OPTIONS = "--no-network --chunk-cm 0.1 --overlap-cm 0.05"  # three chunks


@pytest.fixture(scope="module")
def fx_folder(tmp_path_factory):
    """A workspace, a target and the output of one command."""
    folder = tmp_path_factory.mktemp("examples")
    home = imputations.workspace(folder / "work")
    target = imputations.write_target(folder / "t.vcf.gz", imputations.samples_alleles(2))
    imputations.run(home, target, folder / "whole.vcf.gz", **LENGTHS)
    return folder


def run(folder, words, **environment):
    """Run a program that finds this Python's `vcfbert`."""
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"PATH": PATH} | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_array_job(fx_folder):
    run(
        fx_folder, ["bash", EXAMPLES / "array_job.sh"],
        TARGET="t.vcf.gz", OUT="bash.vcf.gz", OPTIONS=OPTIONS,
    )  # fmt: skip
    assert (fx_folder / "bash.vcf.gz").read_bytes() == (fx_folder / "whole.vcf.gz").read_bytes()
    assert not (fx_folder / "bash.vcf.gz.plan.json").exists()
    assert not (fx_folder / "bash.parts").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("snakemake", path=PATH) is None, reason="snakemake is not installed"
)
def test_snakemake(fx_folder):
    run(fx_folder, [
        "snakemake", "--snakefile", EXAMPLES / "Snakefile", "--cores", "2", "--config",
        "target=t.vcf.gz", "out=snake.vcf.gz", f"options={OPTIONS}",
    ])  # fmt: skip
    assert (fx_folder / "snake.vcf.gz").read_bytes() == (fx_folder / "whole.vcf.gz").read_bytes()


def test_all_examples_use_the_three_steps():
    for name in ("array_job.sh", "Snakefile", "main.nf"):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        assert all(f"vcfbert impute {step} " in text for step in ("plan", "part", "join")), name
