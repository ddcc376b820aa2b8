"""References for the contrastive loss: those a training query should find, and hard negatives.

B query haplotypes, P positives, M negatives, L sites in a window, E excluded rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.retrieval import similarity
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.query import Query, WindowIndex

POSITIVES = 4
NEGATIVES = 16


@dataclass(frozen=True)
class Contrast:
    """Index rows of the references; see `model.contrast`.

    positives  (B, P) rows that agree best with the query at its masked sites
    negatives  (B, M) rows
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


@dataclass(frozen=True)
class ContrastTokens:
    """Alleles of the references of a Contrast.

    positives  (B, P, L) complete tokens
    negatives  (B, M, L) complete tokens
    is_wrong   (B, M) True if a negative differs from the query at more masked sites than every
               positive
    """

    positives: NDArray[np.uint8]
    negatives: NDArray[np.uint8]
    is_wrong: NDArray[np.bool_]


def choose(
    index: WindowIndex,
    query: Query,
    labels: NDArray[np.uint8],
    excluded_of_batch: NDArray[np.int64],
    own: slice,
    *,
    hard: bool,
    seed: list[int],
) -> Contrast:
    """Search by the masked sites for positives, and by the visible sites for hard negatives.

    query              as in training
    labels             (B, L) its true tokens
    excluded_of_batch  rows that a query of the batch must not find, -1 for none
    own                the B rows of these queries in the batch
    hard               negatives are the nearest under the mask; otherwise they are random
    seed               of random negatives
    """
    excluded_rows = excluded_of_batch[own]
    allowed = index.num_references - excluded_rows.shape[1]
    is_hidden = query.tokens == tokens.MASK
    hidden_alone = tokens.hide(labels, ~is_hidden)
    by_hidden = Query(hidden_alone, similarity.token_weights(labels.shape[1]))
    positives = nearest(index, by_hidden, min(POSITIVES, allowed), excluded_rows).rows
    count = min(NEGATIVES, allowed)
    if hard:
        return Contrast(positives, nearest(index, query, count, excluded_rows).rows)
    shape = (len(excluded_of_batch), count)
    drawn = np.random.default_rng(seed).integers(index.num_references, size=shape)[own]
    is_own = (drawn[:, :, None] == excluded_rows[:, None]).any(axis=2)
    # An excluded row is replaced by a positive, which never counts as wrong.
    return Contrast(positives, np.where(is_own, positives[:, :1], drawn))


def read(
    positives: NDArray[np.uint8],
    negatives: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    is_hidden: NDArray[np.bool_],
) -> ContrastTokens:
    """Find out which negatives are wrong.

    positives  (B, P, L) complete tokens
    negatives  (B, M, L) complete tokens
    """
    worst = _errors(positives, labels, is_hidden).max(axis=1)
    is_wrong = _errors(negatives, labels, is_hidden) > worst[:, None]
    return ContrastTokens(positives, negatives, is_wrong)


def _errors(
    references: NDArray[np.uint8], labels: NDArray[np.uint8], is_hidden: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """(B, n) masked sites at which references (B, n, L) do not carry the query's allele."""
    differs = (references != labels[:, None]) & is_hidden[:, None]
    count: NDArray[np.int64] = differs.sum(axis=2)
    return count
