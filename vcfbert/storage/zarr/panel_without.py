"""A panel without some of its samples, as if it had been prepared without them.

S sites, N samples of the panel, n that stay. Sites at which all that stay have one allele are kept.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.ploidy import Ploidy
from vcfbert.domain.sites import SPLITS, Samples, Sites, haplotypes_of
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader


class PanelWithout(PanelReader):
    """An open panel that shows only some of its samples.

    Its fingerprint is another one than that of the whole panel, so that nothing that was made from
    one is used with the other.
    """

    def __init__(self, panel: PanelReader, excluded: NDArray[np.int64]) -> None:
        """Count the ALT alleles of the samples that stay, which reads all windows once.

        excluded  samples to leave out, rising; at least one sample stays
        """
        self._whole = panel
        self.excluded = [panel.samples.names[sample] for sample in excluded.tolist()]
        """Names of the samples that are left out."""
        self.whole_fingerprint = panel.fingerprint
        kept = np.setdiff1d(np.arange(len(panel.samples)), excluded)
        self._rows = haplotypes_of(kept)
        self.path, self.settings = panel.path, panel.settings
        self.windows, self.genome = panel.windows, panel.genome
        self.fingerprint = stores.fingerprint(panel.fingerprint, "\n".join(self.excluded))
        self.samples = _samples_at(panel.samples, kept)
        self.sites = _counted_without(panel, haplotypes_of(excluded))

    @property
    def alleles_shape(self) -> tuple[int, ...]:
        """As if only the samples that stay were stored."""
        num_windows, _, width = self._whole.alleles_shape
        return num_windows, len(self._rows), width

    def packed(self, window: int) -> NDArray[np.uint8]:
        """(2 n, ceil(L / 8)) as in the whole panel."""
        block = self._whole.packed(window)[self._rows]
        block.flags.writeable = False
        return block


def _samples_at(samples: Samples, kept: NDArray[np.int64]) -> Samples:
    """Some of the samples.

    kept  (n,) rising
    """
    place = np.full(len(samples), -1)
    place[kept] = np.arange(len(kept))
    relatives = place[samples.relatives].reshape(-1, 2)
    haploid = samples.haploid
    if haploid is not None:
        haploid = Ploidy.joined(haploid.start.tolist(), list(haploid.is_haploid[:, kept]))
    return Samples(
        names=[samples.names[sample] for sample in kept.tolist()],
        population=[samples.population[sample] for sample in kept.tolist()],
        superpopulation=[samples.superpopulation[sample] for sample in kept.tolist()],
        split=samples.split[kept],
        populations=samples.populations,
        relatives=relatives[(relatives >= 0).all(axis=1)],
        haploid=None if haploid is None or haploid.is_diploid else haploid,
    )


def _counted_without(panel: PanelReader, haplotypes: NDArray[np.int64]) -> Sites:
    """The sites, with the ALT counts of all haplotypes but these."""
    sites, windows = panel.sites, panel.windows
    groups = panel.samples.groups()[:, haplotypes].astype(np.float32)
    lost = np.zeros((len(sites), len(groups)), np.int32)
    for window in range(len(windows)):
        where = windows.sites(window)
        alleles = tokens.unpack(panel.packed(window)[haplotypes], windows.num_sites(window))
        lost[where] = (groups @ alleles.astype(np.float32)).T
    return replace(
        sites,
        alt_count=sites.alt_count - lost[:, : len(SPLITS)],
        population_alt_count=sites.population_alt_count - lost[:, len(SPLITS) :],
    )
