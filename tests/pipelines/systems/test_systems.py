"""Every system of retrieval from a prepared panel to scores, and what it needs on the way."""

import json
import shutil

import pytest

from tests import panels, tampering
from tests.pipelines.systems.test_train_systems import check_resuming, rows, train, weights
from vcfbert import config
from vcfbert.config import presets
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.auditing import audit
from vcfbert.pipelines.auditing.audit import AuditOptions
from vcfbert.pipelines.evaluating import evaluate as evaluating
from vcfbert.pipelines.evaluating.evaluate import EvalOptions
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.systems import build_index, encode, refresh
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints
from vcfbert.training.systems.batches import BatchMaker

PUBLISHED = ["v17-published", "v18-published"]
SYSTEMS = ["v13", "v17", "v18-current", *PUBLISHED]
NEEDS = {name: [] if name == "v13" else ["indexes"] for name in SYSTEMS}


@pytest.fixture
def fx_copy(fx_workspace, tmp_path) -> Workspace:
    """A workspace of one's own to write to."""
    root = tmp_path / "workspace"
    shutil.copytree(fx_workspace.root, root)
    return Workspace(root)


def small(name, *texts):
    """A system's ingredients at a small size and for a short time."""
    sizes = {
        "model": {"width": 16, "num_layers": 1, "num_heads": 2},
        "training": {
            "batch_size": 8, "accumulation": 1, "batches_per_epoch": 6, "max_epochs": 2,
            "warmup_steps": 2, "learning_rate": 2e-3, "checkpoint_every": 2,
        },
    }  # fmt: skip
    if name == "v18-current":
        sizes["retrieval"] = {"num_neighbours": 6}
    settings = config.merge(presets.get(name), sizes, source="test")
    return config.merge(settings, config.assignments(texts), source="test")


def evaluate(workspace, **changes):
    options = EvalOptions(run="run", device="cpu", **changes)
    return evaluating.evaluate(workspace, options, progress=Silent())


@pytest.mark.usefixtures("fx_quick_audit")
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_goes_from_panel_to_scores_and_makes_only_what_it_reads(fx_copy, name):
    train(fx_copy, small(name))
    made = {path.name for path in fx_copy.root.iterdir()} - {"panel.zarr", "runs"}
    assert sorted(made) == NEEDS[name]
    own = fx_copy.run("run") / "embeddings"
    assert own.exists() == name.startswith("v18")
    summary = evaluate(fx_copy)
    copying = ["copying only"] if small(name).model.copy_skip else []
    baselines = [*copying, "nearest haplotype", "most frequent allele"]
    assert list(summary.scores) == ["model", *baselines]
    report = audit.audit(small(name), fx_copy, AuditOptions(run="run"))
    report.raise_mismatch()
    assert any(check.what == "run vocabulary x width" for check in report.checks)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.slow
def test_a_system_that_was_killed_resumes_to_the_same_weights(fx_copy, name):
    train(fx_copy, small(name), "whole")
    check_resuming(fx_copy, small(name), 9)


@pytest.mark.usefixtures("fx_quick_audit")
@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("v17-published", ["model.returned=masked"]),
        ("v13", ["model.population=true"]),
        ("v17", ["model.population=true", "model.unknown_population=0.5"]),
        ("v18-current", ["model.population=true"]),
    ],
)
@pytest.mark.slow
def test_a_switched_part_works_from_panel_to_scores_and_resumes(fx_copy, name, texts):
    settings = small(name, *texts)
    train(fx_copy, settings, "whole")
    check_resuming(fx_copy, settings, 9)
    shutil.move(fx_copy.run("whole"), fx_copy.run("run"))
    assert evaluate(fx_copy).scores["model"]
    audit.audit(settings, fx_copy, AuditOptions(run="run")).raise_mismatch()


def without_populations(folder):
    """A workspace with a panel whose samples have no population."""
    alleles = panels.mosaic_alleles(120, 120)
    vcf = panels.write_vcf(folder / "panel.vcf.gz", panels.records_of(alleles, step=1000))
    options = PrepareOptions(window_size=32, flank=2, validation_fraction=0.1)
    prepare.prepare(vcf, Workspace(folder / "nameless"), options, progress=Silent())
    return Workspace(folder / "nameless")


def test_populations_that_the_panel_lacks_are_refused_in_training_and_unknown_later(
    fx_copy, tmp_path
):
    nameless = without_populations(tmp_path)
    settings = small("v13", "model.population=true")
    with pytest.raises(ConfigError, match=r"population = true .*has no populations of training"):
        train(nameless, settings)
    assert not nameless.run("run").exists()
    train(fx_copy, settings)
    assert evaluate(fx_copy, panel=nameless.root).scores["model"]


def test_v13_neither_searches_nor_reports_a_distance(fx_copy, monkeypatch):
    def fail(*_):
        raise AssertionError("a search vector was made")

    monkeypatch.setattr(BatchMaker, "_query", fail)
    train(fx_copy, small("v13"))
    retrieved = {value for name, value in rows(fx_copy)[0].items() if "retrieval" in name}
    assert retrieved == {"nan"}
    assert set(checkpoints.read(fx_copy.run("run"), "best").parents) == {
        "panel",
        "encoder",
        "masks",
    }


def test_v13_is_evaluated_beside_the_same_baselines_as_others(fx_copy):
    train(fx_copy, small("v13"))
    alone = evaluate(fx_copy)
    record = json.loads(alone.json_path.read_text())
    assert record["index"] is None
    shutil.rmtree(fx_copy.root / "runs")
    train(fx_copy, small("v17"))
    beside = evaluate(fx_copy)
    for baseline in ("nearest haplotype", "most frequent allele"):
        lines = [
            [line for line in report.to_csv().splitlines() if line.startswith(baseline)]
            for report in (alone, beside)
        ]
        assert lines[0] == lines[1] != []


def test_the_training_mask_of_v17_never_moves(fx_copy):
    train(fx_copy, small("v17", "training.max_epochs=3"))
    assert {(row["mask_version"], row["mask_level"]) for row in rows(fx_copy)} == {("0", "0.5")}


@pytest.mark.slow
def test_the_contrastive_loss_is_off_unless_asked_for_and_resumes_exactly(fx_copy):
    """On, it moves the encoder; validation, which is to be compared, is without it."""
    train(fx_copy, small("v18-current"), "off")
    taught = small("v18-current", "loss.contrastive_weight=3")
    train(fx_copy, taught, "whole")
    first = {name: float(rows(fx_copy, name)[0]["train_loss"]) for name in ("whole", "off")}
    assert first["whole"] > first["off"]
    off, on = weights(fx_copy, "off"), weights(fx_copy, "whole")
    assert (off["encoder.scale.weight"] != on["encoder.scale.weight"]).any()
    check_resuming(fx_copy, taught, 9)


@pytest.mark.parametrize("name", ["v13", "v17"])
def test_embeddings_that_nothing_would_read_are_not_made(fx_copy, name):
    with pytest.raises(
        ConfigError, match=f"{name} needs no.*vcfbert train --preset {name}|{name} n"
    ):
        encode.encode_refs(fx_copy, presets.get(name), EncodeOptions(), progress=Silent())
    with pytest.raises(ConfigError, match=f"train --preset {name}"):
        refresh.refresh(
            fx_copy, presets.get(name), RefreshOptions(embeddings=True), progress=Silent()
        )


@pytest.mark.usefixtures("fx_quick_audit")
def test_stores_of_another_system_are_no_mismatch_where_nothing_reads_them(fx_copy):
    encode.encode_refs(fx_copy, small("v18-current"), EncodeOptions(), progress=Silent())
    wide = small("v13", "model.width=32")
    audit.audit(wide, fx_copy, AuditOptions()).raise_mismatch()
    report = audit.audit(small("v18-current", "model.width=32"), fx_copy, AuditOptions())
    report.raise_mismatch()
    unread = [check.found for check in report.checks if check.what == "embeddings"]
    assert unread == ["not read by train: has an encoder of width 16, but the settings have 32"]


@pytest.mark.parametrize(
    ("started", "asked", "message"),
    [
        ("v17", small("v18-current"), "preset = 'v17', so it cannot be resumed with 'v18-current'"),
        ("v17", small("v17", "model.copy_skip=false"), "copy_skip = True, so .* with False"),
        ("v13", small("v13", "model.width=32"), r"model\.width = 16, so .* with 32"),
    ],
)
def test_a_run_goes_on_as_the_system_it_began_as(fx_copy, started, asked, message):
    train(fx_copy, small(started, "training.max_epochs=1"))
    with pytest.raises(ConfigError, match=message):
        train(fx_copy, asked, resume=True)


def edited(workspace, which, change):
    path = workspace.run("run") / "checkpoints" / f"{which}.json"
    tampering.edit_json(path, change)


def test_a_checkpoint_of_another_vocabulary_is_refused_naming_both(fx_copy):
    train(fx_copy, small("v13", "training.max_epochs=1"))
    edited(fx_copy, "last", lambda record: record["vocabulary"].append("HALF"))
    with pytest.raises(StoreError, match=r"'HALF'.*but this vcfbert has \['REF'"):
        train(fx_copy, small("v13"), resume=True)


def test_weights_of_another_width_are_refused_naming_both(fx_copy):
    train(fx_copy, small("v13", "training.max_epochs=1"))
    edited(fx_copy, "best", lambda record: record["config"]["model"].update(width=32))
    with pytest.raises(StoreError, match=r"\(16,.*needs.*32"):
        evaluate(fx_copy)


def test_a_checkpoint_of_an_older_format_is_refused_naming_both(fx_copy):
    train(fx_copy, small("v17", "training.max_epochs=1"))
    edited(fx_copy, "last", lambda record: record.update(format_version=1))
    with pytest.raises(StoreError, match=r"format version 1, but this vcfbert reads version 6"):
        train(fx_copy, small("v17"), resume=True)


def test_a_dense_index_cannot_be_asked_for_token_ids(fx_copy):
    settings = small("v18-current", "refresh.masks_every=0", "refresh.embeddings_every=0")
    refresh.refresh(fx_copy, settings, RefreshOptions(masks=True), progress=Silent())
    encode.encode_refs(fx_copy, settings, EncodeOptions(layout="dense"), progress=Silent())
    dense = build_index.IndexOptions(kind="dense")
    build_index.build_index(fx_copy, dense, progress=Silent())
    with pytest.raises(ConfigError, match=r"dense index.*'token'.*--kind exact"):
        train(fx_copy, small("v17"))
