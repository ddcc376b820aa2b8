"""Trios of all genotypes, compared with an enumeration of what the parents may give."""

from itertools import product

import numpy as np
import pytest

from vcfbert.domain import mendel, tokens
from vcfbert.domain.families import LEAST_RECOMBINATION, Transmissions

ABSENT = None
GENOTYPES = [(0, 0), (0, 1), (1, 0), (1, 1), (4, 4), (0, 4), (9, 4)]  # 9: ./1
HAPLOID = [(0,), (1,), (4,)]


def gifts(genotype):
    """The alleles that a parent may give."""
    if genotype is ABSENT or any(allele > 1 for allele in genotype):
        return {0, 1}
    return set(genotype)


def expected(child, father, mother):
    """Order and error by trying both orders."""
    if any(allele > 1 for allele in child):
        return mendel.UNDECIDED, False
    if len(child) == 1:
        return mendel.UNDECIDED, child[0] not in gifts(mother)
    fits = [one in gifts(father) and other in gifts(mother) for one, other in (child, child[::-1])]
    if not any(fits):
        return mendel.UNDECIDED, True
    if child[0] == child[1] or all(fits):
        return mendel.UNDECIDED, False
    return (mendel.AS_WRITTEN if fits[0] else mendel.TURNED), False


def arrays(genotypes):
    is_haploid = np.array([one is not ABSENT and len(one) == 1 for one in genotypes])
    pairs = [(4, 4) if one is ABSENT else (*one, 4)[:2] for one in genotypes]
    return np.array(pairs, np.uint8), is_haploid


def test_all_trios_are_decided_as_by_enumeration():
    cases = list(
        product(GENOTYPES + HAPLOID, [ABSENT, *GENOTYPES, *HAPLOID], [ABSENT, *GENOTYPES, *HAPLOID])
    )
    child, father, mother = zip(*cases, strict=True)
    alleles, is_haploid = arrays(child)
    order, is_error = mendel.decided_order(
        alleles,
        is_haploid,
        mendel.possible_gifts(*arrays(father)),
        mendel.possible_gifts(*arrays(mother)),
    )
    wanted = [expected(*case) for case in cases]
    assert list(zip(order.tolist(), is_error.tolist(), strict=True)) == wanted
    assert {one for one, _ in wanted} == {0, 1, 2}


def test_what_a_child_received_shows_what_a_parent_gave():
    """Of each consistent trio: the father's gift is known if only one allele is possible."""
    for child, father, mother in product(GENOTYPES[:4], repeat=3):
        order, is_error = expected(child, father, mother)
        if is_error:
            continue
        possible = {
            one
            for one, other in (child, child[::-1])
            if one in gifts(father) and other in gifts(mother)
        }
        found = mendel.received(
            np.array([child], np.uint8), np.zeros(1, bool), np.array([order], np.uint8),
            of_father=True,
        )[0]  # fmt: skip
        assert found == (possible.pop() if len(possible) == 1 else tokens.MISSING)
    son, no_order = np.array([[1, 4]], np.uint8), np.zeros(1, np.uint8)
    assert mendel.received(son, np.ones(1, bool), no_order, of_father=True)[0] == tokens.MISSING
    assert mendel.received(son, np.ones(1, bool), no_order, of_father=False)[0] == 1


@pytest.mark.parametrize(
    ("orders", "child", "found", "is_error"),
    [
        ([1, 0], [[0, 1], [1, 0]], [1, 1], False),
        ([0, 1], [[0, 1], [0, 1]], [2, 1], False),
        ([2, 0], [[1, 0], [1, 0]], [2, 1], False),
        ([1, 1], [[0, 1], [0, 1]], [1, 1], True),
        ([1, 2], [[0, 1], [0, 1]], [1, 2], False),
        ([0, 0], [[0, 1], [1, 0]], [0, 0], False),
    ],
)
def test_two_alts_of_one_record_come_from_different_parents(orders, child, found, is_error):
    order, errors = mendel.apart(
        np.array(orders, np.uint8), np.array(child, np.uint8), np.array([3, 3])
    )
    assert (order.tolist(), errors.tolist()) == (found, [is_error] * 2)
    order, errors = mendel.apart(
        np.array(orders, np.uint8), np.array(child, np.uint8), np.array([3, 4])
    )
    assert (order.tolist(), errors.any()) == (orders, False)


def test_children_add_up_and_distance_weakens_their_evidence():
    cm = np.array([0.0, 1.0, 1.0, 60.0])
    one = Transmissions(np.array([[0, 0, 1, 0]], np.int8), cm)
    near, turned, far = [one.take(number, number, 64) for number in range(4)][1:]
    share = (1 - np.exp(-0.02)) / 2
    share += LEAST_RECOMBINATION * (1 - 2 * share)
    assert near == (pytest.approx(np.log(share / (1 - share))), 1)
    assert turned == (pytest.approx(-np.log(LEAST_RECOMBINATION / (1 - LEAST_RECOMBINATION))), 1)
    assert 0 < far[0] < 1
    two = Transmissions(np.array([[0, 0, -1, 0], [1, 1, -1, -1]], np.int8), cm)
    found = [two.take(number, number, 64) for number in range(4)]
    assert found[1] == (pytest.approx(2 * near[0]), 1)
    assert found[2] == (0.0, 1)
    assert found[3][1] == 2
    short = Transmissions(np.array([[0, -1, -1, 0]], np.int8), cm)
    assert [short.take(number, number, 2) for number in range(4)][3] == (0.0, 1)
