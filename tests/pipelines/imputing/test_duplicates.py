"""Samples of the target that are in the panel by another name are reported, and no others."""

import json
import logging

import numpy as np
import pytest

from tests import panels
from tests.pipelines import imputations
from vcfbert.domain import kinship
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.imputing import duplicates
from vcfbert.storage.zarr.workspace import Workspace

TYPED = np.flatnonzero(np.arange(300) % 4)


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    home = Workspace(tmp_path_factory.mktemp("home"))
    panels.write_small_panel(home.panel, num_samples=230, num_sites=300)
    return home


@pytest.fixture
def fx_map(tmp_path):
    """6 cM over the panel's 300 kb."""
    path = tmp_path / "long.map"
    path.write_text("20 . 0 1\n20 . 6 300000\n")
    return path


def target(tmp_path):
    """Two new samples, s10 under its name, s20 and s30 under others, s30 with errors and gaps."""
    alleles = np.concatenate(
        [imputations.samples_alleles(2), imputations.panel_alleles()[:, [20, 21, 40, 41, 60, 61]]],
        axis=1,
    )
    alleles[TYPED[40], 8] ^= 1
    alleles[TYPED[::15], 9] = 4
    names = ["stranger0", "stranger1", "s10", "anon1", "anon2"]
    return imputations.write_target(tmp_path / "t.vcf", alleles, typed=TYPED, names=names)


def test_duplicates_are_named_in_the_warning_and_the_summary(fx_home, fx_map, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        summary = imputations.run(
            fx_home, target(tmp_path), tmp_path / "o.vcf.gz", genetic_map=fx_map
        )
    assert "2 samples of the target have the same genotypes as a panel sample" in caplog.text
    assert "anon1 as s20, anon2 as s30" in caplog.text
    found = json.loads((summary.qc / "summary.json").read_text())["samples"]["duplicates"]
    assert found["is_conclusive"] is True
    assert [(pair["target"], pair["panel"]) for pair in found["pairs"]] == [
        ("anon1", "s20"), ("anon2", "s30"),
    ]  # fmt: skip
    assert found["pairs"][0]["discordant"] == 0.0
    assert 0 < found["pairs"][1]["discordant"] <= kinship.MAX_DIFFERENT
    assert found["pairs"][1]["sites"] < found["compared_sites"]
    assert any("duplicates of other panel samples" in line for line in summary.lines())


def test_many_chunks_find_the_same(fx_home, fx_map, tmp_path, monkeypatch):
    path = target(tmp_path)
    whole = imputations.run(fx_home, path, tmp_path / "o.vcf.gz", genetic_map=fx_map)
    monkeypatch.setattr(chunk_plan, "CORE_BYTES", 1)
    monkeypatch.setattr(chunk_plan, "FEWEST_CORE_SITES", 40)
    some = imputations.run(fx_home, path, tmp_path / "p.vcf.gz", genetic_map=fx_map)
    assert some.report["chunks"] > 5
    key = "duplicates"
    assert some.report["samples"][key] == whole.report["samples"][key]


@pytest.mark.parametrize("reason", ["short", "few"])
def test_if_unrelated_samples_may_agree_no_duplicate_is_named(
    fx_home, fx_map, tmp_path, caplog, reason
):
    chosen = {"genetic_map": fx_map} if reason == "few" else {}
    typed = TYPED[:60] if reason == "few" else TYPED
    alleles = imputations.panel_alleles()[:, 40:44]
    path = imputations.write_target(tmp_path / "t.vcf", alleles, typed=typed)
    with caplog.at_level(logging.WARNING):
        summary = imputations.run(fx_home, path, tmp_path / "o.vcf.gz", **chosen)
    found = summary.report["samples"]["duplicates"]
    assert (found["is_conclusive"], found["pairs"]) == (False, [])
    assert "of another name" not in caplog.text


def test_more_errors_than_typing_makes_are_another_sample(fx_home, fx_map, tmp_path):
    alleles = imputations.panel_alleles()[:, 40:42].copy()
    alleles[TYPED[::30], 0] ^= 1  # 3 % of the sites
    path = imputations.write_target(tmp_path / "t.vcf", alleles, typed=TYPED)
    summary = imputations.run(fx_home, path, tmp_path / "o.vcf.gz", genetic_map=fx_map)
    assert summary.report["samples"]["duplicates"]["pairs"] == []


def test_dense_targets_are_compared_at_a_few_sites(monkeypatch, fx_home, fx_map, tmp_path):
    monkeypatch.setattr(duplicates, "SITES_OF_CHUNK", 110)
    alleles = imputations.panel_alleles()[:, 40:42]
    path = imputations.write_target(tmp_path / "t.vcf", alleles, typed=np.arange(300))
    summary = imputations.run(fx_home, path, tmp_path / "o.vcf.gz", genetic_map=fx_map)
    found = summary.report["samples"]["duplicates"]
    assert found["compared_sites"] == 110
    assert [pair["panel"] for pair in found["pairs"]] == ["s20"]
