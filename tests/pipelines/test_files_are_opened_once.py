"""How often one command opens, checks and parses its VCF."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests import panels
from vcfbert.pipelines.imputing import impute
from vcfbert.pipelines.preparing import prepare
from vcfbert.progress import Silent
from vcfbert.storage.vcf import checks, index_checks, variants
from vcfbert.storage.zarr.workspace import Workspace

STEPS = {
    "header": (checks, "read_header"),
    "end": (checks, "check_whole"),
    "index": (index_checks, "VcfIndex"),
    "htslib": (variants, "open_file"),
    "scan": (variants, "scan"),
}


@pytest.fixture
def fx_steps(monkeypatch) -> Counter[str]:
    """How often each step of opening a file was taken."""
    taken: Counter[str] = Counter()

    def counted(name, function):
        def call(*arguments, **options):
            taken[name] += 1
            return function(*arguments, **options)

        return call

    for name, (module, attribute) in STEPS.items():
        monkeypatch.setattr(module, attribute, counted(name, getattr(module, attribute)))
    return taken


@pytest.fixture(scope="session")
def fx_panel_workspace(tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("panel")
    alleles = np.random.default_rng(1).integers(0, 2, (60, 24), dtype=np.uint8)
    path = panels.write_vcf(folder / "panel.vcf.gz", panels.records_of(alleles))
    workspace = Workspace(folder / "work")
    options = prepare.PrepareOptions(window_size=40, flank=2)
    prepare.prepare(path, workspace, options, progress=Silent())
    return workspace


def target(folder: Path, *, is_indexed: bool) -> Path:
    alleles = np.random.default_rng(1).integers(0, 2, (60, 24), dtype=np.uint8)
    records = panels.records_of(alleles[:, :4])[::2]
    return panels.write_vcf(folder / "target.vcf.gz", records, index=is_indexed)


@pytest.mark.parametrize("region", [None, "20:500-4000"])
@pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "not indexed"])
def test_impute_opens_its_target_once(tmp_path, fx_panel_workspace, fx_steps, is_indexed, region):
    path = target(tmp_path, is_indexed=is_indexed)
    options = impute.ImputeOptions(run=None, no_network=True, region=region)
    impute.impute(fx_panel_workspace, path, tmp_path / "o.vcf.gz", options, progress=Silent())
    expected = {"header": 1, "end": 1, "htslib": 1}
    assert fx_steps == expected | ({"index": 1} if is_indexed else {"scan": 1})


@pytest.mark.parametrize("region", [None, "20:500-4000"])
def test_prepare_opens_its_panel_once(tmp_path, fx_panel_workspace, fx_steps, region):
    source = fx_panel_workspace.root.parent / "panel.vcf.gz"
    for suffix in ("", ".tbi"):
        shutil.copy(f"{source}{suffix}", tmp_path)
    options = prepare.PrepareOptions(window_size=40, flank=2, region=region)
    workspace = Workspace(tmp_path / "work")
    prepare.prepare(tmp_path / source.name, workspace, options, progress=Silent())
    assert fx_steps == {"header": 1, "end": 1, "htslib": 1, "index": 1}
