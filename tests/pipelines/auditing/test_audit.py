"""audit-dims: the report without a store, and checks of the stores of a workspace."""

import dataclasses
import json

import pytest

from vcfbert import config
from vcfbert.config import presets
from vcfbert.copying import inputs
from vcfbert.copying.network import FIRST_GATES
from vcfbert.errors import ConfigError, StoreError
from vcfbert.model.mosaic import Mosaic
from vcfbert.pipelines.auditing import audit, audit_report, estimates
from vcfbert.pipelines.auditing.audit import AuditOptions
from vcfbert.pipelines.auditing.audit_report import PanelSize
from vcfbert.pipelines.systems import store_checks
from vcfbert.storage.zarr.workspace import Workspace

SIZE = PanelSize(
    sites=100, samples=12, references=20, windows=3, length=40, source="made up for a test"
)


@pytest.fixture(scope="module")
def fx_report():
    return audit.audit(presets.tiny(), None, AuditOptions(haplotypes=20, windows=3, window_size=40))


def test_every_stage_from_vcf_to_logits_has_a_shape():
    found = {shape.stage: shape.numbers for shape in estimates.shapes(presets.tiny(), SIZE)}
    assert found["genotypes in the VCF"] == (100, 12, 2)
    assert found["panel alleles"] == (3, 24, 5)
    assert found["codebook"] == (3, 5, 40, 32)
    assert found["dense embeddings"] == (3, 20, 40, 32)
    assert found["query tokens"] == (16, 40)
    assert found["neighbour tokens"] == (16, 16, 40)
    assert found["emb_fusion of references"] == (5, 40, 32)
    assert found["haplotype logits"] == (16, 40, 2)
    assert found["genotype logits"] == (8, 40, 3)


def test_disk_follows_from_the_shapes():
    disk = estimates.disk_report(presets.tiny(), SIZE)
    assert disk.codebook_embeddings == 4 * 3 * 5 * 40 * 32
    assert disk.dense_embeddings == 3 * (4 * (2 * 20 + 5) * 40 * 32 + 16 * 2 * 20)
    assert disk.dense_index == 4 * 3 * 20 * 40 * 32
    assert disk.exact_index == 3 * (20 * 5 + 5 * 256 * 8 * 4)
    assert disk.fast_index == 3 * (20 * 6 + 12 * 16 * 4 * 4)


def test_options_replace_sizes_of_the_example_panel(fx_report):
    size = fx_report.size
    assert (size.references, size.windows, size.length) == (20, 3, 40)
    assert "options" in size.source


@pytest.mark.slow
def test_the_largest_batch_fits_and_one_more_does_not():
    settings, length, memory_gb = presets.tiny(), 40, 0.02
    usable = int(audit_report.USABLE_SHARE * memory_gb * estimates.GB)
    largest = estimates.memory_report(settings, length, memory_gb).largest_batch
    assert largest > 8
    assert estimates._step(settings, length, largest).total <= usable
    assert estimates._step(settings, length, largest + 1).total > usable


def test_the_largest_width_fits_and_a_head_more_does_not():
    settings, length = presets.tiny(), 40
    usable = 50_000_000
    width = estimates._largest_width(settings, length, usable)
    assert estimates._deep_bytes(settings, length, width) <= usable
    assert estimates._deep_bytes(settings, length, width + 32) > usable


def test_nothing_fits_on_a_gpu_that_is_too_small():
    report = estimates.memory_report(presets.tiny(), 40, 1e-6)
    assert not report.fits
    assert (report.largest_batch, report.largest_preset, report.largest_width) == (0, None, 0)


def test_the_largest_preset_is_the_last_that_fits():
    sizes = {
        name: estimates._step(presets.get(name), 40, 1).total for name in ("v18-large", "v18-xl")
    }
    assert sizes["v18-large"] < sizes["v18-xl"]
    assert estimates.memory_report(presets.tiny(), 40, 80.0).largest_preset == "v18-max"


@pytest.mark.parametrize("name", presets.of_system("retrieval"))
@pytest.mark.usefixtures("fx_quick_audit")
@pytest.mark.slow
def test_every_preset_has_a_report(name):
    lines = audit.audit(presets.get(name), None, AuditOptions(window_size=64)).lines()
    text = "\n".join(lines)
    assert "12 D^2 layers" in text
    assert audit_report.PUBLISHED_PARAMETERS.get(name, name) in text
    assert "largest batch" in text


def test_mosaic_has_a_report_of_its_own(tmp_path):
    settings = config.merge(presets.get("mosaic"), {"mosaic": {"start": "scratch"}}, source="test")
    report = audit.audit(settings, Workspace(tmp_path), AuditOptions(haplotypes=20))
    text = "\n".join(report.lines())
    for name in inputs.NAMES:
        assert f"  {name}\n" in text
    assert "R = 20 " in text
    assert "weights: none yet" in text
    built = Mosaic(inputs.NUM_INPUTS, settings.mosaic.units, FIRST_GATES)
    counted = sum(parameter.numel() for parameter in built.parameters())
    assert sum(report.parameters.values()) == counted
    assert json.loads(report.to_json())["parameters"] == report.parameters
    report.raise_mismatch()


def test_a_missing_run_of_mosaic_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="There is no network at"):
        audit.audit(presets.mosaic(), Workspace(tmp_path), AuditOptions(run="absent"))


def test_published_counts_are_about_twice_the_blocks():
    for name, published in audit_report.PUBLISHED_PARAMETERS.items():
        model = presets.get(name).model
        twice = 24 * model.width**2 * model.num_layers / 1e6
        assert abs(int(published[:-1]) - twice) < 2


def test_json_contains_the_report(fx_report):
    record = json.loads(fx_report.to_json())
    assert record["settings"]["model"]["width"] == 32
    assert record["memory"]["step"]["total"] == fx_report.memory.step.total
    assert record["parameters"] == fx_report.parameters


def test_without_a_panel_there_is_nothing_to_check(fx_report, tmp_path):
    assert fx_report.checks == []
    fx_report.raise_mismatch()
    options = AuditOptions(window_size=40)
    assert audit.audit(presets.tiny(), Workspace(tmp_path), options).checks == []


@pytest.mark.parametrize("wrong", [{"haplotypes": 0}, {"windows": -1}, {"gpu_memory_gb": 0.0}])
def test_an_impossible_size_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AuditOptions(**wrong)


@pytest.mark.parametrize("assumed", [{"haplotypes": 9}, {"gpu_memory_gb": 24.0}])
def test_strict_takes_no_sizes(assumed):
    with pytest.raises(ConfigError, match="--strict checks existing stores"):
        AuditOptions(strict=True, **assumed)


def test_strict_runs_the_eight_checks_instead(tmp_path):
    done = audit.audit(presets.tiny(), Workspace(tmp_path), AuditOptions(strict=True))
    assert len(done.failed) == 8
    with pytest.raises(StoreError, match="vcfbert prepare"):
        done.raise_mismatch()


def test_a_mismatch_names_both_sides_and_the_remedy(fx_report):
    check = store_checks.Check("width", "a.zarr", "3", "the settings", "4", False, "Run this.")
    assert "3 in a.zarr" in check.line()
    assert "4 by the settings. Run this." in check.sentence()
    report = dataclasses.replace(fx_report, checks=[check])
    with pytest.raises(StoreError, match=r"3 in a\.zarr, but 4 by the settings"):
        report.raise_mismatch()


def test_a_run_without_a_panel_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="vcfbert prepare"):
        audit.audit(presets.tiny(), Workspace(tmp_path), AuditOptions(run="tiny"))
