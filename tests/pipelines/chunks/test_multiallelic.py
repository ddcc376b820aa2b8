from __future__ import annotations

import numpy as np
import numpy.testing as npt
from hypothesis import given
from hypothesis import strategies as st

from tests import targets
from tests.copying import chunks
from vcfbert.pipelines.chunks import multiallelic

ROWS = [
    ("20", 100, "A", "G"),
    ("20", 200, "A", "C"),
    ("20", 200, "A", "G"),
    ("20", 200, "A", "T"),
    ("20", 300, "A", "C"),
    ("20", 300, "AT", "A"),
    ("21", 300, "A", "C"),
    ("21", 300, "A", "G"),
]


def haplotypes(*carried: int) -> np.ndarray:
    """One haplotype for each listed site, which carries ALT there only."""
    alleles = np.zeros((len(carried), len(ROWS)), np.uint8)
    alleles[np.arange(len(carried)), list(carried)] = 1
    return alleles


EVERY = tuple(range(len(ROWS)))


def found(alleles, chosen=EVERY):
    chosen = np.array(chosen)
    sites = targets.sites_of(ROWS)
    shared = chosen[multiallelic.sharing_a_position(chosen, sites)]
    runs = multiallelic.alternatives(chosen, chunks.pack(alleles[:, shared]), sites)
    return [run.tolist() for run in runs]


def test_alternatives_share_position_and_ref():
    assert found(haplotypes(0, 1, 2, 3, 4, 5, 6, 7)) == [[1, 2, 3], [6, 7]]
    assert found(haplotypes(1, 2, 6), [0, 2, 3, 6]) == [[1, 2]]


def test_sites_of_which_a_haplotype_carries_both_are_no_alternatives():
    alleles = haplotypes(1, 2, 6, 7)
    alleles[0, 2] = 1
    assert found(alleles) == [[6, 7]]


def test_sites_with_the_same_alleles_are_no_alternatives():
    """Markers of one gene, told apart by their ID."""
    rows = [("6", 100, "A", "T")] * 3
    bits = chunks.pack(np.eye(3, dtype=np.uint8))
    assert multiallelic.alternatives(np.arange(3), bits, targets.sites_of(rows)) == []


def test_alternatives_of_chosen_sites_are_chosen_as_well():
    sites = targets.sites_of(ROWS)
    for chosen, expected in (([0, 2], [0, 1, 2, 3]), ([1], [1, 2, 3]), ([7], [6, 7]), ([], [])):
        rows = multiallelic.with_alternatives(np.array(chosen, np.int64), sites)
        assert rows.tolist() == expected


@given(st.integers(0, 2**32 - 1))
def test_probabilities_of_alternatives_add_up_to_one_at_most(seed):
    rng = np.random.default_rng(seed)
    before = rng.random((8, 5, 2), dtype=np.float32) ** 2
    typed, runs = np.array([0, 2, 6]), [np.array([1, 2, 3]), np.array([6, 7])]
    alleles = rng.choice(np.array([0, 1, 4], np.uint8), (3, 5, 2))
    is_known = alleles <= 1
    before[typed] = np.where(is_known, alleles, before[typed])
    after = before.copy()
    multiallelic.exclude(after, runs, typed, alleles)
    npt.assert_array_equal(after[typed][is_known], before[typed][is_known])
    npt.assert_array_equal(after[[0, 4, 5]], before[[0, 4, 5]])
    for run in runs:
        assert (after[run].sum(axis=0) <= 1 + 1e-6).all()
        is_fine = before[run].sum(axis=0) <= 1
        npt.assert_allclose(after[run][:, is_fine], before[run][:, is_fine], atol=1e-6)
    carried = is_known[1] & (alleles[1] == 1)
    assert (after[1][carried] == 0).all()
    assert (after[3][carried] == 0).all()
