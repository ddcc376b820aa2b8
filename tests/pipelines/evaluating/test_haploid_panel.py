"""`eval` of mosaic on an X with haploid males."""

from __future__ import annotations

import pytest

import vcfbert
from vcfbert.errors import VcfbertError


@pytest.fixture(scope="module")
def fx_work(tmp_path_factory):
    room = tmp_path_factory.mktemp("x")
    vcfbert.simulate(room, num_samples=60, length=300_000, chromosome="X")
    vcfbert.prepare(room / "panel.vcf.gz", workspace=room / "work")
    return room / "work"


@pytest.mark.slow
def test_males_are_scored_and_writing_predictions_is_refused(fx_work, tmp_path):
    with pytest.raises(VcfbertError, match=r"--vcf: .* has haploid samples") as found:
        vcfbert.evaluate(
            workspace=fx_work, rate=0.7, vcf=tmp_path / "e.vcf.gz", output=tmp_path / "e"
        )
    assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []
    summary = vcfbert.evaluate(workspace=fx_work, rate=0.7, output=tmp_path / "eval")
    last = [line.split() for line in summary.lines() if line.startswith("all ")]
    f1 = {line[3]: float(line[-9]) for line in last}
    assert f1["model"] > f1["most"] > 0
