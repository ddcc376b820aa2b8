"""Links between heterozygotes, orientation of chunks, and imputation of uncertain phases."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.copying.engine import ImputedChunk
from vcfbert.domain.families import LEAST_RECOMBINATION, FamilyOrder
from vcfbert.pipelines.chunks import chunk_phasing
from vcfbert.pipelines.chunks.chunk_phasing import KnownPhase

INF = np.inf


def links(first, second, sets, position=None, trust="keep"):
    alleles = np.array([list(map(int, first)), list(map(int, second))], np.uint8)
    places = np.arange(len(first)) if position is None else np.array(position)
    found = chunk_phasing.linked(alleles, np.array(sets, np.int32), places.astype(np.int32), trust)
    return found.log_odds.tolist(), found.back.tolist(), found.is_loose


@pytest.mark.parametrize(
    ("sets", "odds", "back", "is_loose"),
    [
        ([1, 1, 1, 1], [0, -INF, -INF, -INF], [1, 1, 1, 1], False),
        ([0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], True),
        ([1, 0, 1, 1], [0, 0, -INF, -INF], [1, 1, 2, 1], True),
        ([2, 3, 2, 3], [0, 0, -INF, -INF], [1, 1, 2, 2], True),
        ([2, 2, 3, 3], [0, -INF, 0, -INF], [1, 1, 1, 1], True),
        ([0, 1, 1, 1], [0, 0, -INF, -INF], [1, 1, 1, 1], True),
    ],
)
def test_a_heterozygote_is_linked_to_the_last_of_its_set(sets, odds, back, is_loose):
    assert links("0101", "1010", sets) == (odds, back, is_loose)


def test_homozygotes_and_missing_genotypes_have_no_links():
    odds, back, is_loose = links("0041", "1040", [1, 1, 1, 1])
    assert (odds, back, is_loose) == ([0, 0, 0, -INF], [1, 1, 1, 1], False)


def test_two_alts_at_one_position_are_on_different_haplotypes():
    assert links("01", "10", [0, 0], [5, 5])[0] == [0, -INF]
    assert links("00", "11", [0, 0], [5, 5])[0] == [0, INF]
    assert links("00", "11", [1, 1], [5, 5]) == ([0, -INF], [1, 1], False)  # phased in the file


@pytest.mark.parametrize(("trust", "odds"), [("refine", -3.0), ("redo", 0.0)])
def test_phase_that_is_not_kept_is_loose(trust, odds):
    assert links("01", "10", [1, 1], trust=trust) == ([0, odds], [1, 1], True)


def test_a_chunk_is_turned_to_agree_with_the_one_before():
    typed, block = np.array([3, 5, 8, 9]), np.array([0, 2])
    before = KnownPhase(np.array([2, 3, 5]), np.zeros((3, 3, 2), np.uint8))
    before.alleles[1:, 0] = before.alleles[1:, 2] = (0, 1)
    alleles = np.array([[[1, 1, 0, 1], [0, 0, 1, 0]], [[0, 0, 1, 1], [1, 1, 0, 0]]], np.uint8)
    expected = alleles.copy()
    expected[0] = expected[0, ::-1]
    found = chunk_phasing.oriented(chunk_phasing.certain(alleles), typed, block, before)
    npt.assert_array_equal(found.alleles, expected)
    assert found.is_joined.all()


def test_certain_and_uncertain_samples_are_imputed_apart_and_put_together():
    """The draws of the first sample turn its second heterozygote in one of four phases."""
    best = np.array([[[1, 1], [0, 0]], [[1, 1], [1, 1]]], np.uint8)
    draws = np.array([best[:1], [[[1, 0], [0, 1]]], best[:1], best[:1]], np.uint8)
    phases = replace(chunk_phasing.certain(best), draws=draws, several=np.array([True, False]))
    chunk = SimpleNamespace(cm=np.arange(6.0), typed=np.array([1, 4]), stops=np.array([1, 2]))
    asked = []

    def run(alleles, chosen, branches=None):
        asked.append((alleles.tolist(), chosen.tolist(), branches))
        alt = np.full((6, len(chosen), 2), 0.5 if branches else 0.25, np.float32)
        return ImputedChunk(alt, alt[:2], 0.5 if branches else 0.1, 0.2 if branches else 0.0)

    found = chunk_phasing.impute(phases, chunk, run)
    assert [(alleles, chosen) for alleles, chosen, _ in asked] == [
        (best[:1].tolist(), [0]), (best[1:].tolist(), [1]),
    ]  # fmt: skip
    (branches,) = asked[0][2]
    assert asked[1][2] is None
    assert branches.first.tolist() == [0, 0, 2]
    assert sorted(zip(branches.turned.tolist(), branches.weight.tolist(), strict=True)) == [
        (0, 0.75), (1, 0.25),
    ]  # fmt: skip
    npt.assert_array_equal(found.alt, np.tile([[[0.5, 0.5], [0.25, 0.25]]], (6, 1, 1)))
    npt.assert_array_equal(found.left_out, found.alt[:2])
    assert (found.open_share, found.out_of_range) == pytest.approx((0.3, 0.5 * 0.2 / 0.6))


def of_family(first, second, decided, transmitted=(), sets=None, trust="keep"):
    """Links of a sample; `transmitted` has a text for each child: 0, 1 or `.`."""
    alleles = np.array([list(map(int, first)), list(map(int, second))], np.uint8)
    places = [[-1 if one == "." else int(one) for one in child] for child in transmitted]
    family = FamilyOrder(
        np.array(list(map(int, decided)), bool),
        np.array(places, np.int8).reshape(len(places), len(first)),
    )
    size = len(first)
    found = chunk_phasing.linked(
        alleles, np.array(sets or [0] * size, np.int32), np.arange(size, dtype=np.int32), trust,
        np.zeros(size), family,
    )  # fmt: skip
    return found.log_odds.tolist(), found.back.tolist(), found.is_loose


@pytest.mark.parametrize("trust", ["keep", "refine", "redo"])
def test_what_parents_decide_is_one_set_of_its_own(trust):
    odds, back, is_loose = of_family("0101", "1010", "1101", trust=trust)
    assert (odds, back, is_loose) == ([0, -INF, 0, -INF], [1, 1, 1, 2], True)
    assert of_family("0101", "1010", "1111", trust=trust)[2] is False
    odds, back, _ = of_family("0101", "1010", "0101", sets=[1, 0, 1, 0], trust=trust)
    assert odds == [0, 0, chunk_phasing.TRUSTED[trust], -INF]
    assert back == [1, 1, 2, 2]


def test_children_suggest_what_nothing_else_links():
    sure = np.log(LEAST_RECOMBINATION / (1 - LEAST_RECOMBINATION))
    odds, back, is_loose = of_family("0101", "1010", "0000", ["0.01"])
    assert odds == [0, 0, pytest.approx(sure), pytest.approx(-sure)]
    assert (back, is_loose) == ([1, 1, 2, 1], True)
    odds, _, _ = of_family("0101", "1010", "0000", ["0.01"], sets=[1, 0, 1, 0])
    assert odds == [0, 0, -INF, pytest.approx(-sure)]


def test_decided_heterozygotes_are_held_at_any_distance():
    """Of 70 heterozygotes the first and the last are decided; a link reaches over 64."""
    asked = np.tile(np.array([[[0], [1]]], np.uint8), (1, 1, 70))
    is_decided = np.zeros(70, bool)
    is_decided[[0, 69]] = True
    family = FamilyOrder(is_decided, np.empty((0, 70), np.int8))
    phases = chunk_phasing.certain(asked.copy())
    phases.alleles[:, :, :30] = asked[:, ::-1, :30]
    phases.turn[0, [20, 40]] = (0.3, 0.4)
    found = chunk_phasing.held(phases, asked, [family])
    assert found.is_held.all()
    assert found.alleles[0, 0].tolist() == [0] * 30 + [1] * 10 + [0] * 30
    assert found.turn[0, 40] == 0.5
    untouched = chunk_phasing.certain(asked.copy())
    assert not chunk_phasing.held(untouched, asked, [None]).is_held.any()
