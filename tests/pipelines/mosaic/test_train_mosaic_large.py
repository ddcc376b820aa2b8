"""`train --preset mosaic-large`, and the use of such a run by impute, eval and audit-dims."""

import csv
import dataclasses
import json
import subprocess
import sys

import numpy as np
import numpy.testing as npt
import pytest
import safetensors.numpy

from tests.pipelines import imputations
from tests.pipelines.imputations import lines
from tests.pipelines.mosaic.test_train_mosaic import SMALL
from vcfbert import config
from vcfbert.config import presets
from vcfbert.copying import network
from vcfbert.copying.network import Network
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines import train as pipeline
from vcfbert.pipelines.auditing import audit
from vcfbert.pipelines.auditing.audit import AuditOptions
from vcfbert.pipelines.evaluating import evaluate as evaluating
from vcfbert.pipelines.evaluating import run_costs
from vcfbert.pipelines.evaluating.evaluate import EvalOptions
from vcfbert.pipelines.mosaic import training_data
from vcfbert.pipelines.mosaic.train_mosaic import KEPT_SMALL
from vcfbert.pipelines.train import TrainOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training.mosaic import mosaic_large, mosaic_runs, weight_files
from vcfbert.training.mosaic.mosaic_large import LargeNetwork

LARGE = {
    "model": {"width": 16, "num_layers": 1, "num_heads": 2},
    "training": {"batch_size": 4, "accumulation": 2, "learning_rate": 3e-3, "warmup_steps": 5},
    "mosaic": SMALL
    | {"network": "large", "transformer_steps": 40, "check_every": 20, "stretch": 24, "overlap": 4},
}
TENSOR = "blocks.0.query_key_value.weight"


def settings_with(seed=1, **mosaic):
    changes = LARGE | {"mosaic": LARGE["mosaic"] | mosaic, "seed": seed}
    return config.merge(presets.get("mosaic-large"), changes, source="test")


def train(workspace, name="large", *, seed=1, **mosaic):
    options = TrainOptions(name=name, device="cpu", threads=2)
    return pipeline.train(workspace, settings_with(seed, **mosaic), options, progress=Silent())


def weights_file(workspace, name="large"):
    return workspace.run(name) / weight_files.FILE


@pytest.fixture(scope="module")
def fx_own(tmp_path_factory):
    """A workspace of 230 samples with the finished run `large`; tests add runs of other names."""
    workspace = imputations.workspace(tmp_path_factory.mktemp("large"))
    return workspace, train(workspace)


@pytest.fixture(scope="module")
def fx_network(fx_own) -> LargeNetwork:
    found = mosaic_runs.read(fx_own[0].run("large")).network
    assert isinstance(found, LargeNetwork)
    return found


def test_a_run_begins_where_the_small_network_ends_and_is_better(fx_own, fx_network):
    workspace, summary = fx_own
    assert summary.network == "large"
    assert list(summary.losses) == ["heads", "small", "trained"]
    assert summary.losses["trained"] < summary.losses["small"] <= summary.losses["heads"]
    run = mosaic_runs.read(workspace.run("large"))
    assert run.settings == settings_with()
    assert run.record["network"] == "large"
    with (run.path / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["network"], row["step"]) for row in rows] == [
        (network, step) for network in ("small", "large") for step in ("0", "20", "40")
    ]
    start = float(rows[3]["validation_loss"])
    assert start == pytest.approx(summary.losses["small"], rel=1e-4)
    assert set(summary.scores) == {"heads", "small", "trained"}
    assert KEPT_SMALL not in summary.lines()
    assert fx_network.module.last.weight.abs().max() > 0


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(fx_own):
    workspace, _ = fx_own
    train(workspace, "again")
    train(workspace, "other", seed=2)
    first, again, other = (
        safetensors.numpy.load_file(weights_file(workspace, name))
        for name in ("large", "again", "other")
    )
    for name, values in first.items():
        npt.assert_array_equal(values, again[name], err_msg=name)
    assert (first[TENSOR] != other[TENSOR]).any()


def test_what_is_no_better_is_not_kept(fx_own, monkeypatch):
    workspace, _ = fx_own
    real = mosaic_large.fit

    def shuffled(begin, data, *rest, **keywords):
        labels = np.random.default_rng(1).permutation(data.data.labels)
        nonsense = dataclasses.replace(data, data=dataclasses.replace(data.data, labels=labels))
        return real(begin, nonsense, *rest, **keywords)

    monkeypatch.setattr(mosaic_large, "fit", shuffled)
    summary = train(workspace, "nonsense")
    assert KEPT_SMALL in summary.lines()
    assert summary.losses["trained"] == summary.losses["small"]
    run = mosaic_runs.read(workspace.run("nonsense"))
    assert run.record["network"] == "small"
    assert isinstance(run.network, Network)
    report = audit.audit(settings_with(), workspace, AuditOptions(run="nonsense"))
    assert "transformer" not in "\n".join(report.lines())


def test_impute_uses_the_run_and_threads_do_not_matter(fx_own, fx_network, tmp_path):
    workspace, _ = fx_own
    alleles = imputations.samples_alleles(5)
    target = imputations.write_target(tmp_path / "t.vcf", alleles)
    small = imputations.run(workspace, target, tmp_path / "small.vcf.gz", heads_only=False)
    made = {}
    for threads in (1, 3):
        out = tmp_path / f"{threads}.vcf.gz"
        summary = imputations.run(
            workspace, target, out, run="large", heads_only=False, threads=threads
        )
        assert summary.report["network"]["fingerprint"] == fx_network.fingerprint
        assert summary.report["network"]["open_share"] == small.report["network"]["open_share"] > 0
        made[threads] = out.read_bytes()
    assert made[1] == made[3]
    assert lines(tmp_path / "1.vcf.gz") != lines(tmp_path / "small.vcf.gz")


def test_a_sites_answer_does_not_depend_on_which_others_are_written(fx_own, tmp_path):
    workspace, _ = fx_own
    target = imputations.write_target(tmp_path / "t.vcf", imputations.samples_alleles(3))
    common = {"run": "large", "heads_only": False}
    imputations.run(workspace, target, tmp_path / "all.vcf.gz", **common)
    imputations.run(workspace, target, tmp_path / "some.vcf.gz", region="20:90000-140000", **common)
    everything = {line[1]: line for line in lines(tmp_path / "all.vcf.gz")}
    some = lines(tmp_path / "some.vcf.gz")
    assert 40 < len(some) < 60
    for line in some:
        assert line == everything[line[1]]


def test_every_open_site_of_a_sample_is_answered_for(fx_own, fx_network):
    """In any order, and as by the small network where the transformer is silent."""
    workspace, _ = fx_own
    with open_panel(workspace.panel) as panel:
        stretch = training_data.read_stretch(panel, np.arange(300), slice(0, 300))
    taken = training_data.take_out(stretch, np.arange(20, 460), np.arange(3))
    ready = training_data.make_ready(taken, imputations.TYPED, seed=1, threads=1)
    data = training_data.open_sequences(ready, taken, 10**6, np.random.default_rng(1), 1)
    assert len(data.bounds) == 7
    assert data.bounds[-1] == len(data.data.rows) == len(data.data.labels)
    rows, place = data.data.rows[: data.bounds[1]], data.place[: data.bounds[1]]
    assert (np.diff(place) >= 0).all()
    assert len(rows) > LARGE["mosaic"]["stretch"]
    sites = np.arange(len(rows))
    values, outside = fx_network.probabilities(rows, sites, place)
    order = np.random.default_rng(2).permutation(len(rows))
    mixed, _ = fx_network.probabilities(rows[order], sites[order], place[order])
    npt.assert_array_equal(mixed, values[order])
    weights = {
        name.removeprefix("small."): array
        for name, array in fx_network.arrays().items()
        if name.startswith("small.")
    }

    small = network.from_arrays(weights, name="", fingerprint="", source="test")
    assert outside == small.of_rows(rows)[1]
    assert np.abs(values - small.of_rows(rows)[0]).max() > 1e-3
    silent = mosaic_large.new_network(small.weights, settings_with().model, 5)
    quiet = dataclasses.replace(fx_network, module=silent.eval())
    npt.assert_allclose(
        quiet.probabilities(rows, sites, place)[0], small.of_rows(rows)[0], atol=1e-5
    )


def test_samples_are_taken_whole_until_there_are_enough_rows(fx_own):
    workspace, _ = fx_own
    with open_panel(workspace.panel) as panel:
        stretch = training_data.read_stretch(panel, np.arange(300), slice(20, 280))
    samples = np.arange(40)
    taken = training_data.take_out(stretch, np.arange(80, 460), samples)
    ready = training_data.make_ready(taken, imputations.TYPED, seed=1, threads=1)
    whole = training_data.open_sequences(ready, taken, 10**6, np.random.default_rng(1), 2)
    few = training_data.open_sequences(ready, taken, 500, np.random.default_rng(1), 2)
    assert len(whole.bounds) == 81
    assert 500 <= len(few.data.rows) < 500 + np.diff(whole.bounds).max() * 2
    assert len(few.bounds) % 2 == 1  # both haplotypes of each
    npt.assert_array_equal(few.data.rows, whole.data.rows[: few.bounds[-1]])
    npt.assert_array_equal(few.bounds, whole.bounds[: len(few.bounds)])


def test_eval_scores_the_run(fx_own, tmp_path):
    workspace, _ = fx_own
    options = EvalOptions(run="large", device="cpu", output=tmp_path / "eval")
    summary = evaluating.evaluate(workspace, options, progress=Silent())
    r2 = {system: by_group["all"].r2 for system, by_group in summary.scores.items()}
    assert r2["model"] > r2["most frequent allele"] + 0.2
    assert r2["model"] != r2["heads"]
    assert json.loads(summary.json_path.read_text())["settings"]["mosaic"]["network"] == "large"


def test_audit_dims_counts_the_network_that_is_there(fx_own, fx_network):
    workspace, _ = fx_own
    report = audit.audit(presets.mosaic_large(), workspace, AuditOptions(run="large"))
    counted = sum(parameter.numel() for parameter in fx_network.module.parameters())
    assert sum(report.parameters.values()) == counted
    assert "transformer over L = 24 undecided sites" in "\n".join(report.lines())
    compared = run_costs.of_run(workspace, "large").costs
    assert (compared.parameters, compared.batch) == (counted, "4 x 2")
    planned = audit.audit(presets.mosaic_large(), None, AuditOptions(haplotypes=20))
    assert 9e6 < sum(planned.parameters.values()) < 11e6
    assert "vcfbert train --preset mosaic-large" in planned.lines()[-1]
    assert json.loads(planned.to_json())["kind"] == "large"


def damaged(workspace, name, change):
    """The run `large` with another network file."""
    run = mosaic_runs.read(workspace.run("large"))
    arrays, sizes = run.network.arrays(), run.network.sizes()
    path = workspace.root / f"{name}.safetensors"
    change(arrays, sizes)
    weight_files.save(path, arrays, {}, sizes)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, sizes: arrays.pop(TENSOR), f"has no tensor '{TENSOR}'"),
        (
            lambda arrays, sizes: arrays.update({TENSOR: arrays["last.bias"]}),
            r"has the shape \(4,\)",
        ),
        (lambda arrays, sizes: arrays[TENSOR].fill(np.nan), "holds NaN or infinity"),
        (lambda arrays, sizes: sizes.update(width=64), "not those of a network"),
        (lambda arrays, sizes: sizes.update(width=10**9), "not those of a network"),
        (lambda arrays, sizes: sizes.update(num_layers=10**9), "not those of a network"),
        (lambda arrays, sizes: sizes.update(overlap=12), "not those of a network"),
        (lambda arrays, sizes: sizes.update(num_heads=3), "sizes cannot be read"),
        (lambda arrays, sizes: sizes.pop("stretch"), "sizes cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(fx_own, change, message):
    path = damaged(fx_own[0], "unfit", change)
    with pytest.raises(StoreError, match=message):
        weight_files.load(path, name="unfit")


def test_a_cut_file_is_refused(fx_own, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(weights_file(fx_own[0]).read_bytes()[:-100])
    with pytest.raises(StoreError, match="is damaged"):
        weight_files.load(path, name="cut")


def test_a_network_reads_back_as_it_was_written(fx_own, fx_network, tmp_path):
    path = tmp_path / "copy.safetensors"
    fingerprint = weight_files.save(path, fx_network.arrays(), {"a": 1}, fx_network.sizes())
    again = weight_files.load(path, name="copy")
    assert isinstance(again, LargeNetwork)
    assert again.fingerprint == fingerprint
    assert again.sizes() == fx_network.sizes()
    assert weight_files.facts_of(path) == {"a": 1}
    for name, values in fx_network.arrays().items():
        npt.assert_array_equal(again.arrays()[name], values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"width": 96}}, "model.width = 96 has no effect here: .* mosaic-large"),
        ({"mosaic": {"stretch": 200}}, "mosaic.stretch = 200 .* mosaic-large"),
        ({"loss": {"focal_gamma": 0.0}}, "loss.focal_gamma = 0.0 .* other systems"),
        ({"mosaic": {"network": "large", "stretch": 100, "overlap": 50}}, "less than half"),
        ({"mosaic": {"network": "large"}, "training": {"patience": 9}}, "training.patience"),
        ({"mosaic": {"network": "large"}, "model": {"fusion": "site"}}, "model.fusion"),
    ],
)
def test_settings_that_nothing_reads_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        config.merge(presets.mosaic(), changes, source="test")


def test_a_system_of_retrieval_refuses_settings_of_mosaic():
    with pytest.raises(ConfigError, match=r"mosaic\.network = 'large' would"):
        config.merge(presets.tiny(), {"mosaic": {"network": "large"}}, source="test")


def test_the_small_network_asks_for_no_gpu(fx_own):
    settings = config.merge(presets.mosaic(), {"mosaic": SMALL}, source="test")
    options = TrainOptions(name="gpu", device="cuda", threads=1)
    with pytest.raises(ConfigError, match="the small network trains on the CPU"):
        pipeline.train(fx_own[0], settings, options, progress=Silent())


def test_reading_a_small_network_leaves_torch_alone():
    code = (
        "import sys; from vcfbert.pipelines.imputing import impute; from "
        "vcfbert.training.mosaic import weight_files; weight_files.shipped(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_lists_of_typed_sites_are_trained_for(fx_own, tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("".join(f"20\t{1000 * site}\n" for site in range(1, 300, 5)))
    options = TrainOptions(name="listed", device="cpu", threads=2, typed=(path,))
    summary = pipeline.train(fx_own[0], settings_with(), options, progress=Silent())
    assert set(summary.designs) == {"mine.tsv"}
