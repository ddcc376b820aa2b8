"""What the output has besides the imputed genotypes of the panel's sites."""

import logging

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import NUM_SITES, TYPED, lines, run, write_target
from vcfbert.domain.tokens import MISSING
from vcfbert.errors import StoreError
from vcfbert.pipelines.imputing import output_files
from vcfbert.pipelines.preparing import prepare
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

HIDDEN = np.setdiff1d(np.arange(NUM_SITES), TYPED)


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


def info(path, key):
    """The values of an INFO key by site; None if it is absent."""
    return [record.INFO.get(key) for record in cyvcf2.VCF(str(path))]


def target_with(path, extra, truth, *, contig="20"):
    """A target typed at TYPED, with further records (position, REF, ALT, genotypes)."""
    rows = [
        (contig, 1000 * (site + 1), "A", "G",
         [f"{a}|{b}" for a, b in truth[site].reshape(-1, 2).tolist()])
        for site in TYPED.tolist()
    ]  # fmt: skip
    rows += [(contig, position, ref, alt, calls) for position, ref, alt, calls in extra]
    rows.sort(key=lambda row: row[1])
    return panels.write_vcf(path, rows, [f"t{n}" for n in range(truth.shape[1] // 2)])


def test_quality_of_one_sample_is_that_of_many(fx_home, tmp_path):
    truth = imputations.samples_alleles(60)
    target = write_target(tmp_path / "many.vcf.gz", truth)
    run(fx_home, target, tmp_path / "many.vcf.gz.out.vcf.gz")
    one = write_target(tmp_path / "one.vcf.gz", truth[:, :2])
    run(fx_home, one, tmp_path / "one.out.vcf.gz")
    many = tmp_path / "many.vcf.gz.out.vcf.gz"
    assert info(tmp_path / "one.out.vcf.gz", "PR2") == info(many, "PR2")
    header = cyvcf2.VCF(str(tmp_path / "one.out.vcf.gz")).raw_header
    assert "ID=DR2" not in header
    assert "##vcfbert_quality=DR2 needs 50 samples; filter on PR2" in header
    assert "vcfbert_quality" not in cyvcf2.VCF(str(many)).raw_header
    pr2 = np.array(info(many, "PR2"), dtype=float)
    assert np.isnan(pr2[TYPED]).all()
    true = np.full(NUM_SITES, np.nan)
    for site, record in enumerate(cyvcf2.VCF(str(many))):
        if 10 < truth[site].sum() < 110:
            true[site] = np.corrcoef(truth[site], record.format("HDS").ravel())[0, 1] ** 2
    known = HIDDEN[~np.isnan(pr2[HIDDEN]) & ~np.isnan(true[HIDDEN])]
    assert len(known) > 100
    assert np.corrcoef(pr2[known], true[known])[0, 1] > 0.3
    assert all(value is not None for value in info(many, "DR2"))


def test_a_site_with_a_single_carrier_has_no_estimate(tmp_path):
    alleles = panels.mosaic_alleles(60, 40)
    alleles[31] = 0
    alleles[31, 5] = 1
    alleles[33] = 1
    alleles[33, 8] = 0
    home = Workspace(tmp_path / "work")
    vcf = panels.write_vcf(tmp_path / "panel.vcf", panels.records_of(alleles, step=1000))
    prepare.prepare(vcf, home, prepare.PrepareOptions(window_size=16, flank=2), progress=Silent())
    rows = panels.records_of(alleles[:, :4], step=1000)[::2]
    target = panels.write_vcf(tmp_path / "t.vcf", rows, ["a", "b"])
    run(home, target, tmp_path / "o.vcf.gz")
    found = info(tmp_path / "o.vcf.gz", "PR2")
    assert found[31] is None
    assert found[33] is None
    copies = np.minimum(alleles.sum(axis=1), 40 - alleles.sum(axis=1))[1::2]
    assert [value is not None for value in found[1::2]] == (copies >= 2).tolist()
    assert (copies >= 2).sum() > 10


EXTRA = [
    (500, "A", "T", ["0|1", "1/0"]),
    (1000, "A", "C", ["0|1", "0|0"]),  # at a site of the panel, another allele
    (2500, "C", "T,G", ["1|2", "./."]),
    (400_000, "G", ".", ["0|0", "0|0"]),
    (400_001, "G", "<DEL>", ["0|1", "0|0"]),  # its end would be lost
]


def test_records_that_the_panel_lacks_are_written_on_request(fx_home, tmp_path):
    truth = imputations.samples_alleles(2)
    target = target_with(tmp_path / "t.vcf", EXTRA, truth, contig="chr20")
    plain = tmp_path / "plain.vcf.gz"
    run(fx_home, target, plain)
    summary = run(fx_home, target, tmp_path / "all.vcf.gz", all_typed_sites=True)
    found = lines(tmp_path / "all.vcf.gz")
    extra = [line for line in found if "TYPED_ONLY" in line[7]]
    assert [line for line in found if "TYPED_ONLY" not in line[7]] == lines(plain)
    assert [int(line[1]) for line in found] == sorted(int(line[1]) for line in found)
    assert [(line[0], line[1], line[4]) for line in extra] == [
        ("20", "500", "T"), ("20", "1000", "C"), ("20", "2500", "T,G"), ("20", "400000", "."),
    ]  # fmt: skip
    assert [cell.split(":")[0] for cell in extra[0][9:]] == ["0|1", "1/0"]
    assert [cell.split(":")[0] for cell in extra[2][9:]] == ["1|2", "./."]
    assert summary.report["sites"]["typed_only"] == 4
    assert any("written as they are" in line for line in summary.lines())
    run(fx_home, target, tmp_path / "part.bcf", all_typed_sites=True, region="20:2000-3000")
    assert [line[1] for line in lines(tmp_path / "part.bcf")] == ["2000", "2500", "3000"]


def test_ids_of_the_target_fill_those_that_the_panel_lacks(tmp_path):
    alleles = panels.mosaic_alleles(40, 20)
    text = panels.vcf_text(panels.records_of(alleles), [f"s{n}" for n in range(10)])
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    head = [line for line in text.splitlines() if line.startswith("#")]
    for number, row in enumerate(rows):
        row[2] = "." if number % 2 else f"panel{number}"
    path = tmp_path / "panel.vcf"
    path.write_text("".join(f"{line}\n" for line in [*head, *map("\t".join, rows)]))
    home = Workspace(tmp_path / "work")
    prepare.prepare(path, home, prepare.PrepareOptions(window_size=16, flank=2), progress=Silent())
    chosen = panels.records_of(alleles[:, :4])[:39:3]
    target = panels.write_vcf(tmp_path / "t.vcf", chosen, ["a", "b"])  # rs1, rs2, ...
    run(home, target, tmp_path / "o.vcf.gz")
    names = [line[2] for line in lines(tmp_path / "o.vcf.gz")]
    assert names[0:7] == ["panel0", ".", "panel2", "rs2", "panel4", ".", "panel6"]


def test_the_header_knows_the_contigs_of_the_panel_or_else_of_the_target(tmp_path, caplog):
    alleles = panels.mosaic_alleles(40, 20)
    records = panels.records_of(alleles)
    text = panels.vcf_text(records, [f"s{n}" for n in range(10)])
    declared = "##contig=<ID=20,length=1000000000>"
    target = panels.write_vcf(tmp_path / "t.vcf", [
        (*record[:4], record[4][:2]) for record in records[::2]
    ], ["a", "b"])  # fmt: skip
    for of_panel, expected in (
        ("##contig=<ID=20,length=63025520,assembly=b37>", "length=63025520,assembly=b37>"),
        ("##contig=<ID=20>", "length=1000000000>"),
        ("##contig=<ID=20,length=3>", "length=1000000000>"),  # shorter than its last position
    ):
        home = Workspace(tmp_path / expected[-12:-1] / str(len(of_panel)))
        path = tmp_path / "panel.vcf"
        path.write_text(text.replace(declared, of_panel))
        options = prepare.PrepareOptions(window_size=16, flank=2)
        prepare.prepare(path, home, options, progress=Silent())
        out = tmp_path / f"{len(of_panel)}.vcf.gz"
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            run(home, target, out)
        assert f"##contig=<ID=20,{expected}" in cyvcf2.VCF(str(out)).raw_header
        differs = "63,025,520 bases in the header of the panel's file and 1,000,000,000 in the"
        assert (differs in caplog.text) is ("assembly" in of_panel)


def test_a_bgz_name_is_a_vcf_gz(fx_home, tmp_path):
    truth = imputations.samples_alleles(2)
    target = write_target(tmp_path / "t.vcf.gz", truth)
    run(fx_home, target, tmp_path / "a.vcf.gz")
    (tmp_path / "b.vcf.bgz").write_bytes((tmp_path / "t.vcf.gz").read_bytes())
    (tmp_path / "b.vcf.bgz.tbi").write_bytes((tmp_path / "t.vcf.gz.tbi").read_bytes())
    summary = run(fx_home, tmp_path / "b.vcf.bgz", tmp_path / "c.vcf.bgz")
    assert (tmp_path / "c.vcf.bgz").read_bytes() == (tmp_path / "a.vcf.gz").read_bytes()
    assert (tmp_path / "c.vcf.bgz.tbi").exists()
    assert summary.qc == tmp_path / "c.qc"
    home = Workspace(tmp_path / "work")
    prepare.prepare(
        tmp_path / "b.vcf.bgz",
        home,
        prepare.PrepareOptions(window_size=16, flank=2, region="20:1-100000"),
        progress=Silent(),
    )
    assert home.panel.exists()


def test_left_out_typed_sites_are_written_for_meta_imputation(fx_home, tmp_path):
    truth = imputations.samples_alleles(6)
    truth[TYPED[3], 1] = MISSING
    target = write_target(tmp_path / "t.vcf.gz", truth)
    out = tmp_path / "o.dose.vcf.gz"
    summary = run(fx_home, target, out, empirical=True, chunk_cm=0.1, overlap_cm=0.05)
    path = tmp_path / "o.empiricalDose.vcf.gz"
    assert summary.report["empirical"] == str(path)
    assert path.with_name(f"{path.name}.tbi").exists()
    found = list(cyvcf2.VCF(str(path)))
    assert [v.POS for v in found] == [1000 * (site + 1) for site in TYPED.tolist()]
    assert {tuple(v.FORMAT) for v in found} == {("GT", "LDS")}
    genotypes = np.array([v.genotype.array()[:, :2] for v in found]).reshape(len(TYPED), -1)
    known = truth[TYPED] != MISSING
    npt.assert_array_equal(genotypes[known], truth[TYPED][known])
    assert set(genotypes.ravel()) == {0, 1}  # a missing allele is its best guess
    left_out = np.array([v.format("LDS") for v in found]).reshape(len(TYPED), -1)
    assert 0.4 < np.corrcoef(left_out[known], truth[TYPED][known])[0, 1] ** 2 < 0.999
    part = run(fx_home, target, tmp_path / "r.vcf.gz", empirical=True, region="20:1-50000")
    assert part.report["sites"]["typed"] == len(lines(tmp_path / "r.empiricalDose.vcf.gz"))


def test_an_older_file_for_meta_imputation_is_not_replaced_unasked(fx_home, tmp_path):
    target = write_target(tmp_path / "t.vcf.gz", imputations.samples_alleles(2))
    old = tmp_path / "o.empiricalDose.vcf.gz"
    old.write_text("mine")
    with pytest.raises(StoreError, match=r"empiricalDose\.vcf\.gz already exists"):
        run(fx_home, target, tmp_path / "o.vcf.gz", empirical=True)
    assert old.read_text() == "mine"
    assert not (tmp_path / "o.vcf.gz").exists()
    run(fx_home, target, tmp_path / "o.vcf.gz", empirical=True, overwrite=True)
    assert len(lines(old)) == len(TYPED)


def test_a_run_that_fails_leaves_no_file_for_meta_imputation(fx_home, tmp_path, monkeypatch):
    target = write_target(tmp_path / "t.vcf.gz", imputations.samples_alleles(2))
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(output_files.EmpiricalWriter, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(fx_home, target, tmp_path / "o.vcf.gz", empirical=True)
    assert sorted(tmp_path.iterdir()) == before


def test_kept_records_follow_the_contigs_of_the_output(fx_home, tmp_path):
    truth = imputations.samples_alleles(2)
    rows = [("20", 1000 * (site + 1), "A", "G",
             [f"{a}|{b}" for a, b in truth[site].reshape(-1, 2).tolist()])
            for site in TYPED.tolist()]  # fmt: skip
    rows = [("19", 77, "A", "G", ["0|1", "1|1"]), *rows, ("21", 5, "C", "G", ["0|1", "1|1"])]
    target = panels.write_vcf(tmp_path / "t.vcf", rows, ["a", "b"])
    summary = run(fx_home, target, tmp_path / "o.vcf.gz", all_typed_sites=True)
    assert {line[0] for line in lines(tmp_path / "o.vcf.gz")} == {"20"}
    assert summary.report["sites"]["typed_only"] == 0


def test_dr2_is_written_from_fifty_samples_on():
    assert output_files.about_dr2(["s"] * 49)
    assert not output_files.about_dr2(["s"] * 50)


def test_heterozygotes_without_the_panel_are_unphased_if_the_sample_is_phased_again(
    fx_home, tmp_path
):
    alleles = imputations.samples_alleles(2)
    made = [("20", 1000 * (site + 1), "A", "G", ["|".join(map(str, pair)) for pair in row])
            for site, row in zip(TYPED.tolist(), alleles[TYPED].reshape(-1, 2, 2).tolist(),
                                 strict=True)]  # fmt: skip
    first = next(row for row, one in enumerate(made) if one[4][1] in ("0|1", "1|0"))
    made[first] = (*made[first][:4], [made[first][4][0], "0/1"])
    made.insert(1, ("20", made[0][1] + 5, "A", "T", ["0|1", "0|1"]))
    made.insert(2, ("20", made[0][1] + 6, "A", "T", ["1|1", "1|1"]))
    target = panels.write_vcf(tmp_path / "t.vcf", made, ["t0", "t1"])
    for options, expected in (({}, ["0|1", "0/1"]), ({"phase": "redo"}, ["0/1", "0/1"])):
        run(fx_home, target, tmp_path / "o.vcf.gz", all_typed_sites=True, overwrite=True, **options)
        found = {line[1]: line[9:] for line in imputations.lines(tmp_path / "o.vcf.gz")}
        assert [cell.split(":")[0] for cell in found[str(made[1][1])]] == expected
        assert [cell.split(":")[0] for cell in found[str(made[2][1])]] == ["1|1", "1|1"]
