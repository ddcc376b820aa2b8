from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import masks, windows
from vcfbert.errors import ConfigError


@pytest.fixture
def fx_windows() -> windows.Windows:
    """Two contigs, the second shorter than a window."""
    return windows.cut(np.repeat([0, 1], [5000, 120]), 1000, 10)


def draw(cut: windows.Windows, **changes) -> np.ndarray:
    """Masks of the first train version at rate 0.5, but for the changes."""
    chosen = {"seed": 1, "role": "train", "version": 0, "rate": 0.5} | changes
    return masks.draw_masks(cut, **chosen)


def test_the_same_seed_version_and_window_give_the_same_mask(fx_windows):
    npt.assert_array_equal(draw(fx_windows), draw(fx_windows))


@pytest.mark.parametrize("change", [{"seed": 2}, {"version": 1}, {"role": "validation"}])
def test_another_seed_version_or_role_gives_another_mask(fx_windows, change):
    assert (draw(fx_windows) != draw(fx_windows, **change)).any(axis=1).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_rate_is_that_of_real_sites_and_padding_is_never_hidden(fx_windows, rate):
    is_masked = draw(fx_windows, rate=rate)
    real = np.array([fx_windows.num_sites(window) for window in range(len(fx_windows))])
    assert is_masked.sum() / real.sum() == pytest.approx(rate, abs=0.03)
    assert not is_masked[-1, 120:].any()


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_a_mask_hides_something_and_leaves_something(rate):
    is_masked = masks.random_mask(np.random.default_rng(0), 2, rate)
    assert is_masked.sum() == 1


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_hides_nothing_or_all_is_refused(rate):
    with pytest.raises(ConfigError, match="rate"):
        masks.random_mask(np.random.default_rng(0), 5, rate)


def test_the_curriculum_starts_at_the_start_rate_and_stays_at_the_last_level():
    rates = [masks.curriculum_rate(epoch, (0.3, 0.5, 0.8), 1, 0.4) for epoch in range(4)]
    assert rates == [0.5, 0.8, 0.8, 0.8]
