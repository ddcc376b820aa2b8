"""Trios in `phase` and `impute`: children by their parents, parents by their children."""

from __future__ import annotations

import gzip
import json

import numpy as np
import numpy.testing as npt
import pytest

import vcfbert
from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import NUM_SITES, TYPED, field, unphased_records
from vcfbert.domain import mendel
from vcfbert.errors import ConfigError, InputError, StoreError

NAMES = ["kid", "dad", "mum", "stranger"]
FAM = "F kid dad mum 0 -9\n"


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel")).root


@pytest.fixture(scope="module")
def fx_truth():
    """(T, 4, 2): a child with its father's and mother's haplotype, one crossover each."""
    parents = imputations.samples_alleles(3).reshape(NUM_SITES, 3, 2)
    alleles = np.empty((NUM_SITES, 4, 2), np.uint8)
    alleles[:, 1:] = parents
    is_late = np.arange(NUM_SITES) >= 160
    alleles[:, 0, 0] = np.where(is_late, parents[:, 0, 1], parents[:, 0, 0])
    alleles[:, 0, 1] = np.where(is_late, parents[:, 1, 0], parents[:, 1, 1])
    return alleles[TYPED]


def decided(truth):
    """(T,) True for heterozygotes of the child that its parents decide."""
    alone = np.zeros(len(truth), bool)
    order, is_error = mendel.decided_order(
        truth[:, 0], alone,
        mendel.possible_gifts(truth[:, 1], alone), mendel.possible_gifts(truth[:, 2], alone),
    )  # fmt: skip
    assert not is_error.any()
    return order > 0


def write(folder, records, fam=FAM, names=NAMES):
    (folder / "t.fam").write_text(fam)
    return panels.write_vcf(folder / "t.vcf", records, names)


def cells(path):
    """(T, N) texts of GT, PS and PQ; `.` if a record lacks a field."""
    return np.stack([field(path, key) for key in ("GT", "PS", "PQ")])


def phase(folder, home, target, **options):
    chosen = {"trios": folder / "t.fam", "threads": 1} | options
    return vcfbert.phase(target, folder / "o.vcf.gz", workspace=home, **chosen)


@pytest.mark.parametrize("trust", ["keep", "redo"])
def test_decided_heterozygotes_are_father_then_mother(fx_home, fx_truth, tmp_path, trust):
    summary = phase(tmp_path, fx_home, write(tmp_path, unphased_records(fx_truth)), phase=trust)
    genotype, sets, quality = cells(summary.out)
    is_decided = decided(fx_truth)
    assert is_decided.sum() > 10
    wanted = [f"{one}|{other}" for one, other in fx_truth[:, 0].tolist()]
    npt.assert_array_equal(genotype[is_decided, 0], np.array(wanted)[is_decided])
    is_het = np.isin(genotype[:, 0], ["0|1", "1|0"])
    assert len(set(sets[is_het, 0])) == 1
    follows = np.flatnonzero(is_het)[1:][is_decided[is_het][1:] & is_decided[is_het][:-1]]
    assert set(quality[follows, 0]) == {"."}
    loose = np.flatnonzero(is_het & ~is_decided)
    assert "." not in quality[loose[1:], 0]
    report = summary.report["families"]
    assert report["heterozygotes_decided"] == is_decided.sum()
    assert (report["trios"], report["duos"], report["mendelian_errors"]) == (1, 0, 0)
    assert (tmp_path / "o.mendel.tsv").read_text().count("\n") == 1


def test_other_samples_are_phased_as_without_a_pedigree(fx_home, fx_truth, tmp_path):
    target = write(tmp_path, unphased_records(fx_truth))
    with_trios = cells(phase(tmp_path, fx_home, target).out)
    without = cells(phase(tmp_path, fx_home, target, trios=None, overwrite=True).out)
    npt.assert_array_equal(with_trios[:, :, 3], without[:, :, 3])


def test_parents_are_phased_by_what_they_gave(fx_home, fx_truth, tmp_path):
    """The haplotype that they gave changes at the crossover only."""
    genotype = cells(phase(tmp_path, fx_home, write(tmp_path, unphased_records(fx_truth))).out)[0]
    is_known = decided(fx_truth) | (fx_truth[:, 0, 0] == fx_truth[:, 0, 1])
    for parent in (1, 2):
        pairs = np.array([cell.split("|") for cell in genotype[:, parent]]).astype(int)
        hets = np.flatnonzero(is_known & (pairs[:, 0] != pairs[:, 1]))
        given = pairs[hets, 0] == fx_truth[hets, 0, parent - 1]
        assert len(hets) > 10
        assert int((given[1:] != given[:-1]).sum()) <= 1


def test_chunks_keep_the_parents_order(fx_home, fx_truth, tmp_path):
    """Also without heterozygotes in common."""
    target = write(tmp_path, unphased_records(fx_truth))
    summary = phase(tmp_path, fx_home, target, chunk_cm=0.1, overlap_cm=0.0)
    assert summary.report["chunks"] == 3
    genotype, sets, _ = cells(summary.out)
    is_decided = decided(fx_truth)
    assert [cell[0] for cell in genotype[is_decided, 0]] == [
        str(one) for one in fx_truth[is_decided, 0, 0]
    ]
    assert len(set(sets[is_decided, 0])) == 1
    assert len(set(sets[:, 3]) - {"."}) == 3


def test_a_phased_file_is_corrected_by_the_parents(fx_home, fx_truth, tmp_path):
    """The file has the mother first, and a switch; the parents decide only some heterozygotes."""
    order = np.where(np.arange(len(TYPED)) < 40, 1, 0)
    pairs = fx_truth.copy()
    pairs[:, 0] = np.take_along_axis(fx_truth[:, 0], np.stack([order, 1 - order], axis=1), axis=1)
    records = [(*record[:4], [f"{a}|{b}" for a, b in row])
               for record, row in zip(unphased_records(fx_truth), pairs.tolist(),
                                      strict=True)]  # fmt: skip
    summary = phase(tmp_path, fx_home, write(tmp_path, records))
    genotype = cells(summary.out)[0]
    wanted = [f"{one}|{other}" for one, other in fx_truth[:, 0].tolist()]
    is_decided = decided(fx_truth)
    npt.assert_array_equal(genotype[is_decided, 0], np.array(wanted)[is_decided])
    near = (genotype[:, 0] == wanted).sum()
    assert near >= len(TYPED) - 3  # undecided ones between the last before the switch and the next
    npt.assert_array_equal(genotype[:, 1:], np.array([record[4][1:] for record in records]))
    assert summary.report["samples_kept"] == 3


@pytest.mark.parametrize("sets_missing", [False, True])
def test_mendelian_errors_are_listed_and_set_missing_on_request(
    fx_home, fx_truth, tmp_path, sets_missing
):
    wrong = fx_truth.copy()
    sites = np.flatnonzero((fx_truth[:, 1] == 0).all(axis=1))[:3]
    wrong[sites, 0] = 1
    target = write(tmp_path, unphased_records(wrong))
    summary = phase(tmp_path, fx_home, target, mendel=sets_missing)
    report = summary.report["families"]
    assert report["mendelian_errors"] == 3
    lines = [line.split("\t") for line in (tmp_path / "o.mendel.tsv").read_text().splitlines()]
    mum = ["/".join(map(str, sorted(fx_truth[site, 2].tolist()))) for site in sites]
    assert lines[0][0] == "#child"
    assert lines[1:] == [
        ["kid", "dad", "mum", "20", str(1000 * (TYPED[site] + 1)), "A", "G", "1/1", "0/0", gave]
        for site, gave in zip(sites, mum, strict=True)
    ]
    genotype = cells(summary.out)[0]
    if sets_missing:
        assert set(genotype[sites, :3].ravel()) == {"./."}
        assert report["genotypes_set_missing"] == 9
    else:
        assert set(genotype[sites, 0]) == {"1|1"}
    assert "./." not in genotype[:, 3]
    with pytest.raises(StoreError, match="already exists"):
        vcfbert.phase(target, tmp_path / "o.bcf", workspace=fx_home, trios=tmp_path / "t.fam")


def test_sites_that_are_missing_in_all_samples_are_written_so(fx_home, fx_truth, tmp_path):
    wrong = fx_truth[:, :3].copy()
    site = int(np.flatnonzero((wrong[:, 1] == 0).all(axis=1))[0])
    wrong[site, 0] = 1
    target = write(tmp_path, unphased_records(wrong), names=NAMES[:3])
    genotype = cells(phase(tmp_path, fx_home, target, mendel=True).out)[0]
    assert genotype[site].tolist() == ["./."] * 3
    assert (genotype == "./.").sum() == 3


def test_a_wrong_pedigree_is_named_and_not_used(fx_home, fx_truth, tmp_path, caplog):
    target = write(tmp_path, unphased_records(fx_truth), "F kid stranger mum 0 -9\n")
    summary = phase(tmp_path, fx_home, target, mendel=True)
    report = summary.report["families"]
    assert report["not_used"] == ["kid, stranger, mum"]
    assert report["genotypes_set_missing"] == 0
    assert "1 child has too many Mendelian errors with the parents" in caplog.text
    assert "kid with stranger and mum" in caplog.text
    without = cells(phase(tmp_path, fx_home, target, trios=None, overwrite=True).out)
    npt.assert_array_equal(cells(summary.out), without)


def test_impute_reports_trios(fx_home, fx_truth, tmp_path):
    wrong = fx_truth.copy()
    wrong[np.flatnonzero((fx_truth[:, 1] == 0).all(axis=1))[0], 0] = 1
    summary = vcfbert.impute(
        write(tmp_path, unphased_records(wrong)), tmp_path / "o.vcf.gz", workspace=fx_home,
        trios=tmp_path / "t.fam", mendel=True, no_network=True, threads=1,
    )  # fmt: skip
    report = json.loads((summary.qc / "summary.json").read_text())["families"]
    assert report["by_child"]["kid"]["mendelian_errors"] == 1
    assert report["genotypes_set_missing"] == 3
    assert (summary.qc / "mendel.tsv").read_text().count("kid") == 1
    text = "\n".join(summary.lines())
    assert "trios " in text
    assert "Mendelian errors" in text
    is_decided = decided(fx_truth)
    with gzip.open(summary.out, "rt") as lines:
        rows = [line.split("\t") for line in lines if line[0] != "#"]
    first = {int(row[1]): row[9][0] for row in rows}
    for site in np.flatnonzero(is_decided & (fx_truth == wrong).all(axis=(1, 2))).tolist():
        assert first[1000 * (TYPED[site] + 1)] == str(fx_truth[site, 0, 0])


def test_options_that_cannot_be_combined(fx_home, fx_truth, tmp_path):
    target = write(tmp_path, unphased_records(fx_truth), "F kid x y 0 -9\n")
    with pytest.raises(ConfigError, match="--mendel needs the pedigree"):
        phase(tmp_path, fx_home, target, trios=None, mendel=True)
    with pytest.raises(ConfigError, match="--trios and --unphased as-written"):
        vcfbert.impute(target, tmp_path / "o.vcf.gz", workspace=fx_home, unphased="as-written",
                       trios=tmp_path / "t.fam")  # fmt: skip
    with pytest.raises(InputError, match="has a parent that is also in"):
        phase(tmp_path, fx_home, target)
    assert not list(tmp_path.glob("o*"))
