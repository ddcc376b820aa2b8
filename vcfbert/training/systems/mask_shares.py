"""What share of the alleles drawn masks really hide, from some samples and windows.

It differs from the masking level if a policy looks at alleles, or types a list of sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.domain.mask_policies import MaskSource
from vcfbert.storage.zarr.panel import PanelReader

_WINDOWS, _SAMPLES = 32, 64  # at most so many are looked at, which takes milliseconds


@dataclass(frozen=True)
class MaskShares:
    """Masked shares; NaN if nothing was observed.

    alleles    of the observed alleles
    by_copies  of the observed genotypes with 0, 1 and 2 ALT copies
    """

    alleles: float
    by_copies: tuple[float, float, float]

    def columns(self) -> dict[str, float]:
        """As the columns of metrics.csv and refresh.csv."""
        named = {f"mask_rate_{copies}": share for copies, share in enumerate(self.by_copies)}
        return {"mask_rate": self.alleles} | named

    def described(self, *, by_copies: bool) -> str:
        """As the log says it.

        >>> MaskShares(0.5, (0.4, 0.7, 0.9)).described(by_copies=True)
        '50.0 % masked (REF/REF 40.0, REF/ALT 70.0, ALT/ALT 90.0)'
        """
        text = f"{100 * self.alleles:.1f} % masked"
        if not by_copies:
            return text
        names = ("REF/REF", "REF/ALT", "ALT/ALT")
        parts = (
            f"{name} {100 * share:.1f}" for name, share in zip(names, self.by_copies, strict=True)
        )
        return f"{text} ({', '.join(parts)})"


def of_drawn(masks: MaskSource, panel: PanelReader) -> MaskShares:
    """Draw the masks of evenly spaced train samples in evenly spaced windows, and count."""
    counts = np.zeros((2, 4))  # masked and observed; alleles, then genotypes by copies
    samples = _spaced(panel.samples.in_splits(site_tables.TRAIN), _SAMPLES)
    for window in _spaced(np.arange(len(panel.windows)), _WINDOWS).tolist():
        labels = panel.tokens(window, site_tables.haplotypes_of(samples))
        counts += _count(labels, np.asarray(masks.of(window, samples, labels)))
    with np.errstate(invalid="ignore"):
        shares = (counts[0] / counts[1]).tolist()
    return MaskShares(shares[0], (shares[1], shares[2], shares[3]))


def _count(labels: NDArray[np.uint8], is_masked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, 4) masked and observed; alleles, then genotypes with 0, 1 and 2 ALT copies.

    labels     (2 N, L) true tokens
    is_masked  (L,) or (2 N, L)
    """
    observed = tokens.is_observed(labels)
    hidden = observed & is_masked
    copies = (labels[0::2] == tokens.ALT).astype(np.int64) + (labels[1::2] == tokens.ALT)
    rows = []
    for where in (hidden, observed):
        whole = where[0::2] & where[1::2]
        rows.append([where.sum(), *np.bincount(copies[whole], minlength=3)])
    return np.array(rows, dtype=np.float64)


def _spaced(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many evenly spaced values, with the first and the last."""
    places = np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.int64)
    return np.asarray(values[np.unique(places)])
