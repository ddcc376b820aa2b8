"""What the panel alone says about copying: the switch rate, and the error rate of each site.

Both are found at landmarks, sites of the panel that may differ from the typed ones. So samples with
different missing genotypes share them.

T typed sites in W words of 64, R reference haplotypes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.phasing import copying_rate, site_errors
from vcfbert.phasing.site_errors import Asked


@dataclass(frozen=True)
class PanelModel:
    """Switches per cM, and the error rate of each typed site, (T,)."""

    rate: float
    errors: NDArray[np.float64]

    def at(self, rows: NDArray[np.int64]) -> PanelModel:
        """The same at some of the typed sites."""
        return PanelModel(self.rate, self.errors[rows])


def fit(
    bits: NDArray[np.uint64],
    cm: NDArray[np.floating],
    *,
    places: NDArray[np.int64],
    hits: int,
    error: float,
    longest: float,
    threads: int,
    effective_size: float | None = None,
    asked: Asked | None = None,
) -> PanelModel:
    """Fit the model at landmarks.

    bits, cm        of the landmarks, (R, W) and (F,)
    places, hits, longest  see `copying_rate.fit`
    error           least error rate of a site
    effective_size  instead of the fit of the switch rate
    asked           sites for which the model is wanted; None is the landmarks
    """
    own = site_errors.estimate(bits, cm, error)
    if effective_size is None:
        rate = copying_rate.fit(
            bits, cm, places, hits, errors=own, longest=longest, threads=threads
        )
    else:
        rate = copying_rate.of_size(effective_size, len(bits))
    return PanelModel(rate, own if asked is None else site_errors.estimate(bits, cm, error, asked))
