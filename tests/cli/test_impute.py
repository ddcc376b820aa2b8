"""Bad input through the command: one sentence, a nonzero exit, nothing half-written."""

from __future__ import annotations

import pysam
import pytest
from typer.testing import CliRunner

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED
from vcfbert.storage import bgzf
from vcfbert_cli.main import app

NAMES = ["t0", "t1"]


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_records():
    """A good target's records."""
    alleles = imputations.people_alleles(2)
    return [
        ("20", 1000 * (site + 1), "A", "G", [f"{a}|{b}" for a, b in row.reshape(-1, 2)])
        for site, row in zip(TYPED.tolist(), alleles[TYPED], strict=True)
    ]


def impute(home, target, *words):
    """Run the command; its output goes beside the target."""
    out = str(target.with_name("out.vcf.gz"))
    line = ["impute", str(target), "-o", out, "-w", str(home.root), "--heads-only", *words]
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


def flipped(records):
    return [(contig, place, "T", "C", calls) for contig, place, _, _, calls in records]


def elsewhere(records):
    return [("7", *record[1:]) for record in records]


def moved(records):
    return [(contig, place + 1, *rest) for contig, place, *rest in records]


def foreign(records):
    return [(contig, place, "A", "C", calls) for contig, place, _, _, calls in records]


def haploid(records):
    return [(*record[:4], ["0", "1"]) for record in records]


def mixed(records):
    return [*records[:9], (*records[9][:4], ["0|1", "1"]), *records[10:]]


def unphased(records):
    return [*records[:9], (*records[9][:4], ["0/1", "0|0"]), *records[10:]]


def unsorted(records):
    return [*records[:9], records[20], *records[9:20]]


def absurd(records):
    return [*records[:9], (*records[9][:4], ["0|3", "0|0"]), *records[10:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flipped, ["75 of 75 sites", "the other one", "bcftools +fixref"]),
        (elsewhere, ["share no contig", "the target has 7", "the panel has 20"]),
        (moved, ["none of 75 records lies at a position", "20:1000-300000"]),
        (foreign, ["other alleles than the panel", "bcftools norm"]),
        (lambda records: records[:1], ["types 1 of the panel's 300 sites", "--min-typed"]),
        (lambda records: records[:4], ["types 4 of the panel's 300 sites", "5 are needed"]),
        (haploid, ["no pair of alleles", "20:3000", "sample t0", "+fixploidy"]),
        (mixed, ["no pair of alleles", "sample t1", "+fixploidy"]),
        (unphased, ["1 heterozygous genotypes of 1 people", "sample t0", "--unphased missing"]),
        (unsorted, ["bcftools sort"]),
        (absurd, ["allele 3", "1 ALT"]),
        (lambda records: [], ["has no records"]),
    ],
)
def test_a_target_that_does_not_fit_is_explained(fx_home, fx_records, tmp_path, change, words):
    target = panels.write_vcf(tmp_path / "t.vcf", change(fx_records), NAMES)
    message = refused(impute(fx_home, target), tmp_path, ["t.vcf"])
    for word in words:
        assert word in message
    if change is not foreign:
        assert "t.vcf" in message


def text_of(records, names=NAMES):
    return panels.vcf_text(records, names)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: text.replace("t0\tt1", "t0\tt0"), ["t0", "twice"]),
        (lambda text: text.replace("\tGT\t", "\tDS\t"), ["no genotypes (GT)"]),
        (lambda text: text[: len(text) // 2], ["truncated"]),
        (lambda text: "", ["is empty"]),
        (lambda text: "hello\n", ["no VCF or BCF"]),
        (lambda text: text.replace("\tt0\tt1", "").replace("\tFORMAT", ""), ["t.vcf"]),
    ],
)
def test_a_file_that_is_no_whole_vcf_is_explained(fx_home, fx_records, tmp_path, edit, words):
    target = tmp_path / "t.vcf"
    target.write_text(edit(text_of(fx_records)))
    message = refused(impute(fx_home, target), tmp_path, ["t.vcf"])
    for word in words:
        assert word in message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_download_is_explained(fx_home, fx_records, tmp_path, share):
    target = panels.write_vcf(tmp_path / "t.vcf.gz", fx_records, NAMES, index=False)
    content = target.read_bytes()
    target.write_bytes(content[: int(share * len(content))])
    assert "Copy or download it again" in refused(impute(fx_home, target), tmp_path, ["t.vcf.gz"])


def test_plain_gzip_is_explained(fx_home, fx_records, tmp_path):
    import gzip

    target = tmp_path / "t.vcf.gz"
    target.write_bytes(gzip.compress(text_of(fx_records).encode()))
    assert "bgzip" in refused(impute(fx_home, target), tmp_path, ["t.vcf.gz"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--region", "21"], "has no contig 21"),
        (["--region", "20:1-999"], "has no sites in 20:1-999"),
        (["--region", "20:9-1"], "must start at 1 or later and end after that"),
        (["--map", "absent.map"], "There is no file absent.map"),
        (["--sites", "absent.tsv"], "Cannot read the site list absent.tsv"),
        (["--run", "../x"], "--heads-only uses no network"),
        (["--format", "GT,PL"], "GT,PL"),
        (["--format", ""], "cannot be written"),
        (["-o", "out.vcf"], "must end in .vcf.gz or .bcf"),
        (["-w", "absent"], "Make one with: vcfbert prepare PANEL"),
    ],
)
def test_options_that_do_not_fit_are_explained(fx_home, fx_records, tmp_path, words, message):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    assert message in refused(impute(fx_home, target, *words), tmp_path, ["t.vcf"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "lists no sites"),
        ("20\t77\n", "None of the 1 sites"),
        ("20 1000\n", "is no site"),
    ],
)
def test_a_list_of_sites_that_does_not_fit_is_explained(
    fx_home, fx_records, tmp_path, lines, message
):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    (tmp_path / "s.tsv").write_text(lines)
    done = impute(fx_home, target, "--sites", str(tmp_path / "s.tsv"))
    assert message in refused(done, tmp_path, ["t.vcf", "s.tsv"])


def test_a_map_without_the_contig_is_explained(fx_home, fx_records, tmp_path):
    target = panels.write_vcf(tmp_path / "t.vcf", fx_records, NAMES)
    (tmp_path / "m.map").write_text("1 . 0 1\n1 . 1 1000000\n")
    done = impute(fx_home, target, "--map", str(tmp_path / "m.map"))
    assert "has no contig 20" in refused(done, tmp_path, ["t.vcf", "m.map"])


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
    for policy in ("missing", "as-written"):
        done = impute(fx_home, target, "--unphased", policy, "--force", "--quiet")
        assert done.exit_code == 0
        assert "1 heterozygous genotypes without phase" in done.stderr
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
