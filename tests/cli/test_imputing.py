"""The command: options that do not fit, what is left behind, what is written.

Bad targets are cases of the table in tests/bad_input.
"""

from __future__ import annotations

import pysam
import pytest
from typer.testing import CliRunner

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED
from vcfbert.storage.vcf import bgzf
from vcfbert_cli.main import app

NAMES = ["t0", "t1"]


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_records():
    """A good target's records."""
    alleles = imputations.samples_alleles(2)
    return [
        ("20", 1000 * (site + 1), "A", "G", [f"{a}|{b}" for a, b in row.reshape(-1, 2)])
        for site, row in zip(TYPED.tolist(), alleles[TYPED], strict=True)
    ]


def impute(home, target, *words):
    """Run the command; its output goes beside the target."""
    out = str(target.with_name("out.vcf.gz"))
    line = ["impute", str(target), "-o", out, "-w", str(home.root), "--no-network", *words]
    return CliRunner().invoke(app, line, env={"VCFBERT_WORKSPACE": None})


def refused(done, folder, kept):
    """The one sentence on stderr; nothing is left in the folder but what was `kept`."""
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def unphased(records):
    return [*records[:9], (*records[9][:4], ["0/1", "0|0"]), *records[10:]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--region", "21"], "has no contig 21"),
        (["--region", "20:1-999"], "has no sites in 20:1-999"),
        (["--region", "20:9-1"], "must start at 1 or later and must not end"),
        (["--map", "absent.map"], "absent.map does not exist"),
        (["--sites", "absent.tsv"], "Cannot read the site list absent.tsv"),
        (["--run", "../x"], "--no-network and --run cannot"),
        (["--format", "GT,PL"], "GT,PL"),
        (["--format", ""], "cannot be written"),
        (["-o", "out.vcf"], "must end in .vcf.gz, .vcf.bgz or .bcf"),
        (["-w", "absent"], "Make one with: vcfbert prepare PANEL"),
    ],
)
def test_options_that_do_not_fit_are_explained(fx_home, fx_records, tmp_path, words, message):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    assert message in refused(impute(fx_home, target, *words), tmp_path, ["t.vcf"])


@pytest.mark.parametrize("words", [["--workers", "2"], ["--scheduler", "tcp://a:1"]])
def test_a_plan_takes_no_workers(fx_home, fx_records, tmp_path, words):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    done = impute(fx_home, target, "--plan", str(tmp_path / "plan.json"), *words)
    assert done.exit_code == 2
    assert "leave out --workers" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["t.vcf"]


def test_a_full_disk_is_explained(fx_home, fx_records, tmp_path, monkeypatch):
    def full(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bgzf, "compress", full)
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    assert "No space left on device" in refused(impute(fx_home, target), tmp_path, ["t.vcf"])


def test_an_output_that_stands_is_not_replaced_unasked(fx_home, fx_records, tmp_path):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    assert impute(fx_home, target).exit_code == 0
    kept = ["t.vcf", "out.vcf.gz", "out.vcf.gz.tbi", "out.qc"]
    assert "--force" in refused(impute(fx_home, target), tmp_path, kept)
    assert impute(fx_home, target, "--force").exit_code == 0


def test_unphased_genotypes_can_be_imputed_or_taken_as_they_are(fx_home, fx_records, tmp_path):
    target = panels.write_vcf(tmp_path / "t.vcf", unphased(fx_records), NAMES)
    for policy in ("phase", "missing", "as-written"):
        done = impute(fx_home, target, "--unphased", policy, "--force", "--quiet")
        assert done.exit_code == 0
        assert "1 heterozygous genotype is not phased" in done.stderr
        with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as variants:
            row = next(r for r in variants if r.pos == 1000 * (TYPED[9] + 1))
        if policy == "as-written":
            assert row.samples[0]["GT"] == (0, 1)


def test_a_bcf_with_chr_prefixes_is_read(fx_home, fx_records, tmp_path):
    records = [("chr20", *record[1:]) for record in fx_records]
    plain = panels.write_vcf(tmp_path / "t.vcf", records, NAMES)
    with (
        pysam.VariantFile(str(plain)) as source,
        pysam.VariantFile(str(tmp_path / "t.bcf"), "wb", header=source.header) as sink,
    ):
        for record in source:
            sink.write(record)
    done = impute(fx_home, tmp_path / "t.bcf")
    assert done.exit_code == 0, done.stderr
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as variants:
        assert {record.chrom for record in variants} == {"20"}


def test_pysam_reads_what_is_written(fx_home, fx_records, tmp_path):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    assert impute(fx_home, target).exit_code == 0
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as variants:
        found = list(variants.fetch("20", 99_999, 103_000))
        assert [record.pos for record in found] == [100_000, 101_000, 102_000, 103_000]
        for record in found:
            for name in NAMES:
                cell = record.samples[name]
                assert sum(cell["GP"]) == pytest.approx(1, abs=3e-3)
                assert cell["DS"][0] == pytest.approx(sum(cell["HDS"]), abs=3e-3)
