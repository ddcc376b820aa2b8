"""Properties of mask policies: rates, determinism, padding, missing alleles."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.domain import mask_policies, masks, tokens, windows
from vcfbert.domain.mask_policies import Drawing, DrawingBySample, Listed, Random, Thinned

RATES = st.floats(0.05, 0.95)
KEYS = st.tuples(st.integers(0, 2**31), st.integers(0, 10_000))  # seed, version
SITES = 400


def cut(num_sites: int = SITES, length: int = 150, flank: int = 5) -> windows.Windows:
    return windows.cut(np.zeros(num_sites, dtype=np.int32), length, flank)


def samples_of(seed: int, num_samples: int, missing: float = 0.0) -> np.ndarray:
    """Tokens (2 num_samples, SITES), a share of them missing."""
    rng = np.random.default_rng(seed)
    alleles = (rng.random((2 * num_samples, SITES)) < 0.3).astype(np.uint8)
    return np.where(rng.random(alleles.shape) < missing, np.uint8(tokens.MISSING), alleles)


def common() -> np.ndarray:
    return np.arange(SITES) % 3 == 0


def policies() -> list[mask_policies.MaskPolicy]:
    return [Random(), mask_policies.SmartBalanced(0.7), Thinned(common()), Listed(common())]


def of(drawing: Drawing, window: int, labels: np.ndarray, samples: list[int]) -> np.ndarray:
    """Masks of some samples, (2 N, L) whatever the scope."""
    where = drawing.windows.sites(window)
    padded = tokens.pad(labels[:, where], drawing.windows.length)
    made = drawing.of(window, np.array(samples), padded)
    return np.broadcast_to(made, padded.shape)


def close(observed: float, expected: float, count: int) -> bool:
    """Within five standard deviations of a share of `count` draws, and one site of grace."""
    spread = np.sqrt(max(expected * (1 - expected), 1e-9) / count)
    return abs(observed - expected) <= 5 * spread + 1.5 / count


@settings(max_examples=30, deadline=None)
@given(rate=RATES, key=KEYS)
def test_random_hides_the_rate_of_the_real_sites(rate, key):
    drawn = Drawing(Random(), cut(), key[0], "train", key[1], rate).whole()
    num_sites = sum(cut().num_sites(window) for window in range(len(cut())))
    assert close(drawn.sum() / num_sites, rate, num_sites)


@settings(max_examples=30, deadline=None)
@given(rate=RATES, alt_rate=RATES, seed=st.integers(0, 2**31))
def test_smart_balanced_hides_each_class_of_genotype_at_its_rate(rate, alt_rate, seed):
    """P(hidden) = 1 - product over haplotypes of (1 - rate of its allele); ALT is never below."""
    rng = np.random.default_rng(seed)
    alleles = rng.integers(0, 2, (2, 6000)).astype(np.uint8)
    made = masks.smart_balanced_mask(rng, alleles, rate, alt_rate)
    high = max(rate, alt_rate)
    expected = {0: 1 - (1 - rate) ** 2, 1: 1 - (1 - rate) * (1 - high), 2: 1 - (1 - high) ** 2}
    for copies, share in expected.items():
        chosen = alleles.sum(axis=0) == copies
        assert close(made[chosen].mean(), share, int(chosen.sum()))


@settings(max_examples=30, deadline=None)
@given(rate=RATES, key=KEYS)
def test_thinning_hides_all_rare_sites_and_the_rate_of_the_common(rate, key):
    drawing = Drawing(Thinned(common()), cut(), key[0], "train", key[1], rate)
    hidden, total = 0, 0
    for window in range(len(drawing.windows)):
        is_common = common()[drawing.windows.sites(window)]
        made = drawing.of_window(window)[: len(is_common)]
        assert made[~is_common].all()
        assert not made[is_common].all()
        hidden, total = hidden + made[is_common].sum(), total + is_common.sum()
    assert close(hidden / total, rate, total)


def test_a_list_hides_all_sites_outside_it_in_every_version():
    for version in (0, 7):
        drawing = Drawing(Listed(common()), cut(), 1, "train", version, 0.3)
        for window in range(len(drawing.windows)):
            is_typed = common()[drawing.windows.sites(window)]
            npt.assert_array_equal(drawing.of_window(window)[: len(is_typed)], ~is_typed)


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: type(policy).__name__)
@settings(max_examples=15, deadline=None)
@given(rate=RATES, key=KEYS, more=st.integers(1, 200), sample=st.integers(0, 3000))
def test_padding_is_never_hidden_and_changes_no_mask(policy, rate, key, more, sample):
    """The same sites in a longer window: the same mask, and False behind it."""
    labels = samples_of(5, 1)
    short = windows.cut(np.zeros(SITES, dtype=np.int32), SITES, 0)
    padded = windows.cut(np.zeros(SITES, dtype=np.int32), SITES + more, 0)
    made = [
        of(DrawingBySample(policy, each, key[0], "train", key[1], rate), 0, labels, [sample])
        for each in (short, padded)
    ]
    npt.assert_array_equal(made[1][:, :SITES], made[0])
    assert not made[1][:, SITES:].any()


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: type(policy).__name__)
@settings(max_examples=15, deadline=None)
@given(rate=RATES, key=KEYS, missing=st.floats(0.0, 1.0))
def test_a_missing_allele_is_never_hidden_as_if_it_were_known(policy, rate, key, missing):
    labels = samples_of(3, 4, missing)
    drawing = DrawingBySample(policy, cut(), key[0], "train", key[1], rate)
    for window in range(len(drawing.windows)):
        made = of(drawing, window, labels, [0, 1, 2, 3])
        padded = tokens.pad(labels[:, drawing.windows.sites(window)], drawing.windows.length)
        seen = tokens.hide(padded, made)
        assert (seen[padded == tokens.MISSING] == tokens.MISSING).all()
        assert (padded[seen == tokens.MASK] <= tokens.ALT).all()


@settings(max_examples=15, deadline=None)
@given(rate=RATES, seed=st.integers(0, 2**31), missing=st.floats(0.0, 1.0))
def test_what_nobody_observed_draws_nothing(rate, seed, missing):
    """A site without an observed allele is not even part of a content-aware mask."""
    labels = samples_of(seed, 1, missing)
    made = masks.smart_balanced_mask(np.random.default_rng(seed), labels, rate, 0.7)
    observed = tokens.is_observed(labels).any(axis=0)
    assert not made[~observed].any()
    if observed.sum() >= 2:
        assert made[observed].any()
        assert not made[observed].all()


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: type(policy).__name__)
@settings(max_examples=15, deadline=None)
@given(rate=RATES, key=KEYS)
def test_a_mask_does_not_depend_on_company_or_order(policy, rate, key):
    labels = samples_of(8, 3)
    drawing = DrawingBySample(policy, cut(), key[0], "train", key[1], rate)
    together = of(drawing, 1, labels, [4, 9, 2])
    alone = of(drawing, 1, labels[2:4], [9])
    npt.assert_array_equal(together[2:4], alone)
    npt.assert_array_equal(together[0::2], together[1::2])


@pytest.mark.parametrize("policy", [Random(), Thinned(common())], ids=["random", "thinned"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), versions=st.lists(st.integers(0, 50), max_size=8), rate=RATES)
def test_validation_masks_are_never_those_of_training(policy, seed, versions, rate):
    fixed = Drawing(policy, cut(), seed, "validation", 0, rate).whole()
    for version in versions:
        other = Drawing(policy, cut(), seed, "train", version, rate).whole()
        assert (fixed != other).any()
    npt.assert_array_equal(fixed, Drawing(policy, cut(), seed, "validation", 0, rate).whole())


def test_samples_versions_windows_and_seeds_have_masks_of_their_own():
    labels = samples_of(1, 2)

    def draw(**changes):
        key = {"seed": 1, "version": 0} | changes
        return DrawingBySample(Random(), cut(), key["seed"], "train", key["version"], 0.5)

    made = of(draw(), 0, labels, [0, 1])
    assert (made[0] != made[2]).any()
    window_mask = Drawing(Random(), cut(), 1, "train", 0, 0.5).of_window(0)
    assert (made[0] != window_mask).any()  # sample 0 is not the window
    for other in (draw(seed=2), draw(version=1)):
        assert (of(other, 0, labels, [0, 1]) != made).any()


def test_the_drawing_of_a_window_is_the_mask_version_of_the_store():
    made = Drawing(Random(), cut(), 3, "train", 5, 0.4).whole()
    npt.assert_array_equal(made, masks.draw_masks(cut(), seed=3, role="train", version=5, rate=0.4))


CODE = """
import hashlib, numpy as np
from tests.domain.test_mask_policies import cut, of, samples_of, policies
from vcfbert.domain.mask_policies import DrawingBySample
digest = hashlib.sha256()
for policy in policies():
    drawing = DrawingBySample(policy, cut(), 11, "train", 4, 0.45)
    for window in range(len(drawing.windows)):
        digest.update(of(drawing, window, samples_of(2, 3), [5, 6, 7]).tobytes())
        if not policy.reads_alleles:
            digest.update(drawing.of_window(window).tobytes())
print(digest.hexdigest())
"""


def test_every_process_draws_the_same_masks():
    found = {
        subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(found) == 1
