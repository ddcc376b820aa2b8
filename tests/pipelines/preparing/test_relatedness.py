"""Samples who are in a panel twice, and relatives: found, said, and kept apart by a list."""

import json
import logging

import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.pipelines import imputations, workspaces
from vcfbert.config import MosaicConfig
from vcfbert.domain import masks
from vcfbert.domain.sites import TEST, TRAIN
from vcfbert.errors import InputError
from vcfbert.pipelines.auditing import stored_preflight
from vcfbert.pipelines.mosaic import fold_plan
from vcfbert.pipelines.preparing import prepare as pipeline
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.systems import preflight_stores
from vcfbert.pipelines.systems.start import TrainingStart
from vcfbert.progress import Silent
from vcfbert.retrieval import chunk_candidates
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.indexing import IndexedOnDemand

SAMPLES, SITES = 40, 240
TWINS = {12: 0, 5: 1}  # 12 is tested and 0 trains; 5 and 1 train
SETTINGS = workspaces.changed(retrieval={"num_neighbours": 4}, training={"batch_size": 4})


@pytest.fixture(scope="module")
def fx_inputs(tmp_path_factory):
    """A panel whose samples 12 and 5 are 0 and 1 again, its sample table, and a map of 6 cM."""
    folder = tmp_path_factory.mktemp("related")
    alleles = panels.mosaic_alleles(SITES, 2 * SAMPLES, founders=16)
    for copy, original in TWINS.items():
        alleles[:, 2 * copy : 2 * copy + 2] = alleles[:, 2 * original : 2 * original + 2]
    alleles[7, 24] ^= 1  # one error
    panels.write_vcf(folder / "panel.vcf.gz", panels.records_of(alleles))
    split = ["test" if n in (12, 13) else "validation" if n in (20, 21) else "train"
             for n in range(SAMPLES)]  # fmt: skip
    rows = [f"s{n}\tP{n % 2}\t{name}" for n, name in enumerate(split)]
    (folder / "samples.tsv").write_text("sample\tpopulation\tsplit\n" + "\n".join(rows) + "\n")
    (folder / "long.map").write_text(f"20 . 0 1\n20 . 6 {100 * SITES}\n")
    return folder


def prepare(folder, root, **options):
    chosen = {"samples": folder / "samples.tsv", "genetic_map": folder / "long.map",
              "window_size": 80, "flank": 4}  # fmt: skip
    workspace = Workspace(root)
    summary = pipeline.prepare(
        folder / "panel.vcf.gz",
        workspace,
        PrepareOptions(**(chosen | options)),
        progress=Silent(),
    )
    return workspace, summary


@pytest.fixture(scope="module")
def fx_found(fx_inputs, tmp_path_factory):
    return prepare(fx_inputs, tmp_path_factory.mktemp("found"))


@pytest.fixture(scope="module")
def fx_apart(fx_inputs, fx_found, tmp_path_factory):
    """The same, prepared with the list that the first time has written."""
    root = tmp_path_factory.mktemp("apart")
    return prepare(fx_inputs, root, relatives=fx_found[0].relatives)


def test_prepare_finds_and_names_who_is_there_twice(fx_inputs, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        workspace, summary = prepare(fx_inputs, tmp_path)
    assert "1 pair of duplicates, each a train and a held-out sample" in caplog.text
    assert "s0 (train) and s12 (test)" in caplog.text
    assert "1 pair of duplicates among the train samples: s1 (train) and s5" in caplog.text
    assert f"--relatives {workspace.relatives}" in caplog.text
    record = json.loads(workspace.qc.read_text())["relatedness"]
    assert (record["duplicates"], record["duplicates_across_splits"]) == (2, 1)
    assert record["close_relatives"] is None
    assert "300 cM" in record["note"]
    assert [(pair["sample1"], pair["sample2"]) for pair in record["pairs"]] == [
        ("s0", "s12"), ("s1", "s5"),
    ]  # fmt: skip
    assert any(line.split("  ")[0] == "pairs of duplicates" for line in summary.lines())
    assert workspace.relatives.read_text().splitlines()[1].startswith("s0\ts12\ttrain\ttest\t0.")


def test_a_region_too_short_says_so_and_names_nobody(fx_inputs, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        _, summary = prepare(fx_inputs, tmp_path, genetic_map=None)  # 0.024 cM
    record = summary.report["relatedness"]
    assert record["duplicates"] is None
    assert record["pairs"] == []
    assert "In a region this short" in record["note"]
    assert caplog.text == ""
    assert any("cannot be told: " in line for line in summary.lines())


def test_the_strict_checks_fail_where_a_train_sample_is_tested(fx_found):
    failed = {
        one.name: one.figures for one in stored_preflight.check(SETTINGS, fx_found[0], None).failed
    }
    assert "s0 (train) and s12 (test)" in failed["dataset"]
    assert "--relatives" in failed["dataset"]


def test_a_list_leaves_train_samples_with_held_out_relatives_out(fx_apart):
    workspace, summary = fx_apart
    assert summary.report["samples"]["close_relatives_left_out"] == 1
    assert summary.report["relatedness"]["duplicates_across_splits"] == 0
    with open_panel(workspace.panel) as panel:
        names = panel.samples.names
        assert "s0" not in names
        assert len(names) == SAMPLES - 1
        assert "s12" in [names[n] for n in panel.samples.in_splits(TEST)]
        pairs = [[names[n] for n in pair] for pair in panel.samples.relatives.tolist()]
        counted = panel.sites.alt_count.sum(axis=1)
        whole = np.arange(2 * len(names))
        decoded = panel.tokens(0, whole)[:, : panel.windows.num_sites(0)].sum(axis=0)
        npt.assert_array_equal(decoded, counted[panel.windows.sites(0)])
    assert pairs == [["s1", "s5"]]


def test_the_strict_checks_pass_with_the_list(fx_apart):
    workspaces.build(fx_apart[0], SETTINGS)
    done = stored_preflight.check(SETTINGS, fx_apart[0], None)
    assert done.failed == []
    assert "no held-out sample is a duplicate" in done.outcomes[0].figures
    with open_panel(fx_apart[0].panel) as panel:
        index = open_index(fx_apart[0].newest("indexes"), panel_fingerprint=panel.fingerprint)
        npt.assert_array_equal(index.reference_haplotypes, panel.samples.haplotypes(TRAIN))


def make_batch(workspace, names):
    with open_panel(workspace.panel) as panel:
        maker = BatchMaker(panel, IndexedOnDemand(panel), None, SETTINGS_OF_TOKENS)
        samples = np.array([panel.samples.names.index(name) for name in names])
        drawn = masks.draw_masks(panel.windows, seed=1, role="train", version=0, rate=0.3)
        batch = maker.make(1, samples, drawn[1])
        return [panel.samples.names[n] for n in batch.neighbours[:, 0] // 2], batch, samples


SETTINGS_OF_TOKENS = workspaces.changed(retrieval={"space": "token", "num_neighbours": 4}).retrieval


def test_listed_relatives_never_find_each_other(fx_found, fx_apart):
    nearest, _, _ = make_batch(fx_found[0], ["s1", "s5", "s9"])
    assert nearest[:4] == ["s5", "s5", "s1", "s1"]  # without a list they do
    nearest, batch, samples = make_batch(fx_apart[0], ["s1", "s5", "s9"])
    assert not np.isin(batch.neighbours[:4] // 2, samples[:2]).any()
    alone = make_batch(fx_apart[0], ["s9"])[1]
    npt.assert_array_equal(batch.neighbours[4:], alone.neighbours)


def test_the_strict_checks_see_a_relative_that_is_found(fx_apart, monkeypatch):
    real = BatchMaker._excluded
    monkeypatch.setattr(
        BatchMaker, "_excluded", lambda self, samples, fold=-1: real(self, samples, fold)[:, :2]
    )
    with open_panel(fx_apart[0].panel) as panel:
        samples = panel.samples.relatives[0]
    monkeypatch.setattr(TrainingStart, "samples", samples)
    failed = {one.name for one in stored_preflight.check(SETTINGS, fx_apart[0], None).failed}
    assert "FAISS retrieval" in failed
    assert "batch collation" in failed


def test_mosaic_takes_relatives_out_with_the_samples(fx_apart):
    with open_panel(fx_apart[0].panel) as panel:
        samples = panel.samples
    first, second = samples.relatives[0].tolist()
    plan = fold_plan.draw(samples, MosaicConfig(folds=8, held_out=4), seed=1)
    hit = 0
    for fold in plan.folds:
        for one, other in ((first, second), (second, first)):
            if one in fold.samples:
                assert other not in fold.references // 2
                hit += 1
    assert hit >= 2


def test_a_target_who_is_in_the_panel_is_not_imputed_from_listed_relatives(
    fx_apart, tmp_path, monkeypatch
):
    seen = []
    search = chunk_candidates.find

    def spy(typed_bits, queries, excluded=None, *, threads=1):
        seen.append(excluded)
        return search(typed_bits, queries, excluded, threads=threads)

    monkeypatch.setattr(chunk_candidates, "find", spy)
    alleles = panels.mosaic_alleles(SITES, 2 * SAMPLES, founders=16)[:, :4]
    lines = panels.records_of(alleles)[::2]
    target = panels.write_vcf(tmp_path / "t.vcf", lines, ["s1", "stranger"])
    imputations.run(fx_apart[0], target, tmp_path / "o.vcf.gz")
    with open_panel(fx_apart[0].panel) as panel:
        first, second = panel.samples.relatives[0].tolist()
    both = [2 * first, 2 * first + 1, 2 * second, 2 * second + 1]
    for haplotype, banned in enumerate(seen[-1]):
        npt.assert_array_equal(banned, both if haplotype < 2 else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s1\n", r"line 1: 's1' does not name two samples"),
        ("#a\tb\ns1\ts1\n", r"line 2: .* does not name two samples"),
        ("x\ty\n", r"names none of the 40 samples"),
    ],
)
def test_a_list_that_is_of_no_use_is_refused(fx_inputs, tmp_path, text, message):
    path = tmp_path / "pairs.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        prepare(fx_inputs, tmp_path / "w", relatives=path)
    assert not (tmp_path / "w" / "panel.zarr").exists()


def test_an_empty_list_and_samples_who_are_not_there_change_nothing(fx_inputs, fx_found, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("#sample1\tsample2\ns3\tsomebody\n")
    _, summary = prepare(fx_inputs, tmp_path / "w", relatives=path)
    assert summary.fingerprint == fx_found[1].fingerprint


def test_a_long_panel_tells_relatives_too(tmp_path):
    """A child of two train samples is tested: 360 cM are enough to see it."""
    rng = np.random.default_rng(2)
    frequency = rng.uniform(0.1, 0.5, 1500)
    alleles = (rng.random((1500, 60)) < frequency[:, None]).astype(np.uint8)
    cm = np.linspace(0, 360, 1500)
    switches = np.cumsum(rng.random((2, 1500)) < 0.0024, axis=1) % 2
    for side, parent in enumerate((2, 3)):
        alleles[:, 40 + side] = alleles[np.arange(1500), 2 * parent + switches[side]]
    step = 250_000
    vcf = panels.write_vcf(tmp_path / "panel.vcf.gz", panels.records_of(alleles, step=step))
    rows = [f"s{n}\t{'test' if n in (20, 21) else 'train'}" for n in range(30)]
    (tmp_path / "samples.tsv").write_text("sample\tsplit\n" + "\n".join(rows) + "\n")
    (tmp_path / "long.map").write_text(f"20 . 0 1\n20 . {cm[-1]} {step * 1500}\n")
    workspace, summary = prepare(
        vcf.parent, tmp_path / "w", window_size=500, validation_fraction=0.1
    )
    record = summary.report["relatedness"]
    assert record["duplicates"] == 0
    assert (record["close_relatives"], record["close_relatives_across_splits"]) == (2, 2)
    assert {pair["sample1"] for pair in record["pairs"]} == {"s2", "s3"}
    with open_panel(workspace.panel) as panel:
        assert "2 pairs are close" in preflight_stores._check_relatives(panel)
