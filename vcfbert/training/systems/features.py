"""Site features of a window, from the panel.

S sites in the panel, L sites in a window, P populations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.model.embedding import SiteFeatures
from vcfbert.storage.zarr.panel import PanelReader


@dataclass(frozen=True)
class _Counts:
    """ALT copies among train samples at the sites of a window, and the haplotypes they are of.

    alt            (n,)
    by_population  (n, P)
    haplotypes     of all train samples
    sizes          (P,) of those of each population
    """

    alt: NDArray[np.int64]
    by_population: NDArray[np.int64]
    haplotypes: int
    sizes: NDArray[np.int64]


def of_window(
    panel: PanelReader, window: int, *, without: NDArray[np.int64] | None = None
) -> SiteFeatures:
    """Features of one window, on the CPU.

    Frequencies are of the train samples only; held-out samples do not count. In the padding, `cm`
    repeats its last value and the other features are 0.

    without  train samples that do not count, either; None counts all
    """
    where = panel.windows.sites(window)
    num_sites = panel.windows.num_sites(window)
    counts = _counts(panel, window, without)
    frequency = counts.alt / max(counts.haplotypes, 1)
    by_population = counts.by_population / np.maximum(counts.sizes, 1)
    spread = by_population.std(axis=1) if len(counts.sizes) else np.zeros(num_sites)
    cm = panel.sites.cm[where]
    return SiteFeatures(
        frequency=_padded(frequency, panel.length),
        spread=_padded(spread, panel.length),
        cm=_padded(cm - cm[0], panel.length, fill=float(cm[-1] - cm[0])),
        site_type=_padded(panel.sites.site_type[where], panel.length).long(),
        is_site=torch.arange(panel.length) < num_sites,
        is_full=num_sites == panel.length,
        by_population=_padded(by_population, panel.length),
    )


def _counts(panel: PanelReader, window: int, without: NDArray[np.int64] | None) -> _Counts:
    """The counts of the site table, less those of some samples."""
    where = panel.windows.sites(window)
    all_ = _Counts(
        alt=panel.sites.alt_count[where, site_tables.TRAIN].astype(np.int64),
        by_population=panel.sites.population_alt_count[where].astype(np.int64),
        haplotypes=2 * len(panel.samples.in_splits(site_tables.TRAIN)),
        sizes=panel.samples.population_sizes(),
    )
    if without is None:
        return all_
    rows = site_tables.haplotypes_of(without)
    labels = panel.tokens(window, rows)[:, : panel.windows.num_sites(window)]
    is_alt = (labels == tokens.ALT).astype(np.int64)
    is_of = panel.samples.groups()[len(site_tables.SPLITS) :][:, rows].astype(np.int64)
    return _Counts(
        alt=all_.alt - is_alt.sum(axis=0),
        by_population=all_.by_population - (is_of @ is_alt).T,
        haplotypes=all_.haplotypes - len(rows),
        sizes=all_.sizes - is_of.sum(axis=1),
    )


def _padded(values: NDArray[np.generic], length: int, fill: float = 0.0) -> torch.Tensor:
    out = np.full((length, *values.shape[1:]), fill, dtype=np.float32)
    out[: len(values)] = values
    return torch.from_numpy(out)
