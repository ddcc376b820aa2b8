"""`merge` writes what one run on all samples would have written."""

from __future__ import annotations

import resource
import subprocess
from dataclasses import replace
from pathlib import Path

import cyvcf2
import numpy as np
import pysam
import pytest

from tests import batches
from tests.batches import NUM_SITES, names_of, write_batch
from tests.pipelines import imputations
from vcfbert.errors import InputError
from vcfbert.pipelines.merging import merge as pipeline
from vcfbert.pipelines.merging.merge import MergeOptions, MergeSummary
from vcfbert.progress import Silent
from vcfbert.storage.vcf import joined_columns

NIMP_LINE = "##INFO=<ID=NIMP,"


def merge(paths: list[Path], out: Path, **options: object) -> MergeSummary:
    chosen = MergeOptions(**({"threads": 2} | options))  # type: ignore[arg-type]
    return pipeline.merge(paths, out, chosen, progress=Silent())


def in_batches(folder: Path, alt: np.ndarray, sizes: list[int], **options: object) -> list[Path]:
    """The samples as several files."""
    paths, first = [], 0
    for number, size in enumerate(sizes):
        path = folder / f"b{number}.vcf.gz"
        write_batch(path, alt[:, first : first + size], names_of(size, first), **options)
        paths.append(path)
        first += size
    return paths


@pytest.mark.parametrize("sizes", [[20, 30, 10], [60], [1] * 60, [55, 5]])
def test_the_records_are_the_bytes_of_one_run_if_the_cells_have_all_digits(tmp_path, sizes):
    alt = batches.eighths(60)
    one = write_batch(tmp_path / "one.vcf.gz", alt, names_of(60))
    merge(in_batches(tmp_path, alt, sizes), tmp_path / "m.vcf.gz")
    assert batches.records_of(tmp_path / "m.vcf.gz") == batches.records_of(one)
    header = batches.text_of(tmp_path / "m.vcf.gz").split("#CHROM")[0].splitlines()
    added = [line for line in header if NIMP_LINE not in line and "##vcfbert_merge=" not in line]
    assert added == batches.text_of(one).split("#CHROM")[0].splitlines()


@pytest.mark.parametrize("fields", [("GT", "DS", "GP"), ("DS", "HDS"), ("GT", "GP", "DS")])
def test_dr2_is_computed_from_any_sufficient_fields(tmp_path, fields):
    alt = batches.eighths(60)
    alt = np.round(alt * 2) / 2  # so that products have three decimals, too
    one = write_batch(tmp_path / "one.vcf.gz", alt, names_of(60), fields=fields)
    merge(in_batches(tmp_path, alt, [30, 30], fields=fields), tmp_path / "m.vcf.gz")
    assert batches.records_of(tmp_path / "m.vcf.gz") == batches.records_of(one)


def test_dr2_of_large_batches_needs_no_probabilities(tmp_path):
    alt = batches.eighths(120)
    one = write_batch(tmp_path / "one.vcf.gz", alt, names_of(120), fields=("GT",))
    merge(in_batches(tmp_path, alt, [60, 60], fields=("GT",)), tmp_path / "m.vcf.gz")
    for here, there in zip(
        batches.records_of(tmp_path / "m.vcf.gz"), batches.records_of(one), strict=True
    ):
        found, wanted = batches.info_of(here), batches.info_of(there)
        assert float(found["DR2"]) == pytest.approx(float(wanted["DR2"]), abs=2e-4)
        assert found["AC"] == wanted["AC"]


def test_dr2_is_left_out_with_a_warning_if_small_batches_have_no_probabilities(tmp_path, caplog):
    paths = in_batches(tmp_path, batches.eighths(60), [30, 30], fields=("GT", "DS"))
    merge(paths, tmp_path / "m.vcf.gz")
    assert "INFO/DR2 is left out: it needs FORMAT fields HDS, or DS and GP" in caplog.text
    assert "DR2=" not in batches.text_of(tmp_path / "m.vcf.gz")


def test_few_samples_have_no_dr2_as_in_one_run(tmp_path):
    alt = batches.eighths(40)
    facts = replace(
        batches.FACTS,
        extra=(*batches.FACTS.extra, "##vcfbert_quality=DR2 needs 50 samples; filter on PR2"),
    )
    paths = in_batches(tmp_path, alt, [20, 20], facts=facts)
    merge(paths, tmp_path / "m.vcf.gz")
    assert "##vcfbert_quality=" in batches.text_of(tmp_path / "m.vcf.gz")
    assert "DR2" not in batches.info_of(batches.records_of(tmp_path / "m.vcf.gz")[0])
    more = write_batch(tmp_path / "c.vcf.gz", batches.eighths(10), names_of(10, 40), facts=facts)
    merge([*paths, more], tmp_path / "n.vcf.gz")
    assert "##vcfbert_quality=" not in batches.text_of(tmp_path / "n.vcf.gz")
    assert "DR2" in batches.info_of(batches.records_of(tmp_path / "n.vcf.gz")[1])


def test_a_site_that_some_batches_type_is_typed_and_the_imputed_samples_are_counted(tmp_path):
    alt = np.zeros((NUM_SITES, 4, 2), np.float32)
    a = write_batch(tmp_path / "a.vcf.gz", alt[:, :1], ["a"], typed=(0, 1), panel_r2=0.5)
    b = write_batch(
        tmp_path / "b.vcf.gz", alt[:, 1:], ["b", "c", "d"], typed=(0, 2), panel_r2=0.75,
        identifier="rs9",
    )  # fmt: skip
    summary = merge([a, b], tmp_path / "m.vcf.gz")
    found = [batches.info_of(record) for record in batches.records_of(tmp_path / "m.vcf.gz")]
    kinds = [[key for key in ("IMP", "TYPED") if key in one] for one in found]
    assert kinds[:4] == [["TYPED"], ["TYPED"], ["TYPED"], ["IMP"]]
    assert [one.get("NIMP") for one in found[:4]] == [None, "3", "1", None]
    assert [one.get("PR2") for one in found[:4]] == [None, "0.75", "0.5", "0.6875"]
    assert summary.report["partly_imputed"] == 2
    c = write_batch(tmp_path / "c.vcf.gz", alt[:, :2], ["e", "f"], typed=(0, 1), panel_r2=0.5)
    merge([tmp_path / "m.vcf.gz", c], tmp_path / "n.vcf.gz")
    found = [batches.info_of(record) for record in batches.records_of(tmp_path / "n.vcf.gz")]
    assert [one.get("NIMP") for one in found[:4]] == [None, "3", "3", None]
    assert batches.records_of(tmp_path / "n.vcf.gz")[0].split("\t")[2] == "rs9"


@pytest.mark.parametrize("fields", [("GT", "DS", "HDS", "GP"), ("GT", "DS")])
def test_info_that_does_not_match_the_samples_is_computed_from_the_cells(tmp_path, fields, caplog):
    alt = batches.eighths(60)
    one = write_batch(tmp_path / "one.vcf.gz", alt, names_of(60), fields=fields)
    a = write_batch(tmp_path / "a.vcf.gz", alt, names_of(60), fields=fields)
    rest = write_batch(tmp_path / "r.vcf.gz", alt[:, 40:], names_of(20, 40), fields=fields)
    subset = tmp_path / "subset.vcf.gz"
    samples = ",".join(names_of(40))
    subprocess.run(["bcftools", "view", "-s", samples, "-Oz", "-o", subset, a], check=True)
    merge([subset, rest], tmp_path / "m.vcf.gz")
    assert "subset.vcf.gz: INFO does not match the samples" in caplog.text
    wanted = [batches.info_of(record) for record in batches.records_of(one)]
    found = [batches.info_of(record) for record in batches.records_of(tmp_path / "m.vcf.gz")]
    keys = ["AC", "AN", "AF", "DR2"] if "HDS" in fields else ["AC", "AN", "AF"]
    for key in keys:
        assert [one[key] for one in found] == [one[key] for one in wanted]


def test_info_that_does_not_match_the_samples_is_refused_if_the_cells_do_not_suffice(tmp_path):
    a, b = in_batches(tmp_path, batches.eighths(4), [2, 2], fields=("GT",))
    wrong = batches.text_of(b).replace("AN=4", "AN=8")
    b = batches.write_text(tmp_path / "wrong.vcf.gz", wrong)
    with pytest.raises(InputError, match="INFO does not match the samples"):
        merge([a, b], tmp_path / "m.vcf.gz")


def test_haploid_and_diploid_samples_mix(tmp_path):
    alt = batches.eighths(60)
    is_haploid = np.arange(60) >= 25
    alt[:, is_haploid, 1] = 0
    one = write_batch(tmp_path / "one.vcf.gz", alt, names_of(60), is_haploid=is_haploid)
    a = write_batch(tmp_path / "a.vcf.gz", alt[:, :25], names_of(25), is_haploid=is_haploid[:25])
    b = write_batch(
        tmp_path / "b.vcf.gz", alt[:, 25:], names_of(35, 25), is_haploid=is_haploid[25:]
    )
    merge([a, b], tmp_path / "m.vcf.gz")
    assert batches.records_of(tmp_path / "m.vcf.gz") == batches.records_of(one)
    for key in ("HDS", "DS", "GP"):
        lines = [
            next(line for line in batches.text_of(path).splitlines() if f"FORMAT=<ID={key}" in line)
            for path in (one, tmp_path / "m.vcf.gz")
        ]
        assert lines[0] == lines[1]


@pytest.mark.parametrize("suffix", ["bcf", "vcf"])
def test_bcf_and_plain_vcf_give_the_same_records(tmp_path, suffix):
    paths = in_batches(tmp_path, batches.eighths(8), [3, 5])
    merge(paths, tmp_path / "m.vcf.gz")
    others = []
    for path in paths:
        other = tmp_path / f"{path.name.split('.')[0]}.{suffix}"
        kind = "b" if suffix == "bcf" else "v"
        subprocess.run(["bcftools", "view", f"-O{kind}", "-o", other, path], check=True)
        others.append(other)
    merge(others, tmp_path / "n.vcf.gz")
    assert batches.records_of(tmp_path / "n.vcf.gz") == batches.records_of(tmp_path / "m.vcf.gz")
    merge(paths, tmp_path / "m.bcf")
    wanted = [str(record) for record in cyvcf2.VCF(str(tmp_path / "m.vcf.gz"))]
    assert [str(record) for record in cyvcf2.VCF(str(tmp_path / "m.bcf"))] == wanted
    assert (tmp_path / "m.bcf.csi").exists()


def test_pieces_of_the_files_and_threads_change_nothing(tmp_path, monkeypatch):
    alt = np.repeat(batches.eighths(6), 40, axis=0)
    paths = in_batches(tmp_path, alt, [1, 2, 3])
    merge(paths, tmp_path / "m.vcf.gz", threads=1)
    monkeypatch.setattr(joined_columns, "MEMORY", 1)
    monkeypatch.setattr(joined_columns, "_LEAST_PIECE", 100)
    merge(paths, tmp_path / "n.vcf.gz", threads=3)
    assert (tmp_path / "m.vcf.gz").read_bytes() == (tmp_path / "n.vcf.gz").read_bytes()
    assert (tmp_path / "m.vcf.gz.tbi").read_bytes() == (tmp_path / "n.vcf.gz.tbi").read_bytes()


def test_more_files_than_can_be_open(tmp_path):
    paths = in_batches(tmp_path, batches.eighths(80), [1] * 80)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        merge(paths, tmp_path / "m.vcf.gz")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert cyvcf2.VCF(str(tmp_path / "m.vcf.gz")).samples == names_of(80)


def test_the_index_finds_each_record(tmp_path):
    alt = np.repeat(batches.eighths(60), 30, axis=0)
    merge(in_batches(tmp_path, alt, [30, 30]), tmp_path / "m.vcf.gz")
    with pysam.TabixFile(str(tmp_path / "m.vcf.gz")) as file:
        for site in range(0, len(alt), 50):
            found = [
                line.split("\t")[1]
                for line in file.fetch("20", 1000 * site + 999, 1000 * site + 1000)
            ]
            assert found == [str(1000 * (site + 1))]


def test_the_index_of_a_long_file_is_the_same(tmp_path, monkeypatch):
    paths = in_batches(tmp_path, batches.eighths(4), [2, 2])
    monkeypatch.setattr(pipeline, "MOST_IN_MEMORY", 5)
    merge(paths, tmp_path / "m.vcf.gz")
    with pysam.TabixFile(str(tmp_path / "m.vcf.gz")) as file:
        assert len(list(file.fetch("20", 3_999, 6_000))) == 3


def minimac(order: str, names: str, cells: list[str], info: str) -> str:
    """A file as Minimac4 writes it."""
    return (
        "##fileformat=VCFv4.2\n##source=Minimac v4.1.2\n##contig=<ID=20>\n"
        '##INFO=<ID=AF,Number=1,Type=Float,Description="f">\n'
        '##INFO=<ID=MAF,Number=1,Type=Float,Description="f">\n'
        '##INFO=<ID=AVG_CS,Number=1,Type=Float,Description="f">\n'
        '##INFO=<ID=R2,Number=1,Type=Float,Description="f">\n'
        '##INFO=<ID=ER2,Number=1,Type=Float,Description="f">\n'
        '##INFO=<ID=IMPUTED,Number=0,Type=Flag,Description="f">\n'
        '##INFO=<ID=TYPED,Number=0,Type=Flag,Description="f">\n'
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="f">\n'
        '##FORMAT=<ID=HDS,Number=2,Type=Float,Description="f">\n'
        '##FORMAT=<ID=DS,Number=1,Type=Float,Description="f">\n'
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}\n"
        + "".join(
            f"20\t{n}\t.\tA\tG\t.\t.\t{info}\t{order}\t{cell}\n" for n, cell in enumerate(cells, 1)
        )
    )


def test_files_of_minimac4_are_joined_whatever_the_order_of_their_fields(tmp_path, caplog):
    one = "IMPUTED;AF=0.5;MAF=0.5;AVG_CS=0.75;R2=0.25"
    two = "TYPED;IMPUTED;AF=0.125;MAF=0.125;AVG_CS=0.875;R2=0.142857;ER2=0.9"
    a = batches.write_text(
        tmp_path / "a.vcf.gz",
        minimac("GT:HDS:DS", "a", ["0|1:0.25,0.75:1", "1|0:0.75,0.25:1"], one),
    )
    b = batches.write_text(
        tmp_path / "b.vcf.gz",
        minimac("GT:DS:HDS", "b\tc", ["0|0:0:0,0\t0|0:0.5:0.25,0.25"] * 2, two),
    )
    merge([a, b], tmp_path / "m.vcf.gz")
    # probabilities .25 .75 0 0 .25 .25: mean .25, mean square .125
    assert batches.records_of(tmp_path / "m.vcf.gz") == [
        "20\t1\t.\tA\tG\t.\t.\tTYPED;IMPUTED;AF=0.25;MAF=0.25;AVG_CS=0.833333;R2=0.333333;NIMP=1\t"
        "GT:HDS:DS\t0|1:0.25,0.75:1\t0|0:0,0:0\t0|0:0.25,0.25:0.5",
        "20\t2\t.\tA\tG\t.\t.\tTYPED;IMPUTED;AF=0.25;MAF=0.25;AVG_CS=0.833333;R2=0.333333;NIMP=1\t"
        "GT:HDS:DS\t1|0:0.75,0.25:1\t0|0:0,0:0\t0|0:0.25,0.25:0.5",
    ]
    assert "INFO/ER2 is left out" in caplog.text


def beagle(names: str, info: str, cells: str) -> str:
    """A file as Beagle writes it."""
    return (
        '##fileformat=VCFv4.2\n##source="beagle.22Jul22.46e.jar"\n'
        '##INFO=<ID=AF,Number=A,Type=Float,Description="f">\n'
        '##INFO=<ID=DR2,Number=A,Type=Float,Description="f">\n'
        '##INFO=<ID=IMP,Number=0,Type=Flag,Description="f">\n'
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="f">\n'
        '##FORMAT=<ID=DS,Number=A,Type=Float,Description="f">\n'
        '##FORMAT=<ID=AP1,Number=A,Type=Float,Description="f">\n'
        '##FORMAT=<ID=AP2,Number=A,Type=Float,Description="f">\n'
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}\n"
        f"20\t5\trs1\tA\tG\t.\tPASS\t{info}\tGT:DS:AP1:AP2\t{cells}\n"
    )


def test_files_of_beagle_are_joined_and_their_contig_is_declared(tmp_path):
    one, two = beagle("a", "DR2=0.25;AF=0.5000;IMP", "0|1:1:0.25:0.75"), beagle(
        "b\tc", "DR2=0.14;AF=0.1250;IMP", "0|0:0:0:0\t0|0:0.5:0.25:0.25"
    )  # fmt: skip
    a = batches.write_text(tmp_path / "a.vcf.gz", one)
    b = batches.write_text(tmp_path / "b.vcf.gz", two)
    merge([a, b], tmp_path / "m.vcf.gz")
    assert batches.records_of(tmp_path / "m.vcf.gz") == [
        "20\t5\trs1\tA\tG\t.\tPASS\tDR2=0.33;AF=0.2500;IMP\tGT:DS:AP1:AP2\t0|1:1:0.25:0.75\t"
        "0|0:0:0:0\t0|0:0.5:0.25:0.25"
    ]
    merge([a, b], tmp_path / "m.bcf")
    assert [record.CHROM for record in cyvcf2.VCF(str(tmp_path / "m.bcf"))] == ["20"]


def test_other_panels_are_joined_only_on_request(tmp_path, caplog):
    alt = batches.eighths(4)
    a = write_batch(tmp_path / "a.vcf.gz", alt[:, :2], names_of(2))
    other = replace(batches.FACTS, panel_fingerprint="def")
    b = write_batch(tmp_path / "b.vcf.gz", alt[:, 2:], names_of(2, 2), facts=other)
    with pytest.raises(InputError, match="from another panel"):
        merge([a, b], tmp_path / "m.vcf.gz")
    merge([a, b], tmp_path / "m.vcf.gz", allow_differences=True)
    assert "b.vcf.gz was imputed from another panel" in caplog.text


def test_sites_that_the_panel_lacks_and_structural_variants_are_kept(tmp_path):
    header = batches.text_of(write_batch(tmp_path / "x.vcf.gz", batches.eighths(1), ["a"])).split(
        "##FORMAT"
    )[0]
    header += (
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="f">\n'
        '##INFO=<ID=END,Number=1,Type=Integer,Description="f">\n'
        '##INFO=<ID=TYPED_ONLY,Number=0,Type=Flag,Description="f">\n'
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="f">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{}\n"
    )
    body = (
        "20\t7\t.\tA\tC,T\t.\tPASS\tAC={};AN={};TYPED_ONLY\tGT\t{}\n"
        "20\t9\t.\tA\t<DEL>\t.\tPASS\tSVTYPE=DEL;END=70000;AC={};AN={};AF={};IMP\tGT\t{}\n"
    )
    one = header.format("a") + body.format("1,1", 2, "1/2", 1, 2, 0.5, "0|1")
    two = header.format("b") + body.format("1,0", 1, "./1", 0, 2, 0, "0|0")
    a = batches.write_text(tmp_path / "a.vcf.gz", one)
    b = batches.write_text(tmp_path / "b.vcf.gz", two)
    merge([a, b], tmp_path / "m.vcf.gz")
    assert [line.split("\t")[7:] for line in batches.records_of(tmp_path / "m.vcf.gz")] == [
        ["AC=2,1;AN=3;AF=0.666667,0.333333;TYPED_ONLY", "GT", "1/2", "./1"],
        ["SVTYPE=DEL;END=70000;AC=1;AN=4;AF=0.25;IMP", "GT", "0|1", "0|0"],
    ]
    with pysam.TabixFile(str(tmp_path / "m.vcf.gz")) as file:
        assert len(list(file.fetch("20", 69_000, 69_001))) == 1


@pytest.mark.slow
def test_merged_batches_of_impute_equal_one_run(tmp_path):
    home = imputations.workspace(tmp_path / "work")
    alleles = imputations.samples_alleles(60)
    names = names_of(60)
    target = imputations.write_target(tmp_path / "t.vcf.gz", alleles, names=names)
    imputations.run(home, target, tmp_path / "one.vcf.gz", empirical=True)
    paths, empirical = [], []
    for first in (0, 20, 40):
        part = imputations.write_target(
            tmp_path / f"t{first}.vcf.gz",
            alleles[:, 2 * first : 2 * first + 40],
            names=names[first : first + 20],
        )
        paths.append(tmp_path / f"o{first}.vcf.gz")
        empirical.append(tmp_path / f"o{first}.empiricalDose.vcf.gz")
        imputations.run(home, part, paths[-1], empirical=True)
    merge(paths, tmp_path / "m.vcf.gz")
    merge(empirical, tmp_path / "e.vcf.gz")
    one, two = (
        batches.records_of(tmp_path / "one.vcf.gz"),
        batches.records_of(tmp_path / "m.vcf.gz"),
    )
    assert [line.split("\t")[8:] for line in one] == [line.split("\t")[8:] for line in two]
    for here, there in zip(one, two, strict=True):
        wanted, found = batches.info_of(here), batches.info_of(there)
        assert list(wanted) == list(found)
        for key, value in wanted.items():
            if key in ("DR2", "AF"):
                assert float(found[key]) == pytest.approx(float(value), abs=2e-3, rel=2e-5)
            else:
                assert found[key] == value
    for here, there in zip(
        batches.records_of(tmp_path / "one.empiricalDose.vcf.gz"),
        batches.records_of(tmp_path / "e.vcf.gz"),
        strict=True,
    ):
        wanted, found = batches.info_of(here), batches.info_of(there)
        assert list(found) == list(wanted)
        if "ER2" in wanted:
            assert float(found["ER2"]) == pytest.approx(float(wanted["ER2"]), abs=2e-4)
