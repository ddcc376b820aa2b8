"""Branches of phases: turns, flips and their probabilities."""

import numpy as np
import pytest

from vcfbert.copying import branches

LIKELIEST = np.array([[0, 0, 1, 0, 0, 4], [1, 1, 1, 1, 1, 0]], np.uint8)  # hets 0, 1, 3, 4


def phase(*swapped):
    found = LIKELIEST.copy()
    found[:, list(swapped)] = found[::-1, list(swapped)]
    return found


def of(phases, stops=(1, 2, 3, 4, 5, 6)):
    found = branches.of_phases(np.stack(phases), LIKELIEST, np.array(stops))
    ways = zip(found.turned.tolist(), found.flips.tolist(), found.weight.tolist(), strict=True)
    ways = list(ways)
    return [ways[a:b] for a, b in zip(found.first[:-1], found.first[1:], strict=True)]


def test_phases_equal_to_the_likeliest_have_no_branches():
    """The whole phase may be the other way round."""
    assert of([phase(), phase(0, 1, 3, 4)]) == [[]] * 6


def test_a_turn_is_where_the_order_changes():
    ways = of([phase(), phase(3, 4), phase(), phase()])
    assert ways == [[], [], [], [(0, 0, 0.75), (1, 0, 0.25)], [], []]


def test_a_heterozygote_alone_in_its_order_is_flipped():
    ways = of([phase(), phase(1)])
    assert ways == [[], [(0, 0, 0.5), (0, 0b10, 0.5)], [], [], [], []]


def test_the_last_heterozygote_turns():
    assert of([phase(), phase(4)])[4] == [(0, 0, 0.5), (1, 0, 0.5)]


def test_alleles_before_a_turn_inside_a_cluster_are_flipped():
    """The order of a cluster is that of its last heterozygote."""
    ways = of([phase(), phase(3, 4)], stops=(1, 4, 6))
    assert ways == [[], [(0, 0, 0.5), (1, 0b10, 0.5)], []]


def test_a_cluster_that_all_phases_turn_has_one_branch():
    assert of([phase(3, 4), phase(0, 1)])[3] == [(1, 0, 1.0)]


@pytest.mark.parametrize("num_phases", [1, 3, 16])
def test_probabilities_sum_to_one(num_phases):
    generator = np.random.default_rng(num_phases)
    phases = [phase(*np.flatnonzero(generator.random(5) < 0.4)) for _ in range(num_phases)]
    for ways in of(phases, stops=(2, 4, 6)):
        assert not ways or sum(weight for _, _, weight in ways) == pytest.approx(1)


def test_only_homozygotes_have_no_branches():
    same = np.zeros((2, 3), np.uint8)
    found = branches.of_phases(same[None], same, np.array([3]))
    assert found.first.tolist() == [0, 0]
    assert len(found.weight) == 0
