"""Fit of the switch rates of a chunk to samples of the panel.

T sites to fit at, R reference haplotypes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import engine, panel_statistics, parameter_sets
from vcfbert.copying.panel_statistics import PanelStatistics
from vcfbert.copying.parameter_sets import ParameterSets
from vcfbert.domain import tokens
from vcfbert.retrieval import chunk_candidates

FIT_SEED = 1
"""Default seed of the fit."""

SAMPLES_OF_FIT = (8, 16)
"""Fewest and most samples of the panel that the switch rates are fitted to."""

ALLELES_OF_FIT = 16_384
"""Samples times sites: with more sites, fewer samples tell as much."""

FIT_MAFS = (0.05, 0.01, 0.0)
"""Minor allele frequencies of the sites to fit at: the first that enough sites reach."""


def num_to_fit(num_typed: int) -> int:
    """How many sites to fit at: the number of typed sites, rounded to a power of two.

    The best factor depends on the density of typed sites, and hardly on which they are. So samples
    with a few missing genotypes share a fit.

    >>> num_to_fit(879), num_to_fit(1)
    (1024, 1)
    """
    return 1 << round(math.log2(num_typed))


def sites_to_fit(frequency: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Sites of the panel to fit at, evenly spread: common ones, or any if these are too few.

    frequency  (S,) of ALT
    returns    (T,) indexes, rising, at most `count`
    """
    for least in FIT_MAFS:
        common = panel_statistics.common_sites(frequency, least)
        if len(common) >= count:
            break
    return panel_statistics.evenly(common, count)


def fitted(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    sample: NDArray[np.int64],
    *,
    seed: int,
    threads: int,
) -> ParameterSets:
    """Parameter sets with switch rates fitted to some of the references.

    Each is imputed without its own sample.

    bits    (R, ceil(T / 64)) alleles at the sites to fit at
    cm      (T,)
    sample  (R,) of each reference, never falling; a haploid sample has one
    """
    firsts = np.flatnonzero(np.diff(sample, prepend=-1))
    num_sites, num_samples = len(cm), len(firsts)
    first = parameter_sets.initial(len(bits))
    if num_samples < 2:
        return first
    group, blank = np.zeros(len(bits), np.int64), PanelStatistics.blank(num_sites)
    prepared = engine.prepare(bits, np.arange(num_sites), cm, group, first, blank, bits)
    count = int(np.clip(ALLELES_OF_FIT // num_sites, *SAMPLES_OF_FIT))
    chosen = np.unique(np.linspace(0, num_samples - 1, count).astype(np.int64))
    last = np.append(firsts[1:], len(sample))[chosen] - 1
    rows = np.stack([firsts[chosen], last], axis=1)  # of a haploid, its haplotype twice
    known = tokens.unpack(np.ascontiguousarray(bits[rows.ravel()]).view(np.uint8), num_sites)
    own = list(np.repeat(rows, 2, axis=0))
    found = chunk_candidates.find(bits, known, own, threads=threads)
    asked = known.reshape(len(chosen), 2, num_sites)
    scaled = engine.fit_rates(
        prepared, asked, found, seed=seed, threads=threads, is_haploid=rows[:, 0] == rows[:, 1]
    )
    return ParameterSets(scaled.chunk.rates, first.errors)
