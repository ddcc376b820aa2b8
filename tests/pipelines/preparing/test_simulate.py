from __future__ import annotations

import numpy as np
import pysam
import pytest

from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.preparing import prepare, simulate
from vcfbert.pipelines.preparing.simulate import SimulateOptions
from vcfbert.progress import Silent
from vcfbert.storage import tables
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

OPTIONS = SimulateOptions(num_samples=30, length=200_000, seed=3)


@pytest.fixture(scope="module")
def fx_folder(tmp_path_factory):
    """The files of a small simulated panel."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate.simulate(folder, OPTIONS, progress=Silent())
    return folder


def test_the_folder_holds_the_files_and_nothing_else(fx_folder):
    assert {entry.name for entry in fx_folder.iterdir()} == set(simulate.FILES)


def test_the_same_seed_gives_the_same_files_and_another_seed_does_not(fx_folder, tmp_path):
    simulate.simulate(tmp_path, OPTIONS, progress=Silent())
    for name in simulate.FILES:
        assert (tmp_path / name).read_bytes() == (fx_folder / name).read_bytes()
    other = SimulateOptions(num_samples=30, length=200_000, seed=4)
    simulate.simulate(tmp_path, other, progress=Silent(), overwrite=True)
    assert (tmp_path / "panel.vcf.gz").read_bytes() != (fx_folder / "panel.vcf.gz").read_bytes()


def test_the_table_names_populations_and_splits(fx_folder):
    rows = list(tables.read_samples(fx_folder / "samples.tsv").values())
    assert {(row.population, row.superpopulation) for row in rows} == set(
        simulate.POPULATIONS.items()
    )
    assert len(rows) == 30
    assert sum(row.split == 2 for row in rows) == 3


def test_prepare_reads_it_and_typed_sites_are_common_sites_of_it(fx_folder, tmp_path):
    options = prepare.PrepareOptions(
        samples=fx_folder / "samples.tsv",
        genetic_map=fx_folder / "genetic.map",
        window_size=128,
        flank=8,
    )
    prepare.prepare(fx_folder / "panel.vcf.gz", Workspace(tmp_path), options, progress=Silent())
    typed = np.loadtxt(fx_folder / "typed.tsv", dtype=int)
    assert (typed[:, 0] == 1).all()
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        assert reader.samples.populations == ("AFR", "EAS", "EUR")
        position = reader.sites.position
        np.testing.assert_allclose(reader.sites.cm, (position - 1) / 1e6, atol=1e-6)
    assert np.isin(typed[:, 1], position).all()
    assert (np.diff(typed[:, 1]) > 0).all()


def test_files_are_replaced_only_when_asked(fx_folder):
    with pytest.raises(StoreError, match="--force"):
        simulate.simulate(fx_folder, OPTIONS, progress=Silent())


@pytest.mark.parametrize("options", [{"num_samples": 3}, {"length": 10}, {"seed": 0}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        SimulateOptions(**options)


def test_males_of_x_are_haploid_outside_the_pseudo_autosomal_region(tmp_path):
    options = SimulateOptions(num_samples=20, length=50_000, chromosome="X")
    summary = simulate.simulate(tmp_path, options, progress=Silent())
    assert "10 haploid males" in summary.lines()[0]
    sexes = dict(line.split("\t") for line in (tmp_path / "sex.tsv").read_text().splitlines())
    with pysam.VariantFile(str(tmp_path / "panel.vcf.gz")) as file:
        for record in file:
            assert record.contig == "X"
            for name, call in record.samples.items():
                is_haploid = sexes[name] == "male" and record.pos > 10_000
                assert len(call["GT"]) == (1 if is_haploid else 2)
    again = tmp_path / "again"
    simulate.simulate(again, options, progress=Silent())
    for name in options.files:
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()
