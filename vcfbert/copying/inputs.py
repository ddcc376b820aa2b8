"""What the network on top of the heads reads of one haplotype and site, in order.

Lengths are in cM times the switch rate of the first head, so that panels of every size and map
give numbers of the same range; probabilities are log odds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.compiled import kernel

HEADS = 3
"""Copying heads; the kernels hold their weights in vectors of four."""

NAMES = (
    *(f"head {head}" for head in range(HEADS)),
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
    *(f"states {head}" for head in range(HEADS)),
    "ancestry here",
    "ancestry around",
    "sibling head 0",
    "sibling head 1",
    "panel carriers",
    "panel others",
)
"""F inputs. `carrier` is the best candidate with the ALT allele, `other` the best without it;
`states` the effective number of candidates in use; `sibling` the sample's other haplotype; `panel`
what the references say of the site among themselves (`leave_one_out`)."""

NUM_INPUTS = len(NAMES)
CARRIER = NAMES.index("carrier left")
VOTES = NAMES.index("vote 3")
STATES = NAMES.index("states 0")
ANCESTRY = NAMES.index("ancestry here")
SIBLING = NAMES.index("sibling head 0")
PANEL = NAMES.index("panel carriers")

LOGIT_LIMIT = 12.0
_SMALLEST_PROBABILITY = 1e-7
_F = np.float32


@kernel()
def log_odds(probability: float) -> float:
    """Log odds of a probability, no further than LOGIT_LIMIT from 0."""
    inside = min(max(probability, _SMALLEST_PROBABILITY), 1.0 - _SMALLEST_PROBABILITY)
    return min(max(math.log(inside / (1.0 - inside)), -LOGIT_LIMIT), LOGIT_LIMIT)


def all_log_odds(probability: NDArray[np.floating]) -> NDArray[np.float32]:
    """The same for an array."""
    inside = np.clip(probability, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return np.log(inside / (1 - inside)).clip(-LOGIT_LIMIT, LOGIT_LIMIT).astype(np.float32)


@kernel()
def log_length(length: float) -> float:
    """Log of a length in units of the mean shared stretch; 0 and less is the smallest."""
    return math.log(max(length, 0.0) + 1e-2)


@kernel()
def complete(rows, sites, places, shares, regional, group_frequency, sibling):
    """Fill in the inputs that need the whole chunk or the sample's other haplotype.

    rows             (n, F) written
    sites            (n,) chunk index of each row's site
    places           (n,) left cluster of each row's site, counted in clusters, with the fraction
                     of the way to the next
    shares           (C, G) copying weight of each group of references at each cluster
    regional         (G,) the same over the chunk and both haplotypes
    group_frequency  (S, G) ALT frequency in each group
    sibling          (S, A) probabilities of the other haplotype
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
        rows[row, SIBLING] = log_odds(sibling[site, 0])
        rows[row, SIBLING + 1] = log_odds(sibling[site, 1])
