from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import strand, strand_decisions
from vcfbert.domain.strand import ALT_MAJOR, REF_MAJOR, TIED
from vcfbert.domain.strand_decisions import AS_WRITTEN, FLIPPED, UNDECIDED, TypedRecords
from vcfbert.domain.tokens import MISSING


def habit(num_sites: int, *, flips: int = 0, swaps: int = 0) -> strand.Habit:
    """A file whose swapped alleles do not depend on the frequency."""
    is_swapped = np.arange(num_sites) % num_sites < swaps
    return strand.habit(
        np.arange(num_sites) < flips, is_swapped, np.full(num_sites, TIED, np.int64)
    )


def odds(file: strand.Habit, *, is_swapped: bool, major: int = TIED) -> float:
    found = file.log_odds(file.flip_rate, np.array([is_swapped]), np.array([major]))
    return float(np.exp(found[0]))


def test_without_swapped_alleles_the_alleles_show_the_strand():
    file = habit(1000, flips=300)
    assert odds(file, is_swapped=False) < 0.001
    assert odds(file, is_swapped=True) > 500


def test_with_half_of_the_alleles_swapped_the_odds_are_those_of_the_flip_rate():
    file = habit(1000, flips=300, swaps=500)
    assert odds(file, is_swapped=True) == pytest.approx(3 / 7, rel=0.01)
    assert odds(file, is_swapped=False) == pytest.approx(3 / 7, rel=0.01)


def test_if_the_major_allele_is_ref_the_order_of_the_alleles_says_nothing():
    major = np.repeat([REF_MAJOR, ALT_MAJOR], 500)
    is_flip = np.arange(1000) % 10 < 3
    file = strand.habit(is_flip, major == ALT_MAJOR, major)
    for is_swapped, place in ((False, REF_MAJOR), (True, ALT_MAJOR)):
        assert odds(file, is_swapped=is_swapped, major=place) == pytest.approx(3 / 7, rel=0.02)


def test_rates_of_a_file_are_never_zero_or_one():
    file = habit(3)
    assert (file.sites, file.flips, file.swaps) == (3, 0, 0)
    assert 0 < file.flip_rate < 0.2
    assert ((file.swap_rate > 0) & (file.swap_rate < 0.2)).all()


def test_the_major_allele_is_counted_without_missing_ones():
    alleles = np.array([[[0, 0], [0, 1]], [[1, MISSING], [1, 0]], [[0, 1], [MISSING] * 2]])
    assert strand.major_alleles(alleles.astype(np.uint8)).tolist() == [REF_MAJOR, ALT_MAJOR, TIED]


@pytest.mark.parametrize("num_sites", [5, 700])
def test_each_asked_site_is_in_one_block_with_its_nearest_telling_sites(num_sites):
    rng = np.random.default_rng(num_sites)
    is_telling = rng.random(num_sites) < 0.8
    is_asked = rng.random(num_sites) < 0.3  # telling sites, too
    contig = np.sort(rng.integers(0, 3, num_sites)).astype(np.int32)
    seen = np.zeros(num_sites, int)
    for block in strand.blocks(is_asked, is_telling, contig):
        assert len(np.unique(contig[block])) == 1
        for row in block[is_asked[block]].tolist():
            near = np.flatnonzero(is_telling & (contig == contig[row]))
            near = near[near != row]
            before, after = near[near < row][-strand.FLANK :], near[near > row][: strand.FLANK]
            if set(before) | set(after) <= set(block):
                seen[row] += 1
    assert (seen[is_asked] == 1).all()


def linked(num_samples: int, *, noise: float = 0.1, num_sites: int = 25, seed: int = 1):
    """A panel of 400 haplotypes and a target; neighbouring sites carry nearly the same alleles."""
    rng = np.random.default_rng(seed)
    haplotypes = 400 + 2 * num_samples
    hidden = rng.random(haplotypes) < 0.4
    alleles = (hidden ^ (rng.random((num_sites, haplotypes)) < noise)).astype(np.uint8)
    return alleles[:, :400], alleles[:, 400:].reshape(num_sites, num_samples, 2)


ROW = 12


def ratios(panel, target):
    is_telling = np.arange(len(panel)) != ROW
    return strand.linkage(panel, target, is_telling, np.array([ROW]))[0]


def test_linkage_tells_the_alleles_from_those_of_the_other_strand():
    panel, target = linked(20)
    written = ratios(panel, target)
    turned = target.copy()
    turned[ROW] = strand.other_strand(target[ROW])
    assert (written > 20).all()
    npt.assert_allclose(ratios(panel, turned), -written)


def test_evidence_of_homozygotes_needs_no_phase():
    panel, target = linked(20)
    shuffled = target.copy()
    rng = np.random.default_rng(2)
    is_turned = rng.random(shuffled.shape[:2]) < 0.5
    shuffled[is_turned] = shuffled[is_turned][:, ::-1]
    npt.assert_allclose(ratios(panel, shuffled)[0], ratios(panel, target)[0])
    assert abs(ratios(panel, shuffled)[1]) < 0.5 * ratios(panel, target)[1]


def test_missing_genotypes_are_no_evidence():
    panel, target = linked(20)
    target[ROW] = MISSING
    assert ratios(panel, target).tolist() == [0.0, 0.0]
    panel, target = linked(20)
    target[:ROW:2] = MISSING  # half of what predicts it
    assert ratios(panel, target)[0] > 20


def test_a_frequency_near_a_half_without_linkage_decides_nothing():
    rng = np.random.default_rng(4)
    panel = (rng.random((25, 400)) < 0.48).astype(np.uint8)
    target = (rng.random((25, 200, 2)) < 0.55).astype(np.uint8)  # of another population
    assert ratios(panel, target)[0] == 0.0


def test_slopes_trust_what_is_right_at_telling_sites_and_nothing_else():
    rng = np.random.default_rng(3)
    right = rng.uniform(4, 12, 200)
    nothing = rng.normal(0, 8, 200)
    found = strand.slopes(np.stack([right, nothing], axis=1))
    assert found[0] > 0.8
    assert found[1] < 0.1
    assert strand.slopes(np.zeros((0, 2))).tolist() == [0.0, 0.0]


def test_palindromic_sites_can_have_more_flips_than_telling_ones():
    file, is_swapped, major = habit(1000, swaps=500), np.zeros(40, bool), np.full(40, TIED)
    seen = np.full(40, 8.0)
    assert strand.likely_rate(file, is_swapped, major, seen) == file.flip_rate
    seen[::4] = -8.0
    assert 0.1 < strand.likely_rate(file, is_swapped, major, seen) < 0.4


def test_other_strand_leaves_missing_alleles():
    alleles = np.array([0, 1, MISSING], np.uint8)
    assert strand.other_strand(alleles).tolist() == [1, 0, MISSING]


def file_of(*, flip_rate: float, swap_rate: float, num_samples: int = 30):
    """60 palindromic sites among 240, and which of them are flipped."""
    rng = np.random.default_rng(5)
    panel, target = linked(num_samples, num_sites=240)
    is_palindromic = np.arange(240) % 4 == 1
    is_flip = rng.random(240) < flip_rate
    is_swap = rng.random(240) < swap_rate
    alleles = target.copy()
    hidden = is_palindromic & is_flip
    alleles[hidden] = strand.other_strand(alleles[hidden])
    records = TypedRecords(
        site=np.arange(240),
        contig=np.zeros(240, np.int32),
        alleles=alleles,
        is_telling=~is_palindromic,
        is_palindromic=is_palindromic,
        is_flipped=is_flip & ~is_palindromic,
        is_swapped=is_swap ^ hidden,
    )
    return records, panel, is_flip


@pytest.mark.parametrize("swap_rate", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("flip_rate", [0.0, 0.05, 0.5, 1.0])
def test_palindromic_sites_are_decided_rightly_at_any_rate(flip_rate, swap_rate):
    records, panel, is_flip = file_of(flip_rate=flip_rate, swap_rate=swap_rate)
    found = strand_decisions.decide(records, panel.mean(axis=1), panel.__getitem__)
    palindromic = records.is_palindromic
    expected = np.where(is_flip & palindromic, FLIPPED, AS_WRITTEN)
    npt.assert_array_equal(found.verdict, expected)
    if swap_rate in (0.0, 1.0) and flip_rate == 0.0:
        assert found.num_compared <= strand_decisions.SPOT_CHECKS
    if swap_rate == 0.5 and flip_rate == 0.5:
        assert found.num_compared == palindromic.sum()


def test_flips_at_palindromic_sites_alone_are_found():
    records, panel, is_flip = file_of(flip_rate=0.3, swap_rate=0.5)
    records.is_flipped[:] = False  # another tool has repaired the telling sites
    found = strand_decisions.decide(records, panel.mean(axis=1), panel.__getitem__)
    npt.assert_array_equal(found.verdict == FLIPPED, is_flip & records.is_palindromic)
    assert UNDECIDED not in found.verdict


def test_a_file_without_flips_or_swapped_alleles_is_not_compared_with_the_panel():
    def refuse(sites):
        raise AssertionError(f"read {sites}")

    records, panel, _ = file_of(flip_rate=0.0, swap_rate=0.0)
    found = strand_decisions.decide(records, panel.mean(axis=1), refuse)
    assert (found.verdict == AS_WRITTEN).all()
    assert found.num_compared == 0


def test_without_the_panels_haplotypes_only_the_rates_decide():
    records, _, _ = file_of(flip_rate=0.5, swap_rate=0.5)
    found = strand_decisions.decide(records, None, None)
    assert (found.verdict[records.is_palindromic] == UNDECIDED).all()
    records, _, is_flip = file_of(flip_rate=0.5, swap_rate=0.0)
    found = strand_decisions.decide(records, None, None)
    npt.assert_array_equal(found.verdict == FLIPPED, is_flip & records.is_palindromic)


def test_a_target_without_linkage_to_the_panel_is_left_undecided():
    records, _, _ = file_of(flip_rate=0.5, swap_rate=0.5)
    panel = np.random.default_rng(7).integers(0, 2, (240, 400)).astype(np.uint8)
    found = strand_decisions.decide(records, None, panel.__getitem__)
    used = found.verdict[records.is_palindromic] != UNDECIDED
    assert used.mean() < 0.05
