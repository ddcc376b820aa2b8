"""Inputs of the network for one haplotype and site, in order.

Lengths are in cM times the switch rate of the first parameter set, so that panels of any size and
map give numbers of the same range. Probabilities are log odds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel

NUM_SETS = 3
"""Parameter sets of the copying model; the kernels hold their weights in vectors of four."""

NAMES = (
    *(f"parameter set {a}" for a in range(NUM_SETS)),
    "frequency",
    "minor frequency",
    "distance left",
    "distance right",
    "carriers",
    "carrier left",
    "other left",
    "carrier right",
    "other right",
    "carrier total",
    "other total",
    "carrier total but one",
    "other total but one",
    "carrier posterior",
    "other posterior",
    "carrier sites",
    "other sites",
    "vote 3",
    "vote 6",
    *(f"states {a}" for a in range(NUM_SETS)),
    "ancestry here",
    "ancestry around",
    "other haplotype 0",
    "other haplotype 1",
    "panel carriers",
    "panel others",
)
"""F inputs. `parameter set` is the ALT probability under each set, `carrier` the best candidate
with the ALT allele, `other` the best without it, `states` the effective number of candidates in
use, `other haplotype` the ALT probability of the sample's other haplotype under the first two sets,
and `panel` how well the references predict the site among themselves (`leave_one_out`)."""

NUM_INPUTS = len(NAMES)
CARRIER = NAMES.index("carrier left")
VOTES = NAMES.index("vote 3")
STATES = NAMES.index("states 0")
ANCESTRY = NAMES.index("ancestry here")
OTHER_HAPLOTYPE = NAMES.index("other haplotype 0")
PANEL = NAMES.index("panel carriers")

LOGIT_LIMIT = 12.0
SMALLEST_PROBABILITY = 1e-7
_F = np.float32


@kernel()
def log_odds(probability: float) -> float:
    """Log odds of a probability, clipped to LOGIT_LIMIT on either side of 0."""
    inside = min(max(probability, SMALLEST_PROBABILITY), 1.0 - SMALLEST_PROBABILITY)
    return min(max(math.log(inside / (1.0 - inside)), -LOGIT_LIMIT), LOGIT_LIMIT)


def all_log_odds(probability: NDArray[np.floating]) -> NDArray[np.float32]:
    """`log_odds` of an array."""
    inside = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.log(inside / (1 - inside)).clip(-LOGIT_LIMIT, LOGIT_LIMIT).astype(np.float32)


def all_probabilities(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    """The probabilities of an array of log odds."""
    return 1 / (1 + np.exp(-log_odds.astype(np.float64)))


@kernel()
def log_length(length: float) -> float:
    """Log of a length in units of the mean shared segment; negative lengths count as 0."""
    return math.log(max(length, 0.0) + 1e-2)


@kernel()
def complete(rows, sites, places, shares, regional, group_frequency, other_haplotype):
    """Fill in the inputs that need the whole chunk or the sample's other haplotype.

    rows             (n, F) written
    sites            (n,) index in the chunk of each row's site
    places           (n,) position of each row's site in clusters: the one on the left, and the
                     fraction of the way to the next
    shares           (C, G) copying weight of each group of references at each cluster
    regional         (G,) the same, averaged over the chunk and both haplotypes
    group_frequency  (S, G) ALT frequency in each group
    other_haplotype  (S, A) probabilities of the sample's other haplotype
    """
    last = shares.shape[0] - 1
    for row in range(sites.size):
        site = sites[row]
        left = int(places[row])
        right, part = min(left + 1, last), places[row] - left
        here, around, mass = _F(0), _F(0), _F(1e-9)
        for group in range(regional.size):
            share = (1 - part) * shares[left, group] + part * shares[right, group]
            frequency = group_frequency[site, group]
            here += share * frequency
            mass += share
            around += regional[group] * frequency
        rows[row, ANCESTRY] = log_odds(here / mass)
        rows[row, ANCESTRY + 1] = log_odds(around)
        rows[row, OTHER_HAPLOTYPE] = log_odds(other_haplotype[site, 0])
        rows[row, OTHER_HAPLOTYPE + 1] = log_odds(other_haplotype[site, 1])
