"""`vcfbert version`: complete, quick, and fit for programs."""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vcfbert
from vcfbert import versions
from vcfbert.pipelines import about
from vcfbert.storage.zarr import schema
from vcfbert.training.mosaic import weight_files
from vcfbert.training.systems import checkpoints
from vcfbert_cli.main import app

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def fx_record():
    done = CliRunner().invoke(app, ["version", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_it_names_vcfbert_and_every_dependency(fx_record):
    packages = fx_record["packages"]
    assert packages["vcfbert"] == vcfbert.__version__
    with (ROOT / "pyproject.toml").open("rb") as stream:
        wanted = tomllib.load(stream)["project"]["dependencies"]
    assert {text.split(">")[0] for text in wanted} <= set(packages)


def test_it_names_builds_formats_machine_and_the_shipped_network(fx_record):
    assert fx_record["builds"]["faiss_build"]
    assert fx_record["builds"]["htslib"][0].isdigit()
    assert fx_record["machine"]["cores"] >= 1
    formats = fx_record["formats"]
    assert formats["panel_store"] == schema.FORMAT_VERSION["panel"]
    assert formats["checkpoint"] == checkpoints.FORMAT_VERSION
    digest = hashlib.sha256(weight_files.shipped_path().read_bytes()).hexdigest()
    assert fx_record["shipped_network"] == f"sha256 {digest}"


def test_the_table_says_the_same(fx_record):
    shown = CliRunner().invoke(app, ["version"]).stdout
    for section in ("packages", "builds", "machine"):
        for value in fx_record[section].values():
            assert str(value) in shown


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(versions, "DEPENDENCIES", ("numpy", "no-such-package"))
    assert set(versions.packages()) == {"vcfbert", "python", "numpy"}


def test_a_build_of_pytorch_for_the_cpu_is_told_by_its_name():
    assert about._torch_build("2.9.0+cpu") == "for the CPU"


def test_pytorch_is_not_loaded():
    code = "import sys; from vcfbert.pipelines import about; about.about(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert "torch" not in loaded
