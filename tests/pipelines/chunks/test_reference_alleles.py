"""Alleles in memory are taken for the sites that they are of, not for as many."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt

from tests.copying import chunks
from vcfbert.domain import tokens
from vcfbert.pipelines.chunks.reference_alleles import ReferenceAlleles

SITES = np.arange(100, 110)
ALLELES = np.random.default_rng(3).integers(0, 2, (6, len(SITES)), dtype=np.uint8)


def of(known):
    """Alleles of which those at some of the sites are in memory."""
    return ReferenceAlleles(None, SITES, (SITES[known], chunks.pack(ALLELES[:, known])), 1)


def test_some_of_all_sites_are_complete():
    some = of(np.arange(10)).among(np.array([0, 3, 9]))
    assert some.is_complete
    taken = some.of(np.array([1, 4]))
    npt.assert_array_equal(
        tokens.unpack(taken.view(np.uint8), 3), ALLELES[np.ix_([1, 4], [0, 3, 9])]
    )


def test_as_many_other_sites_are_not_complete():
    some = of(np.delete(np.arange(10), 8)).among(np.arange(9))
    assert len(some.sites) == len(some.known[0])
    assert not some.is_complete
    assert some.in_memory.shape == (0, 1)
