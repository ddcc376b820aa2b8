"""The public functions: the defaults of the commands, paths as text, and a quick import."""

import dataclasses
import inspect
import subprocess
import sys

import pytest

import vcfbert
from tests import panels
from vcfbert.config import presets
from vcfbert.pipelines import train
from vcfbert.pipelines.evaluating.cases import EvalOptions
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.merging.merge import MergeOptions
from vcfbert.pipelines.phasing.phase import PhaseOptions
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.simulate import SimulateOptions

OPTIONS = {
    vcfbert.simulate: SimulateOptions,
    vcfbert.prepare: PrepareOptions,
    vcfbert.impute: ImputeOptions,
    vcfbert.phase: PhaseOptions,
    vcfbert.merge: MergeOptions,
    vcfbert.train: train.TrainOptions,
    vcfbert.evaluate: EvalOptions,
}
LEFT_TO_THE_COMMAND = {"genotypes", "edges", "rare_maf", "name", "start"}


@pytest.mark.parametrize("function", OPTIONS, ids=lambda function: function.__name__)
def test_defaults_are_those_of_the_stage(function):
    taken = inspect.signature(function).parameters
    for field in dataclasses.fields(OPTIONS[function]):
        if field.name not in LEFT_TO_THE_COMMAND:
            assert taken[field.name].default == field.default, field.name


def test_what_a_run_starts_from_is_chosen_by_the_same_names():
    taken = inspect.signature(vcfbert.train).parameters
    for field in dataclasses.fields(train.StartOptions):
        assert taken[field.name].default is field.default is None, field.name


def test_a_run_that_is_resumed_or_replaced_keeps_its_settings(tmp_path, monkeypatch):
    own, chosen = presets.tiny(), []
    monkeypatch.setattr(train, "saved_settings", lambda workspace, name: own)
    monkeypatch.setattr(train, "replaced_settings", lambda workspace, name: own)
    monkeypatch.setattr(
        train, "train", lambda workspace, settings, *_, **__: chosen.append(settings)
    )
    vcfbert.train(run="mine", resume=True)
    vcfbert.train(run="mine", overwrite=True)
    vcfbert.train(run="mine")
    vcfbert.train("v13", run="mine", overwrite=True)
    assert [one.preset for one in chosen] == ["tiny", "tiny", "v18-large", "v13"]


def test_importing_vcfbert_loads_no_heavy_library():
    heavy = {"torch", "faiss", "zarr", "cyvcf2", "numpy", "numba"}
    code = f"import sys, vcfbert; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_paths_are_strings_and_errors_are_those_of_the_command(tmp_path):
    with pytest.raises(vcfbert.VcfbertError, match="does not exist"):
        vcfbert.prepare(str(tmp_path / "no.vcf.gz"), workspace=str(tmp_path / "work"))


def test_a_run_that_is_not_named_is_the_shipped_network(tmp_path):
    workspace = panels.small_workspace(tmp_path)
    summary = vcfbert.evaluate(workspace=workspace.root, rate=0.5)
    assert summary.json_path.parent == workspace.root / "eval"
    assert "shipped" in summary.json_path.read_text()
