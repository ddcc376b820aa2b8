"""Candidates by genotype are the references that homozygotes do not contradict for longest."""

import numpy as np
import numpy.testing as npt

from tests.phasing import mosaics
from vcfbert.domain import tokens
from vcfbert.phasing import genotype_search
from vcfbert.phasing.genotype_search import words


def stretch(references, genotype, cm, place, row, allowed):
    """cM around a place up to the first contradiction on both sides, `allowed` of them behind."""
    wrong = np.flatnonzero((genotype != 1) & (genotype != 3) & (references[row] != genotype // 2))
    below, above = wrong[wrong < place], wrong[wrong >= place]
    low = 0 if len(below) <= allowed else below[-1 - allowed]
    high = len(cm) - 1 if len(above) <= allowed else above[allowed]
    return cm[low], cm[high]


def test_the_longest_stretches_are_found():
    rng = np.random.default_rng(8)
    references, cm = mosaics.panel(rng, 50, 140)
    alleles = mosaics.copies(rng, references, cm, 2)
    alleles[0, [3, 70]] = tokens.MISSING
    genotype = np.where((alleles > 1).any(axis=0), 3, alleles.sum(axis=0))
    for place in (0, 63, 64, 100, 139):
        found = genotype_search.candidates(
            words(references), alleles, cm.astype(np.float32), np.array([place]), 4, mosaics.NO_ROWS
        )
        lengths = []
        for row in range(50):
            low, high = stretch(references, genotype, cm, place, row, 0)
            lower, higher = stretch(references, genotype, cm, place, row, 1)
            lengths.append(high - low + 0.5 * max(higher - high, low - lower))
        npt.assert_allclose(np.sort(np.array(lengths)[found]), np.sort(lengths)[-4:], rtol=1e-5)


def test_fewer_references_than_wanted_are_all_found_but_the_excluded():
    rng = np.random.default_rng(8)
    references, cm = mosaics.panel(rng, 6, 30)
    alleles = mosaics.copies(rng, references, cm, 2)
    found = genotype_search.candidates(
        words(references), alleles, cm.astype(np.float32), np.array([3, 20]), 8, np.array([1, 4])
    )
    assert found.tolist() == [0, 2, 3, 5]
