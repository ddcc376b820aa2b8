"""Call rates and expected accuracy of samples."""

import logging

import numpy as np
import numpy.testing as npt
import pytest

from tests import targets
from tests.pipelines import imputations
from tests.pipelines.imputations import HIDDEN_SITES, TYPED, run, write_target
from vcfbert.domain.tokens import MISSING
from vcfbert.pipelines.chunks.chunk_imputation import TargetSamples
from vcfbert.pipelines.imputing.sample_quality import CallRates, table

SITES = targets.sites_of([("1", 10 * n, "A", "G") for n in range(1, 5)]
                         + [("2", 10 * n, "A", "G") for n in range(1, 3)])  # fmt: skip


def rates_of(*samples):
    """Call rates of samples, each with its six genotypes as two texts of alleles."""
    numbers = {"0": 0, "1": 1, ".": MISSING}
    alleles = np.array([[[numbers[a] for a in side] for side in sample] for sample in samples])
    names = [f"s{n}" for n in range(len(samples))]
    alleles = np.ascontiguousarray(alleles.transpose(2, 0, 1).astype(np.uint8))
    is_free = np.zeros(alleles.shape[:2], np.bool_)
    return names, CallRates.of(TargetSamples(names, np.arange(6), alleles, is_free, []), SITES)


def test_genotypes_are_counted_by_contig_and_half_missing_ones_are_not_called():
    names, rates = rates_of(("0101.1", "01000."), ("......", "......"))
    npt.assert_array_equal(rates.called, [[4, 0], [0, 0]])
    npt.assert_array_equal(rates.heterozygous, [1, 0])
    text = table(names, rates, np.array([0.5, np.nan]))
    assert text.splitlines() == [
        "#sample\ttyped_sites\tcalled\tcall_rate\theterozygosity\tr2",
        "s0\t6\t4\t0.6667\t0.2500\t0.5000",
        "s1\t6\t0\t0.0000\t.\t.",
    ]


def test_a_sample_with_no_or_few_calls_on_a_contig_is_named():
    names, rates = rates_of(("010101", "010001"), ("0101..", "0101.."), ("0...01", "0...01"))
    empty, few = rates.warnings(names)
    assert empty.startswith("1 sample has no called genotype")
    assert "s1 (contig 2)" in empty
    assert few.startswith("1 sample has called genotypes at less than 50% of the typed sites")
    assert "s2 (contig 1, 25.0%)" in few
    names, rates = rates_of(("010101", "010001"))
    assert rates.warnings(names) == []


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


def test_samples_tsv_has_every_sample_and_tells_the_well_imputed(fx_home, tmp_path, caplog):
    truth = imputations.samples_alleles(8)
    asked = truth.copy()
    asked[:, 2:4] = MISSING  # nothing of the second sample
    asked[TYPED[4:], 4:6] = MISSING  # hardly anything of the third
    target = write_target(tmp_path / "t.vcf.gz", asked)
    with caplog.at_level(logging.WARNING):
        summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    assert "1 sample has no called genotype at the typed sites" in caplog.text
    assert "little more than the frequencies of the panel: t1." in caplog.text
    assert "50% of the typed sites and is imputed less accurately: t2 (5.3%)" in caplog.text
    assert sum("called genotype" in text for text in summary.report["warnings"]) == 2
    rows = [line.split("\t") for line in (tmp_path / "o.qc/samples.tsv").read_text().splitlines()]
    assert [row[0] for row in rows[1:]] == [f"t{n}" for n in range(8)]
    assert [row[2] for row in rows[1:4]] == ["75", "0", "4"]
    copies = truth.reshape(len(truth), -1, 2).sum(axis=2)[TYPED]
    assert rows[1][4] == f"{(copies[:, 0] == 1).mean():.4f}"
    r2 = np.array([float(row[5]) for row in rows[1:]])
    assert r2[1] < 0.15
    assert r2[2] < r2[[0, 3, 4, 5, 6, 7]].min()
    frequency = imputations.panel_alleles().mean(axis=1)[HIDDEN_SITES, None]
    found = imputations.dosages(tmp_path / "o.vcf.gz")[HIDDEN_SITES]
    true = truth.reshape(len(truth), -1, 2).sum(axis=2)[HIDDEN_SITES]
    error = ((true - found) ** 2).sum(axis=0) / ((true - 2 * frequency) ** 2).sum(axis=0)
    npt.assert_allclose(r2.mean(), (1 - error).mean(), atol=0.12)
