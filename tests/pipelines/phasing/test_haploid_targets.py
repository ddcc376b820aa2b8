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


@pytest.fixture(scope="module")
def fx_family(fx_room):
    """Truth (S, 4, 2) of a father, a mother, their son and daughter; -2 for absent alleles.

    On X outside the PAR the father is haploid, the son has the mother's allele alone.
    """
    calls = alleles(fx_room / "target.vcf.gz")
    is_haploid = (calls[:, :, 1] == -2).any(axis=0)
    father = calls[:, np.flatnonzero(is_haploid)[0], :2]
    mother = calls[:, np.flatnonzero(~is_haploid)[0], :2]
    is_outside = father[:, 1] == -2
    son = np.stack([np.where(is_outside, mother[:, 0], father[:, 0]),
                    np.where(is_outside, -2, mother[:, 0])], axis=1)  # fmt: skip
    daughter = np.stack([father[:, 0], mother[:, 1]], axis=1)
    return np.stack([father, mother, son, daughter], axis=1)


def family_target(room, truth, name, *, is_coded_diploid=False):
    """The family without phase; haploid genotypes may be written as homozygotes, as PLINK does."""
    lines = []
    for variant, row in zip(cyvcf2.VCF(str(room / "target.vcf.gz")), truth.tolist(), strict=True):
        texts = []
        for pair in row:
            known = sorted(one for one in pair if one >= 0)
            texts.append("/".join(map(str, known * 2 if is_coded_diploid and len(known) == 1
                                      else known)))  # fmt: skip
        lines.append("\t".join([*str(variant).split("\t")[:8], "GT", *texts]))
    head = cyvcf2.VCF(str(room / "target.vcf.gz")).raw_header.splitlines()[:-1]
    names = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT",
                       "F_dad", "F_mum", "F_son", "F_girl"])  # fmt: skip
    (room / name).write_text("\n".join([*head, names, *lines, ""]))
    fam = room / "t.fam"
    fam.write_text("F son dad mum 1 -9\nF girl dad mum 2 -9\n")
    return room / name, fam


@pytest.mark.parametrize("is_coded_diploid", [False, True])
def test_a_haploid_father_gives_his_allele_to_his_daughter_only(
    fx_room, fx_family, is_coded_diploid
):
    target, fam = family_target(fx_room, fx_family, "family.vcf", is_coded_diploid=is_coded_diploid)
    out = fx_room / f"family{is_coded_diploid}.vcf.gz"
    summary = vcfbert.phase(target, out, workspace=fx_room / "work", trios=fam)
    found = alleles(out)
    is_outside = fx_family[:, 0, 1] == -2
    is_het = (fx_family[:, 3, 0] != fx_family[:, 3, 1]) & is_outside
    assert is_het.sum() > 10
    npt.assert_array_equal(found[is_het, 3, :2], fx_family[is_het, 3])
    report = summary.report["families"]
    assert report["mendelian_errors"] == 0
    assert report["matched_by"] == {"FID_IID": 2}
    if not is_coded_diploid:
        npt.assert_array_equal(found[:, 2, 1] == -2, is_outside)
    # The mother's haplotype that her son has is one of hers along the chromosome.
    hets = np.flatnonzero(is_outside & (fx_family[:, 1, 0] != fx_family[:, 1, 1]))
    gave = found[hets, 1, 0] == fx_family[hets, 2, 0]
    assert len(set(gave.tolist())) == 1


def test_a_son_that_lacks_his_mothers_allele_is_an_error(fx_room, fx_family):
    wrong = fx_family.copy()
    is_outside = wrong[:, 0, 1] == -2
    site = np.flatnonzero(is_outside & (wrong[:, 1] == 0).all(axis=1))[0]
    wrong[site, 2, 0] = 1
    target, fam = family_target(fx_room, wrong, "wrong.vcf")
    out = fx_room / "wrong.vcf.gz"
    summary = vcfbert.phase(target, out, workspace=fx_room / "work", trios=fam, mendel=True)
    by_child = summary.report["families"]["by_child"]
    assert by_child["F_son"]["mendelian_errors"] == 1
    assert by_child["F_girl"]["mendelian_errors"] == 0
    found = alleles(out)
    assert found[site, 1:3, 0].tolist() == [-1, -1]
    assert found[site, 0, 0] == wrong[site, 0, 0]  # the father's genotype stays


def test_haploid_samples_are_references_of_the_others_and_stay(fx_room):
    out = fx_room / "joint.vcf.gz"
    summary = vcfbert.phase(
        fx_room / "unphased.vcf", out, workspace=fx_room / "work", target_references="on"
    )
    before, after = alleles(fx_room / "unphased.vcf"), alleles(out)
    npt.assert_array_equal(np.sort(after[:, :, :2], axis=2), np.sort(before[:, :, :2], axis=2))
    assert summary.report["target_references"] is True
    assert summary.report["heterozygotes"]["unphased"] == 0
