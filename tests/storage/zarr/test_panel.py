from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest

from tests import panels, tampering
from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.storage.zarr import panel


def test_a_window_reads_back_the_alleles_it_was_written_from(tmp_path):
    alleles = panels.write_small_panel(tmp_path / "panel.zarr", num_samples=10, num_sites=70)
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        everyone = np.arange(20)
        for window in range(len(reader.windows)):
            seen = reader.tokens(window, everyone)
            count = reader.windows.num_sites(window)
            npt.assert_array_equal(seen[:, :count], alleles[reader.windows.sites(window)].T)
            assert (seen[:, count:] == tokens.PAD).all()


def test_tables_read_back_as_written(fx_workspace):
    with panel.open_panel(fx_workspace.panel) as reader:
        assert len(reader.sites) == 120
        assert len(reader.samples) == 60
        assert reader.sites.identifier[:2] == ["rs0", "rs1"]
        assert reader.samples.populations == ("EAST", "WEST")
        npt.assert_array_equal(
            reader.sites.population_alt_count.sum(axis=1), reader.sites.alt_count[:, 0]
        )


def test_the_fingerprint_follows_the_content(tmp_path):
    panels.write_small_panel(tmp_path / "a.zarr")
    panels.write_small_panel(tmp_path / "b.zarr")
    panels.write_small_panel(tmp_path / "c.zarr", seed=8)
    prints = []
    for name in "abc":
        with panel.open_panel(tmp_path / f"{name}.zarr") as reader:
            prints.append(reader.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_panel_without_populations_reads_back_a_table_without_columns(tmp_path):
    panels.write_small_panel(tmp_path / "a.zarr", num_samples=4, num_sites=10)
    with panel.open_panel(tmp_path / "a.zarr") as reader:
        sites = dataclasses.replace(
            reader.sites, population_alt_count=np.zeros((10, 0), dtype=np.int32)
        )
        samples = dataclasses.replace(reader.samples, populations=())
        panel.write_panel(
            tmp_path / "b.zarr", sites, samples, reader.windows, reader.packed, settings={}
        )
    with panel.open_panel(tmp_path / "b.zarr") as reader:
        assert reader.sites.population_alt_count.shape == (10, 0)
        assert reader.samples.populations == ()


def test_a_flipped_byte_is_noticed(tmp_path):
    panels.write_small_panel(tmp_path / "a.zarr")
    chunk = max((tmp_path / "a.zarr" / "alleles").rglob("0"), key=lambda p: p.is_file())
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(bytes(damaged))
    with (
        panel.open_panel(tmp_path / "a.zarr") as reader,
        pytest.raises(StoreError, match=r"damaged.*vcfbert prepare"),
    ):
        [reader.packed(window) for window in range(len(reader.windows))]


def test_a_finished_panel_is_replaced_only_when_asked(tmp_path):
    path = Path(tmp_path / "a.zarr")
    panels.write_small_panel(path)
    with pytest.raises(StoreError, match="--force"):
        panels.write_small_panel(path)
    panels.write_small_panel(path, seed=9, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("name", ["fingerprint", "length", "contigs", "genome"])
def test_a_panel_that_lost_an_attribute_is_an_explained_error(tmp_path, name):
    panels.write_small_panel(tmp_path / "panel.zarr")
    tampering.edit_metadata(
        tmp_path / "panel.zarr", "zarr.json", lambda record: record["attributes"].pop(name)
    )
    with (
        pytest.raises(StoreError, match=f"lacks the attribute {name}"),
        panel.open_panel(tmp_path / "panel.zarr"),
    ):
        pass


@pytest.mark.parametrize(
    "genome",
    [
        [],
        {"reference": None, "lengths": {}},
        {"reference": None, "lengths": {"20": "9"}, "assemblies": {}},
        {"reference": None, "lengths": [], "assemblies": {}},
    ],
)
def test_a_panel_with_damaged_facts_about_its_contigs_is_an_explained_error(tmp_path, genome):
    panels.write_small_panel(tmp_path / "panel.zarr")
    tampering.edit_metadata(
        tmp_path / "panel.zarr",
        "zarr.json",
        lambda record: record["attributes"].update(genome=genome),
    )
    with (
        pytest.raises(StoreError, match=r"damaged.*vcfbert prepare"),
        panel.open_panel(tmp_path / "panel.zarr"),
    ):
        pass


def test_a_panel_whose_metadata_is_not_a_group_is_an_explained_error(tmp_path):
    panels.write_small_panel(tmp_path / "panel.zarr")
    (tmp_path / "panel.zarr" / "zarr.json").write_text("[]")
    with (
        pytest.raises(StoreError, match=r"zarr\.json is not Zarr 3 metadata"),
        panel.open_panel(tmp_path / "panel.zarr"),
    ):
        pass


def test_a_flipped_byte_in_a_table_is_an_explained_error(tmp_path):
    panels.write_small_panel(tmp_path / "panel.zarr")
    chunk = tmp_path / "panel.zarr" / "sites" / "position" / "c" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with (
        pytest.raises(StoreError, match=r"position in .* is damaged"),
        panel.open_panel(tmp_path / "panel.zarr"),
    ):
        pass


def test_an_array_whose_metadata_is_damaged_is_an_explained_error(tmp_path):
    panels.write_small_panel(tmp_path / "panel.zarr")
    (tmp_path / "panel.zarr" / "sites" / "cm" / "zarr.json").write_text("{}")
    with (
        pytest.raises(StoreError, match=r"cm/zarr\.json is not Zarr 3 metadata"),
        panel.open_panel(tmp_path / "panel.zarr"),
    ):
        pass
