"""`phase --fill-missing`: missing genotypes get their most probable alleles and FORMAT/FQ."""

from __future__ import annotations

import gzip

import numpy as np
import pysam
import pytest

import vcfbert
from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, formats
from vcfbert.errors import ConfigError
from vcfbert.pipelines.phasing import phase
from vcfbert.pipelines.phasing.phase import PhaseOptions
from vcfbert.progress import Silent

NUM_SAMPLES = 4
MISSING = "./."


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_truth():
    """(T, N, 2) alleles at the typed sites."""
    return imputations.samples_alleles(NUM_SAMPLES)[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)


def cell(pair):
    return f"{min(pair)}/{max(pair)}"


def write(path, rows, alleles=None):
    """A target; rows of texts of genotypes, and other REF and ALT by row."""
    made = [
        ("20", 1000 * (site + 1), *(alleles or {}).get(row, ("A", "G")), cells)
        for row, (site, cells) in enumerate(zip(TYPED.tolist(), rows, strict=True))
    ]
    return panels.write_vcf(path, made, [f"t{n}" for n in range(len(rows[0]))])


def run(home, target, out, **options):
    chosen = PhaseOptions(**({"threads": 2, "fill_missing": True} | options))
    return phase.phase(home, target, out, chosen, progress=Silent())


def texts(found, key="GT"):
    return [[one.get(key, ".") for one in row] for row in found]


@pytest.fixture(scope="module")
def fx_masked(fx_truth):
    """Texts of a target with missing and half-missing genotypes and one record without any."""
    rng = np.random.default_rng(5)
    rows = [[cell(pair) for pair in row] for row in fx_truth.tolist()]
    for row, sample in zip(*np.nonzero(rng.random((len(TYPED), NUM_SAMPLES)) < 0.1), strict=True):
        known = fx_truth[row, sample, int(rng.integers(2))]
        rows[row][sample] = [MISSING, ".", f"./{known}", f"{known}|."][int(rng.integers(4))]
    rows[20] = [MISSING] * NUM_SAMPLES
    return rows


@pytest.fixture(scope="module")
def fx_filled(fx_home, fx_masked, tmp_path_factory):
    """The target, and its output with and without filling."""
    folder = tmp_path_factory.mktemp("filled")
    target = write(folder / "t.vcf", fx_masked)
    filled = run(fx_home, target, folder / "filled.vcf.gz")
    left = run(fx_home, target, folder / "left.vcf.gz", fill_missing=False)
    return target, filled, left


def test_only_missing_genotypes_change_and_most_are_right(fx_filled, fx_masked, fx_truth):
    _, filled, left = fx_filled
    before, after = formats(left.out), formats(filled.out)
    right = total = 0
    for row, cells in enumerate(fx_masked):
        for sample, text in enumerate(cells):
            old, new = before[row][sample], after[row][sample]
            if "." not in text:
                assert new["GT"] == old["GT"]
                assert new.get("FQ", ".") == "."
                assert new.get("PQ", ".") == old.get("PQ", ".")
                continue
            assert "." in old["GT"]
            assert 0 <= int(new["FQ"]) <= 99
            alleles = new["GT"].split("|")
            assert set(text) & {"0", "1"} <= set(alleles)
            right += sorted(alleles) == sorted(map(str, fx_truth[row, sample].tolist()))
            total += 1
    assert filled.report["filled"] == total == left.report["missing"] > 30
    assert left.report["filled"] == filled.report["missing"] == 0
    assert right > 0.8 * total  # half would be right by chance
    assert filled.report["heterozygotes"] == left.report["heterozygotes"]
    assert filled.report["phase_sets"] == left.report["phase_sets"] == NUM_SAMPLES


def test_filled_heterozygotes_are_in_the_set_of_the_sample(fx_filled):
    found = formats(fx_filled[1].out)
    for sample in range(NUM_SAMPLES):
        cells = [row[sample] for row in found]
        hets = [one for one in cells if len(set(one["GT"].split("|"))) == 2]
        assert len({one["PS"] for one in hets}) == 1
        assert all(one.get("PS", ".") == "." for one in cells if one not in hets)


def test_the_result_does_not_depend_on_threads_other_samples_or_the_format(
    fx_home, fx_filled, fx_masked, tmp_path
):
    target, filled, _ = fx_filled
    one = run(fx_home, target, tmp_path / "o.vcf.gz", threads=1)
    assert one.out.read_bytes() == filled.out.read_bytes()
    alone = write(tmp_path / "a.vcf", [row[:1] for row in fx_masked])
    found, whole = (
        formats(run(fx_home, alone, tmp_path / "a.vcf.gz").out),
        formats(filled.out),
    )
    for key in ("GT", "PS", "PQ", "FQ"):
        assert texts(found, key) == [[row[0].get(key, ".")] for row in whole]
    bcf = run(fx_home, target, tmp_path / "o.bcf")
    with pysam.VariantFile(str(bcf.out)) as file:
        written = [str(record).rstrip("\n").split("\t")[8:] for record in file.fetch("20")]
    with gzip.open(filled.out, "rt") as file:
        assert written == [row.rstrip("\n").split("\t")[8:] for row in file if row[0] != "#"]
    part = run(fx_home, target, tmp_path / "r.vcf.gz", region="20:80000-90000")
    inside = [row for row, site in zip(whole, TYPED, strict=True) if 80 <= site + 1 <= 90]
    assert texts(formats(part.out)) == texts(inside)


def test_alleles_are_those_of_the_record(fx_home, fx_filled, fx_masked, tmp_path):
    """Swapped alleles, strand flips, further ALT, and records without the allele."""
    expected = texts(formats(fx_filled[1].out))
    kinds = {"01": ("A", "G"), "10": ("G", "A"), "02": ("A", "T,G"), "01 ": ("T", "C")}
    rows, alleles = [], {}
    for row, cells in enumerate(fx_masked):
        codes = list(kinds)[row % len(kinds)] if row % 3 == 0 else "01"
        table = str.maketrans("01", codes[:2])
        rows.append([one.translate(table) for one in cells])
        expected[row] = [one.translate(table) for one in expected[row]]
        alleles[row] = kinds[codes]
    target = write(tmp_path / "t.vcf", rows, alleles)
    assert texts(formats(run(fx_home, target, tmp_path / "o.vcf.gz").out)) == expected


def test_alleles_that_the_panel_lacks_stay(fx_home, fx_truth, tmp_path):
    rows = [[cell(pair) for pair in row] for row in fx_truth.tolist()]
    rows[9] = ["2/.", "0/2", "./.", "2|."]
    rows[12] = ["./."] * 4
    target = write(tmp_path / "t.vcf", rows, {9: ("A", "G,T"), 12: ("A", ".")})
    summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    found = texts(formats(summary.out))
    assert found[9][:2] == ["2/.", "0/2"]
    assert found[9][3] == "2/."
    assert "." not in found[9][2]
    assert all(one in ("0|0", "./.") for one in found[12])
    assert summary.report["filled"] + summary.report["missing"] == 7


def test_the_phase_of_a_phased_file_orders_a_half_missing_genotype(fx_home, fx_truth, tmp_path):
    rows = [["|".join(map(str, pair)) for pair in row] for row in fx_truth.tolist()]
    for row in range(0, len(rows), 9):
        rows[row] = [f"{one[0]}|." if n % 2 else f".|{one[2]}" for n, one in enumerate(rows[row])]
    target = write(tmp_path / "t.vcf", rows)
    summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    assert summary.report["samples_kept"] == NUM_SAMPLES
    for cells, given in zip(texts(formats(summary.out)), rows, strict=True):
        for one, text in zip(cells, given, strict=True):
            assert all(b in (a, ".") for a, b in zip(one, text, strict=True))


def test_a_filled_heterozygote_may_begin_a_set_and_is_unphased_if_it_is_alone(
    fx_home, fx_truth, tmp_path
):
    """The second sample has no heterozygote, the third no genotype at all."""
    rows = [[cell(pair) for pair in row] for row in fx_truth.tolist()]
    hets = [row for row, cells in enumerate(rows) if cells[0] == "0/1"]
    for row, cells in enumerate(rows):
        cells[1] = f"{fx_truth[row, 1, 0]}/{fx_truth[row, 1, 0]}"
        cells[2] = MISSING
        if row in hets[:2]:
            cells[0] = "./1"  # its REF may be filled
        if row % 7 == 3:
            cells[1] = MISSING if row % 2 else f"./{1 - fx_truth[row, 1, 0]}"
    target = write(tmp_path / "t.vcf", rows)
    summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    found = formats(summary.out)
    first = [one[0] for one in found if one[0]["GT"] in ("0|1", "1|0")]
    assert len({one["PS"] for one in first}) == 1
    assert first[0]["PS"] == str(1000 * (TYPED[[row[0] for row in found].index(first[0])] + 1))
    assert {one[2]["GT"] for one in found} == {MISSING}
    alone = [one[1]["GT"] for one in found]
    assert all(gt in ("0|0", "1|1", "0/1", "1/0") for gt in alone)
    assert summary.report["phase_sets"] == 2


def test_haploid_males_get_one_allele(tmp_path):
    vcfbert.simulate(tmp_path, num_samples=60, length=400_000, chromosome="X")
    vcfbert.prepare(tmp_path / "panel.vcf.gz", workspace=tmp_path / "work")
    with gzip.open(tmp_path / "target.vcf.gz", "rt") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    given = []
    for number, line in enumerate(lines):
        if line[0][0] != "#":
            given.append(line[9:])
            if number % 5 == 0:
                line[9:] = ["./." if n % 2 else "." for n in range(len(line) - 9)]
    (tmp_path / "t.vcf").write_text("".join("\t".join(line) + "\n" for line in lines))
    summary = vcfbert.phase(
        tmp_path / "t.vcf", tmp_path / "o.vcf.gz", workspace=tmp_path / "work", fill_missing=True
    )
    found = texts(formats(summary.out))
    assert summary.report["missing"] == 0
    assert [[len(one) for one in row] for row in found] == [
        [len(one) for one in row] for row in given
    ]
    right = [sorted(a) == sorted(b) for one, two in zip(found, given, strict=True)
             for a, b in zip(one, two, strict=True)]  # fmt: skip
    assert np.mean(right) > 0.95


def test_a_seed_is_for_filling_and_is_saved(fx_home, fx_filled, tmp_path):
    with pytest.raises(ConfigError, match="--seed is for --fill-missing only"):
        PhaseOptions(seed=2)
    with pytest.raises(ConfigError, match="--seed must be at least 0"):
        PhaseOptions(seed=-1, fill_missing=True)
    target, filled, _ = fx_filled
    other = run(fx_home, target, tmp_path / "o.vcf.gz", seed=5)
    with gzip.open(other.out, "rt") as file, gzip.open(filled.out, "rt") as before:
        assert "fill_missing=yes seed=5\n" in file.read()
        assert "fill_missing=yes seed=1\n" in before.read()
    assert texts(formats(other.out), "FQ") != texts(formats(filled.out), "FQ")


def test_a_trio_is_filled_with_its_phase_and_mendelian_errors_stay_missing(
    fx_home, fx_truth, tmp_path
):
    """The first sample is the child of the others; the last record is a Mendelian error."""
    child = np.stack([fx_truth[:, 1, 0], fx_truth[:, 2, 0]], axis=1)
    rows = [[cell(one), cell(pair[1]), cell(pair[2])]
            for one, pair in zip(child.tolist(), fx_truth.tolist(), strict=True)]  # fmt: skip
    for row in range(2, len(rows) - 1, 6):
        rows[row] = [MISSING, *rows[row][1:]] if row % 4 else [MISSING] * 3
    rows[-1] = ["1/1", "0/0", "0/0"]
    target = write(tmp_path / "t.vcf", rows)
    (tmp_path / "t.fam").write_text("f t0 t1 t2 0 0\nf t1 0 0 1 0\nf t2 0 0 2 0\n")
    options = {"trios": tmp_path / "t.fam", "mendel": True}
    left = texts(
        formats(run(fx_home, target, tmp_path / "l.vcf.gz", fill_missing=False, **options).out)
    )
    found = formats(run(fx_home, target, tmp_path / "o.vcf.gz", **options).out)
    right = []
    for row, (old, new) in enumerate(zip(left, texts(found), strict=True)):
        if row == len(rows) - 1:
            assert new == [MISSING] * 3
            continue
        assert [b for a, b in zip(old, new, strict=True) if a != MISSING] == [
            a for a in old if a != MISSING
        ]
        if old[0] == MISSING:
            right.append(new[0] == "|".join(map(str, child[row].tolist())))
    assert len(right) > 10
    assert np.mean(right) > 0.7
