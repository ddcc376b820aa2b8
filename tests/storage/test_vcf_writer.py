"""Prediction files: what goes in comes out, indexed, and never half of it."""

import cyvcf2
import numpy as np
import numpy.testing as npt
import pysam
import pytest

from vcfbert.domain import dosage
from vcfbert.errors import InputError, StoreError
from vcfbert.storage import panel, vcf_writer

NAMES = ["ann", "bob", "cy"]


@pytest.fixture(scope="module")
def fx_sites(fx_workspace):
    with panel.open_panel(fx_workspace.panel) as reader:
        return reader.sites


@pytest.fixture
def fx_imputed(fx_sites):
    rng = np.random.default_rng(4)
    return dosage.from_haplotypes(rng.random((len(fx_sites), len(NAMES), 2)).astype(np.float32))


def write(path, sites, imputed, **options):
    is_imputed = np.arange(len(sites)) % 3 != 0
    half = len(sites) // 2
    with vcf_writer.create_predictions(path, sites, NAMES, **options) as writer:
        for first, stop in ((0, half), (half, len(sites))):
            part = dosage.from_haplotypes(imputed.alt_probability[first:stop])
            writer.write(first, part, is_imputed[first:stop])
    return is_imputed


@pytest.mark.parametrize(("name", "index"), [("p.vcf.gz", ".tbi"), ("p.bcf", ".csi")])
def test_predictions_come_back_from_an_indexed_file(tmp_path, fx_sites, fx_imputed, name, index):
    path = tmp_path / name
    is_imputed = write(path, fx_sites, fx_imputed)
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / f"{name}{index}"]
    found = list(cyvcf2.VCF(str(path)))
    assert cyvcf2.VCF(str(path)).samples == NAMES
    assert [v.POS for v in found] == fx_sites.position.tolist()
    assert [v.INFO.get("IMP") is not None for v in found] == is_imputed.tolist()
    assert [v.INFO.get("TYPED") is not None for v in found] == (~is_imputed).tolist()
    genotypes = np.array([v.genotype.array() for v in found])
    npt.assert_array_equal(genotypes[..., :2], fx_imputed.calls)
    assert genotypes[..., 2].all()  # phased
    frequencies = [v.INFO["AF"] for v in found]
    npt.assert_allclose(frequencies, fx_imputed.dosage.mean(axis=1) / 2, atol=1e-5)
    for field, values in (
        ("DS", fx_imputed.dosage[..., None]),
        ("HDS", fx_imputed.alt_probability),
        ("GP", fx_imputed.genotype_probability),
    ):
        npt.assert_allclose(
            np.array([v.format(field) for v in found]), values, atol=6e-6
        )  # six digits


@pytest.mark.parametrize("name", ["p.vcf.gz", "p.bcf"])
def test_the_index_finds_a_region(tmp_path, fx_sites, fx_imputed, name):
    path = tmp_path / name
    write(path, fx_sites, fx_imputed)
    start, stop = fx_sites.position[[60, 63]]
    assert len(list(cyvcf2.VCF(str(path))(f"20:{start}-{stop}"))) == 4


def test_a_failed_block_leaves_nothing(tmp_path, fx_sites):
    with (
        pytest.raises(ZeroDivisionError),
        vcf_writer.create_predictions(tmp_path / "p.vcf.gz", fx_sites, NAMES),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_finished_file_is_not_replaced_unasked(tmp_path, fx_sites, fx_imputed):
    path = tmp_path / "p.vcf.gz"
    path.write_bytes(b"mine")
    with pytest.raises(StoreError, match="already exists"):
        write(path, fx_sites, fx_imputed)
    assert path.read_bytes() == b"mine"
    write(path, fx_sites, fx_imputed, overwrite=True)
    assert len(list(cyvcf2.VCF(str(path)))) == len(fx_sites)


def test_a_name_without_a_known_ending_is_refused(tmp_path, fx_sites, fx_imputed):
    with pytest.raises(InputError, match=r"must end in \.vcf\.gz or \.bcf"):
        write(tmp_path / "p.txt", fx_sites, fx_imputed)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, fx_sites, fx_imputed):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Cannot write"):
        write(tmp_path / "file" / "p.vcf.gz", fx_sites, fx_imputed)


def test_records_are_valid_to_another_reader(tmp_path, fx_sites, fx_imputed):
    path = tmp_path / "p.vcf.gz"
    write(path, fx_sites, fx_imputed)
    with pysam.VariantFile(str(path)) as file:
        first = next(iter(file))
    assert first.samples["bob"].phased
    assert len(first.samples["bob"]["GP"]) == 3
