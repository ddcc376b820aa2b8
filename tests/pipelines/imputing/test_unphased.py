"""Unphased genotypes of a target: refused if many, and never written as homozygotes."""

from __future__ import annotations

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, run
from vcfbert.errors import InputError


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


def write(path, truth, is_unphased):
    """A target whose heterozygotes are unphased, in the order 0/1, at some cells (T, N)."""
    records = []
    for site, unphased in zip(TYPED.tolist(), is_unphased, strict=True):
        calls = []
        for (a, b), loose in zip(truth[site].reshape(-1, 2).tolist(), unphased, strict=True):
            calls.append("0/1" if loose and a != b else f"{a}|{b}")
        records.append(("20", 1000 * (site + 1), "A", "G", calls))
    return panels.write_vcf(path, records)


def test_heterozygotes_that_are_taken_as_missing_are_written_as_heterozygotes(fx_home, tmp_path):
    truth = imputations.samples_alleles(6)
    rng = np.random.default_rng(2)
    is_unphased = rng.random((len(TYPED), 6)) < 0.2
    is_unphased[10] = True  # a site where the model has homozygotes only
    pairs = truth[TYPED].reshape(len(TYPED), 6, 2)
    is_kept = is_unphased & (pairs[:, :, 0] != pairs[:, :, 1])
    assert is_kept.sum() > 15
    target = write(tmp_path / "t.vcf", truth, is_unphased)
    out = tmp_path / "o.vcf.gz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vcfbert.domain.typed_calls.MOST_UNPHASED", 0.5)
        summary = run(fx_home, target, out, unphased="missing")
    assert summary.report["sites"]["unordered_genotypes"] == is_kept.sum()
    assert summary.report["sites"]["typed"] == len(TYPED)
    records = [record for site, record in enumerate(cyvcf2.VCF(str(out))) if site in TYPED]
    assert all(record.INFO.get("TYPED") for record in records)
    genotypes = np.array([record.genotypes for record in records])
    npt.assert_array_equal(genotypes[:, :, :2].sum(axis=2), pairs.sum(axis=2))
    assert genotypes[:, :, 2].all()
    order = genotypes[:, :, :2][is_kept]
    assert (order == pairs[is_kept]).all(axis=1).mean() > 0.7  # a coin would give a half
    for field, expected in (("DS", [1]), ("GP", [0, 1, 0])):
        values = np.array([record.format(field) for record in records])
        assert (values[is_kept] == expected).all()
    haplotypes = np.array([record.format("HDS") for record in records])[is_kept]
    npt.assert_array_equal(haplotypes, order)


def test_a_site_with_unphased_heterozygotes_only_is_typed(fx_home, tmp_path):
    truth = imputations.samples_alleles(1)
    heterozygous = np.flatnonzero(truth[TYPED, 0] != truth[TYPED, 1])
    is_unphased = np.zeros((len(TYPED), 1), bool)
    is_unphased[heterozygous[3]] = True
    run(fx_home, write(tmp_path / "t.vcf", truth, is_unphased), tmp_path / "o.bcf",
        unphased="missing")  # fmt: skip
    record = list(cyvcf2.VCF(str(tmp_path / "o.bcf")))[TYPED[heterozygous[3]]]
    assert record.INFO.get("TYPED")
    assert sorted(record.genotypes[0][:2]) == [0, 1]


def test_an_unphased_file_is_refused(fx_home, tmp_path):
    truth = imputations.samples_alleles(3)
    target = write(tmp_path / "t.vcf", truth, np.ones((len(TYPED), 3), bool))
    with pytest.raises(InputError, match=r"\(100.0%\) are not phased, and --unphased missing"):
        run(fx_home, target, tmp_path / "o.vcf.gz", unphased="missing")
    assert not (tmp_path / "o.vcf.gz").exists()
