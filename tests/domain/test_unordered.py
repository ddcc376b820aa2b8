from __future__ import annotations

import numpy as np
import numpy.testing as npt
from hypothesis import given
from hypothesis import strategies as st

from vcfbert.domain import unordered
from vcfbert.domain.tokens import ALT, MISSING, REF
from vcfbert.domain.unordered import UnorderedGenotypes


def settled(cells: dict[tuple[int, int], tuple[int, int]], imputed, position=None) -> np.ndarray:
    """Probabilities of written sites 0, 1, ... after genotypes `(site, sample): alleles`."""
    alt = np.array(imputed, dtype=np.float32)
    alleles = np.full((len(alt), alt.shape[1], 2), MISSING, np.uint8)
    for place, pair in cells.items():
        alleles[place] = unordered.without_order(np.array(pair, np.uint8))
    found = UnorderedGenotypes.among(np.arange(len(alt)), alleles)
    if position is None:
        position = 100 * np.arange(len(alt))
    kept = unordered.settle(alt, np.arange(len(alt)), np.array(position), found)
    assert set(map(tuple, kept.tolist())) == cells.keys()
    return alt


def test_a_heterozygote_takes_the_more_probable_order():
    cells = {(0, 0): (REF, ALT), (1, 0): (REF, ALT), (2, 0): (ALT, REF), (3, 0): (REF, ALT)}
    alt = settled(cells, [[[0.2, 0.1]], [[0.9, 0.95]], [[0.0, 0.0]], [[1.0, 0.0]]])
    assert alt.tolist() == [[[1, 0]], [[0, 1]], [[1, 0]], [[1, 0]]]


def test_the_unknown_allele_of_a_half_missing_genotype_stays_imputed():
    cells = {(0, 0): (MISSING, ALT), (1, 0): (MISSING, REF), (0, 1): (ALT, MISSING)}
    alt = settled(cells, [[[0.25, 0.5], [0.25, 0.5]], [[0.25, 0.5], [0.75, 0.25]]])
    assert alt.tolist() == [[[0.25, 1], [0.25, 1]], [[0, 0.5], [0.75, 0.25]]]


def test_two_alt_at_one_position_are_on_different_haplotypes():
    imputed = [[[0.9, 0.2]], [[0.6, 0.4]], [[0.6, 0.4]]]
    for second in ((REF, ALT), (ALT, REF)):  # of one record, or of two that were split
        cells = {(0, 0): (ALT, REF), (1, 0): second, (2, 0): (REF, ALT)}
        alt = settled(cells, imputed, position=[5, 5, 6])
        assert alt.tolist() == [[[1, 0]], [[0, 1]], [[1, 0]]]


@given(data=st.data())
def test_typed_alleles_are_in_the_output_whatever_is_imputed(data):
    num_sites, num_samples = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    probability = st.sampled_from([0.0, 1e-9, 0.25, 0.5, 0.75, 1.0])
    imputed = np.array(
        data.draw(
            st.lists(probability, min_size=num_sites * num_samples * 2,
                     max_size=num_sites * num_samples * 2)
        )
    ).reshape(num_sites, num_samples, 2)  # fmt: skip
    allele = st.sampled_from([REF, ALT, MISSING])
    places = st.tuples(st.integers(0, num_sites - 1), st.integers(0, num_samples - 1))
    cells = data.draw(
        st.dictionaries(places, st.tuples(allele, allele).filter(lambda pair: min(pair) <= ALT))
    )
    position = np.sort(
        data.draw(st.lists(st.integers(1, 4), min_size=num_sites, max_size=num_sites))
    )
    alt = settled(cells, imputed, position)
    for site in range(num_sites):
        for sample in range(num_samples):
            found, before = alt[site, sample].tolist(), imputed[site, sample].astype(np.float32)
            pair = cells.get((site, sample))
            if pair is None:
                npt.assert_array_equal(found, before)
                continue
            orders = [[a if a <= ALT else before[h] for h, a in enumerate(order)]
                      for order in (pair, pair[::-1])]  # fmt: skip
            assert found in [[float(a) for a in order] for order in orders]
