"""Folds of the training samples: what a batch sees is made without any sample of its fold.

A test sample is not in the index and does not count in the frequencies. If a training sample were
left out alone, and counted in the frequencies, training would differ from that where it matters: of
a site with one copy among the training samples, no neighbour of its carrier can have ALT, so a
neighbour with ALT would always be wrong. So batches are of one fold, whose samples are left out of
retrieval and frequencies alike, as test samples are.

L sites in a window, D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.model.embedding import Encoder, SiteFeatures
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems import features

NO_FOLD = -1
"""Fold of a batch that leaves out its own samples alone."""

_STREAM = 74  # separates the random stream of the folds from those of order and masks


@dataclass(frozen=True)
class Folds:
    """A partition of the training samples.

    parts  the samples of each fold, as panel indexes
    """

    parts: tuple[NDArray[np.int64], ...]

    @classmethod
    def drawn(
        cls, samples: NDArray[np.int64], num_folds: int, batch_size: int, seed: int
    ) -> Folds | None:
        """Draw folds of at least `batch_size` samples; None if there are not two of them.

        num_folds  at most so many; 0 for none

        >>> folds = Folds.drawn(np.arange(10), 4, 3, seed=1)
        >>> [len(part) for part in folds.parts]
        [4, 3, 3]
        """
        number = min(num_folds, len(samples) // batch_size)
        if number < 2:
            return None
        order = np.random.default_rng([seed, _STREAM]).permutation(samples)
        return cls(tuple(np.array_split(order, number)))


class HeldOut:
    """What a batch of a fold reads, made without the samples of the fold."""

    def __init__(self, panel: PanelReader, folds: Folds, encoder: Encoder | None) -> None:
        """Take an open panel.

        encoder  whose stored embeddings the network reads, in eval mode; None if it reads none
        """
        self._panel = panel
        self._folds = folds
        self._encoder = encoder

    def samples(self, fold: int) -> NDArray[np.int64]:
        """The samples that a batch of the fold must not retrieve."""
        return self._folds.parts[fold]

    def features(self, window: int, fold: int) -> SiteFeatures:
        """Site features with the frequencies of all other folds, on the CPU."""
        return features.of_window(self._panel, window, without=self.samples(fold))

    @torch.no_grad()
    def codebook(self, site_features: SiteFeatures) -> NDArray[np.float32] | None:
        """(V, L, D) raw embeddings by these features; None if the network reads none."""
        if self._encoder is None:
            return None
        where = next(self._encoder.parameters()).device
        return self._encoder.codebook(site_features.to(where)).float().cpu().numpy()
