"""`eval` of a run of mosaic: references, baselines, leakage and agreement with `impute`."""

import dataclasses
import json
import shutil

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.evaluations import typed_list
from tests.pipelines.mosaic.test_train_mosaic import train
from vcfbert.domain.sites import TEST, TRAIN
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.chunks import panel_samples
from vcfbert.pipelines.evaluating import evaluate as evaluating
from vcfbert.pipelines.evaluating.evaluate import EvalOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

OPTIONS = EvalOptions(run="mosaic", device="cpu")


@pytest.fixture(scope="module")
def fx_ready(tmp_path_factory):
    """A panel with a run of mosaic that was trained for a moment."""
    workspace = panels.small_workspace(tmp_path_factory.mktemp("ready"))
    train(workspace, "mosaic", steps=60)
    return workspace


def evaluate(workspace, tmp_path, *, overwrite=False, **changes):
    changes.setdefault("output", tmp_path / "eval")
    options = dataclasses.replace(OPTIONS, **changes)
    return evaluating.evaluate(workspace, options, progress=Silent(), overwrite=overwrite)


def test_the_model_is_compared_with_the_copying_model_and_the_frequency(fx_ready, tmp_path):
    summary = evaluate(fx_ready, tmp_path)
    assert list(summary.scores) == ["model", "copying", "most frequent allele"]
    r2 = {system: by_group["all"].r2 for system, by_group in summary.scores.items()}
    assert r2["copying"] > r2["most frequent allele"] + 0.2
    assert r2["model"] > r2["most frequent allele"] + 0.2
    assert r2["model"] != r2["copying"]
    record = json.loads(summary.json_path.read_text())
    assert (record["samples"], record["sites"], record["chunks"]) == (6, 120, 1)
    assert record["hidden_sites"] == record["systems"]["model"]["all"]["sites"]
    assert 0 < record["undecided"] < 1
    assert 0 <= record["out_of_range"] <= 1
    assert record["settings"]["system"] == "mosaic"
    assert summary.json_path.name == "test-rate-0.5.json"
    assert summary.lines()[0].startswith("mosaic on 6 test samples: ")


def test_only_train_samples_are_references(fx_ready, tmp_path, monkeypatch):
    seen = []
    real = panel_samples.leave_out

    def spy(chunk, references, samples):
        seen.append((references, samples))
        return real(chunk, references, samples)

    monkeypatch.setattr(panel_samples, "leave_out", spy)
    summary = evaluate(fx_ready, tmp_path, split="validation")
    with open_panel(fx_ready.panel) as panel:
        [(references, samples)] = seen
        npt.assert_array_equal(references, panel.samples.haplotypes(TRAIN))
        assert (panel.samples.split[samples] == 1).all()
    assert summary.facts["reference_haplotypes"] == len(references)


def test_hidden_genotypes_do_not_matter(fx_ready, tmp_path, monkeypatch):
    """Predictions do not change if the samples have other alleles at hidden sites."""
    answers = []

    def keep(*arguments, **keywords):
        found = real_impute(*arguments, **keywords)
        answers.append(found.alt)
        return found

    real_impute, real_read = panel_samples.TypedSamples.impute, panel_samples.read
    monkeypatch.setattr(panel_samples.TypedSamples, "impute", keep)
    with open_panel(fx_ready.panel) as panel:
        is_hidden = np.arange(120) % 4 != 0
        path = typed_list(tmp_path / "few.tsv", panel, is_hidden)
        rows = panel.samples.haplotypes(2)
    first = evaluate(fx_ready, tmp_path, typed=path)

    def changed(panel, sites, core):
        chunk = real_read(panel, sites, core)
        place = np.flatnonzero(is_hidden[chunk.sites]).astype(np.uint64)
        flips = np.zeros(chunk.bits.shape[1], np.uint64)
        for word, bit in zip(place >> np.uint64(6), place & np.uint64(63), strict=True):
            flips[word] |= np.uint64(1) << bit
        bits = chunk.bits.copy()
        bits[rows] ^= flips
        return dataclasses.replace(chunk, bits=bits)

    monkeypatch.setattr(panel_samples, "read", changed)
    second = evaluate(fx_ready, tmp_path, typed=path, overwrite=True)
    assert len(answers) == 4
    npt.assert_array_equal(answers[0], answers[2])
    npt.assert_array_equal(answers[1], answers[3])
    assert first.scores["model"]["all"].r2 != second.scores["model"]["all"].r2


def test_predictions_are_written_with_typed_sites_as_given(fx_ready, tmp_path):
    vcf = tmp_path / "out.vcf.gz"
    with open_panel(fx_ready.panel) as panel:
        is_hidden = np.arange(120) % 3 != 0
        path = typed_list(tmp_path / "third.tsv", panel, is_hidden)
        samples = panel.samples.in_splits(2)
        chunk = panel_samples.read(panel, np.arange(120), slice(0, 120))
        truth = chunk.alleles(panel.samples.haplotypes(2)).T.reshape(120, -1, 2)
        names = [panel.samples.names[n] for n in samples]
    evaluate(fx_ready, tmp_path, typed=path, vcf=vcf)
    reader = cyvcf2.VCF(str(vcf))
    assert reader.samples == names
    called = np.array([np.array(record.genotypes)[:, :2] for record in reader])
    npt.assert_array_equal(called[~is_hidden], truth[~is_hidden])
    assert (called[is_hidden] == truth[is_hidden]).mean() > 0.8


def test_without_typed_sites_all_samples_get_the_frequency(fx_ready, tmp_path):
    with open_panel(fx_ready.panel) as panel:
        path = typed_list(tmp_path / "two.tsv", panel, np.arange(120) >= 2)
    summary = evaluate(fx_ready, tmp_path, typed=path)
    assert summary.facts["chunks"] == 0
    for system in ("model", "copying"):
        assert summary.scores[system]["all"] == summary.scores["most frequent allele"]["all"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genotypes": "head"}, "a genotype head, but mosaic is of mosaic, which has none"),
        ({"device": "cuda"}, "evaluated on the CPU"),
        ({"rate": 0.3, "mask_version": 0}, "both choose the hidden sites"),
    ],
)
def test_options_that_do_not_apply_are_refused(fx_ready, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(fx_ready, tmp_path, **changes)


def test_a_run_of_another_panel_needs_the_option_panel(fx_ready, tmp_path):
    other = Workspace(tmp_path / "other")
    panels.write_small_panel(other.panel, seed=8)
    (other.root / "runs").mkdir()
    (other.root / "runs" / "mosaic").symlink_to(fx_ready.run("mosaic"))
    with pytest.raises(StoreError, match="trained on another panel"):
        evaluate(other, tmp_path)
    summary = evaluate(fx_ready, tmp_path, panel=other.root)
    assert summary.facts["samples"] == 6
    assert summary.json_path.name == "test-rate-0.5-on-other.json"


def test_the_answers_are_those_of_impute(fx_ready, tmp_path):
    """A panel of the train samples alone imputes the same test samples to the same dosages."""
    is_hidden = np.arange(120) % 3 != 0
    alone = Workspace(tmp_path / "alone")
    with open_panel(fx_ready.panel) as panel:
        path = typed_list(tmp_path / "third.tsv", panel, is_hidden)
        train, rows = panel.samples.in_splits(TRAIN), panel.samples.haplotypes(TRAIN)
        samples = dataclasses.replace(
            panel.samples,
            names=[panel.samples.names[n] for n in train],
            population=[panel.samples.population[n] for n in train],
            superpopulation=[panel.samples.superpopulation[n] for n in train],
            split=panel.samples.split[train],
        )
        count = panel.sites.alt_count.copy()
        count[:, 1:] = 0
        sites = dataclasses.replace(panel.sites, alt_count=count)
        panel_store.write_panel(
            alone.panel, sites, samples, panel.windows, lambda w: panel.packed(w)[rows], settings={}
        )
        chunk = panel_samples.read(panel, np.arange(120), slice(0, 120))
        target = imputations.write_target(
            tmp_path / "target.vcf.gz",
            chunk.alleles(panel.samples.haplotypes(TEST)).T,
            typed=np.flatnonzero(~is_hidden),
        )
    shutil.copytree(fx_ready.run("mosaic"), alone.run("mosaic"))
    evaluate(fx_ready, tmp_path, typed=path, vcf=tmp_path / "eval.vcf.gz")
    imputations.run(alone, target, tmp_path / "impute.vcf.gz", no_network=False, run="mosaic")
    npt.assert_allclose(
        imputations.dosages(tmp_path / "eval.vcf.gz"),
        imputations.dosages(tmp_path / "impute.vcf.gz"),
        atol=5.01e-4,  # impute writes three decimals
    )
