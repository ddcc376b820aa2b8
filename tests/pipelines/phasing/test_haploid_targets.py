"""A whole X: its females are phased, and the genotypes of haploid males stay as they are."""

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

import vcfbert


@pytest.fixture(scope="module")
def fx_room(tmp_path_factory):
    """A workspace of a simulated X, and its target without phase."""
    room = tmp_path_factory.mktemp("x")
    vcfbert.simulate(room, num_samples=60, length=400_000, chromosome="X")
    vcfbert.prepare(room / "panel.vcf.gz", workspace=room / "work")
    records = cyvcf2.VCF(str(room / "target.vcf.gz"))
    lines = [line.rstrip("\n").split("\t") for line in map(str, records)]
    for cells in lines:
        cells[9:] = ["/".join(sorted(cell.split("|"))) for cell in cells[9:]]
    body = "".join("\t".join(cells) + "\n" for cells in lines)
    (room / "unphased.vcf").write_text(records.raw_header + body)
    return room


def alleles(path):
    return np.array([variant.genotype.array() for variant in cyvcf2.VCF(str(path))])


@pytest.mark.parametrize("suffix", [".vcf.gz", ".bcf"])
def test_genotypes_stay_and_females_are_phased(fx_room, suffix):
    out = fx_room / f"phased{suffix}"
    summary = vcfbert.phase(fx_room / "unphased.vcf", out, workspace=fx_room / "work")
    before, after = alleles(fx_room / "unphased.vcf"), alleles(out)
    npt.assert_array_equal(np.sort(after[:, :, :2], axis=2), np.sort(before[:, :, :2], axis=2))
    is_haploid = after[:, :, 1] == -2
    assert 0.1 < is_haploid.mean() < 0.9
    is_het = (after[:, :, 0] != after[:, :, 1]) & ~is_haploid
    assert summary.report["heterozygotes"]["phased"] == is_het.sum() > 50
    assert (after[:, :, 2] == 1)[is_het].all()
