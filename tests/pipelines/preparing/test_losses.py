import pytest

from tests import panels
from vcfbert.errors import InputError
from vcfbert.pipelines.preparing import prepare as pipeline
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.verifying import verify
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

NUM_SAMPLES, NUM_SITES = 20, 300


@pytest.fixture(scope="module")
def fx_records():
    """Records of a panel of 20 samples."""
    return panels.records_of(panels.mosaic_alleles(NUM_SITES, 2 * NUM_SAMPLES))


def changed(records, sites, text, columns=(0,)):
    """Records with another genotype of some samples at some of the sites."""
    out = [(*record[:4], list(record[4])) for record in records]
    for site in sites:
        for column in columns:
            out[site][4][column] = text
    return out


def report_of(tmp_path, records, **options):
    path = panels.write_vcf(tmp_path / "p.vcf", records)
    chosen = PrepareOptions(window_size=60, flank=4, **options)
    return pipeline.prepare(path, Workspace(tmp_path / "work"), chosen, progress=Silent()).report


def test_a_few_gaps_are_filled_and_counted_without_a_warning(tmp_path, fx_records):
    records = changed(changed(fx_records, [3], ".|.", [5]), [90, 200], "./.", [11])
    report = report_of(tmp_path, records)
    assert (report["filled_genotypes"], report["kept"]["sites"]) == (3, NUM_SITES)
    assert report["warnings"] == []


def test_what_is_dropped_beyond_a_hundredth_is_named_with_count_and_remedy(tmp_path, fx_records):
    report = report_of(tmp_path, changed(fx_records, range(6), "1"))
    assert report["dropped"]["not diploid"] == 6
    (warning,) = report["warnings"]
    assert "6 of 300 sites (2%) are dropped: not diploid. Most genotypes" in warning


def test_less_than_a_hundredth_is_counted_only(tmp_path, fx_records):
    report = report_of(tmp_path, changed(fx_records, range(3), "1"))
    assert report["dropped"]["not diploid"] == 3
    assert report["warnings"] == []


def test_a_panel_of_which_more_than_a_fifth_is_lost_is_refused_unless_asked_for(
    tmp_path, fx_records
):
    records = changed(fx_records, range(70), "1")
    message = r"70 of 300 sites \(23%\) cannot be used: not diploid.*--max-dropped 1\."
    with pytest.raises(InputError, match=message):
        report_of(tmp_path, records)
    assert not (tmp_path / "work" / "panel.zarr").exists()
    assert report_of(tmp_path, records, max_dropped=1.0)["kept"]["sites"] == 230


def test_records_without_alt_are_warned_of_but_never_refused(tmp_path, fx_records):
    plain = [(*record[:3], ".", ["0|0"] * 20) if n % 2 else record
             for n, record in enumerate(fx_records)]  # fmt: skip
    (warning,) = report_of(tmp_path, plain)["warnings"]
    assert "150 of 300 sites (50%) are dropped: no ALT allele" in warning


@pytest.mark.parametrize(("count", "refused"), [(25, False), (70, True)])
def test_a_sample_with_many_gaps_is_named(tmp_path, fx_records, count, refused):
    records = changed(fx_records, range(count), "./.", [7])
    if refused:
        with pytest.raises(InputError, match=r"sample s7 has no genotype at 23%.*view -s \^s7"):
            report_of(tmp_path, records)
    else:
        (warning,) = report_of(tmp_path, records)["warnings"]
        assert "sample s7 has no genotype at 8%" in warning


def test_many_gaps_are_refused_unless_a_policy_is_named(tmp_path, fx_records):
    records = fx_records
    for site in range(NUM_SITES):
        records = changed(records, [site], ".|.", [site % 20, (site + 5) % 20])
    with pytest.raises(InputError, match=r"600 genotypes \(10\.0%\) are missing.*Beagle"):
        report_of(tmp_path, records)
    report = report_of(tmp_path, records, missing="major")
    assert "600 missing genotypes (10.0%) are filled in" in report["warnings"][0]
    assert report["kept"]["sites"] == NUM_SITES


def test_verify_fills_the_same_alleles_in(tmp_path, fx_records):
    records = fx_records
    for site in range(0, NUM_SITES, 4):
        records = changed(records, [site], "./.", [site // 4 % 20])
    report_of(tmp_path, records)
    report = verify.verify(
        Workspace(tmp_path / "work"),
        VerifyOptions(source=tmp_path / "p.vcf"),
        progress=Silent(),
    )
    assert [fault for store in report.stores for fault in store.faults] == []
