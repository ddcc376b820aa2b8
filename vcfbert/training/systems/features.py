"""Site features of a window, from the panel.

S sites in the panel, L sites in a window, P populations.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.model.embedding import SiteFeatures
from vcfbert.storage.zarr.panel import PanelReader


def of_window(panel: PanelReader, window: int) -> SiteFeatures:
    """Features of one window, on the CPU.

    Frequencies are of the train samples only; held-out samples do not count. In the padding, `cm`
    repeats its last value and the other features are 0.
    """
    where = panel.windows.sites(window)
    num_sites = panel.windows.num_sites(window)
    samples = len(panel.samples.in_splits(site_tables.TRAIN))
    frequency = panel.sites.alt_count[where, site_tables.TRAIN] / max(2 * samples, 1)
    cm = panel.sites.cm[where]
    return SiteFeatures(
        frequency=_padded(frequency, panel.length),
        spread=_padded(_spread(panel, where), panel.length),
        cm=_padded(cm - cm[0], panel.length, fill=float(cm[-1] - cm[0])),
        site_type=_padded(panel.sites.site_type[where], panel.length).long(),
        is_site=torch.arange(panel.length) < num_sites,
        is_full=num_sites == panel.length,
        by_population=_padded(_by_population(panel, where), panel.length),
    )


def _spread(panel: PanelReader, where: slice) -> NDArray[np.float64]:
    """Standard deviation of the ALT frequency over populations; 0 if there are none."""
    frequency = _by_population(panel, where)
    if frequency.shape[1] == 0:
        return np.zeros(len(frequency))
    return np.asarray(frequency.std(axis=1))


def _by_population(panel: PanelReader, where: slice) -> NDArray[np.float64]:
    """(L, P) ALT frequency among the train samples of each population."""
    sizes = np.maximum(panel.samples.population_sizes(), 1)
    frequency: NDArray[np.float64] = panel.sites.population_alt_count[where] / sizes
    return frequency


def _padded(values: NDArray[np.generic], length: int, fill: float = 0.0) -> torch.Tensor:
    out = np.full((length, *values.shape[1:]), fill, dtype=np.float32)
    out[: len(values)] = values
    return torch.from_numpy(out)
