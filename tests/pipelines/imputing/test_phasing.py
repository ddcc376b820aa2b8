"""Targets whose phase is not known, or not known everywhere."""

from __future__ import annotations

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, run

NUM_SAMPLES = 5
SHORT = {"chunk_cm": 0.1, "overlap_cm": 0.05}


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("phasing"))


@pytest.fixture(scope="module")
def fx_truth():
    return imputations.samples_alleles(NUM_SAMPLES)


def write(path, truth, cell, typed=TYPED):
    """A target; `cell(a, b, sample, site)` is the text of a genotype."""
    header = '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">\n'
    records = []
    for site in typed.tolist():
        pairs = truth[site].reshape(-1, 2).tolist()
        cells = [cell(a, b, sample, site) for sample, (a, b) in enumerate(pairs)]
        records.append(("20", 1000 * (site + 1), "A", "G", cells))
    written = panels.write_vcf(path, records, [f"t{n}" for n in range(len(records[0][4]))])
    text = written.read_text().replace("#CHROM", f"{header}#CHROM", 1)
    if ":" in records[0][4][0]:
        text = text.replace("\tGT\t", "\tGT:PS\t")
    written.write_text(text)
    return written


def loose(a, b, sample, site):
    return "/".join(map(str, sorted((a, b))))


def called(path):
    """(T, N, 3) genotypes at typed sites, and (S, N) dosages."""
    records = list(cyvcf2.VCF(str(path)))
    genotypes = np.array([records[site].genotypes for site in TYPED])
    return genotypes, np.array([record.format("DS")[:, 0] for record in records])


def switches(genotypes, truth):
    """Number of heterozygotes whose order relative to the one before is wrong, and of all."""
    wrong = total = 0
    for sample in range(NUM_SAMPLES):
        pair = truth[TYPED, 2 * sample : 2 * sample + 2]
        hets = np.flatnonzero(pair[:, 0] != pair[:, 1])
        order = genotypes[hets, sample, 0] == pair[hets, 0]
        wrong += int((np.diff(order.astype(int)) != 0).sum())
        total += len(hets) - 1
    return wrong, total


@pytest.mark.parametrize("options", [{}, SHORT], ids=["one chunk", "short chunks"])
def test_an_unphased_target_is_phased_and_keeps_its_genotypes(fx_home, fx_truth, tmp_path, options):
    target = write(tmp_path / "t.vcf", fx_truth, loose)
    summary = run(fx_home, target, tmp_path / "o.vcf.gz", **options)
    genotypes, _ = called(tmp_path / "o.vcf.gz")
    pairs = fx_truth[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)
    npt.assert_array_equal(genotypes[:, :, :2].sum(axis=2), pairs.sum(axis=2))
    assert genotypes[:, :, 2].all()
    wrong, total = switches(genotypes, fx_truth)
    assert total > 100
    assert wrong < 0.35 * total  # a coin would give a half; the truth switches every 50 sites
    num_hets = int((pairs[:, :, 0] != pairs[:, :, 1]).sum())
    assert summary.report["sites"]["phased_genotypes"] == num_hets
    assert summary.report["sites"]["unordered_genotypes"] == 0
    assert any("their phase is found from the panel" in text for text in summary.report["warnings"])


def test_draws_change_dosages_and_not_the_typed_genotypes(fx_home, fx_truth, tmp_path):
    target = write(tmp_path / "t.vcf", fx_truth, loose)
    found = []
    for draws in (0, 3):
        run(fx_home, target, tmp_path / "o.vcf.gz", phase_draws=draws, overwrite=True)
        found.append(called(tmp_path / "o.vcf.gz"))
    npt.assert_array_equal(found[0][0], found[1][0])
    untyped = imputations.HIDDEN_SITES
    difference = np.abs(found[0][1] - found[1][1])[untyped]
    assert 0.01 < difference.mean() < 0.2


@pytest.mark.parametrize("options", [{}, SHORT], ids=["one chunk", "short chunks"])
def test_a_sample_is_phased_alike_alone_and_in_company(fx_home, fx_truth, tmp_path, options):
    def mixed(a, b, sample, site):
        return f"{a}|{b}" if sample == 1 or (sample == 2 and site % 3) else loose(a, b, 0, 0)

    run(fx_home, write(tmp_path / "all.vcf", fx_truth, mixed), tmp_path / "all.vcf.gz", **options)
    together = [line[9:] for line in imputations.lines(tmp_path / "all.vcf.gz")]
    for sample in range(3):
        own = fx_truth[:, 2 * sample : 2 * sample + 2]
        target = write(
            tmp_path / "one.vcf", own, lambda a, b, _, site, n=sample: mixed(a, b, n, site)
        )
        run(fx_home, target, tmp_path / "one.vcf.gz", overwrite=True, threads=1, **options)
        alone = [line[9:] for line in imputations.lines(tmp_path / "one.vcf.gz")]
        assert alone == [[cells[sample]] for cells in together]


def test_a_phased_target_is_kept_whatever_is_said_of_phasing(fx_home, fx_truth, tmp_path):
    target = imputations.write_target(tmp_path / "t.vcf", fx_truth)
    found = []
    for options in ({}, {"phase_draws": 0}, {"unphased": "error"}):
        run(fx_home, target, tmp_path / "o.vcf.gz", overwrite=True, **options)
        found.append(imputations.lines(tmp_path / "o.vcf.gz"))
    assert found[0] == found[1] == found[2]


def test_phased_genotypes_keep_their_order_among_unphased_ones(fx_home, fx_truth, tmp_path):
    def mixed(a, b, sample, site):
        return f"{a}|{b}" if site % 3 else loose(a, b, sample, site)

    run(fx_home, write(tmp_path / "t.vcf", fx_truth, mixed), tmp_path / "o.vcf.gz")
    genotypes, _ = called(tmp_path / "o.vcf.gz")
    pairs = fx_truth[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)
    is_kept = (TYPED % 3 != 0)[:, None] & (pairs[:, :, 0] != pairs[:, :, 1])
    is_same = genotypes[:, :, 0] == pairs[:, :, 0]
    for sample in range(NUM_SAMPLES):
        assert len(set(is_same[is_kept[:, sample], sample].tolist())) == 1


def test_phase_sets_are_kept_and_joined(fx_home, fx_truth, tmp_path):
    def sets(a, b, sample, site):
        number = site // 30
        a, b = (b, a) if (number + sample) % 2 else (a, b)
        return f"{a}|{b}:{number + 1}"

    run(fx_home, write(tmp_path / "t.vcf", fx_truth, sets), tmp_path / "o.vcf.gz")
    genotypes, _ = called(tmp_path / "o.vcf.gz")
    wrong, total = switches(genotypes, fx_truth)
    assert wrong < 0.2 * total
    pairs = fx_truth[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)
    for sample in range(NUM_SAMPLES):
        is_het = pairs[:, sample, 0] != pairs[:, sample, 1]
        is_same = genotypes[:, sample, 0] == pairs[:, sample, 0]
        for number in range(10):
            chosen = is_het & (TYPED // 30 == number)
            assert len(set(is_same[chosen].tolist())) <= 1


@pytest.mark.parametrize(("phase", "changes"), [("keep", False), ("refine", False), ("redo", True)])
def test_the_phase_of_the_file_can_be_kept_or_redone(fx_home, fx_truth, tmp_path, phase, changes):
    """A file whose haplotypes are exchanged at every other site: nothing but `redo` mends it."""
    wrong = fx_truth.copy()
    odd = TYPED[1::2]
    wrong[odd] = fx_truth[odd].reshape(len(odd), -1, 2)[:, :, ::-1].reshape(len(odd), -1)
    target = imputations.write_target(tmp_path / "t.vcf", wrong)
    run(fx_home, target, tmp_path / "o.vcf.gz", phase=phase)
    genotypes, _ = called(tmp_path / "o.vcf.gz")
    given = wrong[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)
    if phase == "keep":
        npt.assert_array_equal(genotypes[:, :, :2], given)
    count, total = switches(genotypes, fx_truth)
    assert (count < 0.35 * total) == changes


def test_samples_with_few_heterozygotes(fx_home, fx_truth, tmp_path):
    truth = fx_truth.copy()
    truth[:, 1] = truth[:, 0]  # none
    truth[:, 3] = truth[:, 2]
    truth[TYPED[7], 3] ^= 1  # one
    truth[:, 5] = 1 - truth[:, 4]  # all
    run(fx_home, write(tmp_path / "t.vcf", truth, loose), tmp_path / "o.vcf.gz")
    genotypes, _ = called(tmp_path / "o.vcf.gz")
    pairs = truth[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)
    npt.assert_array_equal(genotypes[:, :, :2].sum(axis=2), pairs.sum(axis=2))


def test_missing_alleles_of_unphased_genotypes(fx_home, fx_truth, tmp_path):
    def gaps(a, b, sample, site):
        if (site + sample) % 7 == 0:
            return "./."
        return "./1" if (site + sample) % 11 == 0 else loose(a, b, sample, site)

    summary = run(fx_home, write(tmp_path / "t.vcf", fx_truth, gaps), tmp_path / "o.vcf.gz")
    genotypes, _ = called(tmp_path / "o.vcf.gz")
    assert (genotypes[:, :, :2] >= 0).all()
    for row, site in enumerate(TYPED.tolist()):
        for sample in range(NUM_SAMPLES):
            if (site + sample) % 7 and (site + sample) % 11 == 0:
                assert 1 in genotypes[row, sample, :2]
    assert summary.report["sites"]["unordered_genotypes"] > 0
