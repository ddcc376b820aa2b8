"""A panel sample that is excluded leaves no trace, as if the panel had been prepared without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import batches, panels
from tests.pipelines import imputations
from vcfbert.errors import InputError
from vcfbert.pipelines.chunks import excluded_samples
from vcfbert.pipelines.imputing.impute_options import ImputeOptions
from vcfbert.pipelines.phasing import phase
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.panel_without import PanelWithout
from vcfbert.storage.zarr.workspace import Workspace

NUM_SAMPLES, NUM_SITES = 40, 300
EXCLUDED = [0, 7, 8, 39]
NAMES = [f"s{n}" for n in range(NUM_SAMPLES)]
KEPT = [n for n in range(NUM_SAMPLES) if n not in EXCLUDED]


def prepared(folder: Path, samples: list[int], *, contig: str = "20") -> Workspace:
    """A workspace of some samples; on X, those with odd numbers are males."""
    alleles = panels.mosaic_alleles(NUM_SITES, 2 * NUM_SAMPLES)
    alleles[:, 2 * EXCLUDED[1]] = 1  # a haplotype that would be copied and change frequencies
    records = []
    for site, row in enumerate(alleles):
        cells = [f"{row[2 * n]}|{row[2 * n + 1]}" for n in samples]
        if contig == "X":
            cells = [cell[0] if n % 2 else cell for n, cell in zip(samples, cells, strict=True)]
        records.append((contig, 3_000_000 + 1000 * site, "A", "G", cells))
    folder.mkdir()
    vcf = panels.write_vcf(folder / "p.vcf.gz", records, [NAMES[n] for n in samples])
    workspace = Workspace(folder / "work")
    options = PrepareOptions(window_size=32, flank=2)
    prepare.prepare(vcf, workspace, options, progress=Silent())
    return workspace


@pytest.fixture(scope="module")
def fx_both(tmp_path_factory):
    """A panel, and the same prepared without the samples to exclude."""
    root = tmp_path_factory.mktemp("panels")
    return prepared(root / "whole", list(range(NUM_SAMPLES))), prepared(root / "less", KEPT)


@pytest.fixture(scope="module")
def fx_x(tmp_path_factory):
    """The same for X with males."""
    root = tmp_path_factory.mktemp("x")
    whole = prepared(root / "whole", list(range(NUM_SAMPLES)), contig="X")
    return whole, prepared(root / "less", KEPT, contig="X")


def target(path: Path, *, contig: str = "20", separator: str = "|") -> Path:
    """Three new samples, one of them with the name and genotypes of an excluded sample."""
    alleles = panels.mosaic_alleles(NUM_SITES, 2 * NUM_SAMPLES)
    rows = [2 * EXCLUDED[1], 2 * EXCLUDED[1] + 1, 5, 20, 11, 30]
    records = [
        (contig, 3_000_000 + 1000 * site, "A", "G",
         [separator.join(map(str, pair)) for pair in alleles[site, rows].reshape(-1, 2)])
        for site in range(2, NUM_SITES, 3)
    ]  # fmt: skip
    return panels.write_vcf(path, records, ["s7", "t1", "t2"])


def excluded(samples: list[int] = EXCLUDED) -> str:
    return ",".join(NAMES[n] for n in samples)


@pytest.mark.parametrize("kind", ["fx_both", "fx_x"])
def test_the_tables_are_those_of_a_panel_without_the_samples(kind, request):
    whole, less = request.getfixturevalue(kind)
    with (
        excluded_samples.open_without(
            whole.panel, ImputeOptions(exclude_samples=excluded())
        ) as found,
        open_panel(less.panel, takes_haploid=True) as wanted,
    ):
        assert isinstance(found, PanelWithout)
        assert found.samples.names == wanted.samples.names
        assert found.alleles_shape == wanted.alleles_shape
        np.testing.assert_array_equal(
            found.samples.ploidy.is_haploid, wanted.samples.ploidy.is_haploid
        )
        np.testing.assert_array_equal(
            found.sites.alt_count.sum(axis=1), wanted.sites.alt_count.sum(axis=1)
        )
        counts = found.sites.alt_count
        alleles = haplotypes.read_alleles(found, np.arange(NUM_SITES))
        np.testing.assert_array_equal(
            alleles, haplotypes.read_alleles(wanted, np.arange(NUM_SITES))
        )
        for code in range(3):
            own = np.repeat(found.samples.split == code, 2)
            np.testing.assert_array_equal(counts[:, code], alleles[:, own].sum(axis=1))


def test_listed_relatives_stay_if_both_do(fx_both):
    with open_panel(fx_both[0].panel) as panel:
        pairs = np.array([[1, 7], [3, 4], [0, 9], [38, 9]])
        panel.samples = replace(panel.samples, relatives=pairs)
        found = PanelWithout(panel, np.array(EXCLUDED)).samples
        named = [[found.names[n] for n in pair] for pair in found.relatives.tolist()]
    assert named == [["s3", "s4"], ["s38", "s9"]]


@pytest.mark.parametrize(
    ("kind", "contig", "separator"),
    [("fx_both", "20", "|"), ("fx_both", "20", "/"), ("fx_x", "X", "|")],
)
def test_the_records_are_those_of_a_panel_without_the_samples(
    kind, contig, separator, request, tmp_path
):
    whole, less = request.getfixturevalue(kind)
    vcf = target(tmp_path / "t.vcf.gz", contig=contig, separator=separator)
    summary = imputations.run(whole, vcf, tmp_path / "a.vcf.gz", exclude_samples=excluded())
    imputations.run(less, vcf, tmp_path / "b.vcf.gz")
    imputations.run(whole, vcf, tmp_path / "c.vcf.gz")
    found = batches.records_of(tmp_path / "a.vcf.gz")
    assert found == batches.records_of(tmp_path / "b.vcf.gz")
    assert found != batches.records_of(tmp_path / "c.vcf.gz")
    about = json.loads((tmp_path / "a.qc" / "summary.json").read_text(encoding="utf-8"))
    assert about["samples"]["excluded"]["samples"] == [NAMES[n] for n in EXCLUDED]
    assert about["samples"]["panel"] == len(KEPT)
    assert about["samples"]["in_panel"] == []
    header = batches.text_of(tmp_path / "a.vcf.gz").split("#CHROM")[0]
    with open_panel(whole.panel, takes_haploid=True) as panel:
        line = f"##vcfbert_excluded_samples=<Number=4,Panel={panel.fingerprint}>\n"
    assert line in header
    assert f"##vcfbert_panel={summary.report['panel_fingerprint']}\n" in header
    assert f"##vcfbert_panel={panel.fingerprint}" not in header


def test_phase_leaves_excluded_samples_out_too(fx_both, tmp_path):
    whole, less = fx_both
    vcf = target(tmp_path / "t.vcf.gz", separator="/")
    for workspace, name, text in ((whole, "a", excluded()), (less, "b", None)):
        options = phase.PhaseOptions(exclude_samples=text, threads=1)
        phase.phase(workspace, vcf, tmp_path / f"{name}.vcf.gz", options, progress=Silent())
    found = batches.records_of(tmp_path / "a.vcf.gz")
    assert found == batches.records_of(tmp_path / "b.vcf.gz")
    assert "##vcfbert_excluded_samples=<Number=4," in batches.text_of(tmp_path / "a.vcf.gz")


def opened(workspace: Workspace, text: str, *, ignores_unknown: bool = False) -> list[str]:
    """Names of the samples that stay."""
    options = ImputeOptions(exclude_samples=text, force_samples=ignores_unknown)
    with excluded_samples.open_without(workspace.panel, options) as panel:
        return panel.samples.names


@pytest.mark.parametrize(
    "text",
    ["s1\ns2\n", "\ns2\n\ns1\n", "#IID\ns1\ns2\n", "F1 s1\nF1 s2\n", "F1\ts1\t0\t0\nF2\ts2\t0\t0\n",
     "s1\r\ns2\r\n", "s1 s1\ns2 s2\n", "s1\ns2\ns1"],
)  # fmt: skip
def test_lists_of_samples_in_the_forms_of_other_tools(fx_both, tmp_path, text):
    path = tmp_path / "out.txt"
    path.write_text(text, encoding="utf-8", newline="")
    stay = [name for name in NAMES if name not in ("s1", "s2")]
    assert opened(fx_both[0], str(path)) == stay
    assert opened(fx_both[0], "s1, s2") == stay


def test_unknown_names_are_refused_or_ignored(fx_both, caplog):
    with pytest.raises(InputError, match="has no sample x1") as error:
        opened(fx_both[0], "s1,x1")
    assert "--force-samples" in str(error.value)
    assert opened(fx_both[0], "s1,x1", ignores_unknown=True) == [
        name for name in NAMES if name != "s1"
    ]
    assert "1 excluded sample is not in the panel: x1." in caplog.text
    assert opened(fx_both[0], "x1", ignores_unknown=True) == NAMES


def test_at_least_one_sample_must_stay(fx_both):
    with pytest.raises(InputError, match="leaves no sample"):
        opened(fx_both[0], ",".join(NAMES))
    with pytest.raises(InputError, match="names no samples"):
        opened(fx_both[0], ",")
