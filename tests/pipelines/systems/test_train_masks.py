"""Training under every mask policy, and what data cannot carry."""

import csv

import numpy as np
import numpy.testing as npt
import pytest

from tests.pipelines.systems.test_train_systems import (
    check_resuming,
    fx_copy,
    rows,
    small_settings,
    train,
)
from vcfbert import config
from vcfbert.config import MaskConfig
from vcfbert.domain.mask_policies import Drawing
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.evaluating import evaluate as evaluating
from vcfbert.pipelines.evaluating.evaluate import EvalOptions
from vcfbert.pipelines.systems import build_index, encode, refresh
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training.systems import masking

__all__ = ["fx_copy"]

POLICIES = {
    "random-sample": {"scope": "sample"},
    "smart": {"policy": "smart_balanced", "scope": "sample"},
    "thinned": {"policy": "array", "common_maf": 0.1},
    "thinned-sample": {"policy": "array", "common_maf": 0.1, "scope": "sample"},
    "misaligned": {"align": False},
}


def with_masks(masks, **training):
    return config.merge(small_settings(**training), {"masks": masks}, source="test")


def site_list(path, sites, contig="20", step=1000):
    path.write_text("".join(f"{contig}\t{(site + 1) * step}\n" for site in sites))
    return str(path)


class Noting(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_metrics_under_every_policy(fx_copy, name):
    settings = with_masks(POLICIES[name], max_epochs=2)
    train(fx_copy, settings, "whole")
    check_resuming(fx_copy, settings, 4)


def test_policies_differ_in_what_they_train_and_not_in_what_they_validate(fx_copy):
    with open_panel(fx_copy.panel) as panel:
        labels = {}
        made = {
            name: masking.plan(MaskConfig(**changes), 1, panel)
            for name, changes in {"plain": {}, **POLICIES}.items()
        }
        samples = panel.samples.in_splits(TRAIN)[:2]
        labels = panel.tokens(1, np.repeat(2 * samples, 2) + np.array([0, 1, 0, 1]))
        trained = {
            name: policy.of_training(0, 0.4).queries.of(1, samples, labels)
            for name, policy in made.items()
        }
        shown = {name: np.broadcast_to(m, labels.shape).tobytes() for name, m in trained.items()}
        assert shown.pop("misaligned") == shown["plain"]  # queries are as ever
        assert len(set(shown.values())) == len(shown)
        validated = {
            policy.of_validation().queries.of(1, samples, labels).tobytes()
            for policy in made.values()
        }
        assert len(validated) == 1


def test_validation_follows_its_own_policy(fx_copy, tmp_path):
    listed = site_list(tmp_path / "array.tsv", range(0, 120, 4))
    with open_panel(fx_copy.panel) as panel:
        chosen = MaskConfig(validation_policy="array", sites=listed)
        made = masking.plan(chosen, 1, panel)
        labels = panel.tokens(0, np.arange(2))
        hidden = made.of_validation().queries.of(0, np.array([0]), labels)
        where = panel.windows.sites(0)
        expected = np.arange(where.start, where.stop) % 4 != 0
        npt.assert_array_equal(hidden[: len(expected)], expected)
        random = made.of_training(0, 0.5).queries.of(0, np.array([0]), labels)
        assert (random != hidden).any()


def test_an_array_is_trained_under_its_list_and_says_what_it_found(fx_copy, tmp_path):
    listed = site_list(tmp_path / "array.tsv", [*range(0, 120, 4), 500, 501])
    progress = Noting()
    settings = with_masks({"policy": "array", "sites": listed}, max_epochs=1)
    train(fx_copy, settings, progress=progress)
    assert any("30 of 120 sites" in note and "2 of its 32" in note for note in progress.notes)
    assert float(rows(fx_copy)[0]["mask_rate"]) == pytest.approx(0.75, abs=0.02)


def test_windows_without_a_typed_site_are_said(fx_copy, tmp_path):
    listed = site_list(tmp_path / "array.tsv", range(5))
    progress = Noting()
    settings = with_masks({"policy": "array", "sites": listed}, max_epochs=1)
    train(fx_copy, settings, progress=progress)
    assert any("windows have no typed site" in note for note in progress.notes)


def test_an_array_of_other_sites_is_refused_with_both_counts(fx_copy, tmp_path):
    listed = site_list(tmp_path / "array.tsv", range(300, 340))
    with pytest.raises(InputError, match=r"None of the 40 sites.*panel, which has 120 sites"):
        train(fx_copy, with_masks({"policy": "array", "sites": listed}))
    assert not fx_copy.run("run").exists()


def test_thinning_common_sites_of_a_panel_without_any_is_refused_with_both_counts(fx_copy):
    settings = with_masks({"policy": "array", "common_maf": 0.5})
    with pytest.raises(ConfigError, match=r"MAF >= 0.5.* has \d+ of them among 120 sites"):
        train(fx_copy, settings)
    assert not fx_copy.run("run").exists()


def test_another_list_of_the_same_name_does_not_go_on(fx_copy, tmp_path):
    listed = site_list(tmp_path / "array.tsv", range(0, 120, 4))
    settings = with_masks({"policy": "array", "sites": listed}, max_epochs=1)
    train(fx_copy, settings)
    site_list(tmp_path / "array.tsv", range(0, 120, 5))
    longer = config.merge(settings, {"training": {"max_epochs": 2}}, source="test")
    with pytest.raises(StoreError, match="another list of typed sites"):
        train(fx_copy, longer, resume=True)


def test_another_policy_does_not_go_on(fx_copy):
    train(fx_copy, small_settings(max_epochs=1))
    with pytest.raises(ConfigError, match=r"masks\.scope = 'auto'.*'sample'"):
        train(fx_copy, with_masks({"scope": "sample"}, max_epochs=2), resume=True)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"policy": "smart_balanced", "scope": "window"}, r"masks\.scope=sample"),
        ({"epochs_per_level": (1, 2)}, r"2 levels, but masks\.levels has 6"),
        ({"levels": (0.3, 0.5), "epochs_per_level": (1, 0)}, "at least 1"),
        ({"sites": "array.tsv"}, "reads it"),
        ({"policy": "array", "sites": "array.tsv", "scope": "sample"}, "same for all samples"),
        ({"policy": "array", "sites": "array.tsv", "align": False}, "all masks of the list"),
    ],
)
def test_settings_of_masks_that_contradict_one_another_are_refused(masks, said):
    with pytest.raises(ConfigError, match=said):
        MaskConfig(**masks)


def test_a_version_of_an_array_is_stored_and_one_of_samples_refused(fx_copy):
    thinned = with_masks({"policy": "array", "common_maf": 0.1})
    made = refresh.refresh(fx_copy, thinned, RefreshOptions(masks=True), progress=Silent())
    stored = read_masks(made.mask_path)
    assert stored.policy == "array"
    with open_panel(fx_copy.panel) as panel:
        policy = masking.plan(thinned.masks, thinned.seed, panel).training
        drawing = Drawing(policy, panel.windows, thinned.seed, "train", stored.version, 0.3)
        npt.assert_array_equal(stored.is_masked, drawing.whole())
    smart = with_masks(POLICIES["smart"])
    with pytest.raises(ConfigError, match="each sample"):
        refresh.refresh(fx_copy, smart, RefreshOptions(masks=True), progress=Silent())


def test_a_dense_index_refuses_masks_other_than_its_own(fx_copy):
    still = {"refresh": {"masks_every": 0, "embeddings_every": 0}, "retrieval": {"num_segments": 1}}
    settings = config.merge(small_settings(max_epochs=1), still, source="test")
    refresh.refresh(fx_copy, settings, RefreshOptions(masks=True), progress=Silent())
    encode.encode_refs(fx_copy, settings, EncodeOptions(layout="dense"), progress=Silent())
    build_index.build_index(fx_copy, IndexOptions(kind="dense"), progress=Silent())
    other = config.merge(settings, {"masks": {"align": False}}, source="test")
    with pytest.raises(ConfigError, match=r"masks\.align = false"):
        train(fx_copy, other)


@pytest.mark.slow
def test_two_masks_make_retrieval_fall_apart(fx_copy):
    """The experiment that shows what V17 suffered from, on the small panel."""
    found = {}
    for name, align in (("aligned", True), ("misaligned", False)):
        settings = with_masks({"align": align, "validation_rate": 0.5}, max_epochs=1)
        train(fx_copy, settings, name)
        found[name] = rows(fx_copy, name)[0]
    for key in ("val_retrieval_agreement", "val_retrieval_f1"):
        assert float(found["misaligned"][key]) < float(found["aligned"][key]) - 0.05
    assert float(found["misaligned"]["val_retrieval_distance"]) > float(
        found["aligned"]["val_retrieval_distance"]
    )


@pytest.mark.slow
def test_an_evaluation_of_a_misaligned_run_is_misaligned_and_says_so(fx_copy):
    reports = {}
    for name, align in (("aligned", True), ("misaligned", False)):
        train(fx_copy, with_masks({"align": align}, max_epochs=1), name)
        options = EvalOptions(run=name, device="cpu")
        reports[name] = evaluating.evaluate(fx_copy, options, progress=Silent())
    assert reports["aligned"].facts["notes"] == []
    assert any("masks.align" in note for note in reports["misaligned"].facts["notes"])


def test_the_share_that_is_hidden_is_counted_by_genotype(fx_copy):
    """`smart_balanced` hides more than its level says, most where a sample carries ALT."""
    smart = {"policy": "smart_balanced", "alt_rate": 0.7, "levels": [0.3], "start_rate": 0.3}
    train(fx_copy, with_masks(smart, max_epochs=1))
    expected = {"0": 1 - 0.7**2, "1": 1 - 0.7 * 0.3, "2": 1 - 0.3**2}
    with (fx_copy.run("run") / "refresh.csv").open(encoding="utf-8") as stream:
        drawn = next(row for row in csv.DictReader(stream) if row["kind"] == "masks")
    for row in (rows(fx_copy)[0], drawn):
        assert row["mask_level"] == "0.3"
        for copies, share in expected.items():
            assert float(row[f"mask_rate_{copies}"]) == pytest.approx(share, abs=0.04)
        shares = [float(row[f"mask_rate_{copies}"]) for copies in expected]
        assert min(shares) < float(row["mask_rate"]) < max(shares)


def test_levels_may_last_different_numbers_of_epochs(fx_copy):
    levels = {"levels": [0.3, 0.5], "start_rate": 0.3, "epochs_per_level": [2, 1]}
    train(fx_copy, with_masks(levels, batches_per_epoch=2))
    assert [row["mask_level"] for row in rows(fx_copy)] == ["0.3", "0.3", "0.5"]
    saved = config.load(fx_copy.run("run") / "config.toml")
    assert saved["masks"]["epochs_per_level"] == [2, 1]
