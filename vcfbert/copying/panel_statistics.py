"""What all queries of a chunk read about its sites: statistics of the references alone.

They depend on no typed site, so that one chunk has one table, whatever is typed in which sample.

S sites of the chunk, R reference haplotypes, G groups of references.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import inputs, leave_one_out, parameter_sets
from vcfbert.copying.compiled import kernel
from vcfbert.copying.intrinsics import trailing_zeros

LANDMARK_MAF = 0.05
LANDMARKS_PER_CM = 80
FEWEST_LANDMARKS, MOST_LANDMARKS = 200, 1_500
"""Landmarks are sites of at least this MAF, this many in a cM and in a chunk, if there are as many.
Any number from a quarter to twice as many gives the same r2 to the fourth digit in every bin of
chr20, and so do the typed sites of an array in their place (docs/decisions/mosaic.md)."""

_PRIOR_HAPLOTYPES = 5.0  # weight of the whole panel in a group's frequencies


@dataclass(frozen=True)
class PanelStatistics:
    """Statistics of the references at the sites of a chunk.

    frequency        (S,) log odds of the ALT frequency
    minor            (S,) log of the minor allele frequency
    panel            (2, S) log odds of `leave_one_out.predictions` from the landmarks; of the
                     frequency at sites that are not written
    group_frequency  (S, G) ALT frequency in each group, shrunk towards the panel's
    """

    frequency: NDArray[np.float32]
    minor: NDArray[np.float32]
    panel: NDArray[np.float32]
    group_frequency: NDArray[np.float32]

    def at(self, sites: NDArray[np.int64]) -> PanelStatistics:
        """The statistics of some of the sites, (n,) indexes."""
        return PanelStatistics(
            frequency=self.frequency[sites],
            minor=self.minor[sites],
            panel=np.ascontiguousarray(self.panel[:, sites]),
            group_frequency=self.group_frequency[sites],
        )

    @classmethod
    def blank(cls, num_sites: int) -> PanelStatistics:
        """For queries without a network, which do not read them."""
        empty = np.zeros(num_sites, np.float32)
        return cls(empty, empty, np.zeros((2, num_sites), np.float32), empty[:, None])


def of_references(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    group: NDArray[np.int64],
    landmarks: NDArray[np.int64],
    sample: NDArray[np.int64] | None = None,
) -> PanelStatistics:
    """The statistics of a chunk.

    bits       (R, ceil(S / 64)) alleles, the first site in the lowest bit
    cm         (S,) never falling
    group      (R,) group of each reference, from 0
    landmarks  (n,) indexes among the S, rising, of `landmarks`
    sample     (R,) of each reference; None if the two haplotypes of each are adjacent
    """
    found = neighbours(bits, cm, landmarks, sample)
    counts = alt_counts(bits, group, len(cm))
    return with_neighbours(counts, np.bincount(group), found, np.arange(len(cm)))


def neighbours(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    landmarks: NDArray[np.int64],
    sample: NDArray[np.int64] | None = None,
    *,
    threads: int = 1,
) -> NDArray[np.float32]:
    """(2, S) the field `panel` of the statistics; arguments as for `of_references`."""
    counts = alt_counts(bits, np.zeros(len(bits), np.int64), len(cm))[:, 0]
    rate = float(parameter_sets.initial(len(bits)).rates[0])
    found = leave_one_out.predictions(
        bits, landmarks, cm, counts / len(bits), rate, sample, threads=threads
    )
    return inputs.all_log_odds(found)


def with_neighbours(
    counts: NDArray[np.int32],
    sizes: NDArray[np.int64],
    found: NDArray[np.float32],
    sites: NDArray[np.int64],
) -> PanelStatistics:
    """The statistics of a chunk if their field `panel`, which takes longest, is known.

    Where it is not, which is at sites that are not written, it is the frequency.

    counts  (S, G) of `alt_counts`
    sizes   (G,) references in each group
    found   (2, n) of `neighbours`
    sites   (n,) where it is known, indexes among the S
    """
    frequency = counts.sum(axis=1) / sizes.sum()
    by_group = (counts + _PRIOR_HAPLOTYPES * frequency[:, None]) / (sizes + _PRIOR_HAPLOTYPES)
    inside = np.clip(frequency, 1e-7, 1 - 1e-7)
    log_odds = np.log(inside / (1 - inside)).astype(np.float32)
    panel = np.stack([log_odds, log_odds])
    panel[:, sites] = found
    return PanelStatistics(
        frequency=log_odds,
        minor=np.log(np.minimum(inside, 1 - inside) + 1e-5).astype(np.float32),
        panel=panel,
        group_frequency=by_group.astype(np.float32),
    )


def estimated_r2(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    typed: NDArray[np.int64],
    sample: NDArray[np.int64] | None = None,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """r2 of imputation from these typed sites, estimated from the references alone.

    bits     (R, ceil(S / 64)), cm (S,) and sample (R,) as for `of_references`
    typed    (T,) indexes among the S, rising
    returns  (S,) see `leave_one_out.estimated_r2`; NaN if no site is typed
    """
    if len(typed) == 0:
        return np.full(len(cm), np.nan)
    counts = alt_counts(bits, np.zeros(len(bits), np.int64), len(cm))[:, 0]
    rate = float(parameter_sets.initial(len(bits)).rates[0])
    found = leave_one_out.predictions(
        bits, typed, cm, counts / len(bits), rate, sample, threads=threads
    )
    return leave_one_out.estimated_r2(found[0], found[1], counts, len(bits))


def landmarks(frequency: NDArray[np.floating], cm: NDArray[np.floating]) -> NDArray[np.int64]:
    """Common sites that are evenly spread over a chunk, or all sites if none is common.

    frequency  (S,) of ALT
    cm         (S,) never falling
    returns    (n,) indexes, rising
    """
    most = max(FEWEST_LANDMARKS, int(LANDMARKS_PER_CM * float(cm[-1] - cm[0])))
    return evenly(common_sites(frequency, LANDMARK_MAF), min(most, MOST_LANDMARKS))


def common_sites(frequency: NDArray[np.floating], least_maf: float) -> NDArray[np.int64]:
    """Sites with at least this minor allele frequency; all if there are none.

    frequency  (S,) of ALT

    >>> common_sites(np.array([0.01, 0.9, 0.5]), 0.05).tolist()
    [1, 2]
    """
    found = np.flatnonzero(np.minimum(frequency, 1 - frequency) >= least_maf)
    return found if len(found) else np.arange(len(frequency))


def evenly(sites: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the sites, evenly spread.

    >>> evenly(np.array([2, 3, 5, 7, 11]), 3).tolist()
    [2, 5, 11]
    """
    if len(sites) <= count:
        return sites
    return sites[np.linspace(0, len(sites) - 1, count).astype(np.int64)]


def alt_counts(
    bits: NDArray[np.uint64], group: NDArray[np.int64], num_sites: int
) -> NDArray[np.int32]:
    """(S, G) copies of ALT at each site in each group of references.

    bits   (R, ceil(S / 64))
    group  (R,) from 0
    """
    counts = np.zeros((num_sites, int(group.max()) + 1), np.int32)
    _count(bits, group, counts)
    return counts


@kernel(fastmath=False)
def _count(bits, group, counts):
    for row in range(bits.shape[0]):
        number = group[row]
        for word in range(bits.shape[1]):
            value = bits[row, word]
            while value:
                counts[64 * word + trailing_zeros(value), number] += 1
                value &= value - np.uint64(1)
