"""Site lists: which sites of a panel a file names, and what is wrong with one that fails."""

import dataclasses
import gzip

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.errors import InputError
from vcfbert.storage import site_lists
from vcfbert.storage.zarr import panel


@pytest.fixture(scope="module")
def fx_sites(fx_workspace):
    """Contig 20, positions 1000, 2000, ..., every site A>G."""
    with panel.open_panel(fx_workspace.panel) as reader:
        return reader.sites


@pytest.fixture
def fx_list(tmp_path):
    def write(text):
        path = tmp_path / "typed.tsv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_listed_sites_are_found_and_the_rest_are_counted(fx_sites, fx_list):
    path = fx_list("# typed\n20\t1000\n\n20\t3000\n20\t3500\n20\t3500\n21\t1000\n")
    typed = site_lists.read_typed(path, fx_sites)
    npt.assert_array_equal(np.flatnonzero(typed.is_typed), [0, 2])
    assert (typed.num_listed, typed.num_unmatched) == (4, 2)


@pytest.mark.parametrize(("listed", "panel_name"), [("chr20", "20"), ("20", "chr20")])
def test_the_chr_prefix_does_not_matter(fx_sites, fx_list, listed, panel_name):
    sites = dataclasses.replace(fx_sites, contigs=(panel_name,))
    typed = site_lists.read_typed(fx_list(f"{listed}\t2000\n"), sites)
    npt.assert_array_equal(np.flatnonzero(typed.is_typed), [1])


def test_alleles_choose_among_records_at_one_position(fx_sites, fx_list):
    position = fx_sites.position.copy()
    position[1] = position[0]
    sites = dataclasses.replace(fx_sites, position=position, alt=["C", *fx_sites.alt[1:]])
    both = site_lists.read_typed(fx_list("20\t1000\n"), sites)
    one = site_lists.read_typed(fx_list("20\t1000\tA\tG\n"), sites)
    npt.assert_array_equal(np.flatnonzero(both.is_typed), [0, 1])
    npt.assert_array_equal(np.flatnonzero(one.is_typed), [1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20\t1000\n20 2000\n", r"typed\.tsv, line 2: '20 2000' is not a site"),
        ("20\t1000\tA\n", "line 1: .* is not a site"),
        ("chrom\tposition\n20\t1000\n", "line 1: the position 'position' is not a whole number"),
        ("20\t0\n", "line 1: the position '0'"),
        ("20\t1e3\n", "line 1: the position '1e3'"),
        ("# nothing\n", "lists no sites"),
        (
            "20\t1500\n",
            r"None of the 1 site .* \(such as 20:1500\) is in the panel, which has 120",
        ),
        ("X\t1000\n", "None of the 1 site"),
    ],
)
def test_a_list_of_no_use_says_why(fx_sites, fx_list, text, message):
    with pytest.raises(InputError, match=message):
        site_lists.read_typed(fx_list(text), fx_sites)


def test_a_list_of_everything_leaves_nothing_to_impute(fx_sites, fx_list):
    text = "".join(f"20\t{position}\n" for position in fx_sites.position)
    with pytest.raises(InputError, match="no site is left to impute"):
        site_lists.read_typed(fx_list(text), fx_sites)


def test_a_file_that_is_absent_or_no_text_is_named(fx_sites, tmp_path):
    with pytest.raises(InputError, match=r"absent\.tsv: No such file"):
        site_lists.read_typed(tmp_path / "absent.tsv", fx_sites)
    (tmp_path / "packed").write_bytes(b"\x1f\x8b\x08\xff")
    with pytest.raises(InputError, match=r"packed is not a site list.*damaged"):
        site_lists.read_typed(tmp_path / "packed", fx_sites)
    (tmp_path / "bytes").write_bytes(b"20\t\xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        site_lists.read_typed(tmp_path / "bytes", fx_sites)


def test_an_id_chooses_among_sites_with_the_same_alleles_in_a_compressed_list(fx_sites, tmp_path):
    position = fx_sites.position.copy()
    position[1] = position[0]
    sites = dataclasses.replace(fx_sites, position=position)
    path = tmp_path / "typed.tsv.gz"
    path.write_bytes(gzip.compress(f"20\t1000\tA\tG\t{sites.identifier[1]}\n".encode()))
    npt.assert_array_equal(np.flatnonzero(site_lists.read_typed(path, sites).is_typed), [1])
