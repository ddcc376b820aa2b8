"""What parents and children say of each other's genotypes.

A parent that is homozygous, or haploid, decides which allele it gave. So the parents decide the
order of a child's heterozygote if only one order fits them, and a genotype that no order fits is a
Mendelian error. A child that is homozygous, or whose order is decided, shows which of a parent's
alleles it received.

T sites. Alleles are REF, ALT or another value for an allele that is not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens

UNDECIDED, AS_WRITTEN, TURNED = 0, 1, 2
"""Order of a heterozygote as the parents decide it; AS_WRITTEN if the first allele is the
father's."""

NOT_SEEN = -1
"""In `transmitted`: it is not known which allele was given."""


def possible_gifts(alleles: NDArray[np.uint8], is_haploid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(2, T) True if a parent may give REF, or ALT. A genotype with a missing allele may give both.

    alleles     (T, 2)
    is_haploid  (T,) True if the second allele is absent

    >>> alleles = np.array([[0, 0], [0, 1], [4, 1], [1, 4]], np.uint8)
    >>> possible_gifts(alleles, np.array([False, False, False, True])).astype(int).tolist()
    [[1, 1, 1, 0], [0, 1, 1, 1]]
    """
    first = alleles[:, 0]
    second = np.where(is_haploid, first, alleles[:, 1])
    is_known = tokens.is_observed(first) & tokens.is_observed(second)
    return np.stack([~is_known | (first == one) | (second == one) for one in (0, 1)])


def anything(num_sites: int) -> NDArray[np.bool_]:
    """(2, T) of a parent that is not in the file."""
    return np.ones((2, num_sites), np.bool_)


def decided_order(
    child: NDArray[np.uint8],
    is_haploid: NDArray[np.bool_],
    of_father: NDArray[np.bool_],
    of_mother: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The order of a child's heterozygotes by its parents, and its Mendelian errors.

    A haploid child has its allele from the mother: it is a son, on X.

    child       (T, 2)
    is_haploid  (T,) of the child
    of_father, of_mother  (2, T) of `possible_gifts`
    returns     (T,) UNDECIDED, AS_WRITTEN or TURNED, and (T,) True for errors

    >>> child = np.array([[0, 1], [0, 1], [1, 1], [1, 4]], np.uint8)
    >>> father, mother = np.array([[1, 1, 1, 1], [1, 0, 0, 0]], bool), anything(4)
    >>> order, is_error = decided_order(child, np.array([0, 0, 0, 1], bool), father, mother)
    >>> order.tolist(), is_error.tolist()
    ([0, 1, 0, 0], [False, False, True, False])
    """
    site = np.arange(len(child))
    first = np.minimum(child[:, 0], 1)
    second = np.minimum(child[:, 1], 1)
    is_known = tokens.is_observed(child[:, 0]) & (is_haploid | tokens.is_observed(child[:, 1]))
    written = of_father[first, site] & of_mother[second, site]
    turned = of_father[second, site] & of_mother[first, site]
    single = of_mother[first, site]
    fits = np.where(is_haploid, single, written | turned)
    is_het = is_known & ~is_haploid & (first != second)
    order = np.full(len(child), UNDECIDED, np.uint8)
    order[is_het & written & ~turned] = AS_WRITTEN
    order[is_het & turned & ~written] = TURNED
    return order, is_known & ~fits


def apart(
    order: NDArray[np.uint8], child: NDArray[np.uint8], record: NDArray[np.integer]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Orders of a child's heterozygotes whose ALT are of one record, as of `1/2`.

    Such ALT are on different haplotypes, so one that is decided decides the other; if both are
    decided for the same haplotype, both are Mendelian errors.

    order   (T,) of `decided_order`
    child   (T, 2)
    record  (T,) index of each site's record, which types consecutive sites
    returns (T,) orders, and (T,) True for errors

    >>> child, record = np.array([[0, 1], [1, 0]], np.uint8), np.array([5, 5])
    >>> apart(np.array([1, 0], np.uint8), child, record)[0].tolist()
    [1, 1]
    >>> apart(np.array([1, 2], np.uint8), child, record)[1].tolist()
    [True, True]
    """
    is_error = np.zeros(len(order), np.bool_)
    hets = np.flatnonzero(tokens.is_heterozygous(child.T))
    pairs = np.flatnonzero(record[hets[1:]] == record[hets[:-1]])
    if len(pairs) == 0:
        return order, is_error
    found = order.copy()
    for one, other in zip(hets[pairs].tolist(), hets[pairs + 1].tolist(), strict=True):
        is_same = child[one, 0] == child[other, 0]  # both ALT are on one haplotype as written
        for known, free in ((one, other), (other, one)):
            if order[known] and not order[free]:
                found[free] = 3 - order[known] if is_same else order[known]
        if order[one] and order[other] and (order[one] == order[other]) == is_same:
            is_error[[one, other]] = True
    return found, is_error


def transmitted(
    parent: NDArray[np.uint8],
    is_parent_haploid: NDArray[np.bool_],
    given: NDArray[np.uint8],
) -> NDArray[np.int8]:
    """(T,) which of a parent's two alleles it gave a child, 0 or 1; NOT_SEEN if it is not known.

    parent  (T, 2)
    given   (T,) the allele that the child received, or another value

    >>> parent = np.array([[0, 1], [1, 0], [1, 1], [0, 1]], np.uint8)
    >>> transmitted(parent, np.zeros(4, bool), np.array([1, 1, 1, 4], np.uint8)).tolist()
    [1, 0, -1, -1]
    """
    is_seen = tokens.is_heterozygous(parent.T) & ~is_parent_haploid & tokens.is_observed(given)
    return np.where(is_seen, parent[:, 1] == given, NOT_SEEN).astype(np.int8)


def received(
    child: NDArray[np.uint8],
    is_haploid: NDArray[np.bool_],
    order: NDArray[np.uint8],
    *,
    of_father: bool,
) -> NDArray[np.uint8]:
    """(T,) the allele that a child has from one parent, MISSING of `tokens` if that is not known.

    order  (T,) of `decided_order`

    >>> child, order = np.array([[0, 1], [1, 1], [0, 1]], np.uint8), np.array([2, 0, 0], np.uint8)
    >>> received(child, np.zeros(3, bool), order, of_father=True).tolist()
    [1, 1, 4]
    """
    first, second = child.T
    is_first = (order == AS_WRITTEN) == of_father
    is_certain = (order != UNDECIDED) | (first == second)
    found = np.where(is_certain, np.where(is_first, first, second), np.uint8(tokens.MISSING))
    only = np.full(len(child), tokens.MISSING, np.uint8) if of_father else first
    return np.asarray(np.where(is_haploid, only, found), dtype=np.uint8)
