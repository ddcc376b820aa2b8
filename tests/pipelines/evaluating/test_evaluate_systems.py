"""`eval` from a workspace to its report: what it scores, writes and refuses."""

import csv
import dataclasses
import json
import shutil

import cyvcf2
import numpy as np
import pytest

from tests import panels
from tests.pipelines import evaluations
from vcfbert.config import presets
from vcfbert.domain.sites import TEST, TRAIN
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import digests
from vcfbert.pipelines.evaluating import evaluate as evaluating
from vcfbert.pipelines.evaluating.evaluate import EvalOptions
from vcfbert.pipelines.systems.build_index import IndexOptions, build_index
from vcfbert.pipelines.systems.encode import EncodeOptions, encode_refs
from vcfbert.progress import Silent
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

OPTIONS = EvalOptions(run="tiny", device="cpu")


@pytest.fixture(scope="module")
def fx_ready(tmp_path_factory):
    """Panel, masks, index and an untrained run; tests write below its runs/tiny/eval only."""
    workspace = panels.small_workspace(tmp_path_factory.mktemp("ready"))
    evaluations.add_masks(workspace)
    evaluations.add_index(workspace)
    evaluations.add_run(workspace, "tiny")
    return workspace


def evaluate(workspace, tmp_path=None, *, overwrite=False, **changes):
    if tmp_path is not None:
        changes.setdefault("output", tmp_path / "eval")
    options = dataclasses.replace(OPTIONS, **changes)
    return evaluating.evaluate(workspace, options, progress=Silent(), overwrite=overwrite)


def copied(workspace, tmp_path):
    """A workspace that a test may spoil."""
    shutil.copytree(workspace.root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def test_the_model_is_scored_with_its_baselines(fx_ready, tmp_path):
    summary = evaluate(fx_ready, tmp_path)
    baselines = ["copying only", "nearest haplotype", "most frequent allele"]
    assert list(summary.scores) == ["model", *baselines]
    f1 = {system: by_group["all"].f1 for system, by_group in summary.scores.items()}
    # Untrained, the network passes on what its neighbours carry.
    assert f1["model"] > f1["most frequent allele"]
    assert f1["nearest haplotype"] > f1["most frequent allele"]


def test_the_report_says_what_was_done(fx_ready, tmp_path):
    summary = evaluate(fx_ready, tmp_path, rate=0.3)
    record = json.loads(summary.json_path.read_text())
    assert summary.json_path.name == "test-rate-0.3.json"
    assert record["masks_from"] == {"rate": 0.3, "seed": 1, "role": "test"}
    assert (record["samples"], record["sites"], record["genotypes"]) == (6, 120, "haplotypes")
    assert record["hidden_sites"] == record["systems"]["model"]["all"]["sites"]
    assert record["settings"]["preset"] == "tiny"
    assert set(record["fingerprints"]) == {"panel", "run_panel", "run_index", "run_encoder"}
    with summary.csv_path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * len(summary.scores["model"])
    assert summary.lines()[0].startswith("tiny on 6 test samples: ")


def test_without_a_folder_the_report_lies_in_the_run(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    summary = evaluate(workspace, split="validation")
    expected = workspace.run("tiny") / "eval" / "validation-rate-0.5.json"
    assert summary.json_path == expected
    assert summary.facts["samples"] == 6


def test_the_same_evaluation_gives_the_same_scores(fx_ready, tmp_path):
    first, second = (evaluate(fx_ready, tmp_path / name) for name in "ab")
    assert first.to_csv() == second.to_csv()


def test_a_seed_draws_other_sites_and_nothing_else(fx_ready, tmp_path):
    own, same, other = (evaluate(fx_ready, tmp_path, seed=seed) for seed in (None, 1, 2))
    assert own.to_csv() == same.to_csv()
    assert own.to_csv() != other.to_csv()
    assert other.json_path.name == "test-rate-0.5-seed-2.json"
    assert other.facts["seed"] == 1
    with pytest.raises(ConfigError, match="--seed sets the draw of --rate"):
        evaluate(fx_ready, tmp_path, seed=2, mask_version=0)


def test_on_core_is_called_with_every_core(fx_ready, tmp_path):
    seen = []
    options = dataclasses.replace(OPTIONS, output=tmp_path)
    summary = evaluating.evaluate(
        fx_ready, options, progress=Silent(), on_core=lambda *shown: seen.append(shown)
    )
    assert sum(len(core.is_hidden) for core, _ in seen) == 120
    everyone = [members[-1].sum() for _, members in seen]
    assert sum(everyone) == summary.facts["hidden_sites"]


def test_a_finished_report_is_not_replaced(fx_ready, tmp_path):
    evaluate(fx_ready, tmp_path)
    with pytest.raises(StoreError, match=r"test-rate-0\.5\.json already exists"):
        evaluate(fx_ready, tmp_path)
    evaluate(fx_ready, tmp_path, overwrite=True)


def test_predictions_are_written_for_the_samples_of_the_split(fx_ready, tmp_path):
    path = tmp_path / "imputed.bcf"
    summary = evaluate(fx_ready, tmp_path, vcf=path, mask_version=0)
    found = list(cyvcf2.VCF(str(path)))
    assert cyvcf2.VCF(str(path)).samples == [f"s{n}" for n in range(7, 60, 10)]
    assert sum(v.INFO.get("IMP") is not None for v in found) == summary.facts["hidden_sites"]
    assert summary.json_path.name == "test-mask-v0000.json"


def test_a_typed_list_decides_what_is_hidden(fx_ready, tmp_path):
    with panel.open_panel(fx_ready.panel) as reader:
        is_hidden = np.arange(len(reader.sites)) % 4 == 1
        path = evaluations.typed_list(tmp_path / "array.tsv", reader, is_hidden)
    summary = evaluate(fx_ready, tmp_path, typed=path)
    assert summary.facts["hidden_sites"] == 30
    assert summary.csv_path.name == "test-typed-array.csv"


def test_hidden_alleles_do_not_reach_the_predictions(fx_ready, tmp_path):
    """The same samples with other alleles at every hidden site are imputed alike."""
    with panel.open_panel(fx_ready.panel) as reader:
        is_hidden = np.arange(len(reader.sites)) % 2 == 0
        test = reader.samples.haplotypes(TEST)
        typed = evaluations.typed_list(tmp_path / "half.tsv", reader, is_hidden)
    other = copied(fx_ready, tmp_path)
    flip_alleles(other, test, is_hidden)
    rows = []
    for workspace, name in ((fx_ready, "a"), (other, "b")):
        path = tmp_path / f"{name}.vcf.gz"
        evaluate(workspace, tmp_path / name, typed=typed, vcf=path)
        rows.append([v.format("HDS") for v in cyvcf2.VCF(str(path))])
    np.testing.assert_array_equal(rows[0], rows[1])


def flip_alleles(workspace, haplotypes, where):
    """Flip alleles of some haplotypes in place, without updating the fingerprint."""
    import zarr

    from vcfbert.domain import tokens

    root = zarr.open_group(workspace.panel, mode="r+")
    with panel.open_panel(workspace.panel) as reader:
        for window in range(len(reader.windows)):
            block = reader.packed(window).copy()
            change = np.zeros(reader.length, dtype=np.uint8)
            change[: reader.windows.num_sites(window)] = where[reader.windows.sites(window)]
            block[haplotypes] ^= tokens.pack(change)
            root["alleles"][window] = block


def test_samples_of_the_split_in_the_index_are_refused(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    with panel.open_panel(workspace.panel) as reader:
        someone = reader.samples.haplotypes(TRAIN, TEST)
    evaluations.add_index(workspace, someone)
    evaluations.add_run(workspace, "tiny")
    with pytest.raises(StoreError, match="contains 6 of the samples to impute, such as s7"):
        evaluate(workspace, tmp_path)
    assert evaluate(workspace, tmp_path, split="validation").facts["samples"] == 6


def test_another_panel_is_imputed_from_its_own_references(fx_ready, tmp_path):
    other = Workspace(tmp_path / "elsewhere")
    panels.write_small_panel(other.panel, num_samples=40, num_sites=75, length=24, seed=11)
    evaluations.add_index(other)
    summary = evaluate(fx_ready, tmp_path, panel=other.root)
    assert summary.facts["sites"] == 75
    assert summary.facts["reference_haplotypes"] == 64
    assert summary.json_path.name == "test-rate-0.5-on-elsewhere.json"
    f1 = {system: by_group["all"].f1 for system, by_group in summary.scores.items()}
    assert f1["model"] > f1["most frequent allele"]


def test_training_samples_on_another_panel_are_noted(fx_ready, tmp_path):
    other = Workspace(tmp_path / "elsewhere")
    panels.write_small_panel(other.panel, num_samples=30, seed=11)
    rename_first_test_sample(other, "s0")
    evaluations.add_index(other)
    summary = evaluate(fx_ready, tmp_path, panel=other.root)
    assert summary.facts["notes"] == [
        "1 of the evaluated samples was a training sample of the run."
    ]


def rename_first_test_sample(workspace, name):
    """Rewrite the panel with one name changed."""
    with panel.open_panel(workspace.panel) as reader:
        names = list(reader.samples.names)
        sample = int(reader.samples.in_splits(TEST)[0])
        names[names.index(name)], names[sample] = names[sample], name
        samples = dataclasses.replace(reader.samples, names=names)
        blocks = [reader.packed(window) for window in range(len(reader.windows))]
        parts = (reader.sites, samples, reader.windows, blocks.__getitem__)
    panel.write_panel(workspace.panel, *parts, settings={}, overwrite=True)


def test_a_run_of_another_panel_is_refused(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    panels.write_small_panel(workspace.panel, seed=8, overwrite=True)
    with pytest.raises(StoreError, match="was trained on another panel"):
        evaluate(workspace, tmp_path)


def test_an_index_of_another_panel_is_refused(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    panels.write_small_panel(workspace.panel, seed=8, overwrite=True)
    evaluations.add_run(workspace, "tiny")
    with pytest.raises(StoreError, match="made from another panel"):
        evaluate(workspace, tmp_path)


def test_an_unknown_run_lists_those_there(fx_ready):
    with pytest.raises(StoreError, match=r"No run 'tyni' in .*; there are: tiny\. Train one"):
        evaluate(fx_ready, run="tyni")


def test_a_run_without_a_best_checkpoint_is_named(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    (workspace.run("tiny") / "checkpoints" / "best.json").unlink()
    with pytest.raises(StoreError, match="has no best checkpoint"):
        evaluate(workspace, tmp_path)


def test_a_workspace_without_an_index_names_the_command(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    shutil.rmtree(workspace.root / "indexes")
    with pytest.raises(StoreError, match="vcfbert build-index"):
        evaluate(workspace, tmp_path)


def references_of(workspace, count):
    """The first train haplotypes."""
    with panel.open_panel(workspace.panel) as reader:
        return reader.samples.haplotypes(TRAIN)[:count]


def test_a_run_is_scored_with_its_own_index_and_not_the_newest(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    before = evaluate(workspace, tmp_path / "before")
    evaluations.add_index(workspace, references_of(workspace, 20))
    after = evaluate(workspace, tmp_path / "after")
    assert after.to_csv() == before.to_csv()
    assert after.facts["index"] == str(workspace.version("indexes", 0))
    evaluations.add_run(workspace, "few")  # trained with the newest
    few = evaluate(workspace, tmp_path / "few", run="few")
    assert few.facts["reference_haplotypes"] == 20
    assert few.to_csv() != before.to_csv()


def test_a_run_whose_index_was_replaced_is_refused_until_it_is_back(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    shutil.rmtree(workspace.root / "indexes")
    build(workspace, IndexOptions(max_references=20, seed=3))
    evaluations.add_run(workspace, "tiny")
    before = evaluate(workspace, tmp_path / "before")
    build(workspace, IndexOptions(max_references=8), overwrite=True)
    with pytest.raises(StoreError) as caught:
        evaluate(workspace, tmp_path / "between")
    message = str(caught.value)
    assert "The run tiny was trained with an index (fingerprint " in message
    assert "indexes/v0000 (exact, 8 reference haplotypes drawn with seed 1, finger" in message
    assert "vcfbert build-index --force" in message
    assert "vcfbert train --run tiny --config " in message
    build(workspace, IndexOptions(max_references=20, seed=3), overwrite=True)
    assert evaluate(workspace, tmp_path / "after").to_csv() == before.to_csv()


def build(workspace, options, *, overwrite=False):
    build_index(workspace, options, progress=Silent(), overwrite=overwrite)


def test_the_message_has_the_command_that_makes_the_runs_index(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    noted = {"kind": "exact", "references": 20, "max_references": 20, "seed": 3}
    record = digests.sealed_json({"index": noted})
    (workspace.run("tiny") / "run.json").write_bytes(record)
    shutil.rmtree(workspace.root / "indexes")
    with pytest.raises(StoreError) as caught:
        evaluate(workspace, tmp_path)
    message = str(caught.value)
    assert "an index (exact, 20 reference haplotypes drawn with seed 3, fingerprint " in message
    assert "It has no index. Build the run's index again: " in message
    assert "vcfbert build-index --max-references 20 --seed 3; or train" in message


def test_a_run_trained_with_a_dense_index_is_scored_with_the_same_references(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    exact = evaluate(workspace, tmp_path / "exact")
    dense = EncodeOptions(layout="dense")
    encode_refs(workspace, presets.tiny(), dense, progress=Silent())
    build(workspace, IndexOptions(kind="dense"), overwrite=True)
    evaluations.add_run(workspace, "tiny")
    assert evaluate(workspace, tmp_path / "dense").to_csv() == exact.to_csv()


def test_a_copy_of_the_workspace_needs_the_runs_index_too(fx_ready, tmp_path):
    workspace = copied(fx_ready, tmp_path)
    build(workspace, IndexOptions(max_references=8), overwrite=True)
    with pytest.raises(StoreError, match="The run tiny was trained with an index"):
        evaluate(fx_ready, tmp_path, panel=workspace.root)


def test_a_split_without_samples_is_named(fx_ready, tmp_path):
    workspace = Workspace(tmp_path)
    panels.write_small_panel(workspace.panel, num_samples=7)
    evaluations.add_index(workspace)
    evaluations.add_run(workspace, "tiny")
    with pytest.raises(InputError, match="has no test samples"):
        evaluate(workspace)


def test_two_choices_of_hidden_sites_are_refused(fx_ready, tmp_path):
    with pytest.raises(ConfigError, match="--rate and --mask-version both choose"):
        evaluate(fx_ready, tmp_path, rate=0.5, mask_version=0)


def test_a_vcf_of_an_unknown_kind_is_refused_before_the_work(fx_ready, tmp_path):
    with pytest.raises(InputError, match="must end in"):
        evaluate(fx_ready, tmp_path, vcf=tmp_path / "imputed.txt")
    assert not (tmp_path / "eval").exists()


def test_a_failure_leaves_no_report_and_no_vcf(fx_ready, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise StoreError("window 0 is damaged")

    monkeypatch.setattr(evaluating.scoring, "score", fail)
    with pytest.raises(StoreError, match="damaged"):
        evaluate(fx_ready, tmp_path, vcf=tmp_path / "imputed.vcf.gz")
    assert list(tmp_path.iterdir()) == []
