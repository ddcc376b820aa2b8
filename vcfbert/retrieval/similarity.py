"""Squared L2 distance between masked embeddings as a function of alleles, and its parts.

With a context-free encoder, two haplotypes under one mask differ at a visible site by 0 or by
w_l = ||E(ALT, l) - E(REF, l)||^2, and at a masked site by 0. So

    d2(q, r) = sum over visible l of w_l [q_l != r_l] = sum_l w_l visible_l q_l - <v, r>
    v_l      = w_l visible_l (2 q_l - 1)

and the nearest references are those of largest inner product of v with their 0/1 alleles, for
every mask and every state of the encoder.

Under two masks (see `Misalignment`) a site that is masked on one side only adds to the distance. If
it is the query, a reference adds w_l0 or w_l1, the squared distance of MASK to its allele, which
favours references whose alleles lie near MASK for every query. If it is the references, they all
add the same. So the search is still one inner product, with another vector.

In token space a haplotype is its token ids. REF is 0 and ALT is 1, and a masked site has one id on
both sides, so the formula applies with w_l = 1: the Hamming distance over visible sites.

B query haplotypes, C candidates, L sites in a window, M = ceil(L / 8) bytes of packed alleles,
D embedding width, V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.retrieval.query import OtherMask, Query

BITS = tokens.unpack(np.arange(256, dtype=np.uint8)[:, None], 8)
"""(256, 8) alleles that each byte encodes."""


def site_weights(codebook: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance between the embeddings of ALT and REF at each site.

    codebook  (V, L, D) raw embeddings of every token
    returns   (L,)
    """
    difference = codebook[tokens.ALT] - codebook[tokens.REF]
    weights: NDArray[np.float32] = np.einsum("ld,ld->l", difference, difference)
    return weights


def token_weights(length: int) -> NDArray[np.float32]:
    """Squared distance between the token ids of ALT and REF at each site, (L,)."""
    return np.full(length, (tokens.ALT - tokens.REF) ** 2, dtype=np.float32)


def check_weights(weights: NDArray[np.float32]) -> None:
    """Raise ConfigError unless weights are not negative and small enough to be summed."""
    largest = np.finfo(np.float32).max / max(len(weights), 1)
    is_usable = (weights >= 0) & (weights <= largest)  # NaN is neither
    if not is_usable.all():
        site = int(np.argmin(is_usable))
        raise ConfigError(
            f"The site weight of the search at site {site} of the window is {weights[site]}, but "
            "must be finite and at least 0: the encoder has diverged. Use an earlier checkpoint, "
            "or train again with a lower training.learning_rate."
        )


def search_vectors(
    query_tokens: NDArray[np.uint8], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The v above, one per query; 0 where the query shows no allele.

    query_tokens  (B, L) under the mask
    weights       (L,)
    returns       (B, 8 M), 0 after L

    >>> search_vectors(np.array([[1, 0, 2]], dtype=np.uint8), np.array([2, 3, 4], dtype=np.float32))
    array([[ 2., -3.,  0.,  0.,  0.,  0.,  0.,  0.]], dtype=float32)
    """
    num_queries, length = query_tokens.shape
    sign = np.zeros(tokens.VOCABULARY_SIZE, dtype=np.float32)
    sign[tokens.REF], sign[tokens.ALT] = -1.0, 1.0
    vectors = np.zeros((num_queries, 8 * num_bytes(length)), dtype=np.float32)
    np.multiply(sign[query_tokens], weights, out=vectors[:, :length])
    return vectors


def mask_costs(codebook: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, L) squared distance between the embeddings of MASK and of REF, ALT at each site.

    codebook  (V, L, D) raw embeddings of every token
    """
    difference = codebook[[tokens.REF, tokens.ALT]] - codebook[tokens.MASK]
    costs: NDArray[np.float32] = np.einsum("ald,ald->al", difference, difference)
    return costs


def token_mask_costs(length: int) -> NDArray[np.float32]:
    """(2, L) the same between token ids."""
    costs = [(tokens.MASK - allele) ** 2 for allele in (tokens.REF, tokens.ALT)]
    return np.repeat(np.array(costs, dtype=np.float32)[:, None], length, axis=1)


class Misalignment:
    """Terms of the distance that come from a mask of the references other than the query's.

    pull      (L,) by how much ALT adds more than REF at sites where only the query is masked
    is_alone  (B, L) True if the query is masked and references are not
    constant  (B,) added by all references alike
    """

    def __init__(self, query: Query, other: OtherMask) -> None:
        """Compute the terms of a batch."""
        reference_mask, costs = other.is_masked, other.costs
        self.pull = costs[1] - costs[0]
        self.is_alone = (query.tokens == tokens.MASK) & ~reference_mask
        is_seen = tokens.is_observed(query.tokens) & reference_mask
        alleles = (query.tokens == tokens.ALT).astype(np.intp)
        paid = costs[alleles, np.arange(len(self.pull))]
        at_query = np.where(self.is_alone, costs[0], 0).sum(axis=1, dtype=np.float64)
        self.constant = at_query + np.where(is_seen, paid, 0).sum(axis=1, dtype=np.float64)

    def vectors(self) -> NDArray[np.float32]:
        """(B, 8 M) to add to the search vectors."""
        num_queries, length = self.is_alone.shape
        vectors = np.zeros((num_queries, 8 * num_bytes(length)), dtype=np.float32)
        vectors[:, :length] = np.where(self.is_alone, -self.pull, 0)
        return vectors


def num_bytes(length: int) -> int:
    """M, the bytes of `length` packed alleles."""
    return -(-length // 8)


def byte_weights(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Summed weight of the sites whose bits are set, for every byte and each of its values.

    Eight sites then take one look-up, which makes exact distances cheap (benchmarks/retrieval).

    weights  (L,)
    returns  (M, 256)
    """
    padded = np.zeros(8 * num_bytes(len(weights)))
    padded[: len(weights)] = weights
    table: NDArray[np.float64] = padded.reshape(-1, 8) @ BITS.T.astype(np.float64)
    return table


def mismatch_distances(
    table: NDArray[np.float64],
    query_bits: NDArray[np.uint8],
    visible_bits: NDArray[np.uint8],
    reference_bits: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """The distance d2 from packed alleles, in float64.

    table           (M, 256) from `byte_weights`
    query_bits      (B, M) packed, 1 if the query shows ALT
    visible_bits    (B, M) packed, 1 if the query shows an allele
    reference_bits  (B, C, M) packed
    returns         (B, C)
    """
    differing = (reference_bits ^ query_bits[:, None]) & visible_bits[:, None]
    place = differing.astype(np.intp)
    place += np.arange(0, table.size, 256)
    distances: NDArray[np.float64] = table.ravel().take(place).sum(axis=-1)
    return distances
