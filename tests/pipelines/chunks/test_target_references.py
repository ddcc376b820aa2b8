"""`--target-references` of `impute` and `phase`: when it is used, and what it depends on."""

from __future__ import annotations

import gzip
import json

import numpy as np
import numpy.testing as npt
import pytest

import vcfbert
from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED
from tests.shown import Shown
from vcfbert.phasing import target_references as phasing
from vcfbert.pipelines.chunks import target_references

NUM_SAMPLES = 8
SHORT = {"chunk_cm": 0.1, "overlap_cm": 0.05}
ORDER = np.array([3, 6, 0, 7, 1, 5, 2, 4])


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("references")).root


@pytest.fixture(scope="module")
def fx_cells():
    """(T, N) genotypes: unphased, one sample phased, some missing."""
    truth = imputations.samples_alleles(NUM_SAMPLES)[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)
    rng = np.random.default_rng(3)
    cells = np.array([[f"{min(pair)}/{max(pair)}" for pair in row] for row in truth.tolist()])
    cells[:, 1] = [f"{a}|{b}" for a, b in truth[:, 1].tolist()]
    cells[rng.random(cells.shape) < 0.04] = "./."
    cells[3:, 4] = "./."  # fewer than --min-typed
    cells[:, 5] = "./."  # nothing at all
    return cells


def write(path, cells, samples):
    records = [
        ("20", 1000 * (site + 1), "A", "G", row[samples].tolist())
        for site, row in zip(TYPED.tolist(), cells, strict=True)
    ]
    return panels.write_vcf(path, records, [f"t{n}" for n in samples.tolist()])


def body(path):
    with gzip.open(path, "rt") as file:
        return [line.rstrip("\n").split("\t") for line in file if not line.startswith("##")]


def columns(path):
    """The text of each sample, by name."""
    names, *rows = [cells[9:] for cells in body(path)]
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def run(command, home, target, out, **options):
    chosen = {"workspace": home, "overwrite": True, "target_references": "on"} | options
    if command == "impute":
        return vcfbert.impute(target, out, no_network=True, **chosen)
    return vcfbert.phase(target, out, **chosen)


@pytest.mark.parametrize("command", ["impute", "phase"])
@pytest.mark.parametrize("lengths", [{}, SHORT], ids=["one chunk", "short chunks"])
def test_the_output_does_not_depend_on_order_or_threads(
    fx_home, fx_cells, tmp_path, monkeypatch, command, lengths
):
    straight = np.arange(NUM_SAMPLES)
    one = write(tmp_path / "one.vcf", fx_cells, straight)
    other = write(tmp_path / "other.vcf", fx_cells, ORDER)
    summary = run(command, fx_home, one, tmp_path / "one.vcf.gz", threads=1, **lengths)
    monkeypatch.setattr(phasing, "SAMPLES_AT_ONCE", 3)
    run(command, fx_home, other, tmp_path / "other.vcf.gz", threads=2, **lengths)
    first, second = columns(tmp_path / "one.vcf.gz"), columns(tmp_path / "other.vcf.gz")
    assert {name: first[name] for name in second} == second
    assert summary.report["target_references"] is True
    assert any(line.startswith("target samples are references  ") for line in summary.lines())
    header = gzip.open(tmp_path / "one.vcf.gz", "rt").read()
    assert "target_references=on" in header
    for name, before in zip(first, fx_cells.T, strict=True):
        typed = [text.split(":")[0] for text in first[name]]
        if command == "impute":
            typed = [typed[site] for site in TYPED.tolist()]
        is_known = before != "./."
        npt.assert_array_equal(
            [sorted(text[::2]) for text in np.array(typed)[is_known]],
            [sorted(text[::2]) for text in before[is_known]],
        )
    kept = [text.split(":")[0] for text in first["t1"]]
    kept = [kept[site] for site in TYPED.tolist()] if command == "impute" else kept
    is_known = fx_cells[:, 1] != "./."
    npt.assert_array_equal(np.array(kept)[is_known], fx_cells[is_known, 1])


@pytest.mark.parametrize("command", ["impute", "phase"])
def test_a_smaller_target_than_the_panel_is_phased_with_the_panel_alone(
    fx_home, fx_cells, tmp_path, command
):
    target = write(tmp_path / "t.vcf", fx_cells, np.arange(NUM_SAMPLES))
    found = {}
    for chosen in ("auto", "off", "on"):
        out = tmp_path / f"{chosen}.vcf.gz"
        summary = run(command, fx_home, target, out, target_references=chosen)
        found[chosen] = body(out)
        assert summary.report["target_references"] is (chosen == "on")
        if command == "impute":
            saved = json.loads((tmp_path / f"{chosen}.qc" / "summary.json").read_text())
            assert saved["options"]["target_references"] == chosen
    assert found["auto"] == found["off"] != found["on"]


@pytest.mark.parametrize("command", ["impute", "phase"])
def test_a_larger_target_than_the_panel_uses_its_samples_and_says_so(
    fx_home, fx_cells, tmp_path, monkeypatch, command
):
    monkeypatch.setattr(target_references, "LEAST_RATIO", 7 / imputations.PANEL_SAMPLES)
    target = write(tmp_path / "t.vcf", fx_cells, np.arange(NUM_SAMPLES))
    shown = Shown()
    out = tmp_path / "o.vcf.gz"
    summary = run(command, fx_home, target, out, target_references="auto", progress=shown)
    assert summary.report["target_references"] is True
    said = [text for text in shown.notes if "each other's haplotypes" in text]
    assert len(said) == 1
    assert "8 samples and the panel only 230" in said[0]
    assert "--target-references off" in said[0]


def test_phased_targets_and_single_samples_do_not_use_other_samples(fx_home, fx_cells, tmp_path):
    phased = write(tmp_path / "p.vcf", fx_cells[:, [1, 1]], np.arange(2))
    single = write(tmp_path / "s.vcf", fx_cells, np.arange(1))
    for target in (phased, single):
        summary = run("phase", fx_home, target, tmp_path / "o.vcf.gz")
        assert summary.report["target_references"] is False
