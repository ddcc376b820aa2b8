"""The same inputs give the same bytes, and a run says what it was made with."""

import json

import pytest

from tests import panels
from tests.pipelines import imputations, workspaces
from vcfbert import versions
from vcfbert.pipelines.preparing import prepare as pipeline
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.systems import train_systems
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

QUICK = workspaces.changed(training={"max_epochs": 1, "batches_per_epoch": 3})


def bytes_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def fx_vcf(tmp_path_factory):
    path = tmp_path_factory.mktemp("vcf") / "panel.vcf.gz"
    return panels.write_vcf(path, panels.records_of(panels.mosaic_alleles(90, 60)))


def stores_of(vcf, root):
    """Panel, masks, encodings and index of one VCF."""
    workspace = Workspace(root)
    options = PrepareOptions(window_size=32, flank=2)
    pipeline.prepare(vcf, workspace, options, progress=Silent())
    workspaces.build(workspace)
    return workspace


def test_stores_are_the_same_to_the_last_byte(fx_vcf, tmp_path):
    one, another = (stores_of(fx_vcf, tmp_path / name) for name in ("one", "two"))
    for part in ("panel.zarr", "masks", "embeddings", "indexes"):
        first, second = bytes_below(one.root / part), bytes_below(another.root / part)
        assert first.keys() == second.keys()
        assert [name for name in first if first[name] != second[name]] == []
    assert one.relatives.read_bytes() == another.relatives.read_bytes()


def test_a_run_names_versions_machine_seed_and_parents(fx_own):
    train_systems.train(fx_own, QUICK, SystemOptions("mine", device="cpu"), progress=Silent())
    record = json.loads((fx_own.run("mine") / "run.json").read_text())
    assert record["seed"] == QUICK.seed
    assert {"panel", "index"} <= set(record["parents"])
    found = record["versions"]
    assert set(versions.packages()) <= set(found)
    assert {"vcfbert", "python", "torch", "numba", "cyvcf2", "zarr", "numpy"} <= set(found)
    assert found["cores"] == str(versions.num_cores())
    assert found["platform"]
    assert int(found["threads"]) >= 1


def test_an_imputation_names_network_panel_versions_and_is_the_same_again(tmp_path):
    home = imputations.workspace(tmp_path / "home")
    target = imputations.write_target(tmp_path / "t.vcf", imputations.samples_alleles(2))
    outputs = [tmp_path / name for name in ("a.vcf.gz", "b.vcf.gz")]
    summaries = [
        imputations.run(home, target, out, threads=threads, no_network=False)
        for out, threads in zip(outputs, (1, 2), strict=True)
    ]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    report = summaries[0].report
    assert report["versions"]["vcfbert"] == versions.packages()["vcfbert"]
    assert len(report["network"]["fingerprint"]) == len(report["panel_fingerprint"]) == 64
