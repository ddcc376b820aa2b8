"""The command `phase`: what it prints, and options that do not fit."""

from __future__ import annotations

import pysam
import pytest
from typer.testing import CliRunner

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED
from vcfbert.storage.vcf import bgzf
from vcfbert_cli.main import app


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture
def fx_target(tmp_path):
    alleles = imputations.samples_alleles(2)[TYPED].reshape(len(TYPED), 2, 2)
    made = [
        ("20", 1000 * (site + 1), "A", "G", [f"{min(pair)}/{max(pair)}" for pair in row])
        for site, row in zip(TYPED.tolist(), alleles.tolist(), strict=True)
    ]
    return panels.write_vcf(tmp_path / "t.vcf", made, ["t0", "t1"])


def invoke(home, target, *words):
    out = str(target.with_name("out.vcf.gz"))
    line = ["phase", str(target), "-o", out, "-w", str(home.root), *words]
    return CliRunner().invoke(app, line, env={"VCFBERT_WORKSPACE": None})


def refused(done, folder):
    """The one sentence on stderr; nothing is left in the folder but the target."""
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [path.name for path in folder.iterdir()] == ["t.vcf"]
    return done.stderr.splitlines()[-1]


def test_the_command_writes_an_indexed_file_and_prints_what_it_found(fx_home, fx_target, tmp_path):
    done = invoke(fx_home, fx_target)
    assert done.exit_code == 0, done.output
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert rows["samples"].strip() == "2"
    assert rows["phase sets"].strip() == "2"
    assert int(rows["heterozygotes phased"]) > 10
    assert 0.5 < float(rows["mean confidence"]) < 1
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as file:
        assert len(list(file.fetch("20"))) == len(TYPED)
        assert {"vcfbert_phase", "vcfbert_panel"} <= {record.key for record in file.header.records}
    assert "--force" in invoke(fx_home, fx_target).stderr
    assert invoke(fx_home, fx_target, "--force", "-q").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--region", "21"], "has no contig 21"),
        (["--region", "20:1-999"], "has no sites in 20:1-999"),
        (["--map", "absent.map"], "absent.map does not exist"),
        (["--chunk-cm", "0"], "--chunk-cm must be greater than 0"),
        (["-o", "out.vcf"], "must end in .vcf.gz, .vcf.bgz or .bcf"),
        (["-w", "absent"], "Make one with: vcfbert prepare PANEL"),
    ],
)
def test_options_that_do_not_fit_are_explained(fx_home, fx_target, tmp_path, words, message):
    assert message in refused(invoke(fx_home, fx_target, *words), tmp_path)


def test_a_full_disk_is_explained(fx_home, fx_target, tmp_path, monkeypatch):
    def full(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bgzf, "compress", full)
    assert "No space left on device" in refused(invoke(fx_home, fx_target), tmp_path)
