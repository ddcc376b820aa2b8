"""Which sites an evaluation hides, and that every window hides the same ones."""

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import panels
from tests.pipelines import evaluations
from vcfbert.domain import windows
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.evaluating import hidden_sites
from vcfbert.storage.zarr import panel


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    workspace = panels.small_workspace(tmp_path_factory.mktemp("targets"))
    evaluations.add_masks(workspace)
    return workspace


@pytest.fixture
def fx_panel(fx_home):
    with panel.open_panel(fx_home.panel) as reader:
        yield reader


def choose(home, reader, **given):
    chosen = {"rate": None, "mask_version": None, "typed": None} | given
    return hidden_sites.choose(home, reader, seed=1, default_rate=0.5, **chosen)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(0, 3), st.integers(0, 1000))
def test_a_site_is_hidden_in_its_own_window_and_in_every_flank_or_nowhere(sites, flank, seed):
    cut = windows.cut(np.zeros(sites, dtype=np.int32), length=10, flank=flank)
    is_hidden = np.random.default_rng(seed).random(sites) < 0.5
    is_masked = hidden_sites.over_windows(is_hidden, cut)
    npt.assert_array_equal(hidden_sites.of_cores(is_masked, cut), is_hidden)
    for window in range(len(cut)):
        for place in range(cut.length):
            site = cut.start[window] + place
            expected = site < cut.stop[window] and is_hidden[site]
            assert is_masked[window, place] == expected


def test_a_rate_hides_about_that_share_and_always_the_same(fx_home, fx_panel):
    target = choose(fx_home, fx_panel, rate=0.3)
    assert 0.15 < target.is_hidden.mean() < 0.45
    npt.assert_array_equal(target.is_hidden, choose(fx_home, fx_panel, rate=0.3).is_hidden)
    assert target.description == "rate-0.3"


def test_without_a_choice_the_default_rate_is_taken(fx_home, fx_panel):
    assert choose(fx_home, fx_panel).origin["rate"] == 0.5


def test_a_mask_version_hides_what_its_windows_hide_in_their_cores(fx_home, fx_panel, tmp_path):
    target = choose(fx_home, fx_panel, mask_version=0)
    mask = panels_masks(fx_home)
    for window in range(len(fx_panel.windows)):
        is_core = fx_panel.windows.is_core(window)
        first, stop = fx_panel.windows.core_start[window], fx_panel.windows.core_stop[window]
        npt.assert_array_equal(target.is_hidden[first:stop], mask[window, is_core])


def panels_masks(home):
    from vcfbert.storage.zarr import masks

    return masks.read_masks(home.version("masks", 0)).is_masked


def test_an_absent_mask_version_lists_those_there(fx_home, fx_panel):
    with pytest.raises(StoreError, match=r"No mask version 7 .* there are: 0"):
        choose(fx_home, fx_panel, mask_version=7)


def test_a_mask_version_of_another_panel_is_refused(tmp_path, fx_panel):
    other = panels.Workspace(tmp_path)
    panels.write_small_panel(other.panel, seed=8)
    evaluations.add_masks(other)
    with pytest.raises(StoreError, match="another panel"):
        choose(other, fx_panel, mask_version=0)


def test_a_list_hides_everything_else_and_counts_strangers(fx_home, fx_panel, tmp_path):
    is_hidden = np.arange(len(fx_panel.sites)) % 3 == 0
    path = evaluations.typed_list(tmp_path / "array.tsv", fx_panel, is_hidden)
    path.write_text(path.read_text() + "20\t17\n")
    target = choose(fx_home, fx_panel, typed=path)
    npt.assert_array_equal(target.is_hidden, is_hidden)
    assert target.description == "typed-array"
    assert target.origin["unmatched_sites"] == 1


def test_two_choices_are_one_too_many(fx_home, fx_panel, tmp_path):
    with pytest.raises(ConfigError, match="--rate and --typed both choose"):
        choose(fx_home, fx_panel, rate=0.5, typed=tmp_path / "array.tsv")
