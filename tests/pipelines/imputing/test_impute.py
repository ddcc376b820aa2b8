from __future__ import annotations

import json
import logging
import subprocess
import sys

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest
import torch

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import NUM_SITES, TYPED, cells, dosages, lines, run, write_target
from vcfbert.copying import inputs, network
from vcfbert.domain.tokens import MISSING
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.chunks import chunk_imputation, chunk_plan
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.preparing import prepare
from vcfbert.progress import Silent
from vcfbert.retrieval import chunk_candidates
from vcfbert.storage import profiles
from vcfbert.storage.vcf import bgzf
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import torch_engine, weight_files

HIDDEN = np.setdiff1d(np.arange(NUM_SITES), TYPED)


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_done(fx_home, tmp_path_factory):
    """Six samples, imputed: truth (S, 12), target, output and summary."""
    folder = tmp_path_factory.mktemp("imputed")
    truth = imputations.samples_alleles(6)
    target = write_target(folder / "target.vcf.gz", truth)
    out = folder / "out.vcf.gz"
    return truth, target, out, run(fx_home, target, out, er2=True)


def test_every_site_of_the_panel_is_written_once_in_order(fx_done):
    _, _, out, summary = fx_done
    positions = [int(line[1]) for line in lines(out)]
    assert positions == [1000 * (site + 1) for site in range(NUM_SITES)]
    assert out.with_name("out.vcf.gz.tbi").exists()
    sites = summary.report["sites"]
    assert (sites["written"], sites["typed"], sites["skipped"]) == (NUM_SITES, len(TYPED), 0)


def test_hidden_genotypes_are_predicted_and_typed_ones_kept(fx_done):
    truth, _, out, _ = fx_done
    copies = truth.reshape(NUM_SITES, -1, 2).sum(axis=2)
    found = dosages(out)
    npt.assert_array_equal(found[TYPED], copies[TYPED])
    assert np.corrcoef(found[HIDDEN].ravel(), copies[HIDDEN].ravel())[0, 1] ** 2 > 0.7
    genotypes = [record.genotypes for record in cyvcf2.VCF(str(out))]
    npt.assert_array_equal(np.array(genotypes)[TYPED, :, :2].reshape(len(TYPED), -1), truth[TYPED])


def test_info_says_what_was_typed_and_how_well_it_is_known(fx_done):
    _, _, out, _ = fx_done
    count = imputations.panel_alleles().sum(axis=1)
    is_known = np.minimum(count, 2 * imputations.PANEL_SAMPLES - count) >= 2
    for site, record in enumerate(cyvcf2.VCF(str(out))):
        is_typed = site in TYPED
        assert record.INFO.get("TYPED", False) is is_typed
        assert record.INFO.get("IMP", False) is not is_typed
        assert (record.INFO.get("PR2") is None) == (is_typed or not is_known[site])
        assert 0 <= record.INFO.get("PR2", 0) <= 1
        assert 0 <= record.INFO["AF"] <= 1
        assert is_typed or record.INFO.get("ER2") is None
    er2 = [record.INFO.get("ER2") for record in cyvcf2.VCF(str(out))]
    assert np.mean([value for value in er2 if value is not None]) > 0.5


def test_the_header_names_network_panel_and_settings(fx_done, fx_home):
    header = cyvcf2.VCF(str(fx_done[2])).raw_header
    assert "##source=vcfbert" in header
    assert "##vcfbert_checkpoint=<ID=none>" in header
    assert "##vcfbert_panel=" in header
    assert "##vcfbert_impute=chunk_cm=10 overlap_cm=2 seed=1" in header
    assert "##contig=<ID=20,length=1000000000>" in header  # the target's


def test_qc_files_lie_beside_the_output(fx_done):
    _, target, out, summary = fx_done
    folder = out.with_name("out.qc")
    assert summary.qc == folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "chunks.tsv", "dropped.tsv", "noted.tsv", "only_in_target.tsv", "samples.tsv",
        "summary.json",
    ]  # fmt: skip
    head, chunk = [line.split("\t") for line in (folder / "chunks.tsv").read_text().splitlines()]
    row = dict(zip(head, chunk, strict=True))
    assert (row["#contig"], row["sites"], row["typed"]) == ("20", "300", "75")
    report = json.loads((folder / "summary.json").read_text())
    assert report["target_file"] == str(target)
    assert report["candidates"]["min"] > 10
    text = "\n".join(summary.lines())
    assert "sites written" in text
    assert str(out) in text


def test_the_same_for_any_number_of_threads_and_samples(fx_done, fx_home, tmp_path, monkeypatch):
    truth, target, out, _ = fx_done
    run(fx_home, target, tmp_path / "one.vcf.gz", er2=True, threads=1)
    assert (tmp_path / "one.vcf.gz").read_bytes() == out.read_bytes()
    monkeypatch.setattr(chunk_imputation, "SAMPLES_AT_ONCE", 4)
    run(fx_home, target, tmp_path / "blocks.vcf.gz", er2=True)
    assert (tmp_path / "blocks.vcf.gz").read_bytes() == out.read_bytes()
    alone = []
    for sample in range(6):
        single = write_target(tmp_path / "single.vcf", truth[:, 2 * sample : 2 * sample + 2])
        run(fx_home, single, tmp_path / f"{sample}.vcf.gz")
        alone.append(cells(tmp_path / f"{sample}.vcf.gz"))
    together = cells(out)
    for site, cell in enumerate(together):
        assert cell[1:] == [rows[site][1] for rows in alone]


def test_a_region_or_a_list_is_written_as_the_whole_run_writes_it(fx_done, fx_home, tmp_path):
    target = fx_done[1]
    options = {"chunk_cm": 0.1, "overlap_cm": 0.05}
    run(fx_home, target, tmp_path / "whole.vcf.gz", **options)
    whole = {line[1]: line for line in lines(tmp_path / "whole.vcf.gz")}
    run(fx_home, target, tmp_path / "region.vcf.gz", region="chr20:90000-160000", **options)
    region = lines(tmp_path / "region.vcf.gz")
    assert [int(line[1]) for line in region] == list(range(90_000, 161_000, 1000))
    assert region == [whole[line[1]] for line in region]
    listed = tmp_path / "sites.tsv"
    listed.write_text("20\t5000\nchr20\t250000\tA\tG\n20\t77\n20\t3000\tA\tT\n")
    run(fx_home, target, tmp_path / "listed.vcf.gz", sites=listed, **options)
    assert lines(tmp_path / "listed.vcf.gz") == [whole["5000"], whole["250000"]]
    run(fx_home, target, tmp_path / "both.bcf", sites=listed, region="20:200000-", **options)
    assert [line[1] for line in lines(tmp_path / "both.bcf")] == ["250000"]


def test_chunks_meet_without_a_gap_and_agree_with_one_chunk(fx_done, fx_home, tmp_path):
    truth, target, out, _ = fx_done
    summary = run(fx_home, target, tmp_path / "c.vcf.gz", chunk_cm=0.06, overlap_cm=0.05)
    assert summary.report["chunks"] == 5
    assert [cell[0] for cell in cells(tmp_path / "c.vcf.gz")] == [cell[0] for cell in cells(out)]
    copies = truth.reshape(NUM_SITES, -1, 2).sum(axis=2)
    error = np.abs(dosages(tmp_path / "c.vcf.gz") - copies)[HIDDEN].mean()
    assert error < np.abs(dosages(out) - copies)[HIDDEN].mean() + 0.02


def test_memory_bounds_a_chunk(fx_done, fx_home, tmp_path, monkeypatch):
    monkeypatch.setattr(chunk_plan, "CORE_BYTES", 1)
    monkeypatch.setattr(chunk_plan, "FEWEST_CORE_SITES", 40)
    summary = run(fx_home, fx_done[1], tmp_path / "small.vcf.gz")
    assert summary.report["chunks"] == 8
    assert len(lines(tmp_path / "small.vcf.gz")) == NUM_SITES


def test_a_sample_of_the_panel_is_never_imputed_from_itself(fx_home, tmp_path, monkeypatch, caplog):
    seen = []
    search = chunk_candidates.find

    def spy(typed_bits, queries, excluded=None, *, threads=1):
        found = search(typed_bits, queries, excluded, threads=threads)
        seen.append((queries, found))
        return found

    monkeypatch.setattr(chunk_candidates, "find", spy)
    alleles = imputations.panel_alleles()[:, 20:26]  # samples 10, 11 and 12
    names = ["s10", "stranger", "s12"]
    target = write_target(tmp_path / "t.vcf", alleles, names=names)
    profiles.remove(fx_home.profiles)  # so that the rates are fitted
    with caplog.at_level(logging.WARNING):
        summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    assert "2 samples of the target are also in the panel" in caplog.text
    assert "s10, s12" in caplog.text
    assert summary.report["samples"]["in_panel"] == ["s10", "s12"]
    fitted, imputed = seen
    for haplotype, rows in enumerate(imputed[1]):
        own = {20 + (haplotype & ~1), 21 + (haplotype & ~1)}
        assert own.isdisjoint(rows.tolist()) is (haplotype not in (2, 3))
    for haplotype, rows in enumerate(fitted[1]):  # the fit is honest, too
        sample = np.linspace(0, 229, len(fitted[1]) // 2).astype(int)[haplotype // 2]
        assert {2 * sample, 2 * sample + 1}.isdisjoint(rows.tolist())


def test_genotypes_at_sites_the_panel_lacks_change_nothing(fx_done, fx_home, tmp_path):
    truth, _, out, _ = fx_done
    records = []
    rng = np.random.default_rng(5)
    for site in range(NUM_SITES):
        place = 1000 * (site + 1)
        if site in TYPED:
            pairs = truth[site].reshape(-1, 2)
            records.append(("20", place, "A", "G", [f"{a}|{b}" for a, b in pairs]))
        noise = [f"{a}|{b}" for a, b in rng.integers(0, 2, (6, 2))]
        records.append(("20", place, "A", "C", noise) if site % 9 == 1 and site not in TYPED
                       else ("20", place + 7, "A", "G", noise))  # fmt: skip
    noisy = panels.write_vcf(tmp_path / "noisy.vcf", records, [f"t{n}" for n in range(6)])
    summary = run(fx_home, noisy, tmp_path / "noisy.vcf.gz", er2=True)
    assert lines(tmp_path / "noisy.vcf.gz") == lines(out)
    assert summary.report["target"]["only_in_target"] > 200


def test_missing_genotypes_are_imputed_and_half_missing_ones_in_half(fx_done, fx_home, tmp_path):
    truth, _, _, _ = fx_done
    holes = truth.copy()
    holes[TYPED[10], 0:2] = MISSING
    holes[TYPED[20], 2] = MISSING
    holes[TYPED[30]] = MISSING
    target = write_target(tmp_path / "holes.vcf", holes)
    summary = run(fx_home, target, tmp_path / "holes.vcf.gz")
    rows = lines(tmp_path / "holes.vcf.gz")
    assert all("." not in cell.split(":")[0] for row in rows for cell in row[9:])
    assert "TYPED" in rows[TYPED[10]][7]
    assert "IMP" in rows[TYPED[30]][7]  # typed in no sample
    kept = rows[TYPED[20]][10].split(":")[2].split(",")
    assert kept[1] == str(truth[TYPED[20], 3])
    assert summary.report["sites"]["missing_genotypes"] == 2
    assert summary.report["sites"]["typed"] == len(TYPED) - 1


def test_swapped_alleles_are_corrected_and_counted(fx_done, fx_home, tmp_path, caplog):
    truth, _, out, _ = fx_done
    records = [
        ("20", 1000 * (site + 1), "G", "A",
         [f"{1 - a}|{1 - b}" for a, b in truth[site].reshape(-1, 2).astype(int)])
        for site in TYPED.tolist()
    ]  # fmt: skip
    target = panels.write_vcf(tmp_path / "swapped.vcf", records, [f"t{n}" for n in range(6)])
    with caplog.at_level(logging.WARNING):
        summary = run(fx_home, target, tmp_path / "swapped.vcf.gz", er2=True)
    assert lines(tmp_path / "swapped.vcf.gz") == lines(out)
    assert summary.report["target"]["swapped_sites"] == len(TYPED)
    assert "sites have swapped alleles" in caplog.text
    assert (tmp_path / "swapped.qc" / "noted.tsv").read_text().count("\n") == len(TYPED) + 1


def test_fields_can_be_chosen(fx_done, fx_home, tmp_path):
    run(fx_home, fx_done[1], tmp_path / "f.bcf", fields=("DS", "GT"))
    assert {line[8] for line in lines(tmp_path / "f.bcf")} == {"GT:DS"}


@pytest.mark.slow
def test_another_map_moves_the_sites(fx_done, fx_home, tmp_path):
    """Ten times the recombination makes ten times the chunks."""
    path = tmp_path / "a.map"
    path.write_text("20 . 0 1\n20 . 3 300000\n")
    summary = run(fx_home, fx_done[1], tmp_path / "m.vcf.gz", genetic_map=path, chunk_cm=0.1)
    assert summary.report["chunks"] == 30
    assert summary.report["genetic_map"] == str(path)


def test_the_network_is_used_at_undecided_sites(fx_done, fx_home, tmp_path, caplog):
    _, target, out, _ = fx_done
    rng = np.random.default_rng(1)
    shapes = network.Weights(
        mean=(inputs.NUM_INPUTS,), spread=(inputs.NUM_INPUTS,), lowest=(inputs.NUM_INPUTS,),
        highest=(inputs.NUM_INPUTS,), first=(8, inputs.NUM_INPUTS), first_bias=(8,),
        second=(8, 8), second_bias=(8,),
        last=(inputs.NUM_SETS + 1, 8), last_bias=(inputs.NUM_SETS + 1,),
    )  # fmt: skip
    arrays = {name: rng.normal(0, 0.1, shape) for name, shape in shapes._asdict().items()}
    arrays |= {"spread": np.ones(inputs.NUM_INPUTS), "lowest": np.full(inputs.NUM_INPUTS, -1.0),
               "highest": np.full(inputs.NUM_INPUTS, 1.0)}  # fmt: skip
    folder = fx_home.run("mine")
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[mosaic]\n")
    weight_files.save(folder / weight_files.FILE, arrays, {})
    answer = weight_files.load(folder / weight_files.FILE, name="mine")
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(weight_files, "shipped", lambda: answer)
        summary = run(fx_home, target, tmp_path / "n.vcf.gz", no_network=False)
    header = cyvcf2.VCF(str(tmp_path / "n.vcf.gz")).raw_header
    assert f"##vcfbert_checkpoint=<ID=mine,Fingerprint={answer.fingerprint}>" in header
    assert lines(tmp_path / "n.vcf.gz") != lines(out)
    facts = summary.report["network"]
    assert facts["undecided"] > 0
    assert facts["out_of_range"] > 0.5
    assert "outside the range seen in training" in caplog.text


@pytest.fixture(scope="module")
def fx_two_contigs(tmp_path_factory):
    """Ten samples on contigs 1 and 2, forty sites each."""
    folder = tmp_path_factory.mktemp("two")
    alleles = panels.mosaic_alleles(40, 20)
    records = panels.records_of(alleles, contig="1") + panels.records_of(alleles, contig="2")
    home = Workspace(folder / "work")
    vcf = panels.write_vcf(folder / "panel.vcf", records)
    prepare.prepare(vcf, home, prepare.PrepareOptions(window_size=16, flank=2), progress=Silent())
    return home, records


def test_contigs_without_typed_sites_are_left_out(fx_two_contigs, tmp_path, caplog):
    home, records = fx_two_contigs
    chosen = [
        (contig, position, ref, alt, calls[:2])
        for contig, position, ref, alt, calls in [*records[0:40:3], records[44]]
    ]
    target = panels.write_vcf(tmp_path / "t.vcf", chosen, ["a", "b"])
    with caplog.at_level(logging.WARNING):
        summary = run(home, target, tmp_path / "o.vcf.gz")
    assert {line[0] for line in lines(tmp_path / "o.vcf.gz")} == {"1"}
    assert summary.report["sites"]["skipped"] == summary.report["sites"]["written"]
    assert "1 contig of the panel has too few typed sites and is not written: 2." in caplog.text
    assert "fewer than 50 typed sites" in caplog.text
    run(home, target, tmp_path / "o.vcf.gz", min_typed=1, overwrite=True)
    assert [line[0] for line in lines(tmp_path / "o.vcf.gz")].count("2") > 30


def test_a_chunk_without_typed_sites_looks_further(fx_home, tmp_path):
    truth = imputations.samples_alleles(2)
    typed = np.concatenate([np.arange(0, 40, 2), np.arange(260, 300, 2)])
    target = write_target(tmp_path / "gap.vcf", truth, typed=typed)
    summary = run(fx_home, target, tmp_path / "gap.vcf.gz", chunk_cm=0.05, overlap_cm=0.0)
    assert summary.report["sites"]["written"] == NUM_SITES
    table = (tmp_path / "gap.qc" / "chunks.tsv").read_text().splitlines()
    column = table[0].split("\t").index("typed_with_context")
    assert min(int(row.split("\t")[column]) for row in table[1:]) == ImputeOptions().min_typed


@pytest.mark.parametrize("num_samples", [1, 2, 5])
@pytest.mark.parametrize("num_sites", [1, 2, 70])
def test_tiny_panels_and_single_typed_sites_are_imputed(tmp_path, num_samples, num_sites):
    alleles = panels.mosaic_alleles(num_sites, 2 * num_samples)
    panels.write_small_panel(
        tmp_path / "panel.zarr", num_samples=num_samples, num_sites=num_sites, length=8, flank=1
    )
    for typed in (1, num_sites):
        target = panels.write_vcf(
            tmp_path / "t.vcf",
            [("20", 1000 * (site + 1), "A", "G", ["0|1", "1|1"]) for site in range(typed)],
            ["a", "b"],
        )
        out = tmp_path / f"{typed}.vcf.gz"
        run(Workspace(tmp_path), target, out, min_typed=1, overwrite=True, er2=True)
        found = dosages(out)
        assert found.shape == (num_sites, 2)
        assert np.isfinite(found).all()
        npt.assert_array_equal(found[:typed], [[1, 2]] * typed)
        fixed = (alleles == alleles[:, :1]).all(axis=1)
        fixed[:typed] = False
        npt.assert_allclose(found[fixed], 2 * alleles[fixed, :1] * np.ones((1, 2)), atol=1e-3)


def test_a_panel_without_other_samples_is_explained(tmp_path):
    panels.write_small_panel(tmp_path / "panel.zarr", num_samples=1, num_sites=20)
    records = [("20", 1000 * (site + 1), "A", "G", ["0|1"]) for site in range(9)]
    target = panels.write_vcf(tmp_path / "t.vcf", records, ["s0"])
    with pytest.raises(InputError, match="contains only s0"):
        run(Workspace(tmp_path), target, tmp_path / "o.vcf.gz")


def test_nothing_is_left_of_a_run_that_fails(fx_done, fx_home, tmp_path, monkeypatch):
    def full(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bgzf, "compress", full)
    with pytest.raises(StoreError, match="No space left on device"):
        run(fx_home, fx_done[1], tmp_path / "o.vcf.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_older_output_stays_when_a_new_run_fails(fx_done, fx_home, tmp_path):
    out = tmp_path / "o.vcf.gz"
    run(fx_home, fx_done[1], out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match="already exists"):
        run(fx_home, fx_done[1], out)
    bad = tmp_path / "bad.vcf"
    bad.write_text("##fileformat=VCFv4.2\n")
    with pytest.raises(InputError):
        run(fx_home, bad, out, overwrite=True)
    bad.unlink()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    run(fx_home, fx_done[1], out, overwrite=True)


def test_a_folder_of_other_files_is_never_replaced(fx_done, fx_home, tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("x")
    with pytest.raises(StoreError, match=r"thesis.txt, which is not a QC file"):
        run(fx_home, fx_done[1], tmp_path / "o.vcf.gz", qc=folder, overwrite=True)
    assert (folder / "thesis.txt").exists()


def test_the_target_is_never_overwritten(fx_done, fx_home):
    with pytest.raises(InputError, match="is the target itself"):
        run(fx_home, fx_done[1], fx_done[1], overwrite=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_cm": 0.0}, "--chunk-cm"),
        ({"chunk_cm": float("nan")}, "--chunk-cm"),
        ({"overlap_cm": -1.0}, "--overlap-cm"),
        ({"min_typed": 0}, "--min-typed"),
        ({"threads": 0}, "--threads"),
        ({"seed": -1}, "--seed"),
        ({"fields": ()}, "FORMAT"),
        ({"no_network": True, "run": "a"}, "--no-network"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ImputeOptions(**options)


def test_runs_that_cannot_impute_are_named(fx_done, fx_home, tmp_path):
    out = tmp_path / "o.vcf.gz"
    with pytest.raises(StoreError, match=r"There is no run .*absent.*leave out --run"):
        run(fx_home, fx_done[1], out, no_network=False, run="absent")
    folder = fx_home.run("other")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text('system = "retrieval"\n')
    with pytest.raises(StoreError, match="is not of mosaic"):
        run(fx_home, fx_done[1], out, no_network=False, run="other")


def test_a_device_gives_the_same_answer(fx_done, fx_home, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_engine, "choose", torch.device)  # the batched path, on the CPU
    summary = run(fx_home, fx_done[1], tmp_path / "d.vcf.gz", er2=True, device="cpu:0")
    npt.assert_allclose(dosages(tmp_path / "d.vcf.gz"), dosages(fx_done[2]), atol=2e-3)
    assert summary.report["options"]["device"] == "cpu:0"


def test_pytorch_is_not_loaded(fx_done, fx_home, tmp_path):
    words = ["impute", str(fx_done[1]), "-o", str(tmp_path / "o.vcf.gz"), "-w", str(fx_home.root)]
    code = (
        "import sys; from vcfbert_cli.main import app\n"
        f"try: app({[*words, '--no-network', '--quiet']!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'torch', 'tensorboard', 'msprime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
