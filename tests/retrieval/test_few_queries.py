"""A few queries are compared with all references, with the result of FAISS."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.retrieval import chunk_candidates, few_queries


def task(num_rows, num_typed, num_queries, seed=1):
    """Packed alleles of mosaics, of which some are equal over many sites."""
    rng = np.random.default_rng(seed)
    founders = rng.integers(0, 2, (5, num_typed), dtype=np.uint8)
    alleles = founders[rng.integers(0, 5, num_rows + num_queries)]
    alleles ^= (rng.random(alleles.shape) < 0.05).astype(np.uint8)
    packed = np.packbits(alleles, axis=1, bitorder="little")
    return packed[:num_rows], packed[num_rows:]


@pytest.mark.parametrize(
    ("num_rows", "num_typed", "threads"),
    [(450, 20, 1), (600, 900, 2), (500, 70_000, 1), (66_000, 64, 1)],
    ids=["few typed sites", "an array", "sums beyond 16 bits", "rows beyond 16 bits"],
)
def test_the_result_is_that_of_faiss(num_rows, num_typed, threads, monkeypatch):
    references, queries = task(num_rows, num_typed, 3)
    chosen = chunk_candidates.plan(num_typed)
    banned = [np.arange(n, 400, 50) for n in range(3)]
    words = np.pad(references, [(0, 0), (0, -references.shape[1] % 8)])
    monkeypatch.setattr(chunk_candidates, "MOST_FEW_BYTES", num_typed)
    monkeypatch.setattr(few_queries, "_ROWS", 400)
    found = chunk_candidates._nearest(words, queries, banned, chosen, threads)
    monkeypatch.setattr(chunk_candidates, "MOST_FEW", 0)
    expected = chunk_candidates._nearest(words, queries, banned, chosen, threads)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        npt.assert_array_equal(one, other)


def test_ties_are_resolved_by_row():
    references = np.array([[3], [1], [0], [1], [7]], np.uint8)
    found = few_queries.nearest(
        references, np.array([[1]], np.uint8), 4, [lambda before: before[1] - before[0]], threads=1
    )
    assert found.tolist() == [[[1, 3, 0, 2]]]
