"""Kinship against its definition, and who is found in genotypes made for it."""

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import kinship

RNG_SITES = 3_000


@pytest.fixture(scope="module")
def fx_family():
    """(M, 48): 40 strangers, a child of the first two, its sibling, and six who are someone twice.

    Unlinked sites, as far apart as the genome has them.
    """
    rng = np.random.default_rng(4)
    frequency = rng.uniform(0.05, 0.5, RNG_SITES)
    haplotypes = (rng.random((RNG_SITES, 80)) < frequency[:, None]).astype(np.uint8)

    def child():
        gametes = [
            haplotypes[np.arange(RNG_SITES), 2 * parent + rng.integers(2, size=RNG_SITES)]
            for parent in (0, 1)
        ]
        return gametes[0] + gametes[1]

    strangers = haplotypes[:, 0::2] + haplotypes[:, 1::2]
    twice = strangers[:, 10:16].copy()
    for column, share in enumerate((0.0, 0.002, 0.005, 0.008, 0.03, 0.1)):
        wrong = rng.permutation(RNG_SITES)[: int(share * RNG_SITES)]
        twice[wrong, column] = (twice[wrong, column] + 1) % 3
    return np.concatenate([strangers, np.stack([child(), child()], 1), twice], axis=1)


def king(one, another):
    """The between-family estimator as it is printed, by counting."""
    het_one, het_another = (one == 1).sum(), (another == 1).sum()
    both = ((one == 1) & (another == 1)).sum()
    opposite = (abs(one.astype(int) - another) == 2).sum()
    least = min(het_one, het_another)
    return (both - 2 * opposite) / (2 * least) + 0.5 - (het_one + het_another) / (4 * least)


def named(pairs):
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_kinship_is_that_of_king_robust(fx_family):
    few = fx_family[:, 30:]
    pairs = kinship.close_pairs(few, None, -10.0)
    assert len(pairs) == 18 * 17 // 2
    for first, second, found in zip(pairs.first, pairs.second, pairs.kinship, strict=True):
        npt.assert_allclose(found, king(few[:, first], few[:, second]), atol=1e-12)


def test_first_degree_and_the_same_are_found_and_no_stranger(fx_family):
    pairs = kinship.close_pairs(fx_family, None, kinship.FIRST_DEGREE)
    family = {(0, 40), (1, 40), (0, 41), (1, 41), (40, 41)}
    twice = {(10 + n, 42 + n) for n in range(6)}
    assert named(pairs) == family | twice
    chosen = pairs.is_same
    assert set(zip(pairs.first[chosen], pairs.second[chosen], strict=True)) == {
        (10 + n, 42 + n)
        for n in range(4)  # of whom no more than 1 % differs
    }


def test_without_a_threshold_of_kinship_only_the_same_are_found(fx_family):
    pairs = kinship.close_pairs(fx_family, None, None)
    assert named(pairs) == {(10 + n, 42 + n) for n in range(4)}
    assert pairs.different.max() <= kinship.MAX_DIFFERENT


def test_two_lists_and_small_blocks_find_the_same_pairs(fx_family, monkeypatch):
    whole = named(kinship.close_pairs(fx_family, None, kinship.FIRST_DEGREE))
    monkeypatch.setattr(kinship, "_CELLS", 100)
    assert named(kinship.close_pairs(fx_family, None, kinship.FIRST_DEGREE)) == whole
    first, second = np.arange(20), np.arange(20, 48)
    pairs = kinship.close_pairs(fx_family[:, first], fx_family[:, second], kinship.FIRST_DEGREE)
    across = {pair for pair in whole if pair[0] < 20 <= pair[1]}
    assert named(pairs.renamed(first, second)) == across
    assert len(across) == 10


def test_no_samples_make_no_pairs():
    nobody = np.empty((5, 0), np.uint8)
    assert len(kinship.close_pairs(nobody, None, None)) == 0
    assert len(kinship.close_pairs(nobody, np.zeros((5, 3), np.uint8), None)) == 0


def test_samples_without_heterozygous_sites_have_no_kinship():
    pairs = kinship.close_pairs(np.zeros((200, 2), np.uint8), None, None)
    assert pairs.is_same.all()
    assert np.isnan(pairs.kinship).all()


@pytest.mark.parametrize("early", [1, 7, 64, 10_000])
def test_alike_compares_where_both_are_known(fx_family, monkeypatch, early):
    monkeypatch.setattr(kinship, "_EARLY_SITES", early)
    target = fx_family[:, 42:45].copy()
    target[::3] = 3
    for _ in range(2):
        first, second = kinship.alike(target, fx_family[:, :40], 0.03)
        npt.assert_array_equal((first, second), [[0, 1, 2], [10, 11, 12]])
        monkeypatch.setattr(kinship, "_CELLS", 40)
    first, _ = kinship.alike(fx_family[:, 47:], fx_family[:, :40], 0.03)  # a tenth differs
    assert len(first) == 0


def test_sites_are_common_and_apart_on_every_contig():
    rng = np.random.default_rng(1)
    contig = np.repeat([0, 1], 500)
    cm = np.concatenate([np.sort(rng.uniform(0, 3, 500)) for _ in range(2)])
    frequency = rng.uniform(0, 1, 1000)
    chosen = kinship.thinned(frequency, contig, cm)
    assert (np.minimum(frequency, 1 - frequency)[chosen] >= kinship.COMMON_MAF).all()
    cells = list(zip(contig[chosen], np.floor(cm[chosen] / kinship.SPACING_CM), strict=True))
    assert len(set(cells)) == len(cells) > 400
    assert set(contig[chosen]) == {0, 1}
    assert 5.5 < kinship.length_cm(contig[chosen], cm[chosen]) < 6


@pytest.mark.parametrize(
    ("length", "most"), [(30.0, kinship.MAX_SITES_OF_SAME), (400.0, kinship.MAX_SITES)]
)
def test_no_more_sites_than_are_worth_looking_at(length, most):
    cm = np.linspace(0, length, 20_000)
    chosen = kinship.thinned(np.full(20_000, 0.3), np.zeros(20_000, int), cm)
    assert len(chosen) == most
    assert chosen[0] == 0
    assert chosen[-1] > 19_000


def test_few_sites_or_a_short_region_tell_nothing():
    assert kinship.can_tell_same(kinship.MIN_SITES, kinship.MIN_CM)
    assert not kinship.can_tell_same(kinship.MIN_SITES - 1, 50.0)
    assert not kinship.can_tell_same(10_000, kinship.MIN_CM / 2)
