"""A sample's result depends on its own typed sites, not on the other samples of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipelines import imputations
from tests.pipelines.imputations import NUM_SITES, TYPED, run, samples_alleles, write_target
from vcfbert.pipelines.chunks import chunk_imputation

MISSING = 4
NUM_SAMPLES = 9
SHORT = {"chunk_cm": 0.1, "overlap_cm": 0.05}


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("independence"))


@pytest.fixture(scope="module")
def fx_gaps():
    """(S, 2 N) alleles of nine samples, most of them typed at sites of their own."""
    alleles = samples_alleles(NUM_SAMPLES)
    rng = np.random.default_rng(5)
    tenth = rng.choice(TYPED, len(TYPED) // 10, replace=False)
    alleles[tenth, 2:6] = MISSING  # samples 1 and 2 are typed alike
    for sample in (3, 4):
        sites = rng.choice(TYPED, 3, replace=False)
        alleles[sites, 2 * sample : 2 * sample + 2] = MISSING
    alleles[rng.choice(TYPED, 5, replace=False), 10] = MISSING  # one allele of a genotype
    alleles[TYPED[10:], 12:14] = MISSING  # nothing in most chunks
    alleles[TYPED[3:], 14:16] = MISSING  # fewer than --min-typed on the contig
    alleles[:, 16:18] = MISSING  # nothing at all
    return alleles


def columns(path: Path) -> list[list[str]]:
    return [line[9:] for line in imputations.lines(path)]


@pytest.mark.parametrize("is_network", [False, True])
@pytest.mark.parametrize("options", [{}, SHORT], ids=["one chunk", "short chunks"])
@pytest.mark.parametrize("at_once", [2, 100], ids=["groups in parallel", "one after another"])
@pytest.mark.slow
def test_alone_and_in_company(
    fx_home, fx_gaps, tmp_path, monkeypatch, options, at_once, is_network
):
    monkeypatch.setattr(chunk_imputation, "GROUPS_AT_ONCE", at_once)
    options = options | {"no_network": not is_network}
    run(fx_home, write_target(tmp_path / "all.vcf", fx_gaps), tmp_path / "all.vcf.gz", **options)
    together = columns(tmp_path / "all.vcf.gz")
    for sample in range(7):
        own = fx_gaps[:, 2 * sample : 2 * sample + 2]
        called = TYPED[(own[TYPED] != MISSING).any(axis=1)]
        for typed in (TYPED, called):  # with its missing genotypes as records, and without
            path = write_target(tmp_path / "one.vcf", own, typed=typed)
            run(fx_home, path, tmp_path / "one.vcf.gz", overwrite=True, **options)
            assert [[cells[sample]] for cells in together] == columns(tmp_path / "one.vcf.gz")


def test_samples_without_enough_typed_sites_do_not_stop_the_others(fx_home, fx_gaps, tmp_path):
    run(fx_home, write_target(tmp_path / "all.vcf", fx_gaps), tmp_path / "all.vcf.gz")
    dosage = np.array(
        [[cell.split(":")[1] for cell in cells] for cells in columns(tmp_path / "all.vcf.gz")],
        float,
    )
    frequency = imputations.panel_alleles().mean(axis=1)
    np.testing.assert_allclose(dosage[:, 8], 2 * frequency, atol=1.1e-3)
    untyped = np.setdiff1d(np.arange(NUM_SITES), TYPED)
    assert np.ptp(dosage[untyped, 7]) > 0


def test_a_region_without_typed_sites_is_imputed_as_in_the_whole_run(fx_home, tmp_path):
    typed = np.concatenate([TYPED[TYPED < 40], TYPED[TYPED >= 250]])
    target = write_target(tmp_path / "t.vcf.gz", samples_alleles(3), typed=typed)
    run(fx_home, target, tmp_path / "whole.vcf.gz", **SHORT)
    run(fx_home, target, tmp_path / "part.vcf.gz", region="20:120000-180000", **SHORT)
    whole = {line[1]: line for line in imputations.lines(tmp_path / "whole.vcf.gz")}
    part = imputations.lines(tmp_path / "part.vcf.gz")
    assert len(part) == 61
    assert part == [whole[line[1]] for line in part]


def test_a_region_is_that_of_the_whole_run_if_one_sample_has_few_typed_sites(fx_home, tmp_path):
    alleles = samples_alleles(3)
    alleles[TYPED[(TYPED > 100) & (TYPED < 200)], 2:4] = MISSING
    target = write_target(tmp_path / "t.vcf.gz", alleles)
    run(fx_home, target, tmp_path / "whole.vcf.gz", **SHORT)
    run(fx_home, target, tmp_path / "part.vcf.gz", region="20:140000-160000", **SHORT)
    whole = {line[1]: line for line in imputations.lines(tmp_path / "whole.vcf.gz")}
    part = imputations.lines(tmp_path / "part.vcf.gz")
    assert part == [whole[line[1]] for line in part]
