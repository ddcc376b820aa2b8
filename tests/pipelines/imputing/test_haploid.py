"""Haploid samples: a simulated X whose males are haploid outside the pseudo-autosomal region."""

from __future__ import annotations

import cyvcf2
import numpy as np
import numpy.testing as npt
import pysam
import pytest

from tests.pipelines import imputations
from vcfbert.domain import dosage
from vcfbert.domain.sites import TEST, TRAIN
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.chunks import chunk_imputation, panel_samples
from vcfbert.pipelines.evaluating import evaluate
from vcfbert.pipelines.evaluating.cases import EvalOptions
from vcfbert.pipelines.imputing import chunk_output, output_files
from vcfbert.pipelines.mosaic import training_data
from vcfbert.pipelines.preparing import prepare, simulate
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.preparing.simulate import SimulateOptions
from vcfbert.pipelines.verifying import verify
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

LENGTH, SAMPLES, NEW = 400_000, 80, 8
FIRST = 80_001  # first position outside the PAR
GRCH38_BORDER = 2_781_480


def cells(path):
    """Header lines, and records split at tabs, of a VCF."""
    lines = path.read_text().splitlines() if path.suffix == ".vcf" else None
    if lines is None:
        with pysam.BGZFile(str(path)) as stream:
            lines = stream.read().decode().splitlines()
    head = [line for line in lines if line.startswith("##")]
    return head, [line.split("\t") for line in lines if not line.startswith("##")]


def write(path, head, rows, cell=lambda text, column, row: text, columns=slice(None)):
    """A VCF with some of the samples, and each genotype changed by `cell`."""
    out = list(head)
    for number, row in enumerate(rows):
        calls = row[9:][columns]
        if number:
            calls = [cell(text, column, number) for column, text in enumerate(calls)]
        out.append("\t".join([*row[:9], *calls]))
    path.write_text("\n".join(out) + "\n")
    return path


def doubled(text, *_):
    return text if "|" in text else f"{text}|{text}"


@pytest.fixture(scope="module")
def fx_x(tmp_path_factory):
    """A workspace with a panel of 72 samples; a target and the truth of 8 others; their sexes."""
    root = tmp_path_factory.mktemp("x")
    options = SimulateOptions(num_samples=SAMPLES, length=LENGTH, chromosome="X")
    simulate.simulate(root / "sim", options, progress=Silent())
    head, rows = cells(root / "sim" / "panel.vcf.gz")
    typed = {
        (line.split()[0], line.split()[1])
        for line in (root / "sim" / "typed.tsv").read_text().splitlines()
    }
    panel = write(root / "panel.vcf", head, rows, columns=slice(NEW, None))
    shown = [rows[0], *(row for row in rows[1:] if (row[0], row[1]) in typed)]
    target = write(root / "target.vcf", head, shown, columns=slice(NEW))
    truth = write(root / "truth.vcf", head, rows, columns=slice(NEW))
    home = Workspace(root / "work")
    prepare.prepare(panel, home, PrepareOptions(window_size=200), progress=Silent())
    return home, panel, target, truth, root / "sim" / "sex.tsv"


@pytest.fixture(scope="module")
def fx_done(fx_x, tmp_path_factory):
    home, _, target, *_ = fx_x
    out = tmp_path_factory.mktemp("out") / "a.vcf.gz"
    summary = imputations.run(home, target, out, no_network=False, er2=True, empirical=True)
    return out, summary


def test_males_are_written_with_one_allele_outside_the_par(fx_done):
    _, rows = cells(fx_done[0])
    for row in rows[1:]:
        for number, cell in enumerate(row[9:]):
            gt, ds, hds, gp = cell.split(":")
            is_haploid = number % 2 == 1 and int(row[1]) >= FIRST
            alleles = gt.split("|")
            assert len(alleles) == len(hds.split(",")) == (1 if is_haploid else 2)
            assert len(gp.split(",")) == (2 if is_haploid else 3)
            assert 0 <= float(ds) <= len(alleles)
            assert abs(sum(map(float, hds.split(","))) - float(ds)) < 2e-3
            if is_haploid:
                npt.assert_allclose([float(v) for v in gp.split(",")], [1 - float(ds), float(ds)],
                                    atol=2e-3)  # fmt: skip


def test_frequencies_count_the_haplotypes_that_exist(fx_done):
    _, rows = cells(fx_done[0])
    for row in rows[1:]:
        info = dict(part.split("=") for part in row[7].split(";") if "=" in part)
        alleles = [a for cell in row[9:] for a in cell.split(":")[0].split("|")]
        assert int(info["AN"]) == len(alleles) == (12 if int(row[1]) >= FIRST else 16)
        assert int(info["AC"]) == alleles.count("1")
        total = sum(float(cell.split(":")[1]) for cell in row[9:])
        assert float(info["AF"]) == pytest.approx(total / len(alleles), abs=1e-3)
    counts = fx_done[1].report["target"]["ploidy"]
    assert counts["haploid_samples"] == 4
    assert "haploid at some sites" in "\n".join(fx_done[1].lines())


def test_er2_and_dr2_count_the_haplotypes_that_exist(fx_x, monkeypatch, tmp_path):
    home, _, target, *_ = fx_x
    cores = []
    real = chunk_output.joined_chunk.join
    monkeypatch.setattr(chunk_output.joined_chunk, "join",
                        lambda *a: cores.append(real(*a)) or cores[-1])  # fmt: skip
    monkeypatch.setattr(output_files, "FEWEST_FOR_DR2", 1)
    imputations.run(home, target, tmp_path / "a.vcf.gz")
    (core,) = [one for one in cores if one.is_haploid.any()]
    alt = np.concatenate([block.alt for block in core.blocks(left_out=False)])
    there = np.concatenate([alt[:, :, 0], alt[:, ~core.is_haploid, 1]], axis=1)
    npt.assert_allclose(core.dr2, dosage.estimated_r2(there[:, :, None]), atol=1e-5)
    npt.assert_allclose(core.frequency, there.mean(axis=1), atol=1e-5)
    assert not alt[:, core.is_haploid, 1].any()
    count, _, least, _ = core.candidates
    assert count == 2 * NEW - 4
    assert least > 0


def test_typed_alleles_stay_and_imputed_ones_are_near_the_truth_in_both_sexes(fx_x, fx_done):
    _, rows = cells(fx_done[0])
    _, truth = cells(fx_x[3])
    typed = {row[1] for row in cells(fx_x[2])[1][1:]}
    by_position = {(row[1], row[3], row[4]): row for row in truth[1:]}
    pairs = {0: ([], []), 1: ([], [])}
    for row in rows[1:]:
        true = by_position.get((row[1], row[3], row[4]))
        if true is None:
            continue
        for number, cell in enumerate(row[9:]):
            gt, _, hds, _ = cell.split(":")
            if row[1] in typed:
                assert gt == true[9 + number]
            elif int(row[1]) >= FIRST:
                pairs[number % 2][0].extend(map(int, true[9 + number].split("|")))
                pairs[number % 2][1].extend(map(float, hds.split(",")))
    female, male = (np.corrcoef(*pairs[sex])[0, 1] ** 2 for sex in (0, 1))
    assert min(female, male) > 0.65


@pytest.mark.parametrize(
    "cell",
    [doubled, lambda text, *_: text if "|" in text else f"{text}|."],
    ids=["homozygous", "half missing"],
)
def test_males_written_as_diploids_are_haploid_by_their_sex(fx_x, fx_done, tmp_path, cell):
    home, _, target, _, sexes = fx_x
    other = write(tmp_path / "t.vcf", *cells(target), cell=cell)
    out = tmp_path / "b.vcf.gz"
    imputations.run(home, other, out, no_network=False, er2=True, empirical=True, sex=sexes)
    assert out.read_bytes() == fx_done[0].read_bytes()


def test_without_the_sex_such_males_are_diploid_and_named(fx_x, tmp_path, caplog):
    home, _, target, _, _sexes = fx_x
    other = write(tmp_path / "t.vcf", *cells(target), cell=doubled)
    summary = imputations.run(home, other, tmp_path / "b.vcf.gz")
    assert any("4 samples" in text and "no heterozygote" in text and "--sex" in text
               for text in summary.report["warnings"])  # fmt: skip
    assert all("|" in cell for cell in cells(tmp_path / "b.vcf.gz")[1][-1][9:])


@pytest.mark.parametrize("mark", ["|", "/"])
def test_heterozygotes_of_males_are_counted_and_imputed(fx_x, tmp_path, mark):
    home, _, target, _, sexes = fx_x

    def cell(text, column, row):
        return f"0{mark}1" if "|" not in text and row % 30 == 0 else doubled(text)

    other = write(tmp_path / "t.vcf", *cells(target), cell=cell)
    summary = imputations.run(home, other, tmp_path / "b.vcf.gz", sex=sexes)
    lost = sum(cell == f"0{mark}1" and "|" not in old
               for new, kept in zip(cells(other)[1][1:], cells(target)[1][1:], strict=True)
               for cell, old in zip(new[9:], kept[9:], strict=True))  # fmt: skip
    counts = summary.report["target"]["ploidy"]
    assert counts["haploid_heterozygotes_set_missing"] == lost > 0
    assert summary.report["sites"]["missing_genotypes"] == lost
    assert any("heterozygous genotypes of 4 haploid samples" in text
               for text in summary.report["warnings"])  # fmt: skip


def test_a_haploid_sample_has_the_numbers_of_a_homozygote(fx_x, tmp_path):
    """Without the network, which reads both haplotypes, one does not see the other."""
    home, _, target, _, _sexes = fx_x
    imputations.run(home, target, tmp_path / "a.vcf.gz")
    other = write(tmp_path / "t.vcf", *cells(target), cell=doubled)
    imputations.run(home, other, tmp_path / "b.vcf.gz")
    for one, two in zip(cells(tmp_path / "a.vcf.gz")[1], cells(tmp_path / "b.vcf.gz")[1],
                        strict=True):  # fmt: skip
        for here, there in zip(one[9:], two[9:], strict=True):
            if ":" in here:
                assert here.split(":")[2].split(",")[0] == there.split(":")[2].split(",")[0]


def test_females_do_not_depend_on_the_males_beside_them(fx_x, tmp_path):
    home, _, target, *_ = fx_x
    head, rows = cells(target)
    imputations.run(home, target, tmp_path / "a.vcf.gz", no_network=False)
    alone = write(tmp_path / "f.vcf", head, rows, columns=slice(0, None, 2))
    imputations.run(home, alone, tmp_path / "f.vcf.gz", no_network=False)
    together = [row[9::2] for row in cells(tmp_path / "a.vcf.gz")[1]]
    assert [row[9:] for row in cells(tmp_path / "f.vcf.gz")[1]] == together


def test_bcf_and_a_region_have_the_same_records(fx_x, fx_done, tmp_path):
    home, _, target, *_ = fx_x
    imputations.run(home, target, tmp_path / "a.bcf", no_network=False, er2=True)
    with (
        pysam.VariantFile(str(fx_done[0])) as one,
        pysam.VariantFile(str(tmp_path / "a.bcf")) as two,
    ):
        assert [str(record) for record in one] == [str(record) for record in two]
    with pysam.BGZFile(str(tmp_path / "t.vcf.gz"), "w") as stream:
        stream.write(target.read_bytes())
    pysam.tabix_index(str(tmp_path / "t.vcf.gz"), preset="vcf", force=True)
    part = tmp_path / "r.vcf.gz"
    imputations.run(home, tmp_path / "t.vcf.gz", part, no_network=False, er2=True,
                    region="X:60000-120000")  # fmt: skip
    wanted = [row for row in cells(fx_done[0])[1][1:] if 60_000 <= int(row[1]) <= 120_000]
    assert cells(part)[1][1:] == wanted


def test_left_out_typed_sites_have_one_number_for_a_haploid(fx_done):
    _, rows = cells(fx_done[0].with_name("a.empiricalDose.vcf.gz"))
    assert {len(cell.split(":")[1].split(",")) for cell in rows[-1][9::2]} == {2}
    assert {len(cell.split(":")[1].split(",")) for cell in rows[-1][10::2]} == {1}


def test_whole_haploid_organisms_are_imputed(fx_x, tmp_path):
    def single(text, *_):
        return text.split("|")[0]

    home = Workspace(tmp_path / "work")
    panel = write(tmp_path / "p.vcf", *cells(fx_x[1]), cell=single)
    report = prepare.prepare(panel, home, PrepareOptions(window_size=200), progress=Silent()).report
    assert report["samples"]["haploid"] == SAMPLES - NEW
    target = write(tmp_path / "t.vcf", *cells(fx_x[2]), cell=single)
    summary = imputations.run(home, target, tmp_path / "a.vcf.gz")
    assert summary.report["reference_haplotypes"] == SAMPLES - NEW
    assert not any("|" in cell for row in cells(tmp_path / "a.vcf.gz")[1][1:] for cell in row[9:])


def test_haploid_targets_are_imputed_from_a_diploid_panel(fx_x, tmp_path):
    home = Workspace(tmp_path / "work")
    panel = write(tmp_path / "p.vcf", *cells(fx_x[1]), cell=doubled)
    report = prepare.prepare(panel, home, PrepareOptions(window_size=200), progress=Silent()).report
    assert any("no heterozygote" in text and "--sex" in text for text in report["warnings"])
    imputations.run(home, fx_x[2], tmp_path / "a.vcf.gz")
    assert [len(cell.split(":")[0]) for cell in cells(tmp_path / "a.vcf.gz")[1][-1][9:]] == [
        3,
        1,
    ] * 4


def test_the_par_of_a_known_build_decide_where_males_are_haploid(fx_x, tmp_path):
    def moved(path, out):
        head, rows = cells(path)
        head = [line.replace(f"length={LENGTH}", "length=156040895") for line in head]
        for row in rows[1:]:
            row[1] = str(int(row[1]) - FIRST + GRCH38_BORDER)
        return write(out, head, rows, cell=doubled)

    home, sexes = Workspace(tmp_path / "work"), fx_x[4]
    panel = moved(fx_x[1], tmp_path / "p.vcf")
    options = PrepareOptions(window_size=200, sex=sexes)
    prepare.prepare(panel, home, options, progress=Silent())
    imputations.run(home, moved(fx_x[2], tmp_path / "t.vcf"), tmp_path / "a.vcf.gz", sex=sexes)
    for row in cells(tmp_path / "a.vcf.gz")[1][1:]:
        assert ("|" not in row[10].split(":")[0]) == (int(row[1]) >= GRCH38_BORDER)


def test_sexes_without_a_known_par_are_refused(fx_x, tmp_path):
    panel = write(tmp_path / "p.vcf", *cells(fx_x[1]), cell=doubled)
    home, quiet = Workspace(tmp_path / "work"), Silent()
    with pytest.raises(InputError, match=r"pseudo-autosomal regions of X are not known.*--par"):
        prepare.prepare(panel, home, PrepareOptions(sex=fx_x[4]), progress=quiet)
    options = PrepareOptions(window_size=200, sex=fx_x[4], par=f"1-{FIRST - 1}")
    made = prepare.prepare(panel, home, options, progress=quiet)
    assert made.fingerprint == fingerprint_of(fx_x[0])
    with pytest.raises(ConfigError, match="--par"):
        PrepareOptions(par="5")


def fingerprint_of(home):
    with open_panel(home.panel, takes_haploid=True) as panel:
        return panel.fingerprint


def test_a_panel_has_the_haplotypes_that_exist(fx_x):
    home, path, *_ = fx_x
    _, rows = cells(path)
    with open_panel(home.panel, takes_haploid=True) as panel:
        sites, samples = panel.sites, panel.samples
        ploidy = samples.ploidy
        row_of = {(row[1], row[3]): row for row in rows[1:] if "," not in row[4]}
        for site in range(len(sites)):
            row = row_of.get((str(sites.position[site]), sites.ref[site]))
            if row is None:
                continue
            alleles = [a for cell in row[9:] for a in cell.split("|")]
            assert ploidy.num_haplotypes(len(sites))[site] == len(alleles)
            assert sites.alt_count[site].sum() == alleles.count("1")


def test_absent_haplotypes_are_no_references(fx_x, monkeypatch, tmp_path):
    home, _, target, *_ = fx_x
    seen = []
    real = chunk_imputation.chunk_references.read

    def read(*arguments, **keywords):
        seen.append(real(*arguments, **keywords))
        return seen[-1]

    monkeypatch.setattr(chunk_imputation.chunk_references, "read", read)
    imputations.run(home, target, tmp_path / "a.vcf.gz")
    par, rest = seen
    num_samples = SAMPLES - NEW
    assert (len(par.haplotypes), len(rest.haplotypes)) == (
        2 * num_samples,
        2 * num_samples - num_samples // 2,
    )
    is_male = np.arange(num_samples) % 2 == 1
    npt.assert_array_equal(np.bincount(rest.haplotypes // 2), 2 - is_male)
    counts = rest.statistics.frequency[:5]
    with open_panel(home.panel, takes_haploid=True) as panel:
        share = panel.sites.alt_count[rest.sites[:5]].sum(axis=1) / len(rest.haplotypes)
    npt.assert_allclose(1 / (1 + np.exp(-counts)), share, atol=1e-6)


def test_training_takes_no_absent_haplotype(fx_x):
    home = fx_x[0]
    with open_panel(home.panel, takes_haploid=True) as panel:
        start = int(panel.samples.ploidy.start[1])
        sites = np.arange(start, len(panel.sites))
        chunk = panel_samples.read(panel, sites, slice(start, len(panel.sites)))
        train = panel.samples.in_splits(TRAIN)
        chosen = train[:4]
        rest = panel.samples.haplotypes(TRAIN)
        left_out = panel_samples.leave_out(chunk, np.setdiff1d(rest, rest[:8]), chosen)
        typed = panel_samples.typed_at(left_out, np.arange(0, len(sites), 6), seed=1, threads=1)
        is_male = panel.samples.ploidy.at(start)
    assert not is_male[left_out.references[left_out.references % 2 == 1] // 2].any()
    found = [number for number, _ in training_data._open_sites(typed, 1)]
    assert found == [n for n in range(8) if n % 2 == 0 or not is_male[chosen[n // 2]]]
    shown = training_data.design_panel(
        left_out, np.zeros(SAMPLES, np.int16), np.random.default_rng(1)
    )
    assert len(shown.references) == len(left_out.references) == len(shown.population)


def test_eval_scores_haploid_samples_as_homozygotes(fx_x, tmp_path):
    seen = []
    options = EvalOptions(run=None, rate=0.8, output=tmp_path)
    evaluate.evaluate(
        fx_x[0], options, progress=Silent(), on_core=lambda core, *_: seen.append(core)
    )
    with open_panel(fx_x[0].panel, takes_haploid=True) as panel:
        haploid, count = panel.samples.ploidy, len(panel.sites)
        chosen = panel.samples.in_splits(TEST)
        alleles = haplotypes.read_alleles(panel, np.arange(count)).reshape(count, -1, 2)[:, chosen]
    truth = np.concatenate([core.truth for core in seen])
    is_haploid = haploid.of_sites(np.arange(count))[:, chosen]
    npt.assert_array_equal(truth[~is_haploid], alleles[~is_haploid])
    npt.assert_array_equal(truth[is_haploid], np.repeat(alleles[is_haploid][:, :1], 2, axis=1))
    dosages = np.concatenate([core.answers["model"].dosage for core in seen])
    hidden = np.concatenate([core.is_hidden for core in seen])
    both = truth.sum(axis=2)[hidden][is_haploid[hidden]], dosages[hidden][is_haploid[hidden]]
    assert np.corrcoef(*both)[0, 1] ** 2 > 0.6
    with pytest.raises(ConfigError, match="--vcf"):
        evaluate.evaluate(
            fx_x[0],
            EvalOptions(run=None, rate=0.8, output=tmp_path / "b", vcf=tmp_path / "v.vcf.gz"),
            progress=Silent(),
        )


def test_other_systems_refuse_a_panel_with_haploid_samples(fx_x):
    with (
        pytest.raises(StoreError, match=r"has haploid samples.*females"),
        open_panel(fx_x[0].panel),
    ):
        pass


def test_verify_accepts_such_a_panel_and_finds_a_false_allele(fx_x, tmp_path):
    home, path, *_ = fx_x
    summary = verify.verify(home, VerifyOptions(source=path), progress=Silent())
    assert not any(one.faults for one in summary.stores)
    head, rows = cells(path)
    rows[-1][10] = "0" if rows[-1][10] == "1" else "1"
    other = write(tmp_path / "p.vcf", head, rows)
    summary = verify.verify(home, VerifyOptions(source=other), progress=Silent())
    assert any("1 of" in fault for one in summary.stores for fault in one.faults)


def test_cyvcf2_reads_the_output(fx_done):
    last = list(cyvcf2.VCF(str(fx_done[0])))[-1]
    assert last.genotype.array()[1, 1] == -2
    assert last.format("GP").shape == (NEW, 3)
    assert np.isnan(last.format("GP")[1, 2])
