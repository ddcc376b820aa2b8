"""References that a training query should find, and hard negatives, for the contrastive loss.

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
    """References to learn from; see `model.contrast`.

    positives  (B, P) rows of the index that agree best with the query at its hidden sites
    negatives  (B, M) rows
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


@dataclass(frozen=True)
class ContrastTokens:
    """What became of a Contrast once the references' alleles are read.

    positives  (B, P, L) complete tokens
    negatives  (B, M, L) complete tokens
    is_wrong   (B, M) True where a negative differs from the query at more hidden sites than every
               positive does
    """

    positives: NDArray[np.uint8]
    negatives: NDArray[np.uint8]
    is_wrong: NDArray[np.bool_]


def choose(
    index: WindowIndex,
    query: Query,
    labels: NDArray[np.uint8],
    excluded_rows: NDArray[np.int64],
    *,
    hard: bool,
    seed: list[int],
) -> Contrast:
    """Search twice: by the hidden sites for positives, by the visible ones for hard negatives.

    query          as in training
    labels         (B, L) true tokens of it
    excluded_rows  (B, E) rows a query must not find, -1 for none
    hard           negatives are the nearest under the mask; else they are drawn
    seed           of the drawing
    """
    allowed = index.num_references - excluded_rows.shape[1]
    is_hidden = query.tokens == tokens.MASK
    hidden_alone = tokens.hide(labels, ~is_hidden)
    by_hidden = Query(hidden_alone, similarity.token_weights(labels.shape[1]))
    positives = nearest(index, by_hidden, min(POSITIVES, allowed), excluded_rows).rows
    count = min(NEGATIVES, allowed)
    if hard:
        return Contrast(positives, nearest(index, query, count, excluded_rows).rows)
    drawn = np.random.default_rng(seed).integers(index.num_references, size=(len(labels), count))
    is_own = (drawn[:, :, None] == excluded_rows[:, None]).any(axis=2)
    return Contrast(positives, np.where(is_own, positives[:, :1], drawn))  # which is never wrong


def read(
    positives: NDArray[np.uint8],
    negatives: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    is_hidden: NDArray[np.bool_],
) -> ContrastTokens:
    """Tell which negatives are wrong.

    positives  (B, P, L) complete tokens
    negatives  (B, M, L) complete tokens
    """
    worst = _errors(positives, labels, is_hidden).max(axis=1)
    is_wrong = _errors(negatives, labels, is_hidden) > worst[:, None]
    return ContrastTokens(positives, negatives, is_wrong)


def _errors(
    references: NDArray[np.uint8], labels: NDArray[np.uint8], is_hidden: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Hidden sites at which references, (B, n, L), do not carry the query's allele; (B, n)."""
    differs = (references != labels[:, None]) & is_hidden[:, None]
    count: NDArray[np.int64] = differs.sum(axis=2)
    return count
