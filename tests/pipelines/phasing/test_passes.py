"""`--phasing-passes`: what it changes, where it is saved, and that nothing is random."""

from __future__ import annotations

import numpy as np
import pytest

from tests import batches, panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, unphased_records
from vcfbert.errors import ConfigError
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.phasing import phase
from vcfbert.pipelines.phasing.phase import PhaseOptions
from vcfbert.progress import Silent

NUM_SAMPLES = 4


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_target(tmp_path_factory):
    truth = imputations.samples_alleles(NUM_SAMPLES)[TYPED].reshape(len(TYPED), -1, 2)
    made = unphased_records(truth)
    names = [f"t{n}" for n in range(NUM_SAMPLES)]
    return panels.write_vcf(tmp_path_factory.mktemp("target") / "t.vcf", made, names)


def run(home, target, out, **options):
    return phase.phase(home, target, out, PhaseOptions(**options), progress=Silent())


def test_the_output_depends_on_the_passes_and_not_on_threads(fx_home, fx_target, tmp_path):
    written = {}
    for passes, threads in ((1, 1), (1, 3), (2, 1), (3, 1), (3, 3)):
        out = tmp_path / f"{passes}-{threads}.vcf.gz"
        run(fx_home, fx_target, out, phasing_passes=passes, threads=threads)
        written[passes, threads] = batches.text_of(out)
    assert written[1, 1] == written[1, 3]
    assert written[3, 1] == written[3, 3]
    bodies = [written[n, 1].partition("#CHROM")[2] for n in (1, 2, 3)]
    assert bodies[0] != bodies[1]
    assert all(f"phasing_passes={n}\n" in written[n, 1] for n in (1, 2, 3))
    run(fx_home, fx_target, tmp_path / "default.vcf.gz")
    assert batches.text_of(tmp_path / "default.vcf.gz") == written[2, 1]


def test_impute_takes_the_passes_and_saves_them(fx_home, fx_target, tmp_path):
    found = {}
    for passes in (1, 2):
        out = tmp_path / f"{passes}.vcf.gz"
        summary = imputations.run(fx_home, fx_target, out, phasing_passes=passes, phase_draws=0)
        assert summary.report["options"]["phasing_passes"] == passes
        found[passes] = imputations.dosages(out)
    assert not np.array_equal(found[1], found[2])


@pytest.mark.parametrize("options", [PhaseOptions, ImputeOptions])
def test_there_is_at_least_one_pass(options):
    with pytest.raises(ConfigError, match=r"--phasing-passes must be at least 1, got 0\."):
        options(phasing_passes=0)
