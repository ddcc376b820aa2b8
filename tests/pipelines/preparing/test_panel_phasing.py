"""`prepare --phase-panel`: a panel that is phased by its own samples."""

from __future__ import annotations

import json

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

import vcfbert
from tests import panels
from vcfbert.errors import ConfigError, InputError
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.verifying import verify
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import haplotypes, stored
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

NUM_SITES, NUM_SAMPLES = 150, 40


@pytest.fixture(scope="module")
def fx_truth():
    """(S, N, 2)"""
    return panels.mosaic_alleles(NUM_SITES, 2 * NUM_SAMPLES).reshape(NUM_SITES, NUM_SAMPLES, 2)


def write(path, truth, is_loose):
    """A panel; genotypes for which `is_loose` (S, N) is True have no order."""
    cells = [
        [f"{min(pair)}/{max(pair)}" if loose else f"{pair[0]}|{pair[1]}"
         for pair, loose in zip(row, chosen, strict=True)]
        for row, chosen in zip(truth.tolist(), is_loose.tolist(), strict=True)
    ]  # fmt: skip
    records = [("20", 20_000 * (site + 1), "A", "G", row) for site, row in enumerate(cells)]
    return panels.write_vcf(path, records, [f"s{n}" for n in range(truth.shape[1])])


def alleles_of(work):
    """(S, N, 2) alleles of a panel store."""
    with open_panel(work / "panel.zarr", takes_haploid=True) as panel:
        bits = haplotypes.read_sites(panel, np.arange(len(panel.sites)))
        flat = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
        return flat[:, : len(panel.sites)].T.reshape(len(panel.sites), -1, 2)


def everything(truth):
    return np.ones(truth.shape[:2], np.bool_)


@pytest.fixture(scope="module")
def fx_whole(fx_truth, tmp_path_factory):
    """An unphased panel, its folder, and the summary of prepare."""
    folder = tmp_path_factory.mktemp("whole")
    file = write(folder / "p.vcf", fx_truth, everything(fx_truth))
    return file, folder, vcfbert.prepare(file, workspace=folder / "w", phase_panel=True)


def test_verify_compares_it_with_its_file_without_the_order(fx_truth, fx_whole, tmp_path):
    file, folder, _ = fx_whole
    workspace = Workspace(folder / "w")
    same = verify.verify(workspace, VerifyOptions(source=file), progress=Silent())
    assert same.faults == []
    changed = fx_truth.copy()
    changed[3, 5] = 1 - changed[3, 5, :1]  # a homozygote, or the other one
    other = write(tmp_path / "p.vcf", changed, everything(changed))
    faults = verify.verify(workspace, VerifyOptions(source=other), progress=Silent()).faults
    assert len(faults) == 1
    assert "1 of 6,000 genotypes differ" in faults[0]
    assert "s5 at 20:80000" in faults[0]


def test_an_unphased_panel_is_phased_and_says_how_well(fx_truth, fx_whole):
    _, folder, summary = fx_whole
    found = alleles_of(folder / "w")
    npt.assert_array_equal(found.sum(axis=2), fx_truth.sum(axis=2))
    is_het = fx_truth[:, :, 0] != fx_truth[:, :, 1]
    wrong = total = 0
    for sample in range(NUM_SAMPLES):
        hets = np.flatnonzero(is_het[:, sample])
        is_other = found[hets, sample, 0] != fx_truth[hets, sample, 0]
        wrong += int((is_other[1:] != is_other[:-1]).sum())
        total += len(hets) - 1
    assert total > 500
    assert wrong < 0.35 * total  # a coin gives a half
    phased = summary.report["phased"]
    assert phased["heterozygotes"] == is_het.sum()
    assert phased["samples"] == NUM_SAMPLES
    assert 0 < phased["expected_switch_error"] < 0.4
    report = json.loads((folder / "w" / "panel.qc.json").read_text())
    assert report["phased"] == phased
    assert any("are phased by the panel's own samples; about" in one for one in report["warnings"])
    assert any(line.startswith("  expected switch error") for line in summary.lines())
    with stored.open_store(next((folder / "w" / "panel.zarr").glob("*.zarr")), "panel") as root:
        settings = root.attrs["settings"]
    assert settings["phased"] == phased
    assert settings["phase_panel"] is True


def test_the_panel_is_the_same_in_another_run(fx_whole):
    file, folder, summary = fx_whole
    again = vcfbert.prepare(file, workspace=folder / "again", phase_panel=True)
    assert again.fingerprint == summary.fingerprint


def test_phased_genotypes_stay_also_across_chunks(fx_truth, tmp_path, monkeypatch):
    """Only a tenth of the genotypes has no order."""
    monkeypatch.setattr(chunk_plan, "CHUNK_CM", 0.8)
    monkeypatch.setattr(chunk_plan, "OVERLAP_CM", 0.3)
    is_loose = np.random.default_rng(2).random(fx_truth.shape[:2]) < 0.1
    is_loose[:, 5] = False
    file = write(tmp_path / "p.vcf", fx_truth, is_loose)
    summary = vcfbert.prepare(file, workspace=tmp_path / "w", phase_panel=True)
    found = alleles_of(tmp_path / "w")
    npt.assert_array_equal(found[~is_loose], fx_truth[~is_loose])
    npt.assert_array_equal(found.sum(axis=2), fx_truth.sum(axis=2))
    is_het = is_loose & (fx_truth[:, :, 0] != fx_truth[:, :, 1])
    assert summary.report["phased"]["heterozygotes"] == is_het.sum() > 100
    wrong = (found[is_het] != fx_truth[is_het]).any(axis=1).mean()
    assert wrong < 0.25


def test_a_phased_panel_is_not_changed(fx_truth, tmp_path):
    file = write(tmp_path / "p.vcf", fx_truth, ~everything(fx_truth))
    first = vcfbert.prepare(file, workspace=tmp_path / "one", phase_panel=True)
    second = vcfbert.prepare(file, workspace=tmp_path / "two")
    assert first.fingerprint == second.fingerprint
    assert "phased" not in first.report
    assert "phase_panel" not in second.report["options"]


def test_haploid_males_stay_as_they_are(tmp_path):
    vcfbert.simulate(tmp_path, num_samples=40, length=200_000, chromosome="X")
    records = cyvcf2.VCF(str(tmp_path / "panel.vcf.gz"))
    lines = [line.rstrip("\n").split("\t") for line in map(str, records)]
    for cells in lines:
        cells[9:] = ["/".join(sorted(cell.split("|"))) for cell in cells[9:]]
    body = "".join("\t".join(cells) + "\n" for cells in lines)
    (tmp_path / "u.vcf").write_text(records.raw_header + body)
    vcfbert.prepare(tmp_path / "panel.vcf.gz", workspace=tmp_path / "true")
    vcfbert.prepare(tmp_path / "u.vcf", workspace=tmp_path / "own", phase_panel=True)
    true, own = alleles_of(tmp_path / "true"), alleles_of(tmp_path / "own")
    npt.assert_array_equal(true.sum(axis=2), own.sum(axis=2))
    with open_panel(tmp_path / "own" / "panel.zarr", takes_haploid=True) as panel:
        is_haploid = panel.samples.ploidy.of_sites(np.arange(len(panel.sites)))
    assert 0.2 < is_haploid.mean() < 0.8
    npt.assert_array_equal(true[is_haploid], own[is_haploid])
    assert (true != own).any()


def test_alleles_of_one_genotype_stay_on_different_haplotypes(fx_truth, tmp_path):
    """1/2 is split into two sites of one position."""
    file = write(tmp_path / "p.vcf", fx_truth, everything(fx_truth))
    lines = file.read_text().splitlines()
    row = next(n for n, line in enumerate(lines) if line.startswith("20\t1000000\t"))
    cells = lines[row].split("\t")
    cells[4] = "G,T"
    cells[9:] = ["1/2" if n % 2 else "0/2" for n in range(NUM_SAMPLES)]
    lines[row] = "\t".join(cells)
    file.write_text("\n".join([*lines, ""]))
    vcfbert.prepare(file, workspace=tmp_path / "w", phase_panel=True)
    first, second = alleles_of(tmp_path / "w")[49:51]
    npt.assert_array_equal(first[1::2].sum(axis=1), 1)
    npt.assert_array_equal(second[1::2], 1 - first[1::2])
    assert (first[::2] == 0).all()


def test_what_cannot_be_phased_is_refused(fx_truth, tmp_path):
    file = write(tmp_path / "p.vcf", fx_truth, everything(fx_truth))
    with pytest.raises(InputError, match="--phase-panel to phase it by its own samples"):
        vcfbert.prepare(file, workspace=tmp_path / "w")
    one = write(tmp_path / "one.vcf", fx_truth[:, :1], everything(fx_truth[:, :1]))
    with pytest.raises(InputError, match="has one sample, and --phase-panel"):
        vcfbert.prepare(one, workspace=tmp_path / "w", phase_panel=True)
    with pytest.raises(ConfigError, match="--phase-panel and --unphased drop"):
        vcfbert.prepare(file, workspace=tmp_path / "w", phase_panel=True, unphased="drop")
    assert not (tmp_path / "w" / "panel.zarr").exists()
